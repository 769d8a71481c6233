//! Executes the steps of a plan.
//!
//! Every write has a precondition. A step that is based on old state fails with a conflict and does
//! no harm. A secret stays in memory only during one reconcile.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::mint::{Minted, Minter, seal};
use super::model::{Action, Observed, Proof};
use super::writes::Writer;
use super::{observe, render, rotation};
use crate::controller::cluster::Cluster;
use crate::controller::delivered::Delivered;
use crate::controller::remembered::Remembered;
use crate::controller::store::Store;
use crate::metrics::Metrics;
use apikey_api::{ApiKey, names};
use apikey_client::clock::Clock;
use apikey_client::error::{Class, Error};
use apikey_credential::KeyId;
use apikey_credential::record::{
    Cause, CredentialRecord, Entry, FIRST_REVISION, Identity, Owner, Pending,
};

/// Wait between the write of the entry of a further secret and its delivery, so that every token
/// server accepts the secret before a consumer can read it. The watches of token servers lag by 10
/// to 30 ms.
const PROPAGATION: Duration = Duration::from_millis(500);
/// Longest time from minting a secret to delivering it. It is half of the time after which another
/// process may remove the entry of the secret.
pub const DELIVER_WITHIN: SignedDuration = SignedDuration::from_mins(5);
/// Maximum number of attempts to replace a Secret that somebody else writes to constantly.
const DELIVER_ATTEMPTS: usize = 6;
/// The failure if the delivered Secret does not hold what was written.
const ALTERED: &str = "an admission policy changes the Secret: exempt Secrets of the operator from that \
                       policy";
/// The failure if the template can't be applied to the Secret.
const UNCHANGEABLE: &str = "the Secret can't be changed (it is `immutable`, for example): delete it, \
                            and the operator creates another one";
/// The failure if a Secret must be created anew and the old one can't be removed.
const KEPT: &str =
    "the Secret must be created anew, and a finalizer prevents its removal: remove the finalizer";

/// Executes the steps of a plan.
#[derive(Debug)]
pub(crate) struct Executor {
    /// The API server, for reads.
    pub(crate) cluster: Cluster,
    /// What the API server has.
    pub(crate) store: Arc<Store>,
    /// Sends the writes.
    pub(crate) writer: Writer,
    /// Makes secrets.
    pub(crate) minter: Minter,
    /// Times of recent secret replacements, per key.
    pub(crate) replacements: Arc<Remembered<Vec<Timestamp>>>,
    /// The time.
    pub(crate) clock: Clock,
    /// Counts rotations.
    pub(crate) metrics: Metrics,
}

impl Executor {
    /// Executes the steps in order and keeps `observed` up to date. Stops at the first failure.
    ///
    /// # Errors
    /// A step failed. The steps before it remain done and are in `observed`.
    pub(super) async fn execute(
        &self,
        observed: &mut Observed,
        actions: &[Action],
    ) -> Result<(), Error> {
        for action in actions {
            match action {
                Action::Confirm => observe::confirm(&self.cluster, observed).await?,
                Action::Issue { proof, replaces } => {
                    self.issue(observed, proof, replaces.as_deref()).await?;
                }
                Action::LabelRecord => {
                    let document = readable(observed)?;
                    self.writer.write_record(observed, &document).await?;
                }
                Action::Promote => self.promote(observed).await?,
                Action::DropPending => {
                    let document = readable(observed)?.without_old_pending(observed.now);
                    self.writer.write_record(observed, &document).await?;
                }
                Action::DiscardPrevious => {
                    let document = readable(observed)?.without_previous();
                    self.writer.write_record(observed, &document).await?;
                }
                Action::EndCurrent => {
                    let document = rotation::ending(&readable(observed)?, observed.now);
                    self.writer.write_record(observed, &document).await?;
                }
                Action::RecordClaim(claim) => {
                    let mut document = readable(observed)?;
                    document.claim = claim.clone();
                    self.writer.write_record(observed, &document).await?;
                }
                Action::RemoveDelivered => self.writer.remove_delivered(observed).await?,
                Action::EmptyDelivered => self.writer.empty_delivered(observed).await?,
                Action::LabelDelivered => self.writer.label_delivered(observed).await?,
                Action::ApplyTemplate => self.apply_template(observed).await?,
                Action::AdoptDelivered => self.writer.adopt_delivered(observed).await?,
            }
        }
        Ok(())
    }

