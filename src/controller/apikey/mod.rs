//! The `ApiKey` controller: observe, plan, execute, write the status.
//!
//! | file | client required | what |
//! | --- | --- | --- |
//! | `observe` | yes | reads caches; confirms by a live read before a rare step |
//! | `model` | no | the observation, steps, situations |
//! | `facts` | no | values derived from the observation, each computed once |
//! | `rotation` | no | the steps to a further secret |
//! | `claim` | no | a secret that is shown once, until its Secret is removed |
//! | `upkeep` | no | the steps that remain after the secret is delivered |
//! | `restore` | no | which objects a key adopts from a backup |
//! | `plan` | no | decides the next steps |
//! | `status`, `conditions` | no | the status and its conditions |
//! | `transitions`, `reported` | no | which changes Events and audit lines report, and what they reported last |
//! | `report` | yes | writes audit lines and Events about changes |
//! | `render` | no | what is written to the delivered Secret |
//! | `execute` | yes | executes the steps, with `mint` for new secrets and `writes` for requests |

pub mod claim;
mod conditions;
pub mod execute;
mod facts;
pub(super) mod mint;
pub mod model;
pub mod observe;
pub mod plan;
pub mod render;
pub(super) mod report;
pub mod reported;
pub mod restore;
pub mod rotation;
mod status;
pub mod transitions;
mod upkeep;
pub(super) mod writes;

use std::sync::Arc;
use std::time::Duration;

use self::execute::Executor;
use self::model::Observed;
use self::observe::Observer;
use self::report::Reporter;
use self::writes::Writer;
use super::cache::Cache;
use super::cluster::Cluster;
use super::queue::Queue;
use super::queues::Queues;
use super::store::Store;
use super::workers::{Controller, Next};
use crate::metrics::Metrics;
use apikey_api::{ApiKey, KeyRef};
use apikey_client::error::{Class, Error};

/// Maximum number of rounds of plan and execute in one reconcile. A first mint takes one, a
/// replacement two.
pub const MAX_ROUNDS: usize = 6;

/// The controller of keys.
#[derive(Debug)]
pub(crate) struct KeyController {
    /// What the API server has.
    pub(crate) store: Arc<Store>,
    /// Has the keys to reconcile.
    pub(crate) queues: Arc<Queues>,
    /// The API server, for reads.
    pub(crate) cluster: Cluster,
    /// Reads the caches.
    pub(crate) observer: Observer,
    /// Executes the steps.
    pub(crate) executor: Executor,
    /// Writes the status.
    pub(crate) writer: Writer,
    /// Writes audit lines and Events.
    pub(crate) reporter: Reporter,
    /// Counts rotations.
    pub(crate) metrics: Metrics,
}

impl Controller for KeyController {
    type Object = ApiKey;
    const NAME: &'static str = "apikey";

    fn queue(&self) -> &Queue {
        &self.queues.apikeys
    }

    fn cache(&self) -> &Cache<ApiKey> {
        &self.store.caches.apikeys
    }

    fn enqueue(&self, apikey: &ApiKey) {
        let quota_index = self.store.quota_index.lock();
        self.queues
            .enqueue_apikey(&quota_index, &KeyRef::of(apikey));
    }

    /// Brings one key to its declared state. The status reports a failed request. It does not
    /// report a conflict, because a retry resolves it, unless the current secret is about to end.
    async fn reconcile(&self, apikey: Arc<ApiKey>) -> Result<Next, Error> {
        if apikey.metadata.deletion_timestamp.is_some() {
            return Ok(Next::OnChange);
        }
        let mut observed = self.observer.observe(apikey);
        let reported = self.reporter.begin(&observed);
        let (status, result) = match self.settle(&mut observed).await {
            Ok(plan) => {
                let wait = plan.next.duration_since(observed.now);
                let wait = Duration::try_from(wait).unwrap_or_default();
                (plan.status, Ok(Next::After(wait)))
            }
            Err(error) if error.class() == Class::Conflict && !observed.is_ending() => {
                return Err(error);
            }
            Err(error) => (plan::status_after(&observed, &error), Err(error)),
        };
        self.reporter.report(&observed, &reported, &status).await;
        self.writer.write_status(&observed, status).await?;
        result
    }
}

/// The plan still had steps after [`MAX_ROUNDS`]. This is a defect of the plan.
#[derive(Debug, thiserror::Error)]
#[error("the plan still has steps after {MAX_ROUNDS} rounds")]
struct PlanDidNotConverge;

impl KeyController {
    /// Plans and executes until nothing is left to do.
    async fn settle(&self, observed: &mut Observed) -> Result<plan::Plan, Error> {
        observe::confirm_conflict(&self.cluster, observed).await?;
        let mut rounds = 0;
        loop {
            let plan = plan::plan(observed);
            if plan.actions.is_empty() {
                return Ok(plan);
            }
            rounds += 1;
            match self.executor.execute(observed, &plan.actions).await {
                Ok(()) if rounds < MAX_ROUNDS => {}
                Ok(()) => {
                    return Err(Error::internal("reconcile the key", &PlanDidNotConverge));
                }
                Err(error) if error.class() == Class::Conflict && rounds < MAX_ROUNDS => {
                    tracing::debug!(%error, "Another write came first; planning again");
                    observe::confirm(&self.cluster, observed).await?;
                }
                Err(error) => {
                    if let Some(cause) = rotation::cause_of(&plan.actions) {
                        self.metrics.rotation_ended(cause, false);
                    }
                    return Err(error);
                }
            }
        }
    }
}
