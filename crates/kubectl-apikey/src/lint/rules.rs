//! Checks keys against Organizations, and finds duplicate names. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use super::problem::Problem;
use super::read::{Document, Kind};
use crate::nearest::question;
use apikey_api::conditions::reason;
use apikey_api::{ApiKey, FromNamespaces, Organization};
use apikey_policy::{Assessment, Input, Subject, Verdict};

/// The field that lists sub-organizations.
const SUB_ORGS: &str = "spec.subOrgs";

/// Which Organizations may exist besides the known ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Others {
    /// Those of a cluster that was not asked.
    #[default]
    Unasked,
    /// Those of a cluster on which the user may not list them.
    Unlisted,
    /// None.
    None,
}

/// The known Organizations and namespace labels.
#[derive(Debug, Default)]
pub(super) struct World {
    others: Others,
    organizations: BTreeMap<String, Arc<Organization>>,
    namespace_labels: BTreeMap<String, BTreeMap<String, String>>,
    /// Organizations of the cluster that can't be read, with the reason.
    unreadable: BTreeMap<String, String>,
}

impl World {
    /// Collects the Organizations of the files.
    pub(super) fn of(documents: &[Document]) -> Self {
        let mut world = Self::default();
        for document in documents.iter().filter(|d| d.kind == Kind::Organization) {
            if let Ok(organization) = serde_json::from_value(document.value.clone()) {
                world.add(organization);
            }
        }
        world
    }

    /// Adds an Organization, unless one with this name is already known.
    pub(super) fn add(&mut self, organization: Organization) {
        let name = organization.metadata.name.clone().unwrap_or_default();
        self.organizations
            .entry(name)
            .or_insert_with(|| Arc::new(organization));
    }

    /// Adds an Organization that can't be read. One with the same name in the files takes precedence, because
    /// it will be applied.
    pub(super) fn add_unreadable(&mut self, name: String, why: String) {
        if !self.organizations.contains_key(&name) {
            self.unreadable.insert(name, why);
        }
    }

    /// Sets which other Organizations may exist.
    pub(super) fn set_others(&mut self, others: Others) {
        self.others = others;
    }

    /// Adds the labels of a namespace.
    pub(super) fn add_namespace(&mut self, name: String, labels: BTreeMap<String, String>) {
        self.namespace_labels.insert(name, labels);
    }

    /// Checks a document as if it were created now. A key without a namespace is checked in the given
    /// namespace.
    pub(super) fn judge(
        &self,
        document: &Document,
        namespace: Option<&str>,
        now: Timestamp,
    ) -> Vec<Problem> {
        if document.kind == Kind::Organization {
            return self.of_organization(document);
        }
        let Ok(mut key) = serde_json::from_value::<ApiKey>(document.value.clone()) else {
            return Vec::new();
        };
        key.metadata.creation_timestamp = Some(Time(now));
        let own = key.metadata.namespace.take();
        key.metadata.namespace = own.or_else(|| namespace.map(str::to_owned));
        self.assess(document, &key)
    }

