//! Acceptance tests: one file per promise, against a real Kubernetes control plane.
//!
//! The operator runs as its own process under the chart's ServiceAccount. Most tests share one
//! control plane and one operator and keep to a namespace and organizations of their own; those that
//! stop the operator or need other flags start their own.

mod canary;
mod columns;
mod crash;
mod delete;
mod delivered_secret;
mod examples;
mod expiry;
mod immutable;
mod mint;
mod observability;
mod organizations;
mod quiet;
mod start;
mod support;
