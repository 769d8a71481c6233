//! Acceptance tests: one file for each promise, against a real Kubernetes control plane.
//!
//! The operator runs as a separate process under the chart's ServiceAccount. Most tests share one
//! control plane and one operator, and each of them uses its own namespace and organizations. Tests that
//! stop the operator or need other flags start their own.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test fails at the first unexpected result, and prints how to repeat it"
)]

use std::alloc::System;

use zeroizing_alloc::ZeroAlloc;

/// The allocator of both programs, so that the tests of memory hold for this process as well.
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
