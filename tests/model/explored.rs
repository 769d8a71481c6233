//! What may happen next: the model that the checker explores.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::sync::Mutex;

use apikey_api::Phase;
use stateright::{Model, Property};

use super::events::{Edit, Object};
use super::observe::Decisions;
use super::promises::{self, Broken};
use super::state::{Controller, History, Key, Objects, State};
use super::steps::{self, Answer};
use super::world::{UIDS, Uid, World};

/// An event. Controllers are 0 and 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    TimePasses,
    ClockIsSetBack,
    /// A user edits an object.
    Somebody(Edit),
    GarbageIsCollected,
    /// The cache of a controller receives the current version of an object.
    Learns(usize, Object),
    /// A controller sends the next request of its run, or starts a run and sends the first.
    Sends(usize, Answer),
    /// The next request of a run never arrives: the run fails.
    Fails(usize),
    /// A controller dies, and another one replaces it.
    Dies(usize),
    /// A controller removes the credential record of a deleted key.
    Sweeps(usize, Uid),
}

/// Results about states, by a hash of the parts that they depend on. The checker also identifies states by hash.
type Known = Mutex<BTreeMap<u64, bool>>;

/// A world and the results about its states.
pub(crate) struct Explored {
    pub(crate) world: World,
    pub(crate) decisions: Decisions,
    rests: Known,
    at_rest: Known,
}

impl Explored {
    pub(crate) fn new(world: World) -> Self {
        Self {
            world,
            decisions: Decisions::default(),
            rests: Mutex::default(),
            at_rest: Mutex::default(),
        }
    }

    fn is_at_rest(&self, state: &State) -> bool {
        remembered(&self.at_rest, &(state.moment, &state.objects), || {
            promises::is_at_rest(&self.world, &self.decisions, state)
        })
    }

    fn is_known_to_rest(&self, state: &State) -> bool {
        let history = &state.history;
        let past = (history.claimed, history.ending, &history.deliveries);
        let rest = (state.moment, &state.objects, past);
        remembered(&self.rests, &rest, || {
            promises::comes_to_rest(&self.world, &self.decisions, state).is_ok()
        })
    }
}

/// The known result for states that agree in these parts, or a newly computed one.
fn remembered(known: &Known, of: &impl Hash, find_out: impl FnOnce() -> bool) -> bool {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    let key = hasher.finish();
    if let Some(known) = known.lock().unwrap().get(&key) {
        return *known;
    }
    let found = find_out();
    known.lock().unwrap().insert(key, found);
    found
}

