//! A model checker explores what two controllers, an API server, its garbage collector, people and a
//! clock can do to one name, in every order. What the controllers do is decided by the operator's own
//! `plan`.
//!
//! `make test` explores with small bounds, `make model` with wider ones.

#![expect(
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test fails at the first unexpected result, and prints the path to it"
)]

mod events;
mod explored;
mod interned;
mod observe;
mod promises;
mod record;
mod state;
mod steps;
mod world;

use std::time::Instant;

use apikey_api::Delivery;
use stateright::report::WriteReporter;
use stateright::{Checker, CheckerBuilder, Expectation, HasDiscoveries, Model as _};

use explored::Explored;
use world::World;

/// The start; the time at which secrets from the start are old enough to be dropped; the expiry of the key.
const MOMENTS: &[u32] = &[0, 601, 7200];

/// One controller, without faults and edits.
const QUIET: World = World {
    delivery: Delivery::Keep,
    overlap_seconds: 3000,
    moments: MOMENTS,
    controllers: 1,
    edits: 0,
    faults: 0,
    secrets: 8,
};

/// One controller with one fault and one edit.
const FAILING: World = World {
    edits: 1,
    faults: 1,
    moments: &[0, 7200],
    ..QUIET
};

impl World {
    /// The same world with a Secret that is kept, and with one that is shown once.
    const fn delivered_in_each_way(self) -> [(&'static str, Self); 2] {
        let kept = Self {
            delivery: Delivery::Keep,
            ..self
        };
        let shown_once = Self {
            delivery: Delivery::RevealOnce,
            ..self
        };
        [("kept", kept), ("shown once", shown_once)]
    }
}

fn checker(world: World) -> CheckerBuilder<Explored> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    Explored::new(world)
        .checker()
        .threads(threads)
        .finish_when(HasDiscoveries::AnyFailures)
}

/// Explores the world breadth first, which finds the shortest path to a broken promise.
fn explore(name: &str, world: World) {
    let begun = Instant::now();
    report(name, &checker(world).spawn_bfs().join(), begun);
}

/// Explores the world depth first, which keeps only the states of one path in memory.
fn explore_far(name: &str, world: World) {
    let begun = Instant::now();
    let mut progress = std::io::stderr();
    let explored = checker(world).spawn_dfs();
    let explored = explored.join_and_report(&mut WriteReporter::new(&mut progress));
    report(name, &explored, begun);
}

/// Prints the size of the exploration, and panics if a promise is broken.
fn report(name: &str, explored: &impl Checker<Explored>, begun: Instant) {
    let model = explored.model();
    println!(
        "{name}: {} states, {} transitions, depth {}, {} decisions of the plan, {:.1} s",
        explored.unique_state_count(),
        explored.state_count(),
        explored.max_depth(),
        model.decisions.len(),
        begun.elapsed().as_secs_f64(),
    );
    for property in model.properties() {
        let found = explored.discovery(property.name);
        match (&property.expectation, found) {
            (Expectation::Always, Some(path)) => {
                let broken = model.broken(path.last_state());
                for (state, event) in path.into_vec() {
                    println!("{}", state.summary());
                    println!("  {event:?}");
                }
                panic!("not always: {}: {broken:#?}", property.name);
            }
            (Expectation::Sometimes, None) => panic!("never: {}", property.name),
            _ => {}
        }
    }
}

#[test]
fn two_controllers_break_no_promise() {
    let world = World {
        controllers: 2,
        ..QUIET
    };
    explore("two controllers", world);
}

#[test]
fn one_controller_that_fails_while_somebody_edits_breaks_no_promise() {
    for (name, world) in FAILING.delivered_in_each_way() {
        explore(name, world);
    }
}

#[test]
fn nothing_keeps_a_secret_in_service_that_is_to_end() {
    let ending = World {
        overlap_seconds: 0,
        edits: 2,
        secrets: 4,
        ..FAILING
    };
    for (name, world) in ending.delivered_in_each_way() {
        explore(&format!("{name}, to end"), world);
    }
}

/// Every world that `make model` explores.
#[test]
#[ignore = "takes minutes: make model"]
fn wider_worlds_break_no_promise() {
    let both = World {
        controllers: 2,
        secrets: 5,
        ..QUIET
    };
    let failing = World { faults: 1, ..both };
    explore_far("two controllers, a fault", failing);
    let edited = World {
        edits: 1,
        moments: &[0, 7200],
        ..both
    };
    let busy = World {
        edits: 2,
        faults: 1,
        secrets: 4,
        ..QUIET
    };
    let ending = World {
        overlap_seconds: 0,
        ..busy
    };
    for (what, world) in [
        ("two controllers, an edit", edited),
        ("one controller, two edits, a fault", busy),
        ("to end", ending),
    ] {
        for (name, world) in world.delivered_in_each_way() {
            explore_far(&format!("{name}, {what}"), world);
        }
    }
}
