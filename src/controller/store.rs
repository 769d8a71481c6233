//! What the API server has, as the watches deliver it.

use kube::runtime::reflector::ObjectRef;
use parking_lot::Mutex;

use super::cache::{Cache, ListGeneration};
use super::delivered::Delivered;
use super::relations::Relations;
use crate::watch::Keep as _;
use crate::watch::stored::StoredRecord;
use apikey_api::{ApiKey, KeyRef, Organization};
use apikey_client::object::NamespaceLabels;
use apikey_policy::quota_index::QuotaIndex;

/// Objects that the watches deliver, one cache per kind.
#[derive(Debug, Default)]
pub(crate) struct Caches {
    /// All keys.
    pub(crate) apikeys: Cache<ApiKey>,
    /// All organizations.
    pub(crate) organizations: Cache<Organization>,
    /// Labels of all namespaces.
    pub(crate) namespaces: Cache<NamespaceLabels>,
    /// The metadata of all delivered Secrets that reconciles need.
    pub(crate) delivered: Cache<Delivered>,
    /// All credential records.
    pub(crate) records: Cache<StoredRecord>,
}

/// What the API server has: the objects, and two indexes of them.
#[derive(Debug, Default)]
pub(crate) struct Store {
    /// The objects.
    pub(crate) caches: Caches,
    /// Keys by organization.
    pub(crate) quota_index: Mutex<QuotaIndex>,
    /// Organizations by id and parent.
    pub(crate) relations: Mutex<Relations>,
}

impl Store {
    /// Stores the response to a status write. Returns the keys whose quota it changed, or `None` if
    /// the watch has already delivered this version or a later one.
    pub(crate) fn insert_apikey(
        &self,
        generation: ListGeneration,
        mut apikey: ApiKey,
    ) -> Option<Vec<KeyRef>> {
        apikey.prune();
        // Hold the lock around both, so that a deletion that the watch delivers in between is
        // applied after both.
        let mut quota_index = self.quota_index.lock();
        let is_newest = self.caches.apikeys.insert(generation, apikey.clone());
        is_newest.then(|| quota_index.upsert(&apikey))
    }

    /// Whether the cache has a key of this name and uid.
    pub(crate) fn knows(&self, apikey: &ApiKey) -> bool {
        let known = self.caches.apikeys.get(&ObjectRef::from_obj(apikey));
        known.is_some_and(|known| known.metadata.uid == apikey.metadata.uid)
    }
}
