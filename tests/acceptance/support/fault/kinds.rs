//! Sorts of faults, and when they happen.

use super::call::Call;

/// How a call goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Harm {
    /// The process dies: nothing more of it arrives.
    Crash,
    /// The connection is lost.
    Lost,
    /// There is never an answer.
    Silence,
    /// The answer comes late: the watches have told of what it says before.
    Late,
}

/// How the events of a key reach the watches of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Passing {
    /// Each one late, so that the caches are stale.
    Held,
    /// Each one of the `ApiKey` late and those of its Secrets not, so that the caches disagree.
    Lagging,
    /// Each one twice.
    Twice,
    /// Every other one late, so that the next one overtakes it.
    Reordered,
    /// Each one first with a part that can't be read, and as it is a while later; the items of lists as
    /// well.
    Damaged,
}

/// A sort of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Before the request reaches the API server.
    Before(Harm),
    /// After the API server has done what was asked.
    After(Harm),
    /// The API server does nothing and answers with this code.
    Answer(u16),
    /// From this call on, events come so.
    Events(Passing),
    /// All watches end with 410 Gone.
    Gone,
}

/// When a fault happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Moment {
    /// When the process starts.
    Begin,
    /// At this call.
    Call(Call),
    /// At the n-th call after the fault before it, Events aside.
    Later(usize),
}

/// A fault of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Fault {
    pub(crate) moment: Moment,
    pub(crate) kind: Kind,
}
