//! A new secret without a wrong moment.

mod beside_others;
mod consumer;
mod held_up;
mod request;
mod schedule;
