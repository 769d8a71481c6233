//! Promises of the kubectl plugin: one file a verb.

mod check;
mod create;
mod lint;
mod list;
mod revoke;
mod roles;
mod shape;
mod status;
mod suspend;
mod version;
