//! Promises of the token server.

mod errors;
mod script;
mod url;
