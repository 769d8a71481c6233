//! Takes the steps of a plan: the only place that mints, hashes and writes for a key.
//!
//! Every write carries a precondition, so that a step taken on old news fails with a conflict
//! instead of doing harm. Secrets live here for the length of one run.

use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderValue;
use axum::http::header::ACCEPT;
use k8s_openapi::api::core::v1::Secret as CoreSecret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use k8s_openapi::jiff::SignedDuration;
use kube::Resource as _;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::core::Request;
use tokio::time::Instant;

use super::delivered::{self, Delivered};
use super::plan::{Action, Observed};
use super::{observe, rotation, status};
use crate::api::{ApiKey, names};
use crate::controller::cache::Ticket;
use crate::controller::context::{Context, post_params};
use crate::controller::watches::prune_delivered;
use crate::credential::sealed::Recipients;
use crate::credential::verifier::{Cause, Document, Entry, Identity, Owner, Pending};
use crate::credential::{Blank, KeyId, Secret, random};
use crate::error::{Error, request};
use crate::policy;
use crate::watch::roster::KeyRef;
use crate::watch::stored::Verifier;

/// How long a further secret waits between being proven and being delivered, so that every token server
/// has learned of it before the first consumer can read it. Their watches are 10 to 30 ms behind.
const PROPAGATION: Duration = Duration::from_millis(500);
/// Longest time from minting a secret to delivering it: half of that after which another process may
/// drop what proves it.
const DELIVER_WITHIN: SignedDuration = SignedDuration::from_mins(5);

/// Has the API server answer without the data of the Secret.
const METADATA_ONLY: HeaderValue =
    HeaderValue::from_static("application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1");

/// A secret that this run minted, until it is delivered.
struct Minted {
    secret: Secret,
    entry: Entry,
}

/// Takes the steps in order and keeps `observed` true. Stops at the first failure.
///
/// # Errors
/// The step that failed; what was done before it stays done and is in `observed`.
pub async fn execute(
    ctx: &Context,
    observed: &mut Observed,
    actions: &[Action],
) -> Result<(), Error> {
    let mut minted = None;
    for action in actions {
        match action {
            Action::Confirm => observe::confirm(ctx, observed).await?,
            Action::CreateVerifier {
                key_id,
                revision,
                expires_at,
            } => {
                let fresh = match key_id {
                    Some(key_id) => mint(ctx, key_id, *revision, Cause::Replacement).await?,
                    None => mint_new(ctx, *revision).await?,
                };
                let identity = identity(observed, fresh.secret.key_id().clone());
                let mut document = Document::new(identity, *expires_at, fresh.entry.clone());
                document.handled_rotate_request = rotation::open_request(&observed.apikey);
                write_verifier(ctx, observed, document).await?;
                minted = Some(fresh);
            }
            Action::AppendPending(next) => {
                let document = readable(observed)?;
                let fresh = mint(ctx, &document.key_id, next.revision, next.cause).await?;
                let pending = Pending {
                    entry: fresh.entry.clone(),
                    overlap_seconds: next.overlap_seconds,
                    request: next.request.clone(),
                };
                let document = document.with_pending(pending, observed.now);
                write_verifier(ctx, observed, document).await?;
                if next.cause == Cause::Replacement {
                    remember_replacement(ctx, observed);
                }
                minted = Some(fresh);
                tokio::time::sleep_until(Instant::now() + PROPAGATION).await;
            }
            Action::Deliver { replaces } => {
                if let Some(fresh) = minted.take() {
                    deliver(ctx, observed, &fresh, replaces.as_deref()).await?;
                }
            }
            Action::Promote => promote(ctx, observed).await?,
            Action::DropPending => {
                let mut document = readable(observed)?;
                document.pending.clear();
                write_verifier(ctx, observed, document).await?;
            }
            Action::DiscardPrevious => {
                let mut document = readable(observed)?;
                document.previous = None;
                write_verifier(ctx, observed, document).await?;
            }
            Action::RecordHandover(handover) => {
                let mut document = readable(observed)?;
                document.handover = handover.clone();
                write_verifier(ctx, observed, document).await?;
            }
            Action::RemoveDelivered => remove_delivered(ctx, observed).await?,
            Action::ApplyTemplate => apply_template(ctx, observed).await?,
        }
    }
    Ok(())
}

/// A first secret, with a new public id.
async fn mint_new(ctx: &Context, revision: i64) -> Result<Minted, Error> {
    let blank = ctx.stock.take().await;
    let Blank { secret, hash } = blank.map_err(|error| Error::internal("mint a secret", &error))?;
    prove(ctx, secret, hash, revision, Cause::First)
}

