//! Promises of the token server.

mod authz;
mod discovery;
mod errors;
mod introspect;
mod kubernetes;
mod nginx;
mod oauth;
mod script;
mod tls;
mod url;