    /// Checks a key against the Organizations.
    pub(super) fn assess(&self, document: &Document, key: &ApiKey) -> Vec<Problem> {
        if let Some(problem) = self.unreadable_of(document, &key.spec.org) {
            return vec![problem];
        }
        let Some(organization) = self.organizations.get(&key.spec.org) else {
            let org = &key.spec.org;
            let missing = self.missing(document, "spec.org", org);
            return vec![missing.unwrap_or_else(|| {
                let meant = self.meant(org);
                let text = format!(
                    "Organization '{org}' does not exist{meant}: a cluster administrator has to create it"
                );
                document.problem("spec.org", text)
            })];
        };
        let parent = organization.spec.parent.as_ref();
        let unread = parent.and_then(|name| self.unreadable_of(document, name));
        if let Some(problem) = unread {
            return vec![problem];
        }
        let absent = parent.filter(|name| !self.organizations.contains_key(*name));
        let absent = absent.and_then(|name| self.missing(document, "spec.org", name));
        let parent = parent.and_then(|name| self.organizations.get(name));
        let namespace = key.metadata.namespace.as_deref();
        let labels = namespace.and_then(|name| self.namespace_labels.get(name));
        let mut organization = decidable(organization, namespace, labels.is_some());
        if absent.is_some() {
            // The rules of the parent are unknown, so they are not applied to the key.
            organization.spec.parent = None;
        }
        let subs = key.spec.sub_orgs.iter();
        let subs: Vec<_> = subs
            .filter_map(|sub| self.organizations.get(&sub.org).cloned())
            .collect();
        let assessment = apikey_policy::assess(&Input {
            subject: Subject::from(key),
            organization: Some(&organization),
            parent: parent.map(Arc::as_ref),
            unreadable: None,
            sub_organizations: &subs,
            namespace_labels: labels,
            over_quota: None,
            fixed_expiry: None,
            require_organizations: true,
        });
        let leaves_out = |name: &String| self.uncovered(document, &key.spec.org, name);
        let mut problems = problems_of(document, &key.spec.org, &assessment, leaves_out);
        problems.extend(absent);
        problems
    }

    /// The problem for a listed sub-organization in which the key has no roles.
    fn uncovered(&self, document: &Document, org: &str, sub: &str) -> Problem {
        if self.organizations.contains_key(sub) || self.unreadable.contains_key(sub) {
            let message = format!(
                "Organization '{sub}' is not a sub-organization of '{org}', or has none of the \
                 roles: it is left out"
            );
            return document.warning(SUB_ORGS, message);
        }
        self.missing(document, SUB_ORGS, sub).unwrap_or_else(|| {
            let meant = self.meant(sub);
            let message = format!("Organization '{sub}' does not exist{meant}: it is left out");
            document.warning(SUB_ORGS, message)
        })
    }

    /// Checks an Organization of the files as the operator would.
    pub(super) fn of_organization(&self, document: &Document) -> Vec<Problem> {
        const FIELD: &str = "spec.parent";
        let Some(parent) = document.text("/spec/parent") else {
            return Vec::new();
        };
        if self.unreadable.contains_key(parent) {
            return self
                .unreadable_at(document, FIELD, parent)
                .into_iter()
                .collect();
        }
        match self.organizations.get(parent) {
            Some(found) if found.spec.parent.is_some() => {
                let text =
                    format!("'{parent}' is a sub-organization itself: only one level is possible");
                vec![document.problem(FIELD, text)]
            }
            Some(_) => Vec::new(),
            None => {
                let missing = self.missing(document, FIELD, parent);
                vec![missing.unwrap_or_else(|| {
                    let meant = self.meant(parent);
                    let text = format!("Organization '{parent}' does not exist{meant}: create it");
                    document.problem(FIELD, text)
                })]
            }
        }
    }

    /// The problem for an Organization that is not known here but may exist.
    fn missing(&self, document: &Document, field: &str, name: &str) -> Option<Problem> {
        let meant = self.meant(name);
        let then = if field == SUB_ORGS {
            "it is left out"
        } else {
            "keys wait for it"
        };
        let message = match self.others {
            Others::None => return None,
            Others::Unasked => format!(
                "Organization '{name}' is in none of these files{meant}: if it is not on the cluster \
                 either, {then}; --server asks the cluster"
            ),
            Others::Unlisted => format!(
                "Organization '{name}' is in none of these files{meant}, and you may not list those of \
                 the cluster: if it is not there either, {then}"
            ),
        };
        Some(document.unknown(field, message))
    }

    fn meant(&self, name: &str) -> String {
        question(name, self.organizations.keys().map(String::as_str))
    }
}

