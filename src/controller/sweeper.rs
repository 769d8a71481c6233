//! The sweeper: removes credential records whose `ApiKey` is deleted, and records that in the audit
//! log.
//!
//! An `ApiKey` has no finalizer, so its deletion waits for nothing. Garbage collection removes the
//! delivered Secret. The credential record is in another namespace, so the sweeper removes it, also
//! after a restart. The token server refuses the key as soon as it sees the deletion, swept or not.

use std::sync::Arc;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Resource as _;
use kube::runtime::reflector::ObjectRef;

use super::context::Context;
use super::events::{Severity, Transition};
use super::removal::remove;
use super::restore;
use super::workers::Next;
use crate::audit::{self, KeyIdentity, Record};
use crate::watch::stored::StoredRecord;
use apikey_api::ApiKey;
use apikey_api::KeyRef;
use apikey_api::conditions::reason;
use apikey_client::error::Error;
use apikey_credential::record::{CredentialRecord, Owner};

/// Name of this controller in metrics and logs.
pub const CONTROLLER: &str = "verifier";

/// Removes the credential record if its key is deleted.
///
/// # Errors
/// A request failed.
pub async fn reconcile(record: Arc<StoredRecord>, ctx: Arc<Context>) -> Result<Next, Error> {
    let Some(owner) = &record.owner else {
        return Ok(Next::OnChange);
    };
    // In a namespace that is not watched, the operator can't see whether the key exists.
    if !ctx.watched.contains(&owner.namespace) || owner_exists(&ctx, owner).await? {
        return Ok(Next::OnChange);
    }
    if ctx.settings.restore {
        return restore::adopt(&ctx, &record, owner).await;
    }
    if remove(&ctx, &record).await? {
        log_revocation(&ctx, owner, record.document.as_ref().ok());
    }
    Ok(Next::OnChange)
}

async fn owner_exists(ctx: &Context, owner: &Owner) -> Result<bool, Error> {
    let reference = ObjectRef::<ApiKey>::new(&owner.name).within(&owner.namespace);
    let cached = ctx.caches.apikeys.get(&reference);
    if cached.is_some_and(|apikey| apikey.metadata.uid.as_ref() == Some(&owner.uid)) {
        return Ok(true);
    }
    // The cache may lag behind, and a credential record in use must never be removed.
    let key = KeyRef::new(&owner.namespace, &owner.name);
    Ok(ctx.find_apikey(&key, &owner.uid).await?.is_some())
}

fn log_revocation(ctx: &Context, owner: &Owner, document: Option<&CredentialRecord>) {
    let Owner {
        namespace,
        name,
        uid,
    } = owner.clone();
    if let Some(document) = document {
        let identity = KeyIdentity {
            email: document.email.clone(),
            key_id: document.key_id.to_string(),
            namespace: namespace.clone(),
            name: name.clone(),
            org: document.org.clone(),
        };
        let record = Record::new(ctx.clock.now(), audit::Action::Revoke, identity);
        ctx.audit.record(Record {
            revision: Some(document.current.revision),
            ..record
        });
    }
    let key_id = document.map(|document| document.key_id.as_str());
    tracing::info!(namespace, name, key_id, "Revoked a deleted key");
    let regarding = ObjectReference {
        api_version: Some(ApiKey::api_version(&()).into_owned()),
        kind: Some(ApiKey::kind(&()).into_owned()),
        namespace: Some(namespace),
        name: Some(name),
        uid: Some(uid),
        ..ObjectReference::default()
    };
    let message = "The ApiKey was deleted: its secret is revoked";
    let transition = Transition::new(Severity::Normal, reason::REVOKED, message);
    ctx.events.publish(regarding, transition);
}
