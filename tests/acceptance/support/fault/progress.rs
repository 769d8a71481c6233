//! The faults of one key, and which of them happened.

use std::collections::VecDeque;

use super::call::{Call, Object, Sort};
use super::kinds::{Fault, Harm, Kind, Moment, Passing};

/// The faults of a key, its calls so far, and the fault that is in force.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Faults that have not happened yet, in order.
    pub(super) faults: VecDeque<Fault>,
    pub(super) happened: usize,
    pub(super) calls: Vec<Call>,
    /// Calls since the last fault, without those that write Events.
    pub(super) since: usize,
    pub(super) is_dead: bool,
    pub(super) events: Option<Passing>,
    /// Whether the fault has affected no event yet.
    pub(super) is_unmet: bool,
    /// The number of events that are held back, and whether the next one is held back too.
    pub(super) held: usize,
    pub(super) hold_next: bool,
}

impl Progress {
    /// Counts a call and returns the fault that happens to it.
    pub(super) fn call(&mut self, sort: Sort) -> Option<Kind> {
        let before = self.calls.iter().filter(|call| call.sort == sort).count();
        let call = Call {
            sort,
            nth: before + 1,
        };
        self.calls.push(call);
        self.since += usize::from(sort.object != Object::Event);
        let fault = *self.faults.front()?;
        let is_now = match fault.moment {
            Moment::Begin => false,
            Moment::Call(wanted) => wanted == call,
            Moment::Later(n) => sort.object != Object::Event && self.since == n,
        };
        is_now.then(|| self.happens())
    }

    /// Makes the next fault happen.
    pub(super) fn happens(&mut self) -> Kind {
        let Fault { kind, .. } = self.faults.pop_front().unwrap();
        self.since = 0;
        match kind {
            Kind::Before(harm) | Kind::After(harm) => self.is_dead = harm == Harm::Crash,
            Kind::Events(passing) => self.events = Some(passing),
            Kind::Answer(_) | Kind::Gone => {}
        }
        self.is_unmet = matches!(kind, Kind::Events(_));
        self.happened += usize::from(!self.is_unmet);
        kind
    }

    /// Records that the fault affected an event.
    pub(super) fn meet(&mut self) {
        self.happened += usize::from(std::mem::take(&mut self.is_unmet));
    }

    /// Starts a new process: it is alive, and its events arrive as usual.
    pub(super) fn restart(&mut self) {
        self.is_dead = false;
        self.is_unmet = false;
        self.events = None;
        if self
            .faults
            .front()
            .is_some_and(|fault| fault.moment == Moment::Begin)
        {
            self.happens();
        }
    }
}
