//! The quota index: the keys of each organization, and which of them its quota admits. Pure data, updated by
//! the watches.
//!
//! If an organization has more than `limits.maxKeys` keys, the oldest ones (by creationTimestamp, then uid)
//! are admitted. Each quota keeps admitted and queued keys separately. A change of one key therefore moves at
//! most one other key, a lookup costs O(log n), and no reconcile counts keys.

mod phase_counts;
mod quota;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;

pub use self::phase_counts::PhaseCounts;
use self::quota::{Candidate, Quota};
use crate::input::OverQuota;
use apikey_api::{ApiKey, KeyRef, Organization, Phase};

/// All keys by organization.
#[derive(Debug, Default)]
pub struct QuotaIndex {
    members: BTreeMap<KeyRef, Member>,
    organizations: BTreeMap<Arc<str>, Entry>,
    namespaces: BTreeMap<Arc<str>, Labels>,
}

/// Labels of a namespace.
pub type Labels = Arc<BTreeMap<String, String>>;

#[derive(Debug)]
struct Member {
    org: Arc<str>,
    candidate: Candidate,
    phase: Phase,
    /// Whether the organization counts the key. See [`QuotaIndex::is_counted`].
    counted: bool,
}

/// An organization that is declared, or that keys refer to.
#[derive(Debug, Default)]
struct Entry {
    declared: Option<Arc<Organization>>,
    keys: BTreeSet<KeyRef>,
    /// Phases of the keys that the organization counts.
    counts: PhaseCounts,
    /// Phases of the other keys.
    uncounted: PhaseCounts,
    quota: Quota,
    sub_organizations: BTreeSet<Arc<str>>,
}

impl Entry {
    const fn counts_of(&mut self, member: &Member) -> &mut i64 {
        let counts = if member.counted {
            &mut self.counts
        } else {
            &mut self.uncounted
        };
        counts.of_phase(member.phase)
    }
}

impl QuotaIndex {
    /// Adds or updates a key. Returns the other keys whose admission changed.
    pub fn upsert(&mut self, apikey: &ApiKey) -> Vec<KeyRef> {
        let key = KeyRef::of(apikey);
        let meta = &apikey.metadata;
        let candidate = Candidate {
            created: meta
                .creation_timestamp
                .as_ref()
                .map_or(Timestamp::MIN, |time| time.0),
            uid: meta.uid.as_deref().unwrap_or_default().into(),
            key: key.clone(),
        };
        let phase = apikey
            .status
            .as_ref()
            .and_then(|s| s.phase)
            .unwrap_or(Phase::Pending);
        let mut changed = Vec::new();
        match self.members.get_mut(&key) {
            Some(known) if known.candidate == candidate && *known.org == *apikey.spec.org => {
                if known.phase != phase
                    && let Some(entry) = self.organizations.get_mut(&known.org)
                {
                    *entry.counts_of(known) -= 1;
                    known.phase = phase;
                    *entry.counts_of(known) += 1;
                }
                return changed;
            }
            Some(_) => changed.extend(self.remove(&key)),
            None => {}
        }
        let org: Arc<str> = self.org_name(&apikey.spec.org);
        let entry = self.organizations.entry(Arc::clone(&org)).or_default();
        entry.keys.insert(key.clone());
        let mut member = Member {
            org,
            candidate,
            phase,
            counted: false,
        };
        changed.extend(self.admit(&mut member));
        self.members.insert(key, member);
        changed
    }

    /// Removes a key. Returns the keys whose admission changed.
    pub fn remove(&mut self, key: &KeyRef) -> Vec<KeyRef> {
        let Some(member) = self.members.remove(key) else {
            return Vec::new();
        };
        let changed = self.withdraw(&member);
        if let Some(entry) = self.organizations.get_mut(&member.org) {
            entry.keys.remove(key);
        }
        self.forget_if_empty(&member.org);
        changed
    }