    /// Mints a secret, stores its entry and delivers it. Removes the entry if the delivery is
    /// refused.
    async fn issue(
        &self,
        observed: &mut Observed,
        proof: &Proof,
        replaces: Option<&Delivered>,
    ) -> Result<(), Error> {
        let minted = self.prove(observed, proof).await?;
        let delivered = self.deliver(observed, &minted, replaces).await;
        let delivered = delivered.and_then(|()| check_delivered(observed, &minted));
        if delivered.as_ref().is_err_and(Error::is_refusal) {
            self.forget(observed, &minted).await;
        }
        delivered
    }

    /// Mints a secret and stores its entry in the credential record, so that every token server
    /// accepts it.
    async fn prove(&self, observed: &mut Observed, proof: &Proof) -> Result<Minted, Error> {
        let request = rotation::request(&observed.apikey);
        match proof {
            Proof::First { expires_at } => {
                let minted = self.minter.mint_first().await?;
                let identity = identity(observed, minted.secret.key_id().clone());
                let mut record = CredentialRecord::new(identity, *expires_at, minted.entry.clone());
                record.remember(request);
                self.writer.write_record(observed, &record).await?;
                Ok(minted)
            }
            Proof::FirstAgain => {
                let record = readable(observed)?;
                let minted = self
                    .minter
                    .mint(&record.key_id, FIRST_REVISION, Cause::First)
                    .await?;
                let mut record = record.beginning_again(minted.entry.clone());
                record.remember(request);
                self.writer.write_record(observed, &record).await?;
                Ok(minted)
            }
            Proof::Pending(next) => {
                let record = readable(observed)?;
                let minted = self
                    .minter
                    .mint(&record.key_id, next.revision, next.cause)
                    .await?;
                let pending = Pending {
                    entry: minted.entry.clone(),
                    overlap_seconds: next.overlap_seconds,
                    request: next.request.clone(),
                };
                self.writer
                    .write_record(observed, &record.with_pending(pending))
                    .await?;
                tokio::time::sleep_until(Instant::now() + PROPAGATION).await;
                Ok(minted)
            }
        }
    }

    /// Promotes the pending entry that the delivered Secret names.
    async fn promote(&self, observed: &mut Observed) -> Result<(), Error> {
        let named = observed.named();
        let document = readable(observed)?;
        if let Some(promoted) = document.promoted(named.unwrap_or_default(), self.clock.now()) {
            self.writer.write_record(observed, &promoted).await?;
            let Entry {
                cause, created_at, ..
            } = promoted.current;
            self.metrics.rotation_ended(cause, true);
            if cause == Cause::Replacement {
                self.remember_replacement(observed, created_at.0);
            }
        }
        Ok(())
    }

    /// Delivers the secret. Tries again if somebody else writes to the Secret at the same time.
    async fn deliver(
        &self,
        observed: &mut Observed,
        minted: &Minted,
        replaces: Option<&Delivered>,
    ) -> Result<(), Error> {
        let mut replaces = replaces.cloned();
        let mut expected = Expected::Version;
        for _ in 1..DELIVER_ATTEMPTS {
            let delivered = self
                .deliver_once(observed, minted, replaces.as_ref(), expected)
                .await;
            match (delivered, replaces) {
                (Err(error), Some(before)) if is_race(&error, expected) => {
                    observe::confirm_delivered(&self.cluster, observed).await?;
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
        self.deliver_once(observed, minted, replaces.as_ref(), Expected::Version)
            .await
    }

    /// Removes the entry of a secret that was certainly not delivered, so that refused attempts do
    /// not count as pending secrets. If that fails, the entry is removed later because of its age.
    async fn forget(&self, observed: &mut Observed, minted: &Minted) {
        let known = observed.document();
        let Some(document) = known.and_then(|known| known.without_undelivered(&minted.entry))
        else {
            return;
        };
        if let Err(error) = self.writer.write_record(observed, &document).await {
            tracing::debug!(%error, "The entry of an undelivered secret is not removed yet");
        }
    }

    async fn deliver_once(
        &self,
        observed: &mut Observed,
        minted: &Minted,
        replaces: Option<&Delivered>,
        expected: Expected,
    ) -> Result<(), Error> {
        #[derive(Debug, thiserror::Error)]
        #[error("its entry in the credential record may have been removed since it was minted")]
        struct Late;
        let apikey = Arc::clone(&observed.apikey);
        let document = readable(observed)?;
        if self.clock.now().duration_since(minted.entry.created_at.0) > DELIVER_WITHIN {
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
                        self.writer
                            .apply(observed, doing, names::FIELD_MANAGER, &body)
                            .await
                    }
                    Expected::Value => {
                        let operations = render::value_patch(&apikey, &value, before);
                        self.writer.json_patch(observed, doing, operations).await
                    }
                };
                // The Secret can't be changed to what is wanted, for example because it is
                // `immutable`.
                if !applied.as_ref().is_err_and(Error::is_invalid_object) {
                    return applied;
                }
            }
            self.writer.remove_delivered(observed).await?;
            if observed.delivered.is_some() {
                return Err(Error::held_up(doing, KEPT));
            }
        }
        let body = render::value(&apikey, &value, None);
        self.writer.create(observed, &body).await
    }

