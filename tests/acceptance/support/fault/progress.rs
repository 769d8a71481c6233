//! How far the faults of a key are.

use std::collections::VecDeque;

use super::call::{Call, Object, Sort};
use super::kinds::{Fault, Harm, Kind, Moment, Passing};

/// How far a key is.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Still to come, one after the other.
    pub(super) faults: VecDeque<Fault>,
    pub(super) happened: usize,
    pub(super) calls: Vec<Call>,
    /// Calls since the last fault, Events aside.
    pub(super) since: usize,
    pub(super) is_dead: bool,
    pub(super) events: Option<Passing>,
    /// Whether no event has met this fault yet.
    pub(super) is_unmet: bool,
    /// Events that are held back, and whether the next one is to be.
    pub(super) held: usize,
    pub(super) hold_next: bool,
}

impl Progress {
    /// Counts a call and says what is to happen to it.
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

    /// The next fault happens.
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

    /// An event met the fault.
    pub(super) fn meet(&mut self) {
        self.happened += usize::from(std::mem::take(&mut self.is_unmet));
    }

    /// A new process: one that was dead lives again, and events come as usual.
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