    /// Updates the declaration of an organization, or removes it for `None`. Returns all keys that its rules
    /// affect: its own, those of its sub-organizations, and those of its current or former parent, which may
    /// act in it. Also returns other keys whose admission changed.
    pub fn declare(&mut self, name: &str, declared: Option<Arc<Organization>>) -> Vec<KeyRef> {
        let name = self.org_name(name);
        let keys = self.concerned(&name);
        let members: Vec<_> = keys
            .iter()
            .filter_map(|key| self.members.remove(key))
            .collect();
        let mut changed: Vec<_> = members
            .iter()
            .flat_map(|member| self.withdraw(member))
            .collect();
        let parent_of = |o: &Arc<Organization>| o.spec.parent.as_deref().map(Arc::<str>::from);
        let entry = self.organizations.entry(Arc::clone(&name)).or_default();
        let old_parent = entry.declared.as_ref().and_then(parent_of);
        let new_parent = declared.as_ref().and_then(parent_of);
        entry.quota.max_keys = declared
            .as_ref()
            .and_then(|o| o.spec.limits.as_ref()?.max_keys);
        entry.declared = declared;
        for parent in [&old_parent, &new_parent].into_iter().flatten() {
            let entry = self.organizations.get(parent);
            changed.extend(entry.iter().flat_map(|entry| &entry.keys).cloned());
        }
        if let Some(parent) = old_parent {
            if let Some(entry) = self.organizations.get_mut(&parent) {
                entry.sub_organizations.remove(&name);
            }
            self.forget_if_empty(&parent);
        }
        if let Some(parent) = new_parent {
            let entry = self.organizations.entry(parent).or_default();
            entry.sub_organizations.insert(Arc::clone(&name));
        }
        for mut member in members {
            changed.extend(self.admit(&mut member));
            self.members.insert(member.candidate.key.clone(), member);
        }
        self.forget_if_empty(&name);
        changed.extend(keys);
        changed.sort();
        changed.dedup();
        changed
    }

    /// Updates the labels of a namespace. `None` means that it is deleted or its labels can't be read.
    /// Returns its keys, and the other keys whose admission changed.
    pub fn label(&mut self, name: &str, labels: Option<Labels>) -> Vec<KeyRef> {
        let from = KeyRef::new(name, "");
        let mut keys: Vec<KeyRef> = self
            .members
            .range(from..)
            .take_while(|(key, _)| *key.namespace == *name)
            .map(|(key, _)| key.clone())
            .collect();
        let members: Vec<_> = keys
            .iter()
            .filter_map(|key| self.members.remove(key))
            .collect();
        keys.extend(
            members
                .iter()
                .flat_map(|member| self.withdraw(member))
                .collect::<Vec<_>>(),
        );
        match labels {
            Some(labels) => self.namespaces.insert(name.into(), labels),
            None => self.namespaces.remove(name),
        };
        for mut member in members {
            keys.extend(self.admit(&mut member));
            self.members.insert(member.candidate.key.clone(), member);
        }
        keys.sort();
        keys.dedup();
        keys
    }

    /// Returns the quota for which this key is queued, if there is one.
    #[must_use]
    pub fn over_quota(&self, key: &KeyRef) -> Option<OverQuota> {
        let member = self.members.get(key)?;
        self.quotas(&member.org)
            .into_iter()
            .find_map(|organization| {
                let quota = &self.organizations.get(&organization)?.quota;
                let max_keys = quota.max_keys?;
                quota.is_queued(&member.candidate).then(|| OverQuota {
                    organization: organization.to_string(),
                    max_keys,
                })
            })
    }

    /// Labels of a namespace, if they are known.
    #[must_use]
    pub fn labels(&self, namespace: &str) -> Option<Labels> {
        self.namespaces.get(namespace).cloned()
    }

    /// Names of all known namespaces.
    #[must_use]
    pub fn namespaces(&self) -> Vec<String> {
        self.namespaces.keys().map(ToString::to_string).collect()
    }

    /// The declared organization that counts this key. `None` if there is none.
    #[must_use]
    pub fn counted_by(&self, key: &KeyRef) -> Option<Arc<str>> {
        let member = self.members.get(key).filter(|member| member.counted)?;
        let entry = self.organizations.get(&member.org)?;
        entry.declared.as_ref().map(|_| Arc::clone(&member.org))
    }