/// A further secret of a key.
async fn mint(ctx: &Context, key_id: &KeyId, revision: i64, cause: Cause) -> Result<Minted, Error> {
    let entropy = random::bytes().map_err(|error| Error::internal("mint a secret", &error))?;
    let secret = Secret::from_entropy(key_id, entropy);
    let hash = ctx.hasher.hash(secret.clone()).await;
    let hash = hash.map_err(|error| Error::internal("hash the secret", &error))?;
    prove(ctx, secret, hash, revision, cause)
}

fn prove(
    ctx: &Context,
    secret: Secret,
    hash: String,
    revision: i64,
    cause: Cause,
) -> Result<Minted, Error> {
    let fingerprint = ctx
        .pepper_ring()?
        .fingerprint(&secret)
        .map_err(|error| Error::internal("fingerprint the secret", &error))?;
    let created_at = Time(ctx.clock.now());
    let entry = Entry {
        revision,
        hash,
        fingerprint,
        created_at,
        cause,
        valid_until: None,
    };
    Ok(Minted { secret, entry })
}

fn identity(observed: &Observed, key_id: KeyId) -> Identity {
    let ApiKey { metadata, spec, .. } = &*observed.apikey;
    let login_name = observed.apikey.login_name();
    let email = status::email(
        login_name,
        &key_id,
        &spec.org,
        &observed.settings.email_domain,
    );
    let owner = Owner {
        namespace: metadata.namespace.clone().unwrap_or_default(),
        name: metadata.name.clone().unwrap_or_default(),
        uid: metadata.uid.clone().unwrap_or_default(),
    };
    Identity {
        owner,
        org: spec.org.clone(),
        email,
        key_id,
    }
}

/// The document that the plan was made for.
fn readable(observed: &Observed) -> Result<Document, Error> {
    #[derive(Debug, thiserror::Error)]
    #[error("it is not there")]
    struct Missing;
    let document = observed.document().cloned();
    document.ok_or_else(|| Error::internal("read the verifier", &Missing))
}

/// Creates the verifier, or replaces exactly the version that was observed.
async fn write_verifier(
    ctx: &Context,
    observed: &mut Observed,
    document: Document,
) -> Result<(), Error> {
    let replaces = observed
        .verifier
        .as_ref()
        .map(|verifier| &verifier.metadata);
    let secret = Verifier::render(&document, &ctx.namespace, replaces)
        .map_err(|error| Error::internal("write the verifier", &error))?;
    let verifiers = ctx.secrets_in(&ctx.namespace);
    let params = post_params();
    let ticket = ctx.caches.verifiers.ticket();
    let name = secret.metadata.name.clone().unwrap_or_default();
    let stored = if replaces.is_some() {
        request(
            "update the verifier",
            verifiers.replace(&name, &params, &secret),
        )
        .await?
    } else {
        request("create the verifier", verifiers.create(&params, &secret)).await?
    };
    let verifier = Verifier {
        document: Ok(document),
        ..Verifier::read(stored)
    };
    ctx.caches.verifiers.record(ticket, verifier.clone());
    observed.verifier = Some(Arc::new(verifier));
    Ok(())
}

/// Makes the pending entry that the delivered Secret names the current one.
async fn promote(ctx: &Context, observed: &mut Observed) -> Result<(), Error> {
    let named = observed
        .own_delivered()
        .and_then(|secret| delivered::annotation(secret, names::ANNOTATION_VERIFIER));
    let document = readable(observed)?;
    if let Some(promoted) = document.promoted(named.unwrap_or_default(), ctx.clock.now()) {
        let cause = promoted.current.cause;
        write_verifier(ctx, observed, promoted).await?;
        ctx.metrics.rotation_ended(cause, true);
    }
    Ok(())
}

async fn deliver(
    ctx: &Context,
    observed: &mut Observed,
    minted: &Minted,
    replaces: Option<&ObjectMeta>,
) -> Result<(), Error> {
    #[derive(Debug, thiserror::Error)]
    #[error("what proves it may have been dropped since it was minted")]
    struct Late;
    let apikey = Arc::clone(&observed.apikey);
    let document = readable(observed)?;
    if ctx.clock.now().duration_since(minted.entry.created_at.0) > DELIVER_WITHIN {
        return Err(Error::internal("deliver the secret", &Late));
    }
    let sealed = seal(&apikey, &minted.secret)?;
    let organization_id = observed.organization.as_deref().map_or_else(
        || policy::default_organization_id(&apikey.spec.org),
        policy::organization_id,
    );
    let value = delivered::NewValue {
        secret: &minted.secret,
        sealed: sealed.as_deref(),
        revision: minted.entry.revision,
        verifier: &minted.entry.digest(),
        key_id: &document.key_id,
        organization_id,
        expires_at: document.expires_at.0,
    };
    let body = delivered::render(&apikey, &value, replaces);
    if replaces.is_some() {
        return apply(
            ctx,
            observed,
            "replace the Secret",
            names::FIELD_MANAGER,
            &body,
        )
        .await;
    }
    create(ctx, observed, &body).await
}

