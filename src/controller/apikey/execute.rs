//! Takes the steps of a plan.
//!
//! Every write carries a precondition, so that a step taken on old news fails with a conflict
//! instead of doing harm. Secrets live here for the length of one run.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::delivered::Delivered;
use super::mint::{Minted, mint, mint_first, seal};
use super::model::{Action, Observed, Proof};
use super::writes::{
    adopt_delivered, apply, create, empty_delivered, json_patch, label_delivered, remove_delivered,
    write_record,
};
use super::{observe, render, rotation, status};
use crate::controller::context::Context;
use apikey_api::{ApiKey, names};
use apikey_client::error::{Class, Error};
use apikey_credential::KeyId;
use apikey_credential::record::{
    Cause, CredentialRecord, Entry, FIRST_REVISION, Identity, Owner, Pending,
};

/// How long a further secret waits between being proven and being delivered, so that every token server
/// has learned of it before the first consumer can read it. Their watches are 10 to 30 ms behind.
const PROPAGATION: Duration = Duration::from_millis(500);
/// Longest time from minting a secret to delivering it: half of that after which another process may
/// drop what proves it.
pub const DELIVER_WITHIN: SignedDuration = SignedDuration::from_mins(5);
/// Most attempts to replace a Secret that somebody else writes to all the time.
const DELIVER_ATTEMPTS: usize = 6;
/// What makes a delivered Secret one that holds nothing that anybody proved.
const ALTERED: &str = "an admission policy changes what is written to it: exempt Secrets of the operator from \
                       that policy";
/// What holds up a change beside the value.
const UNCHANGEABLE: &str =
    "it can't be changed, as with `immutable`: delete it, and another takes its place";
/// What holds up a new Secret in the place of one that has to go.
const KEPT: &str =
    "it has to be made anew, and a finalizer of somebody keeps it from being removed";

/// Takes the steps in order and keeps `observed` true. Stops at the first failure.
///
/// # Errors
/// The step that failed; what was done before it stays done and is in `observed`.
pub async fn execute(
    ctx: &Context,
    observed: &mut Observed,
    actions: &[Action],
) -> Result<(), Error> {
    for action in actions {
        match action {
            Action::Confirm => observe::confirm(ctx, observed).await?,
            Action::Issue { proof, replaces } => {
                issue(ctx, observed, proof, replaces.as_deref()).await?;
            }
            Action::LabelRecord => {
                let document = readable(observed)?;
                write_record(ctx, observed, &document).await?;
            }
            Action::Promote => promote(ctx, observed).await?,
            Action::DropPending => {
                let document = readable(observed)?.without_old_pending(observed.now);
                write_record(ctx, observed, &document).await?;
            }
            Action::DiscardPrevious => {
                let document = readable(observed)?.without_previous();
                write_record(ctx, observed, &document).await?;
            }
            Action::EndCurrent => {
                let document = rotation::ending(&readable(observed)?, observed.now);
                write_record(ctx, observed, &document).await?;
            }
            Action::RecordClaim(claim) => {
                let mut document = readable(observed)?;
                document.claim = claim.clone();
                write_record(ctx, observed, &document).await?;
            }
            Action::RemoveDelivered => remove_delivered(ctx, observed).await?,
            Action::EmptyDelivered => empty_delivered(ctx, observed).await?,
            Action::LabelDelivered => label_delivered(ctx, observed).await?,
            Action::ApplyTemplate => apply_template(ctx, observed).await?,
            Action::AdoptDelivered => adopt_delivered(ctx, observed).await?,
        }
    }
    Ok(())
}

/// Mints a secret, proves it and delivers it. A secret whose delivery is refused is forgotten.
async fn issue(
    ctx: &Context,
    observed: &mut Observed,
    proof: &Proof,
    replaces: Option<&Delivered>,
) -> Result<(), Error> {
    let minted = prove(ctx, observed, proof).await?;
    let delivered = deliver(ctx, observed, &minted, replaces).await;
    let delivered = delivered.and_then(|()| check_delivered(observed, &minted));
    if delivered.as_ref().is_err_and(Error::is_refusal) {
        forget(ctx, observed, &minted).await;
    }
    delivered
}

