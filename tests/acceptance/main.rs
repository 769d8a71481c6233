//! Acceptance tests: one file per promise, against a real Kubernetes control plane.
//!
//! The operator runs as its own process under the chart's ServiceAccount. Most tests share one
//! control plane and one operator and keep to a namespace and organizations of their own; those that
//! stop the operator or need other flags start their own.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test stops at the first surprise, and prints what repeats it"
)]

use std::alloc::System;

use zeroizing_alloc::ZeroAlloc;

/// As in both programs, so that what is true of the memory of this process is true of theirs.
#[global_allocator]
static WIPES: ZeroAlloc<System> = ZeroAlloc(System);

mod admission;
mod audit_output;
mod backup;
mod canary;
mod cli;
mod columns;
mod core_dumps;
mod crash;
mod dashboards;
mod delete;
mod delivered_secret;
mod encrypted;
mod examples;
mod expiry;
mod faults;
mod forms;
mod gitops;
mod hostile;
mod immutable;
mod last_used;
mod leader_election;
mod memory;
mod mint;
mod observability;
mod organizations;
mod quiet;
mod recovery;
mod reveal_once;
mod rights;
mod rotation;
mod signing_keys;
mod silence;
mod start;
mod support;
mod token;
mod traces;
