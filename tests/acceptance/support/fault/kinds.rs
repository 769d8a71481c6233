//! Sorts of faults, and when they happen.

use super::call::Call;

/// How a call goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Harm {
    /// The process dies, and none of its further calls arrives.
    Crash,
    /// The connection is lost.
    Lost,
    /// The answer never comes.
    Silence,
    /// The answer comes late, after the watch events of the change.
    Late,
}

/// How the events of a key reach the watches of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Passing {
    /// Each event is late, so that the caches are stale.
    Held,
    /// Each event of the `ApiKey` is late and those of its Secrets are not, so that the caches disagree.
    Lagging,
    /// Each event comes twice.
    Twice,
    /// Every second event is late, so that the next one overtakes it.
    Reordered,
    /// Each event comes with a part that can't be read, and unchanged a while later. The same holds for
    /// the items of lists.
    Damaged,
}

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Before the request reaches the API server.
    Before(Harm),
    /// After the API server has handled the request.
    After(Harm),
    /// The API server does nothing and answers with this code.
    Answer(u16),
    /// From this call on, events arrive in this way.
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
    /// At the n-th call after the previous fault. Calls that write Events don't count.
    Later(usize),
}

/// A fault of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Fault {
    pub(crate) moment: Moment,
    pub(crate) kind: Kind,
}
