//! The `Organization` controller: id, number of keys, and whether its rules are in force.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use kube::runtime::reflector::ObjectRef;
use kube::{Resource as _, ResourceExt as _};

use super::cache::Cache;
use super::cluster::{Cluster, post_params};
use super::events::{Events, Severity, Transition};
use super::queue::Queue;
use super::queues::Queues;
use super::store::Store;
use super::workers::{Controller, Next};
use crate::watch::Keep as _;
use apikey_api::conditions::{self, Desired, READY, RECONCILING, STALLED, reason};
use apikey_api::{Organization, OrganizationStatus};
use apikey_client::clock::Clock;
use apikey_client::error::{Error, request};
use apikey_client::object::Answer;
use apikey_policy::quota_index::PhaseCounts;

/// How often an organization is reconciled without changes.
const RESYNC: Duration = Duration::from_hours(1);

/// The controller of organizations.
#[derive(Debug)]
pub(crate) struct OrganizationController {
    /// The API server.
    pub(crate) cluster: Cluster,
    /// What the API server has.
    pub(crate) store: Arc<Store>,
    /// Has the organizations to reconcile.
    pub(crate) queues: Arc<Queues>,
    /// Publishes why rules are not in force.
    pub(crate) events: Events,
    /// The time.
    pub(crate) clock: Clock,
}

impl Controller for OrganizationController {
    type Object = Organization;
    const NAME: &'static str = "organization";

    fn queue(&self) -> &Queue {
        &self.queues.organizations
    }

    fn cache(&self) -> &Cache<Organization> {
        &self.store.caches.organizations
    }

    fn enqueue(&self, organization: &Organization) {
        self.queues.enqueue_organization(&organization.name_any());
    }

    /// Updates the status of one organization.
    async fn reconcile(&self, organization: Arc<Organization>) -> Result<Next, Error> {
        if organization.metadata.deletion_timestamp.is_some() {
            return Ok(Next::OnChange);
        }
        let caches = &self.store.caches;
        let name = organization.name_any();
        let parent_name = organization.spec.parent.as_deref();
        let parent = parent_name.and_then(|n| caches.organizations.get(&ObjectRef::new(n)));
        let elder = self.store.relations.lock().elder(&organization);
        let counts = self.store.quota_index.lock().phase_counts(&name);
        let is_unreadable =
            parent_name.is_some_and(|name| caches.organizations.is_unreadable(None, name));
        let (parent, elder) = (parent.as_deref(), elder.as_deref());
        let acceptance = acceptance(&organization, parent, is_unreadable, elder);
        let status = status(&organization, &acceptance, counts, self.clock.now());
        if organization.status.as_ref() != Some(&status) {
            self.write_status(&organization, &acceptance, status)
                .await?;
        }
        Ok(Next::After(RESYNC))
    }
}

impl OrganizationController {
    async fn write_status(
        &self,
        organization: &Organization,
        acceptance: &Acceptance,
        status: OrganizationStatus,
    ) -> Result<(), Error> {
        let params = post_params();
        let new = Answer(Organization {
            status: Some(status),
            ..organization.clone()
        });
        let organizations = self.cluster.organizations();
        let generation = self.store.caches.organizations.generation();
        let name = organization.name_any();
        let written = organizations.replace_status(&name, &params, &new);
        match request("write the status of the Organization", written).await {
            Ok(Answer(mut stored)) => {
                stored.prune();
                self.store.caches.organizations.insert(generation, stored);
            }
            Err(error) if error.is_not_found() => return Ok(()),
            Err(error) => return Err(error),
        }
        self.warn(organization, acceptance);
        Ok(())
    }

    /// Publishes an Event if the rules are not in force and the reason has changed.
    fn warn(&self, organization: &Organization, acceptance: &Acceptance) {
        let (Acceptance::Waiting(reason, message) | Acceptance::Refused(reason, message)) =
            acceptance
        else {
            return;
        };
        let before = organization.status.as_ref();
        let ready = before.and_then(|status| conditions::find(&status.conditions, READY));
        if ready.is_some_and(|ready| ready.status == "False" && ready.reason == *reason) {
            return;
        }
        let transition = Transition::new(Severity::Warning, reason, message);
        self.events
            .publish(organization.object_ref(&()), transition);
    }
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
    is_parent_unreadable: bool,
    elder: Option<&str>,
) -> Acceptance {
    let parent_name = organization.spec.parent.as_deref();
    if let Some(unreadable) = parent_name.filter(|_| is_parent_unreadable) {
        let message = format!(
            "`parent` names Organization '{unreadable}', which can't be read: apply it again"
        );
        return Acceptance::Waiting(reason::ORGANIZATION_UNREADABLE, message);
    }
    if let Some(elder) = elder {
        let message = format!(
            "`id` {} is already the id of Organization '{elder}': set another `id`",
            apikey_policy::organization_id(organization),
        );
        return Acceptance::Refused(reason::ID_CONFLICT, message);
    }
    let Some(parent_name) = parent_name else {
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
