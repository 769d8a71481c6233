//! Faults of API calls, by key: a layer of the kube client that has the n-th call for a key fail, or
//! what the watches tell of the key come late, twice or in another order.

mod call;
mod events;
mod faults;
mod kinds;
mod layer;
mod progress;

pub(crate) use self::call::{Call, Object, Sort};
pub(crate) use self::faults::Faults;
pub(crate) use self::kinds::{Fault, Harm, Kind, Moment, Passing};
