//! A new secret without a wrong moment.

mod consumer;
mod held_up;
mod request;
mod schedule;
