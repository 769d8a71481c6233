//! A new secret without a wrong moment.

mod consumer;
mod request;
mod schedule;
