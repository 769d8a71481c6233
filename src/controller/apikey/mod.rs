//! The `ApiKey` controller: observe, plan, execute, write the status.
//!
//! | file | client required | what |
//! | --- | --- | --- |
//! | `observe` | yes | reads caches; confirms by a live read before a rare step |
//! | `model` | no | what is observed, steps, situations |
//! | `facts` | no | what follows from what is observed, computed once |
//! | `rotation` | no | the steps to a further secret |
//! | `claim` | no | the end of a secret that is shown once |
//! | `upkeep` | no | what is left when the secret is delivered |
//! | `restore` | no | what is adopted from a backup |
//! | `plan` | no | decides |
//! | `status`, `conditions`, `transitions` | no | what to say |
//! | `reported` | no | what was said last |
//! | `report` | yes | says what is new, in audit lines and Events |
//! | `delivered`, `written`, `render` | no | what is read of the Secret, and what is written to it |
//! | `execute` | yes | takes the steps, with `mint` for new secrets and `writes` for requests |

pub mod claim;
mod conditions;
pub mod delivered;
pub mod execute;
mod facts;
mod mint;
pub mod model;
pub mod observe;
pub mod plan;
pub mod render;
mod report;
pub mod reported;
pub mod restore;
pub mod rotation;
pub mod status;
pub mod transitions;
mod upkeep;
mod writes;
pub mod written;

use std::sync::Arc;
use std::time::Duration;

use kube::ResourceExt as _;

use self::model::Observed;
use super::context::{Context, post_params};
use super::workers::Next;
use apikey_api::{ApiKey, ApiKeyStatus};
use apikey_client::error::{Class, Error, request};
use apikey_client::object::Answer;

/// Name of this controller in metrics and logs.
pub const CONTROLLER: &str = "apikey";

/// Rounds of plan and execute in one run. A first mint takes one, a replacement two.
pub const MAX_ROUNDS: usize = 6;

/// Brings one key to its declared state.
///
/// # Errors
/// The request that failed; the status says so as well, unless it was a mere conflict that leaves the key a
/// secret.
pub async fn reconcile(apikey: Arc<ApiKey>, ctx: Arc<Context>) -> Result<Next, Error> {
    if apikey.metadata.deletion_timestamp.is_some() {
        return Ok(Next::OnChange);
    }
    let mut observed = observe::observe(&ctx, apikey);
    let reported = report::begin(&ctx, &observed);
    let (status, result) = match settle(&ctx, &mut observed).await {
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
    report::report(&ctx, &observed, &reported, &status).await;
    write_status(&ctx, &observed, status).await?;
    result
}

/// Steps were left after [`MAX_ROUNDS`]: a defect of the plan.
#[derive(Debug, thiserror::Error)]
#[error("steps were left after {MAX_ROUNDS} rounds")]
struct PlanDidNotConverge;

/// Plans and executes until nothing is left to do.
async fn settle(ctx: &Context, observed: &mut Observed) -> Result<plan::Plan, Error> {
    observe::confirm_conflict(ctx, observed).await?;
    let mut rounds = 0;
    loop {
        let plan = plan::plan(observed);
        if plan.actions.is_empty() {
            return Ok(plan);
        }
        rounds += 1;
        match execute::execute(ctx, observed, &plan.actions).await {
            Ok(()) if rounds < MAX_ROUNDS => {}
            Ok(()) => {
                return Err(Error::internal(
                    "bring the key to rest",
                    &PlanDidNotConverge,
                ));
            }
            Err(error) if error.class() == Class::Conflict && rounds < MAX_ROUNDS => {
                tracing::debug!(%error, "Somebody else wrote first, looking again");
                observe::confirm(ctx, observed).await?;
            }
            Err(error) => {
                if let Some(cause) = rotation::cause_of(&plan.actions) {
                    ctx.metrics.rotation_ended(cause, false);
                }
                return Err(error);
            }
        }
    }
}

/// Writes the status once, if it differs.
async fn write_status(
    ctx: &Context,
    observed: &Observed,
    status: ApiKeyStatus,
) -> Result<(), Error> {
    let apikey = &observed.apikey;
    let nothing = ApiKeyStatus::default();
    if apikey.status.as_ref().unwrap_or(&nothing) == &status {
        return Ok(());
    }
    let params = post_params();
    let generation = ctx.caches.apikeys.generation();
    let new = Answer(ApiKey {
        status: Some(status),
        ..ApiKey::clone(apikey)
    });
    let apikeys = ctx.apikeys_in(apikey.metadata.namespace.as_deref().unwrap_or_default());
    let name = apikey.name_any();
    match request(
        "write the status",
        apikeys.replace_status(&name, &params, &new),
    )
    .await
    {
        Ok(Answer(stored)) => ctx.record_apikey(generation, stored),
        Err(error) if error.is_not_found() => {}
        Err(error) => return Err(error),
    }
    Ok(())
}