impl Model for Explored {
    type State = State;
    type Action = Event;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            moment: 0,
            objects: Objects {
                key: Some(Key::new(UIDS[0])),
                ..Objects::default()
            },
            controllers: [Controller::default(), Controller::default()],
            history: History {
                keys: UIDS[0],
                ..History::default()
            },
            edits: self.world.edits,
            faults: self.world.faults,
        }]
    }

    fn actions(&self, state: &State, events: &mut Vec<Event>) {
        let is_last = state.moment + 1 == self.world.moments.len();
        if !is_last && (!self.world.is_long(state.moment) || self.is_at_rest(state)) {
            events.push(Event::TimePasses);
        }
        if state.edits > 0 {
            let edits = state.possible_edits(&self.world);
            events.extend(edits.into_iter().map(Event::Somebody));
        }
        events.push(Event::GarbageIsCollected);
        if state.faults > 0 && self.world.can_be_set_back(state.moment) {
            events.push(Event::ClockIsSetBack);
        }
        for (n, controller) in state
            .controllers
            .iter()
            .enumerate()
            .take(self.world.controllers)
        {
            let objects = [Object::Key, Object::Delivered, Object::Organization];
            let records = UIDS.map(Object::Record);
            events.extend(
                objects
                    .into_iter()
                    .chain(records)
                    .map(|o| Event::Learns(n, o)),
            );
            events.extend(UIDS.map(|uid| Event::Sweeps(n, uid)));
            events.push(Event::Sends(n, Answer::Arrives));
            if state.faults > 0 {
                events.push(Event::Dies(n));
                events.push(Event::Sends(n, Answer::IsLost));
                events.extend(controller.run.as_ref().map(|_| Event::Fails(n)));
            }
        }
    }

    fn next_state(&self, last: &State, event: Event) -> Option<State> {
        let mut state = last.clone();
        self.happen(&mut state, event);
        state.controllers[..self.world.controllers].sort_unstable();
        (state != *last).then_some(state)
    }

    fn within_boundary(&self, state: &State) -> bool {
        state.history.minted_for.len() <= self.world.secrets
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always("a delivered secret is accepted", |model: &Self, state| {
                promises::delivered_is_accepted(&model.world, state).is_ok()
            }),
            Property::always(
                "a replaced secret keeps its overlap",
                |model: &Self, state| promises::overlap_is_kept(&model.world, state).is_ok(),
            ),
            Property::always("a revision is one secret", |_, state| {
                promises::one_secret_per_revision(state).is_ok()
            }),
            Property::always("nothing outlives the key", |model: &Self, state| {
                promises::nothing_outlives_the_key(&model.world, state).is_ok()
            }),
            Property::always("a key inherits nothing", |_, state| {
                promises::nothing_is_inherited(state).is_ok()
            }),
            Property::always("documents are sound", |_, state| {
                promises::documents_are_sound(state).is_ok()
            }),
            Property::always("everything comes to rest", Self::is_known_to_rest),
            Property::sometimes("a key with a secret expires", |_, state: &State| {
                let status = state.objects.key.as_ref().and_then(|key| key.status);
                let expired = status.is_some_and(|status| status.phase == Some(Phase::Expired));
                expired && state.objects.delivered.is_some()
            }),
        ];
        if self.world.controllers > 1 {
            properties.push(Property::sometimes(
                "two secrets are pending",
                |_, state: &State| {
                    let mut documents = state.objects.records.iter().flatten();
                    documents.any(|document| document.pending.len() > 1)
                },
            ));
        }
        if self.world.edits > 1 {
            properties.push(Property::sometimes(
                "a second key has a secret",
                |_, state: &State| {
                    let delivered = state.objects.delivered.as_ref();
                    delivered.is_some_and(|delivered| delivered.owner == UIDS[1])
                },
            ));
        }
        properties
    }
}

impl Explored {
    /// Messages about the promises that this state breaks.
    pub(crate) fn broken(&self, state: &State) -> Vec<Broken> {
        let world = &self.world;
        let promises = [
            promises::delivered_is_accepted(world, state),
            promises::overlap_is_kept(world, state),
            promises::one_secret_per_revision(state),
            promises::nothing_outlives_the_key(world, state),
            promises::nothing_is_inherited(state),
            promises::documents_are_sound(state),
            promises::comes_to_rest(world, &self.decisions, state),
        ];
        promises.into_iter().filter_map(Result::err).collect()
    }

    fn happen(&self, state: &mut State, event: Event) {
        match event {
            Event::TimePasses => state.moment += 1,
            Event::GarbageIsCollected => state.objects.collect_garbage(),
            Event::Learns(n, object) => state.learn(n, object),
            Event::Sends(n, answer) => {
                state.faults -= u8::from(answer == Answer::IsLost);
                let now = self.world.moments[state.moment];
                let controller = &mut state.controllers[n];
                if controller.run.is_none() {
                    controller.run = steps::begin(&self.world, &self.decisions, controller, now);
                }
                steps::advance(&self.world, &self.decisions, state, n, answer);
            }
            Event::Sweeps(n, uid) => steps::sweep(state, n, uid),
            Event::ClockIsSetBack => {
                state.faults -= 1;
                state.moment -= 1;
            }
            Event::Fails(n) => {
                state.faults -= 1;
                state.controllers[n].run = None;
            }
            Event::Dies(n) => {
                state.faults -= 1;
                state.controllers[n] = Controller {
                    cache: state.objects.clone(),
                    ..Controller::default()
                };
            }
            Event::Somebody(edit) => {
                state.edits -= 1;
                state.edit(&self.world, edit);
            }
        }
    }
}
