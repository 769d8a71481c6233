//! Promises of the kubectl plugin: one file a verb.

mod shape;
mod version;
