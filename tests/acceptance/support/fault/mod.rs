//! Faults of API calls, by key.
//!
//! A layer of the kube client makes the n-th call for a key fail, or delivers the watch events of the key
//! late, twice or in another order.

mod call;
mod events;
mod faults;
mod kinds;
mod layer;
mod progress;

pub(crate) use self::call::{Call, Object, Sort};
pub(crate) use self::faults::Faults;
pub(crate) use self::kinds::{Fault, Harm, Kind, Moment, Passing};
