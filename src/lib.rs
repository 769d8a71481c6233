//! The operator: one controller and one token server, as two processes or one.
//!
//! | module | pure parts | responsibility |
//! | --- | --- | --- |
//! | [`controller`] | `apikey::{plan, status, transitions}` | watches, caches, reconcilers |
//! | [`token_server`] | `index`, `verify`, `claims`, `signer`, `form`, `limits` | secrets to tokens |
//! | [`server`] | `connection`, `table`, `source` | the connections of a port |
//! | [`watch`] | all except `stream`, `body` | watches of the API server, for both processes |
//! | [`config`], [`client`], [`process`] | none | flags, API client, life of the process |
//! | [`admin`], [`audit`], [`metrics`], [`telemetry`] | none | health, audit log, metrics, logs and traces |
//!
//! The layers below are separate crates: [`apikey_api`] (custom resources, names),
//! [`apikey_policy`] (decides whether a key may exist, and with which permissions),
//! [`apikey_credential`] (secrets, and the records that prove them) and [`apikey_client`] (connects
//! to an API server and reads its responses).
//!
//! Data flows in one direction. Watches fill [`controller::cache`], and each change enqueues the
//! affected keys. A reconcile reads the caches, [`controller::apikey::plan::plan`] decides, and
//! `execute` writes with preconditions. The response to each write updates the cache at once. In
//! the token server, watches fill [`token_server::index`], and every request reads it.

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
