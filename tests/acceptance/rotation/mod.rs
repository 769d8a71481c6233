//! Rotation without downtime.

mod beside_others;
mod consumer;
mod held_up;
mod request;
mod schedule;
