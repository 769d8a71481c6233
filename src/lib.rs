//! The operator: one controller and one token server, as two processes or one.
//!
//! | module | pure | what |
//! | --- | --- | --- |
//! | [`controller`] | `apikey::{plan, status, notes, reported, delivered}` | watches, caches, reconcilers |
//! | [`token_server`] | `index`, `verify`, `claims`, `signer`, `form`, `limits` | from a secret to a token |
//! | [`server`] | `connection`, `table`, `source` | the connections of a port |
//! | [`watch`] | all but `stream`, `body` | watches of the API server, for both processes |
//! | [`admin`], [`audit`], [`client`], [`config`], [`metrics`], [`process`], [`telemetry`] | no | the edge |
//!
//! What is below it has a crate of its own: [`apikey_api`] (custom resources, names), [`apikey_policy`] (may a
//! key exist, and with what), [`apikey_credential`] (secrets and what proves them), [`apikey_client`] (how to
//! reach an API server and read its answers).
//!
//! Data flows one way: watches fill [`controller::cache`], a change is put on a queue, a reconcile
//! observes the caches, [`controller::apikey::plan::plan`] decides, `execute` writes with
//! preconditions, and the answer of each write goes straight back into the cache. In the token server
//! watches fill [`token_server::index`], and every request reads it.

pub mod admin;
pub mod audit;
pub mod client;
pub mod config;
pub mod controller;
pub mod metrics;
pub mod process;
pub mod server;
pub mod telemetry;
pub mod token_server;
pub mod watch;