/// Mints a secret and stores what proves it, so that every token server accepts it from now on.
async fn prove(ctx: &Context, observed: &mut Observed, proof: &Proof) -> Result<Minted, Error> {
    let request = rotation::request(&observed.apikey);
    match proof {
        Proof::First { expires_at } => {
            let minted = mint_first(ctx).await?;
            let identity = identity(observed, minted.secret.key_id().clone());
            let mut record = CredentialRecord::new(identity, *expires_at, minted.entry.clone());
            record.remember(request);
            write_record(ctx, observed, &record).await?;
            Ok(minted)
        }
        Proof::FirstAgain => {
            let record = readable(observed)?;
            let minted = mint(ctx, &record.key_id, FIRST_REVISION, Cause::First).await?;
            let mut record = record.beginning_again(minted.entry.clone());
            record.remember(request);
            write_record(ctx, observed, &record).await?;
            Ok(minted)
        }
        Proof::Pending(next) => {
            let record = readable(observed)?;
            let minted = mint(ctx, &record.key_id, next.revision, next.cause).await?;
            let pending = Pending {
                entry: minted.entry.clone(),
                overlap_seconds: next.overlap_seconds,
                request: next.request.clone(),
            };
            write_record(ctx, observed, &record.with_pending(pending)).await?;
            tokio::time::sleep_until(Instant::now() + PROPAGATION).await;
            Ok(minted)
        }
    }
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
fn readable(observed: &Observed) -> Result<CredentialRecord, Error> {
    #[derive(Debug, thiserror::Error)]
    #[error("it is not there")]
    struct Missing;
    let document = observed.document().cloned();
    document.ok_or_else(|| Error::internal("read the verifier", &Missing))
}

/// Makes the pending entry that the delivered Secret names the current one.
async fn promote(ctx: &Context, observed: &mut Observed) -> Result<(), Error> {
    let named = observed.named();
    let document = readable(observed)?;
    if let Some(promoted) = document.promoted(named.unwrap_or_default(), ctx.clock.now()) {
        write_record(ctx, observed, &promoted).await?;
        let Entry {
            cause, created_at, ..
        } = promoted.current;
        ctx.metrics.rotation_ended(cause, true);
        if cause == Cause::Replacement {
            remember_replacement(ctx, observed, created_at.0);
        }
    }
    Ok(())
}

/// What of a Secret must be as observed when its value is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    /// Its version: nobody wrote anything.
    Version,
    /// Its value, and whose it is.
    Value,
}

/// Delivers the secret. Whatever else is written to the Secret meanwhile holds it up for a moment only.
async fn deliver(
    ctx: &Context,
    observed: &mut Observed,
    minted: &Minted,
    replaces: Option<&Delivered>,
) -> Result<(), Error> {
    let mut replaces = replaces.cloned();
    let mut expected = Expected::Version;
    for _ in 1..DELIVER_ATTEMPTS {
        let delivered = deliver_once(ctx, observed, minted, replaces.as_ref(), expected).await;
        match (delivered, replaces) {
            (Err(error), Some(before)) if is_race(&error, expected) => {
                observe::confirm_delivered(ctx, observed).await?;
                let now = observed.own_delivered().cloned();
                replaces = now.filter(|now| now.holds_like(&before));
                if replaces.is_none() {
                    return Err(error);
                }
                expected = match expected {
                    Expected::Version => Expected::Value,
                    Expected::Value => Expected::Version,
                };
            }
            (delivered, _) => return delivered,
        }
    }
    deliver_once(ctx, observed, minted, replaces.as_ref(), Expected::Version).await
}