/// The secret for the recipients of the key, if it has any.
fn seal(apikey: &ApiKey, secret: &Secret) -> Result<Option<String>, Error> {
    let doing = "encrypt the secret";
    if apikey.recipients().is_empty() {
        return Ok(None);
    }
    let recipients =
        Recipients::parse(apikey.recipients()).map_err(|error| Error::internal(doing, &error))?;
    let sealed = recipients.seal(secret);
    sealed
        .map(Some)
        .map_err(|error| Error::internal(doing, &error))
}

/// Removes the delivered Secret, if it is still as observed.
async fn remove_delivered(ctx: &Context, observed: &mut Observed) -> Result<(), Error> {
    let Some(secret) = observed.own_delivered() else {
        return Ok(());
    };
    let params = DeleteParams {
        preconditions: Some(Preconditions {
            uid: secret.metadata.uid.clone(),
            resource_version: secret.metadata.resource_version.clone(),
        }),
        ..DeleteParams::default()
    };
    let doing = "remove the delivered Secret";
    let url = CoreSecret::url_path(&(), observed.apikey.metadata.namespace.as_deref());
    let mut delete = Request::new(url)
        .delete(observed.apikey.secret_name(), &params)
        .map_err(|error| Error::internal(doing, &error))?;
    delete.headers_mut().insert(ACCEPT, METADATA_ONLY);
    let removed = ctx.client.0.request_status::<Delivered>(delete);
    match request(doing, removed).await {
        Ok(_) => {}
        Err(error) if error.is_not_found() => {}
        Err(error) => return Err(error),
    }
    observed.delivered = None;
    Ok(())
}

/// Creates the delivered Secret; fails with a conflict if there is any of that name. Only metadata
/// comes back.
async fn create(ctx: &Context, observed: &mut Observed, body: &str) -> Result<(), Error> {
    let doing = "deliver the Secret";
    let namespace = observed.apikey.metadata.namespace.as_deref();
    let url = CoreSecret::url_path(&(), namespace);
    let mut post = Request::new(url)
        .create(&post_params(), body.as_bytes().to_vec())
        .map_err(|error| Error::internal(doing, &error))?;
    post.headers_mut().insert(ACCEPT, METADATA_ONLY);
    let ticket = ctx.caches.delivered.ticket();
    let stored = request(doing, ctx.client.0.request::<Delivered>(post)).await?;
    take_in(ctx, observed, ticket, stored);
    Ok(())
}

fn take_in(ctx: &Context, observed: &mut Observed, ticket: Ticket, mut stored: Delivered) {
    prune_delivered(&mut stored.metadata);
    ctx.caches.delivered.record(ticket, stored.clone());
    observed.delivered = Some(Arc::new(stored));
}

async fn apply_template(ctx: &Context, observed: &mut Observed) -> Result<(), Error> {
    let Some(secret) = observed.own_delivered() else {
        return Ok(());
    };
    let token_url = observed.settings.token_url.as_deref();
    let body = delivered::render_template(&observed.apikey, secret, token_url).to_string();
    let manager = names::TEMPLATE_FIELD_MANAGER;
    apply(
        ctx,
        observed,
        "apply the template to the Secret",
        manager,
        &body,
    )
    .await
}

/// Server-side apply on the delivered Secret. Only metadata comes back.
async fn apply(
    ctx: &Context,
    observed: &mut Observed,
    doing: &'static str,
    manager: &str,
    body: &str,
) -> Result<(), Error> {
    let apikey = Arc::clone(&observed.apikey);
    let secrets = ctx.secrets_in(apikey.metadata.namespace.as_deref().unwrap_or_default());
    // Force: the fields are ours, and somebody who edited one of them would block us for ever.
    let params = PatchParams::apply(manager).force();
    let document: &serde_json::value::RawValue =
        serde_json::from_str(body).map_err(|error| Error::internal("write the Secret", &error))?;
    let ticket = ctx.caches.delivered.ticket();
    let patch = Patch::Apply(document);
    let patched = secrets.patch_metadata(apikey.secret_name(), &params, &patch);
    let stored = request(doing, patched).await?;
    take_in(ctx, observed, ticket, stored);
    Ok(())
}

fn remember_replacement(ctx: &Context, observed: &mut Observed) {
    observed.replacements.push(observed.now);
    let excess = observed
        .replacements
        .len()
        .saturating_sub(super::plan::MAX_REPLACEMENTS);
    observed.replacements.drain(..excess);
    let key = KeyRef::of(&observed.apikey);
    ctx.replacements
        .lock()
        .insert(key, observed.replacements.clone());
}
