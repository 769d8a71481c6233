//! Reads what a decision depends on from the caches. Before a rare step, reads it from the API
//! server.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::jiff::Timestamp;
use kube::Resource as _;
use kube::runtime::reflector::ObjectRef;

use super::facts::in_conflict_since;
use super::model::{Observed, Settings};
use crate::controller::cluster::Cluster;
use crate::controller::delivered::{Delivered, Ownership};
use crate::controller::remembered::Remembered;
use crate::controller::store::Store;
use crate::watch::stored::StoredRecord;
use apikey_api::KeyRef;
use apikey_api::{ApiKey, names};
use apikey_client::clock::Clock;
use apikey_client::error::{Error, request};
use apikey_client::object::Answer;

/// Reads the caches.
#[derive(Debug)]
pub(crate) struct Observer {
    /// What the API server has.
    pub(crate) store: Arc<Store>,
    /// Namespace of the credential records.
    pub(crate) namespace: Arc<str>,
    /// Times of recent secret replacements, per key.
    pub(crate) replacements: Arc<Remembered<Vec<Timestamp>>>,
    /// Settings of the operator.
    pub(crate) settings: Settings,
    /// The time.
    pub(crate) clock: Clock,
}

impl Observer {
    /// The observation of this key from the caches.
    pub(super) fn observe(&self, apikey: Arc<ApiKey>) -> Observed {
        let key = KeyRef::of(&apikey);
        let caches = &self.store.caches;
        // Lock the index before reading the caches, so that it has everything that they have.
        let quota_index = self.store.quota_index.lock();
        let organization = |name: &str| caches.organizations.get(&ObjectRef::new(name));
        let own = organization(&apikey.spec.org);
        let parent_name = own.as_ref().and_then(|own| own.spec.parent.clone());
        let parent = parent_name.as_deref().and_then(organization);
        let is_unreadable = |name: &String| caches.organizations.is_unreadable(None, name);
        let unreadable = std::iter::once(apikey.spec.org.clone())
            .chain(parent_name)
            .find(is_unreadable);
        let listed = apikey.spec.sub_orgs.iter();
        let sub_organizations = listed.filter_map(|sub| organization(&sub.org)).collect();
        let uid = apikey.metadata.uid.as_deref().unwrap_or_default();
        let record = ObjectRef::new(&names::record_secret(uid)).within(&self.namespace);
        let delivered = ObjectRef::new(apikey.secret_name()).within(&key.namespace);
        Observed {
            organization: own,
            parent,
            unreadable,
            sub_organizations,
            namespace_labels: quota_index.labels(&key.namespace),
            over_quota: quota_index.over_quota(&key),
            record: caches.records.get(&record),
            delivered: caches.delivered.get(&delivered),
            confirmed: false,
            deleted: false,
            template_applied: false,
            unemptied: false,
            replacements: self.replacements.of(uid).unwrap_or_default(),
            settings: self.settings.clone(),
            now: self.clock.now(),
            apikey,
        }
    }
}

/// Reads the credential record and the delivered Secret (its metadata only) from the API server,
/// and last whether the key still exists. The cache of the keys may lag behind that of the Secrets.
/// If a Secret is missing because the key was deleted, a new secret must not replace it.
///
/// # Errors
/// A read failed.
pub(super) async fn confirm(cluster: &Cluster, observed: &mut Observed) -> Result<(), Error> {
    let apikey = Arc::clone(&observed.apikey);
    let uid = apikey.metadata.uid.as_deref().unwrap_or_default();
    let name = names::record_secret(uid);
    let records = cluster.records();
    let record = request("read the credential record", records.get_opt(&name)).await?;
    observed.record = record.map(|Answer(read)| Arc::new(StoredRecord::read(read)));
    confirm_delivered(cluster, observed).await?;
    let live = cluster.find_apikey(&KeyRef::of(&apikey), uid).await?;
    observed.deleted = live.is_none_or(|live| live.metadata.deletion_timestamp.is_some());
    observed.confirmed = true;
    Ok(())
}

/// Whether the Secret must be read from the API server, because Secrets of others are not watched.
#[must_use]
pub fn needs_confirmation(apikey: &ApiKey) -> bool {
    in_conflict_since(apikey).is_some()
}

/// Reads from the API server whether a Secret of somebody else still has the name that the key
/// delivers to, because such Secrets are not watched. If so, one read is enough.
///
/// # Errors
/// A read failed.
pub(super) async fn confirm_conflict(
    cluster: &Cluster,
    observed: &mut Observed,
) -> Result<(), Error> {
    if !needs_confirmation(&observed.apikey) {
        return Ok(());
    }
    confirm_delivered(cluster, observed).await?;
    match observed.delivered_owner() {
        Some(Ownership::Nobody | Ownership::Other) => Ok(()),
        Some(Ownership::ThisKey | Ownership::EarlierKey) | None => confirm(cluster, observed).await,
    }
}

/// Reads the delivered Secret (its metadata only) from the API server.
///
/// # Errors
/// The read failed.
pub(super) async fn confirm_delivered(
    cluster: &Cluster,
    observed: &mut Observed,
) -> Result<(), Error> {
    let apikey = &observed.apikey;
    let url = Secret::url_path(&(), apikey.metadata.namespace.as_deref());
    let found = cluster.metadata::<Delivered>(url, apikey.secret_name());
    let found = request("look for the delivered Secret", found).await?;
    observed.delivered = found.map(Arc::new);
    Ok(())
}
