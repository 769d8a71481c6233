//! Promises of the kubectl plugin: one file for each verb.

mod check;
mod closed;
mod create;
mod install;
mod kubeconfig;
mod lint;
mod list;
mod lost;
mod proxy;
mod reveal;
mod revoke;
mod roles;
mod rotate;
mod shape;
mod status;
mod suspend;
mod token;
mod version;