    /// Number of keys that an organization counts in each phase, without those of its sub-organizations.
    #[must_use]
    pub fn phase_counts(&self, org: &str) -> PhaseCounts {
        self.organizations
            .get(org)
            .map(|entry| entry.counts)
            .unwrap_or_default()
    }

    /// Number of counted keys in each phase for every organization. Keys that no organization counts are
    /// under the empty name, because anybody who may create keys can name any organization. With `required`,
    /// only declared Organizations count keys; otherwise, organizations that only keys refer to count them
    /// too.
    #[must_use]
    pub fn counts_by_org(&self, required: bool) -> Vec<(&str, PhaseCounts)> {
        let mut counts_by_org = Vec::with_capacity(self.organizations.len());
        let mut uncounted = PhaseCounts::default();
        for (name, entry) in &self.organizations {
            uncounted += entry.uncounted;
            if entry.declared.is_some() || !required {
                counts_by_org.push((&**name, entry.counts));
            } else {
                uncounted += entry.counts;
            }
        }
        if uncounted != PhaseCounts::default() {
            counts_by_org.push(("", uncounted));
        }
        counts_by_org
    }

    /// Returns the shared text for an organization name.
    fn org_name(&self, name: &str) -> Arc<str> {
        let known = self.organizations.get_key_value(name);
        known.map_or_else(|| name.into(), |(known, _)| Arc::clone(known))
    }

    fn concerned(&self, org: &str) -> Vec<KeyRef> {
        let Some(entry) = self.organizations.get(org) else {
            return Vec::new();
        };
        let subs = entry
            .sub_organizations
            .iter()
            .filter_map(|sub| self.organizations.get(sub));
        entry
            .keys
            .iter()
            .chain(subs.flat_map(|sub| &sub.keys))
            .cloned()
            .collect()
    }

    /// The organizations whose quota limits the keys of this one.
    fn quotas(&self, org: &Arc<str>) -> Vec<Arc<str>> {
        let declared = self
            .organizations
            .get(org)
            .and_then(|entry| entry.declared.as_ref());
        let parent = declared
            .and_then(|o| o.spec.parent.as_deref())
            .map(Arc::from);
        std::iter::once(Arc::clone(org)).chain(parent).collect()
    }

    /// Whether the organization counts the key. A key that is not allowed in its namespace is not counted and
    /// does not use up the quota.
    fn is_counted(&self, member: &Member) -> bool {
        let declared = self
            .organizations
            .get(&member.org)
            .and_then(|e| e.declared.as_ref());
        let namespace = &member.candidate.key.namespace;
        let labels = self.namespaces.get(namespace).map(|labels| &**labels);
        declared.is_none_or(|organization| {
            let allowed = &organization.spec.allowed_namespaces;
            crate::namespaces::namespace_allowed(allowed, namespace, labels) == Some(true)
        })
    }

    fn admit(&mut self, member: &mut Member) -> Vec<KeyRef> {
        member.counted = self.is_counted(member);
        if let Some(entry) = self.organizations.get_mut(&member.org) {
            *entry.counts_of(member) += 1;
        }
        if !member.counted {
            return Vec::new();
        }
        let quotas = self.quotas(&member.org);
        let admit_to = |organization| {
            let entry = self.organizations.get_mut(&organization)?;
            entry.quota.insert(member.candidate.clone())
        };
        quotas.into_iter().filter_map(admit_to).collect()
    }

    fn withdraw(&mut self, member: &Member) -> Vec<KeyRef> {
        if let Some(entry) = self.organizations.get_mut(&member.org) {
            *entry.counts_of(member) -= 1;
        }
        let quotas = self.quotas(&member.org);
        let withdraw_from = |organization| {
            self.organizations
                .get_mut(&organization)?
                .quota
                .remove(&member.candidate)
        };
        quotas.into_iter().filter_map(withdraw_from).collect()
    }

    fn forget_if_empty(&mut self, org: &Arc<str>) {
        let empty = self.organizations.get(org).is_some_and(|entry| {
            entry.declared.is_none() && entry.keys.is_empty() && entry.sub_organizations.is_empty()
        });
        if empty {
            self.organizations.remove(org);
        }
    }
}

#[cfg(test)]
mod tests;
