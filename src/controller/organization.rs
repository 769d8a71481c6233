//! The `Organization` controller: id, number of keys, and whether its rules are in force.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, Resource as _, ResourceExt as _};

use super::context::{Context, post_params};
use super::events::{Severity, Transition};
use super::workers::Next;
use crate::watch::Keep as _;
use apikey_api::conditions::{self, Desired, READY, RECONCILING, STALLED, reason};
use apikey_api::{Organization, OrganizationStatus};
use apikey_client::error::{Error, request};
use apikey_client::object::Answer;
use apikey_policy::quota_index::PhaseCounts;

/// Name of this controller in metrics and logs.
pub const CONTROLLER: &str = "organization";

/// Shortest time between two updates of the numbers of keys.
pub const RECOUNT_EVERY: Duration = Duration::from_secs(5);
/// How often an organization is reconciled without changes.
const RESYNC: Duration = Duration::from_hours(1);

/// Enqueues the organizations whose number of keys changed since the last call.
pub fn flush(ctx: &Context) {
    for name in ctx.recount.take() {
        if ctx
            .caches
            .organizations
            .get(&ObjectRef::new(&name))
            .is_some()
        {
            ctx.enqueue_organization(&name);
        }
    }
}

/// Updates the status of one organization.
///
/// # Errors
/// The status can't be written.
pub async fn reconcile(organization: Arc<Organization>, ctx: Arc<Context>) -> Result<Next, Error> {
    if organization.metadata.deletion_timestamp.is_some() {
        return Ok(Next::OnChange);
    }
    let name = organization.name_any();
    let parent_name = organization.spec.parent.as_deref();
    let parent = parent_name.and_then(|n| ctx.caches.organizations.get(&ObjectRef::new(n)));
    let elder = ctx.relations.lock().elder(&organization);
    let counts = ctx.quota_index.lock().phase_counts(&name);
    let is_unreadable = |name: &str| ctx.caches.organizations.is_unreadable(None, name);
    let acceptance = match parent_name.filter(|name| is_unreadable(name)) {
        Some(unreadable) => Acceptance::Waiting(
            reason::ORGANIZATION_UNREADABLE,
            format!(
                "`parent` names Organization '{unreadable}', which can't be read: apply it again"
            ),
        ),
        None => acceptance(&organization, parent.as_deref(), elder.as_deref()),
    };
    let status = status(&organization, &acceptance, counts, ctx.clock.now());
    if organization.status.as_ref() != Some(&status) {
        write_status(&ctx, &organization, &acceptance, status).await?;
    }
    Ok(Next::After(RESYNC))
}

async fn write_status(
    ctx: &Context,
    organization: &Organization,
    acceptance: &Acceptance,
    status: OrganizationStatus,
) -> Result<(), Error> {
    let params = post_params();
    let new = Answer(Organization {
        status: Some(status),
        ..organization.clone()
    });
    let organizations = Api::<Answer<Organization>>::all(ctx.client.0.clone());
    let generation = ctx.caches.organizations.generation();
    let name = organization.name_any();
    let written = organizations.replace_status(&name, &params, &new);
    match request("write the status of the Organization", written).await {
        Ok(Answer(mut stored)) => {
            stored.prune();
            ctx.caches.organizations.record(generation, stored);
        }
        Err(error) if error.is_not_found() => return Ok(()),
        Err(error) => return Err(error),
    }
    warn(ctx, organization, acceptance);
    Ok(())
}

/// Publishes an Event if the rules are not in force and the reason has changed.
fn warn(ctx: &Context, organization: &Organization, acceptance: &Acceptance) {
    let (Acceptance::Waiting(reason, message) | Acceptance::Refused(reason, message)) = acceptance
    else {
        return;
    };
    let before = organization.status.as_ref();
    let ready = before.and_then(|status| conditions::find(&status.conditions, READY));
    if ready.is_some_and(|ready| ready.status == "False" && ready.reason == *reason) {
        return;
    }
    let transition = Transition::new(Severity::Warning, reason, message);
    ctx.events.publish(organization.object_ref(&()), transition);
}

/// Whether the rules of an organization are in force.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Acceptance {
    Accepted,
    Waiting(&'static str, String),
    Refused(&'static str, String),
}

fn acceptance(
    organization: &Organization,
    parent: Option<&Organization>,
    elder: Option<&str>,
) -> Acceptance {
    if let Some(elder) = elder {
        let message = format!(
            "`id` {} is already that of Organization '{elder}': give this one another",
            apikey_policy::organization_id(organization),
        );
        return Acceptance::Refused(reason::ID_CONFLICT, message);
    }
    let Some(parent_name) = organization.spec.parent.as_deref() else {
        return Acceptance::Accepted;
    };
    match parent {
        None => Acceptance::Waiting(
            reason::PARENT_NOT_FOUND,
            format!("`parent` names Organization '{parent_name}', which does not exist: create it"),
        ),
        Some(parent) if parent.spec.parent.is_some() => Acceptance::Refused(
            reason::PARENT_NOT_ROOT,
            format!(
                "`parent` names '{parent_name}', which is a sub-organization itself: only one \
                 level is possible"
            ),
        ),
        Some(_) => Acceptance::Accepted,
    }
}

fn status(
    organization: &Organization,
    acceptance: &Acceptance,
    counts: PhaseCounts,
    now: Timestamp,
) -> OrganizationStatus {
    let generation = organization.metadata.generation.unwrap_or(0);
    let condition = |type_, status, reason, message: &str| Desired {
        type_,
        status,
        reason,
        message: message.to_owned(),
    };
    let desired = match acceptance {
        Acceptance::Accepted => {
            vec![condition(
                READY,
                "True",
                reason::ACCEPTED,
                "The rules are in force",
            )]
        }
        Acceptance::Waiting(reason, message) => vec![
            condition(READY, "False", reason, message),
            condition(RECONCILING, "True", reason, message),
        ],
        Acceptance::Refused(reason, message) => vec![
            condition(READY, "False", reason, message),
            condition(STALLED, "True", reason, message),
        ],
    };
    let old = organization.status.clone().unwrap_or_default();
    OrganizationStatus {
        observed_generation: generation,
        id: Some(apikey_policy::organization_id(organization).to_string()),
        active_keys: Some(counts.active),
        expired_keys: Some(counts.expired),
        conditions: conditions::next(&old.conditions, desired, generation, now),
    }
}