    async fn apply_template(&self, observed: &mut Observed) -> Result<(), Error> {
        let Some(secret) = observed.own_delivered() else {
            return Ok(());
        };
        let token_url = observed.settings.token_url.as_deref();
        let body = render::template(&observed.apikey, secret, token_url).to_string();
        let doing = "apply the template to the Secret";
        let manager = names::TEMPLATE_FIELD_MANAGER;
        let applied = self.writer.apply(observed, doing, manager, &body).await;
        if applied.as_ref().is_err_and(Error::is_invalid_object) {
            return Err(Error::held_up(doing, UNCHANGEABLE));
        }
        applied?;
        observed.template_applied = true;
        Ok(())
    }

    /// Counts a secret that replaced a removed one.
    fn remember_replacement(&self, observed: &mut Observed, minted_at: Timestamp) {
        observed.replacements.push(minted_at);
        let excess = observed
            .replacements
            .len()
            .saturating_sub(rotation::MAX_REPLACEMENTS);
        observed.replacements.drain(..excess);
        let apikey = &observed.apikey;
        let uid = apikey.metadata.uid.as_deref().unwrap_or_default();
        let replacements = observed.replacements.clone();
        self.replacements
            .set(uid, replacements, || self.store.knows(apikey));
    }
}

fn identity(observed: &Observed, key_id: KeyId) -> Identity {
    let ApiKey { metadata, spec, .. } = &*observed.apikey;
    let login_name = observed.apikey.login_name();
    let email_domain = &observed.settings.email_domain;
    let email = email(login_name, &key_id, &spec.org, email_domain);
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

/// E-mail address of a key: `<name>.<first 8 of the key id>@<org>.<domain>`.
fn email(name: &str, key_id: &KeyId, org: &str, domain: &str) -> String {
    format!("{name}.{}@{org}.{domain}", key_id.short()).to_lowercase()
}

/// The document that the plan is based on.
fn readable(observed: &Observed) -> Result<CredentialRecord, Error> {
    #[derive(Debug, thiserror::Error)]
    #[error("it does not exist")]
    struct Missing;
    let document = observed.document().cloned();
    document.ok_or_else(|| Error::internal("read the credential record", &Missing))
}

/// What must be as observed in a Secret when its value is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    /// Its version, which shows that nobody wrote anything.
    Version,
    /// Its value and its owner.
    Value,
}

/// Whether the Secret was not as expected. For a failed `test` of a JSON Patch, the API server
/// returns the same error as for a refusal by a policy. For a failed precondition of an apply, it
/// returns a conflict.
fn is_race(error: &Error, expected: Expected) -> bool {
    match error.class() {
        Class::Conflict => true,
        Class::Rejected => expected == Expected::Value,
        Class::Transient | Class::Throttled(_) | Class::Forbidden | Class::Bug => false,
    }
}

/// Checks that the API server stored the Secret as it was written.
fn check_delivered(observed: &Observed, minted: &Minted) -> Result<(), Error> {
    if observed.named() == Some(&minted.entry.digest()) {
        return Ok(());
    }
    Err(Error::held_up("deliver the secret", ALTERED))
}
