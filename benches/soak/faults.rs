//! The faults, and when they happen.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::common::report::progress;
use crate::flood;
use crate::site::Site;
use crate::world::{World, pass};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    ControllerKilled,
    TokenServerKilled,
    ApiServerRestarted,
    Flood,
}

impl Fault {
    /// All faults, in the order of the first half. In the second half neither controller nor token server is
    /// killed, so that the growth of their memory can be measured.
    pub(crate) const ALL: [Self; 4] = [
        Self::ControllerKilled,
        Self::Flood,
        Self::TokenServerKilled,
        Self::ApiServerRestarted,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::ControllerKilled => "controller killed",
            Self::TokenServerKilled => "token server killed",
            Self::ApiServerRestarted => "API server restarted",
            Self::Flood => "flood of forged secrets",
        }
    }

    const fn kills_us(self) -> bool {
        matches!(self, Self::ControllerKilled | Self::TokenServerKilled)
    }
}

/// A fault and when it happened.
#[derive(Clone, Copy)]
pub(crate) struct Incident {
    pub(crate) fault: Fault,
    pub(crate) after: Duration,
}

/// The shortest and the longest time between faults.
const BETWEEN: [Duration; 2] = [Duration::from_secs(6), Duration::from_secs(30)];

/// The schedule of the faults in a run of this length.
fn schedule(time: Duration) -> impl Iterator<Item = Incident> {
    let between = (time / 10).clamp(BETWEEN[0], BETWEEN[1]);
    let times = (1..).map(move |n| between * n);
    let times = times.take_while(move |after| *after + between <= time);
    times
        .zip(Fault::ALL.into_iter().cycle())
        .map(|(after, fault)| Incident { fault, after })
        .filter(move |incident| !incident.fault.kills_us() || incident.after < time / 2)
}

/// Injects faults for this time. Returns when each happened.
pub(crate) async fn inject(site: &mut Site, world: &Arc<World>, time: Duration) -> Vec<Incident> {
    let begun = Instant::now();
    let mut incidents = Vec::new();
    for planned in schedule(time) {
        pass(planned.after.saturating_sub(begun.elapsed())).await;
        let incident = Incident {
            after: begun.elapsed(),
            ..planned
        };
        progress(&format!("{:?}: {}", incident.after, incident.fault.name()));
        incidents.push(incident);
        match planned.fault {
            Fault::ControllerKilled => site.kill_controller().await,
            Fault::TokenServerKilled => site.kill_server().await,
            Fault::ApiServerRestarted => {
                *world.back.lock() = None;
                site.restart_apiserver().await;
                *world.back.lock() = Some(world.clock.now());
            }
            Fault::Flood => flood::flood(world).await,
        }
    }
    incidents
}
