//! A new secret without a wrong moment.

mod consumer;
mod crash_points;
mod request;
mod schedule;
