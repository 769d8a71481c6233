//! Promises of the kubectl plugin: one file a verb.

mod create;
mod list;
mod revoke;
mod roles;
mod shape;
mod status;
mod suspend;
mod version;