impl World {
    /// The problem for a key whose organization, or its parent, can't be read.
    fn unreadable_of(&self, document: &Document, name: &str) -> Option<Problem> {
        self.unreadable_at(document, "spec.org", name)
    }

    fn unreadable_at(&self, document: &Document, field: &str, name: &str) -> Option<Problem> {
        let why = self.unreadable.get(name)?;
        let text = format!(
            "Organization '{name}' of the cluster can't be read by this version, so what it allows is not \
             known ({why}): apply it again as docs/api.md describes it, or update this program if the \
             operator is newer"
        );
        Some(document.problem(field, text))
    }
}

/// The Organization without the rule that can't be evaluated from what is known.
fn decidable(
    organization: &Organization,
    namespace: Option<&str>,
    labels_known: bool,
) -> Organization {
    let mut organization = organization.clone();
    let allowed = &mut organization.spec.allowed_namespaces;
    let decidable = match allowed.from {
        FromNamespaces::All => true,
        FromNamespaces::Names => namespace.is_some(),
        FromNamespaces::Selector => labels_known,
    };
    if !decidable {
        allowed.from = FromNamespaces::All;
    }
    organization
}

fn problems_of(
    document: &Document,
    org: &str,
    assessment: &Assessment,
    uncovered: impl Fn(&String) -> Problem,
) -> Vec<Problem> {
    if let Verdict::Waiting(denial) | Verdict::Refused(denial) = &assessment.verdict {
        let field = match denial.reason {
            reason::UNKNOWN_ROLE => "spec.roles",
            reason::AUDIENCE_NOT_ALLOWED => "spec.token.audiences",
            reason::LIFETIME_TOO_LONG | reason::INVALID_SPEC => "spec.expiry",
            reason::NAMESPACE_NOT_ALLOWED => "metadata.namespace",
            _ => "spec.org",
        };
        return vec![document.problem(field, &denial.message)];
    }
    let dropped = |field: &str, what: &str, names: &[String]| {
        let names = names.join(", ");
        let message =
            format!("[{names}] not among the {what} of Organization '{org}': it is left out");
        (!names.is_empty()).then(|| document.warning(field, message))
    };
    let roles = dropped("spec.roles", "roles", &assessment.unknown_roles);
    let audiences = &assessment.unknown_audiences;
    let audiences = dropped("spec.token.audiences", "audiences", audiences);
    let subs = assessment.uncovered.iter().map(uncovered);
    roles.into_iter().chain(audiences).chain(subs).collect()
}

/// Finds objects with the same name, and keys that deliver to the same Secret.
pub(super) fn twice(documents: &[Document]) -> Vec<Problem> {
    let mut problems = Vec::new();
    let (mut names, mut secrets) = (BTreeMap::new(), BTreeMap::new());
    for document in documents {
        let Some(name) = document.text("/metadata/name") else {
            continue;
        };
        let namespace = match document.kind {
            Kind::ApiKey => document.text("/metadata/namespace"),
            Kind::Organization => None,
        };
        let identity = (document.kind == Kind::ApiKey, namespace, name);
        if let Some(first) = names.insert(identity, document) {
            problems.push(document.problem("metadata.name", stands(first, name)));
            continue;
        }
        if document.kind == Kind::ApiKey {
            let secret = document.text("/spec/secret/name").unwrap_or(name);
            if let Some(first) = secrets.insert((namespace, secret), document) {
                let message = format!(
                    "Secret '{secret}' is also the Secret of {}",
                    stands_at(first)
                );
                problems.push(document.problem("spec.secret.name", message));
            }
        }
    }
    problems
}

fn stands(first: &Document, name: &str) -> String {
    format!(
        "'{name}' appears twice, first at {}: rename or remove one",
        place(first)
    )
}

fn stands_at(first: &Document) -> String {
    format!("{} at {}: set another", first.title(), place(first))
}

fn place(document: &Document) -> String {
    format!("{}:{}", document.file, document.line(""))
}
