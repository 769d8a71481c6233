//! Which keys an organization has, and which of them its quota admits. Pure data, kept by the watches.
//!
//! If there are more than `limits.maxKeys`, the oldest (creationTimestamp, then uid) are admitted. Each quota
//! keeps admitted and queued keys apart, so that a change of one key moves at most one other, and asking
//! costs O(log n): no reconcile counts keys.

mod phase_counts;
mod quota;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;

pub use self::phase_counts::PhaseCounts;
use self::quota::{Candidate, Quota};
use crate::OverQuota;
use apikey_api::{ApiKey, KeyRef, Organization, Phase};

/// All keys, by organization.
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
    /// Whether its organization counts it: see [`QuotaIndex::is_counted`].
    counted: bool,
}

/// What is known of one organization, declared or only named by keys.
#[derive(Debug, Default)]
struct Entry {
    declared: Option<Arc<Organization>>,
    keys: BTreeSet<KeyRef>,
    /// Of the keys that it counts.
    counts: PhaseCounts,
    /// Of the other ones.
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
    /// Takes in a key as it is now. Returns the keys whose standing changed beside it.
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

    /// Forgets a key. Returns the keys whose standing changed.
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

    /// Takes in what is declared of an organization now (`None`: nothing). Returns all keys that its
    /// rules concern (its own, those of its sub-organizations, and those of the parent that it has or
    /// had, which may act in it) and those whose standing changed with them.
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

    /// Takes in the labels of a namespace (`None`: it is gone, or they can't be read). Returns its keys
    /// and those whose standing changed with them.
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

    /// The quota that leaves no place for this key, if one does.
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

    /// The organization that has this key; `None` if none that is declared allows it.
    #[must_use]
    pub fn counted_by(&self, key: &KeyRef) -> Option<Arc<str>> {
        let member = self.members.get(key).filter(|member| member.counted)?;
        let entry = self.organizations.get(&member.org)?;
        entry.declared.as_ref().map(|_| Arc::clone(&member.org))
    }

    /// Keys that one organization counts, without those of its sub-organizations, by phase.
    #[must_use]
    pub fn phase_counts(&self, org: &str) -> PhaseCounts {
        self.organizations
            .get(org)
            .map(|entry| entry.counts)
            .unwrap_or_default()
    }

    /// Every organization with the keys that it counts, by phase, and under no name the keys that none counts,
    /// if there are any: whoever makes keys can name any organization. `required` are Organizations that are
    /// declared; otherwise one counts that keys name.
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

    /// One shared text per organization name.
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

    /// The organizations whose quota a key of this one counts for.
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

    /// A key that its organization does not allow here takes nobody's place and is not counted.
    fn is_counted(&self, member: &Member) -> bool {
        let declared = self
            .organizations
            .get(&member.org)
            .and_then(|e| e.declared.as_ref());
        let namespace = &member.candidate.key.namespace;
        let labels = self.namespaces.get(namespace).map(|labels| &**labels);
        declared.is_none_or(|organization| {
            let allowed = &organization.spec.allowed_namespaces;
            crate::namespace_allowed(allowed, namespace, labels) == Some(true)
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
