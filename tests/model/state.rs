//! What there is: objects of the API server, two controllers with caches of their own, a clock.
//!
//! An object has no version here. A precondition holds if the object is as it was observed: had it
//! been changed and changed back, the write is the same as one that observed it later.

use apikey_api::ApiKeyStatus;
use apikey_credential::record::{Cause, CredentialRecord, Entry};
use apikey_operator::controller::apikey::model::Action;

use super::interned::Interned;
use super::record::digest;
use super::world::{Seconds, SecretNumber, Uid, World};

/// The fields in which the `ApiKey`s of a world differ.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    pub(crate) uid: Uid,
    /// The number of the requested rotation; 0: none.
    pub(crate) asked: u8,
    /// The revision that a user wants to discard.
    pub(crate) discarded: Option<i64>,
    pub(crate) status: Option<Interned<ApiKeyStatus>>,
}

impl Key {
    /// A new key.
    pub(crate) fn new(uid: Uid) -> Self {
        Self {
            uid,
            asked: 0,
            discarded: None,
            status: None,
        }
    }
}

/// A delivered Secret.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Delivered {
    pub(crate) owner: Uid,
    pub(crate) secret: SecretNumber,
    /// Whether a user removed its owner reference.
    pub(crate) is_taken: bool,
    pub(crate) revealed_at: Option<Seconds>,
}

/// The objects of the API server, or of a controller's cache.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Objects {
    pub(crate) key: Option<Key>,
    /// By uid.
    pub(crate) records: [Option<Interned<CredentialRecord>>; 2],
    pub(crate) delivered: Option<Delivered>,
    /// Whether the organization refuses the namespace of the key.
    pub(crate) refuses: bool,
}

impl Objects {
    pub(crate) fn record(&self, uid: Uid) -> Option<Interned<CredentialRecord>> {
        self.records[usize::from(uid) - 1]
    }

    pub(crate) fn record_mut(&mut self, uid: Uid) -> &mut Option<Interned<CredentialRecord>> {
        &mut self.records[usize::from(uid) - 1]
    }

    /// Whether the `ApiKey` of this uid exists.
    pub(crate) fn has_key(&self, uid: Uid) -> bool {
        self.key.as_ref().is_some_and(|key| key.uid == uid)
    }

    /// Acts as the garbage collector of Kubernetes.
    pub(crate) fn collect_garbage(&mut self) {
        let delivered = self.delivered.as_ref();
        let owner = delivered.filter(|d| !d.is_taken).map(|d| d.owner);
        if owner.is_some_and(|owner| !self.has_key(owner)) {
            self.delivered = None;
        }
    }
}

/// The observations of a run of the controller.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct View {
    pub(crate) key: Key,
    pub(crate) record: Option<Interned<CredentialRecord>>,
    pub(crate) delivered: Option<Delivered>,
    /// Whether the organization refuses the key.
    pub(crate) refused: bool,
    pub(crate) confirmed: bool,
    pub(crate) deleted: bool,
    pub(crate) replacements: Vec<Seconds>,
    pub(crate) now: Seconds,
}

/// A decision of `plan`.
#[derive(Debug)]
pub(crate) struct Decision {
    pub(crate) actions: Vec<Action>,
    pub(crate) status: Interned<ApiKeyStatus>,
    pub(crate) next: Seconds,
}

/// The next request of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Next {
    ReadRecord,
    ReadDelivered,
    ReadKey,
    /// The action of the decision with this number, from 0.
    Act(Interned<Decision>, u8),
    /// Deliver the secret that this action minted.
    Deliver(Interned<Decision>, u8),
    /// Drop the entry of the secret whose delivery met a conflict.
    Forget,
    WriteStatus(Interned<ApiKeyStatus>),
}

/// A running reconcile.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Run {
    pub(crate) view: View,
    pub(crate) next: Next,
    /// The secret that this run minted, and when.
    pub(crate) minted: Option<(SecretNumber, Seconds)>,
    pub(crate) rounds: u8,
}

/// One controller process.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Controller {
    pub(crate) cache: Objects,
    pub(crate) replacements: Vec<Seconds>,
    pub(crate) run: Option<Run>,
}

/// The past, for promises that depend on it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct History {
    /// The number of keys that have had the name.
    pub(crate) keys: Uid,
    /// The key of each secret, in the order of minting.
    pub(crate) minted_for: Vec<Uid>,
    /// Key, revision and secret of each delivery.
    pub(crate) deliveries: Vec<(Uid, i64, SecretNumber)>,
    /// The last secret that a rotation replaced, and the end of its overlap.
    pub(crate) replaced: Option<(SecretNumber, Seconds)>,
    /// The number of secrets at the last request for a rotation without an overlap. These secrets end.
    pub(crate) ending: SecretNumber,
    /// The key whose secret was claimed and not requested again.
    pub(crate) claimed: Option<Uid>,
}

impl History {
    /// Records the delivery of a secret that this document proves. It replaces the secret `earlier`.
    pub(crate) fn delivered(
        &mut self,
        world: &World,
        now: Seconds,
        uid: Uid,
        secret: SecretNumber,
        earlier: Option<SecretNumber>,
        document: &CredentialRecord,
    ) {
        let named = digest(secret);
        let pending = document.pending(&named);
        let entry = pending.map_or(&document.current, |pending| &pending.entry);
        let is_rotation = matches!(entry.cause, Cause::Request | Cause::Schedule);
        self.replaced = pending
            .filter(|pending| is_rotation && pending.overlap_seconds > 0)
            .and_then(|pending| {
                // Without a Secret, this is the secret of the last recorded delivery.
                let current = document.current.digest();
                let of_key = self.deliveries.iter().map(|(_, _, secret)| *secret);
                let replaced = earlier.or_else(|| of_key.rev().find(|n| digest(*n) == current))?;
                let until = now + pending.overlap_seconds;
                Some((replaced, until.min(world.expiry())))
            });
        if pending.is_some_and(|pending| pending.request.is_some()) {
            self.claimed = None;
        }
        self.deliveries.push((uid, entry.revision, secret));
    }
}

/// The whole state.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    /// The index of the current moment.
    pub(crate) moment: usize,
    pub(crate) objects: Objects,
    /// Sorted, because the controllers are interchangeable.
    pub(crate) controllers: [Controller; 2],
    pub(crate) history: History,
    /// The number of edits that users can still make.
    pub(crate) edits: u8,
    /// The number of faults that can still happen.
    pub(crate) faults: u8,
}

impl State {
    /// The state in one line.
    pub(crate) fn summary(&self) -> String {
        let secrets = |document: &CredentialRecord| {
            let entry = |entry: &Entry| format!("{} ({})", entry.revision, entry.hash);
            let pending = document.pending.iter().map(|pending| entry(&pending.entry));
            format!(
                "current {}, previous {:?}, pending {:?}, {:?}",
                entry(&document.current),
                document.previous.as_ref().map(entry),
                pending.collect::<Vec<_>>(),
                document.claim,
            )
        };
        format!(
            "moment {}: {:?}, {:?}, {:?}",
            self.moment,
            self.objects.key,
            self.objects.delivered,
            self.objects
                .records
                .map(|record| record.as_deref().map(secrets)),
        )
    }
}
