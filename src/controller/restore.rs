//! Adopts credential records from a backup: the keys of a restored cluster have new uids.

use std::time::Duration;

use kube::runtime::reflector::ObjectRef;

use super::apikey::restore::may_adopt;
use super::cluster::{Cluster, post_params};
use super::removal::remove;
use super::store::Store;
use super::workers::Next;
use crate::watch::stored::StoredRecord;
use apikey_api::ApiKey;
use apikey_client::error::{Class, Error, request};
use apikey_client::object::Answer;
use apikey_credential::record::{CredentialRecord, Owner};

/// How long to wait for the key of a credential record to be restored.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// Adopts a credential record whose owner is gone for the key of the same name, if that exists and
/// may adopt it. Otherwise the record is kept, because its key may still be restored.
///
/// # Errors
/// A request failed.
pub(crate) async fn adopt(
    cluster: &Cluster,
    store: &Store,
    record: &StoredRecord,
    owner: &Owner,
) -> Result<Next, Error> {
    let later = Next::After(LOOK_AGAIN);
    let key = ObjectRef::<ApiKey>::new(&owner.name).within(&owner.namespace);
    let (Ok(document), Some(key)) = (&record.document, store.caches.apikeys.get(&key)) else {
        return Ok(later);
    };
    if !may_adopt(&key, document) {
        return Ok(later);
    }
    let adopted = document.adopted_by(key.metadata.uid.as_deref().unwrap_or_default());
    // Create the new record before removing the old one, so that one of them exists at any time.
    if !create(cluster, &adopted).await? {
        return Ok(later);
    }
    remove(cluster, record).await?;
    let (namespace, name) = (&owner.namespace, &owner.name);
    let (uid, was) = (&adopted.owner.uid, &owner.uid);
    tracing::info!(namespace, name, uid, was, "Adopted a key from a backup");
    Ok(Next::OnChange)
}

/// Creates the credential record. Returns whether it exists; it does not if the key already has
/// another one.
async fn create(cluster: &Cluster, document: &CredentialRecord) -> Result<bool, Error> {
    let doing = "adopt the credential record";
    let secret = StoredRecord::render(document, &cluster.namespace, None)
        .map_err(|error| Error::internal(doing, &error))?;
    let name = secret.metadata.name.clone().unwrap_or_default();
    let records = cluster.records();
    match request(doing, records.create(&post_params(), &Answer(secret))).await {
        Ok(_) => Ok(true),
        Err(error) if error.class() == Class::Conflict => {
            let there = request("read the credential record", records.get_opt(&name)).await?;
            let there = there.map(|Answer(read)| StoredRecord::read(read));
            let there = there.and_then(|record| record.document.ok());
            Ok(there.is_some_and(|there| there.key_id == document.key_id))
        }
        Err(error) => Err(error),
    }
}
