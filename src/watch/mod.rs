//! Watches of the API server, for the controller and the token server.
//!
//! | file | pure | responsibility |
//! | --- | --- | --- |
//! | `source` | yes | what to list and watch |
//! | `stream`, `requests`, `body` | no | lists and changes, one item at a time |
//! | `event`, `error`, `relist` | yes | events, errors, and what a new list no longer contains |
//! | `backoff` | yes | waits before a failed watch is reopened |
//! | `scope` | yes | which namespaces are watched |
//! | `cache_sync` | all but `changes` | progress and staleness of the watches |
//! | `quarantine` | yes | objects that can't be read |
//! | `keep` | yes | the kinds that are kept in memory, and what is kept of them |
//! | `stored` | yes | credential records, as they are stored |
//! | `set` | no | the watches of one part of a process |

mod backoff;
mod body;
pub mod cache_sync;
pub mod error;
pub mod event;
pub mod keep;
pub mod quarantine;
pub mod relist;
mod requests;
pub mod scope;
mod set;
pub mod source;
pub mod stored;
pub mod stream;

pub use self::backoff::Backoff;
pub use self::keep::{Keep, prune};
pub use self::set::{WatchContext, WatchSet};
