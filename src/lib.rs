//! API keys as Kubernetes objects.
//!
//! | module | pure | what |
//! | --- | --- | --- |
//! | [`api`] | yes | custom resources, conditions, names |
//! | [`credential`] | yes, but for randomness and the hashing threads | secret format, hashes, verifier document |
//! | [`policy`] | yes | may this key exist, and with what |
//! | [`proxy`] | yes, but for the environment | through which proxy a request goes |
//! | [`text`] | yes | text that others wrote, as it is shown |
//! | [`controller`] | `apikey::{plan, status, notes, reported, delivered}` | watches, caches, reconcilers |
//! | [`token`] | `index`, `verify`, `claims`, `signer`, `form`, `limits` | the token server |
//! | [`object`] | yes | objects as the API server stores them, whatever stands in them |
//! | [`server`] | `connection`, `table`, `source` | the connections of a port |
//! | [`watch`] | all but `stream`, `body` | watches of the API server, for both processes |
//! | [`cli`] | renderings and decisions | the kubectl plugin |
//! | [`admin`], [`audit`], [`client`], [`clock`], [`config`], [`error`], [`kubeconfig`], [`memory`], [`metrics`], [`process`], [`telemetry`] | no | the edge |
//!
//! Data flows one way: watches fill [`controller::cache`], a change is put on a queue, a reconcile
//! observes the caches, [`controller::apikey::plan::plan`] decides, `execute` writes with
//! preconditions, and the answer of each write goes straight back into the cache. In the token server
//! watches fill [`token::index`], and every request reads it.

pub mod admin;
pub mod api;
pub mod audit;
pub mod cli;
pub mod client;
pub mod clock;
pub mod config;
pub mod controller;
pub mod credential;
pub mod error;
pub mod kubeconfig;
pub mod memory;
pub mod metrics;
pub mod object;
pub mod policy;
pub mod process;
pub mod proxy;
pub mod server;
pub mod telemetry;
pub mod text;
pub mod token;
pub mod watch;
pub mod yaml;
