//! Reads the Organizations that a key refers to, and reports which parts of the key they ignore.

use std::sync::Arc;

use kube::api::ListParams;

use super::exit::{Exit, Failure};
use super::invocation::Cluster;
use super::nearest::question;
use super::pages;
use apikey_api::{ApiKey, Organization};
use apikey_client::error::request;
use apikey_client::object::Answer;
use apikey_policy::{Grant, Input, Subject};

/// A value, or the reason why it can't be read.
pub(super) type Seen<T> = Result<T, String>;

/// An Organization, if it exists.
pub(super) type Found = Seen<Option<Arc<Organization>>>;

/// The Organizations that a key refers to.
pub(super) struct Around {
    /// The Organization of `spec.org`.
    pub(super) own: Found,
    /// Its parent. `None` if it has none.
    pub(super) parent: Found,
    /// The Organizations of `spec.subOrgs`, in the same order.
    pub(super) subs: Vec<Found>,
}

/// Reads the Organizations that a key refers to.
pub(super) async fn around(cluster: &Cluster, key: &ApiKey) -> Around {
    let subs = key.spec.sub_orgs.iter();
    let subs = subs.map(|sub| find(cluster, &sub.org));
    let (own, subs) = futures::join!(
        find(cluster, &key.spec.org),
        futures::future::join_all(subs)
    );
    let parent = match &own {
        Ok(Some(own)) => match &own.spec.parent {
            Some(parent) => find(cluster, parent).await,
            None => Ok(None),
        },
        Ok(None) | Err(_) => Ok(None),
    };
    Around { own, parent, subs }
}

/// Reads one Organization.
pub(super) async fn find(cluster: &Cluster, name: &str) -> Found {
    let api = cluster.organizations();
    match request("read the Organization", api.get_opt(name)).await {
        Ok(found) => Ok(found.map(|Answer(organization)| Arc::new(organization))),
        Err(error) => Err(unreadable(&error.into())),
    }
}

/// The reason why something can't be shown.
pub(super) fn unreadable(failure: &Failure) -> String {
    if failure.exit() == Exit::Forbidden {
        "you may not read it".to_owned()
    } else {
        failure.message().to_owned()
    }
}

/// A message that an Organization does not exist, with a suggestion.
pub(super) async fn missing(cluster: &Cluster, name: &str) -> String {
    let api = cluster.organizations();
    let listed = pages::list(api, "list Organizations", ListParams::default()).await;
    let names = listed.map(|listed| listed.objects).unwrap_or_default();
    let names = names.iter().filter_map(|o| o.metadata.name.as_deref());
    let meant = question(name, names);
    format!("Organization '{name}' does not exist{meant}")
}

impl Around {
    /// Name of the Organization that the key needs for tokens, if it is known not to exist.
    pub(super) fn missing<'a>(&'a self, key: &'a ApiKey) -> Option<&'a str> {
        match (&self.own, &self.parent) {
            (Ok(None), _) => Some(&key.spec.org),
            (Ok(Some(own)), Ok(None)) => own.spec.parent.as_deref(),
            (Ok(Some(_)) | Err(_), _) => None,
        }
    }

    /// One sentence for each part of the key that is ignored. Unreadable Organizations are skipped.
    pub(super) fn left_out(&self, key: &ApiKey) -> Vec<String> {
        let (Ok(Some(own)), Ok(_)) = (&self.own, &self.parent) else {
            return Vec::new();
        };
        if self.missing(key).is_some() {
            return Vec::new();
        }
        let assessment = self.ask(key, apikey_policy::assess);
        let org = &key.spec.org;
        let mut messages = Vec::new();
        if !assessment.unknown_roles.is_empty() {
            let unknown = assessment.unknown_roles.join(", ");
            let parent = self.parent.as_ref().ok().and_then(Option::as_deref);
            let catalogue = apikey_policy::catalogue(Some(own), parent).join(", ");
            let why = format!(
                "[{unknown}] not in the catalogue of Organization '{org}', which has [{catalogue}]"
            );
            messages.push(if assessment.roles.is_empty() {
                format!("no role of the key is in effect any more, so it gets no token: {why}")
            } else {
                format!("{why}: it is left out until it is added there")
            });
        }
        for (sub, found) in key.spec.sub_orgs.iter().zip(&self.subs) {
            if assessment.uncovered.contains(&sub.org)
                && let Some(why) = uncovered(org, &sub.org, found)
            {
                messages.push(format!("{why}: it is left out"));
            }
        }
        messages
    }

    /// The grants of the key in sub-organizations, according to the Organizations that could be read.
    pub(super) fn sub_grants(&self, key: &ApiKey) -> Vec<Grant> {
        self.ask(key, |input| apikey_policy::in_sub_organizations(input).0)
    }

    fn ask<T>(&self, key: &ApiKey, ask: impl FnOnce(&Input<'_>) -> T) -> T {
        let known = |found: &Found| found.as_ref().ok().cloned().flatten();
        let (own, parent) = (known(&self.own), known(&self.parent));
        let subs: Vec<_> = self.subs.iter().filter_map(known).collect();
        ask(&Input {
            subject: Subject::from(key),
            organization: own.as_deref(),
            parent: parent.as_deref(),
            unreadable: None,
            sub_organizations: &subs,
            namespace_labels: None,
            over_quota: None,
            fixed_expiry: None,
            require_organizations: true,
        })
    }
}

/// Why a sub-organization is ignored for a key of `org`, if that is known.
pub(super) fn uncovered(org: &str, sub: &str, found: &Found) -> Option<String> {
    match found {
        Err(_) => None,
        Ok(None) => Some(format!("Organization '{sub}' does not exist")),
        Ok(Some(_)) => Some(format!(
            "Organization '{sub}' is not a sub-organization of '{org}', or has none of the roles"
        )),
    }
}