/// Whether the Secret was not as expected. What a JSON Patch expects in vain is answered as what a policy
/// refuses; an apply tells which.
fn is_race(error: &Error, expected: Expected) -> bool {
    match error.class() {
        Class::Conflict => true,
        Class::Rejected => expected == Expected::Value,
        Class::Transient | Class::Throttled(_) | Class::Forbidden | Class::Bug => false,
    }
}

/// Whether the Secret is as it was written, by the answer of the API server.
fn check_delivered(observed: &Observed, minted: &Minted) -> Result<(), Error> {
    if observed.named() == Some(&minted.entry.digest()) {
        return Ok(());
    }
    Err(Error::held_up("deliver the secret", ALTERED))
}

/// Forgets what proves a secret that was certainly not delivered, so that attempts that are refused neither
/// crowd out others nor count. Failing that it goes by age.
async fn forget(ctx: &Context, observed: &mut Observed, minted: &Minted) {
    let known = observed.document();
    let Some(document) = known.and_then(|known| known.without_undelivered(&minted.entry)) else {
        return;
    };
    if let Err(error) = write_record(ctx, observed, &document).await {
        tracing::debug!(%error, "What proves an undelivered secret stays for now");
    }
}

async fn deliver_once(
    ctx: &Context,
    observed: &mut Observed,
    minted: &Minted,
    replaces: Option<&Delivered>,
    expected: Expected,
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
        || apikey_policy::default_organization_id(&apikey.spec.org),
        apikey_policy::organization_id,
    );
    let value = render::NewValue {
        secret: &minted.secret,
        sealed: sealed.as_deref(),
        revision: minted.entry.revision,
        entry_digest: &minted.entry.digest(),
        key_id: &document.key_id,
        organization_id,
        expires_at: document.expires_at.0,
    };
    let doing = "replace the Secret";
    if let Some(before) = replaces {
        if !before.written.is_overlaid() {
            let applied = match expected {
                Expected::Version => {
                    let body = render::value(&apikey, &value, replaces);
                    apply(ctx, observed, doing, names::FIELD_MANAGER, &body).await
                }
                Expected::Value => {
                    let operations = render::value_patch(&apikey, &value, before);
                    json_patch(ctx, observed, doing, operations).await
                }
            };
            // Such as `immutable`: what stands there can't become what is wanted.
            if !applied.as_ref().is_err_and(Error::is_invalid_object) {
                return applied;
            }
        }
        remove_delivered(ctx, observed).await?;
        if observed.delivered.is_some() {
            return Err(Error::held_up(doing, KEPT));
        }
    }
    let body = render::value(&apikey, &value, None);
    create(ctx, observed, &body).await
}

async fn apply_template(ctx: &Context, observed: &mut Observed) -> Result<(), Error> {
    let Some(secret) = observed.own_delivered() else {
        return Ok(());
    };
    let token_url = observed.settings.token_url.as_deref();
    let body = render::template(&observed.apikey, secret, token_url).to_string();
    let doing = "apply the template to the Secret";
    let manager = names::TEMPLATE_FIELD_MANAGER;
    let applied = apply(ctx, observed, doing, manager, &body).await;
    if applied.as_ref().is_err_and(Error::is_invalid_object) {
        return Err(Error::held_up(doing, UNCHANGEABLE));
    }
    applied?;
    observed.template_applied = true;
    Ok(())
}

/// Counts a secret that was delivered in the place of one that was removed.
fn remember_replacement(ctx: &Context, observed: &mut Observed, minted_at: Timestamp) {
    observed.replacements.push(minted_at);
    let excess = observed
        .replacements
        .len()
        .saturating_sub(rotation::MAX_REPLACEMENTS);
    observed.replacements.drain(..excess);
    let apikey = &observed.apikey;
    let uid = apikey.metadata.uid.as_deref().unwrap_or_default();
    let replacements = observed.replacements.clone();
    ctx.replacements
        .set(uid, replacements, || ctx.knows(apikey));
}
