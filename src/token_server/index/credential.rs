//! One key, in the two forms that the index holds: as declared, and as published to requests.

use std::fmt;
use std::sync::{Arc, OnceLock};

use k8s_openapi::jiff::Timestamp;

use apikey_api::KeyRef;
use apikey_api::{ApiKey, SubOrganization, TokenSpec};
use apikey_credential::KeyId;
use apikey_credential::record::{CredentialRecord, Entry};
use apikey_policy::{Assessment, Grant, Subject, Verdict};

/// The fields of an `ApiKey` that decisions need.
#[derive(Clone, Debug, PartialEq)]
pub struct Key {
    pub(super) uid: Arc<str>,
    pub(super) org: Arc<str>,
    pub(super) sub_orgs: Box<[SubOrganization]>,
    /// `status.lastUsedAt`.
    pub(super) last_used_at: Option<Timestamp>,
    login_name: Arc<str>,
    created: Option<Timestamp>,
    roles: Box<[String]>,
    expiry: Option<Box<str>>,
    token: Option<Box<TokenSpec>>,
    suspended: bool,
    deleting: bool,
}

impl Key {
    pub(super) fn of(apikey: &ApiKey) -> Self {
        let (meta, spec) = (&apikey.metadata, &apikey.spec);
        let status = apikey.status.as_ref();
        Self {
            uid: meta.uid.as_deref().unwrap_or_default().into(),
            org: spec.org.as_str().into(),
            sub_orgs: spec.sub_orgs.clone().into(),
            last_used_at: status.and_then(|status| Some(status.last_used_at.as_ref()?.0)),
            login_name: apikey.login_name().into(),
            created: meta.creation_timestamp.as_ref().map(|time| time.0),
            roles: spec.roles.clone().into(),
            expiry: spec.expiry.as_deref().map(Into::into),
            token: spec.token.clone().map(Box::new),
            suspended: spec.suspended,
            deleting: meta.deletion_timestamp.is_some(),
        }
    }

    /// Whether every decision about the other key is the same.
    pub(super) fn decides_like(&self, other: &Self) -> bool {
        let last_used_at = self.last_used_at;
        *self
            == Self {
                last_used_at,
                ..other.clone()
            }
    }

    pub(super) fn subject<'a>(&'a self, namespace: &'a str) -> Subject<'a> {
        Subject {
            namespace,
            created: self.created,
            org: &self.org,
            roles: &self.roles,
            sub_orgs: &self.sub_orgs,
            expiry: self.expiry.as_deref(),
            token: self.token.as_deref(),
        }
    }
}

/// The content of a credential record.
#[derive(Debug)]
pub struct Evidence {
    /// Public id of the key.
    pub key_id: KeyId,
    /// When the id was created, if that is known.
    pub key_id_since: Option<Timestamp>,
    /// E-mail address that represents the key.
    pub email: Box<str>,
    /// The key is refused from this time, which is fixed when the first secret is minted.
    pub expires_at: Timestamp,
    /// The proofs of its secrets: current, previous, pending.
    pub proofs: Box<[Proof]>,
}

/// One key as requests see it. It is immutable: a change of the key creates a new one.
#[derive(Debug)]
pub struct Credential {
    /// Namespace and name of the `ApiKey`.
    pub key: KeyRef,
    /// uid of the `ApiKey`.
    pub uid: Arc<str>,
    /// Login name.
    pub login_name: Arc<str>,
    /// Organization of the key.
    pub org: Arc<str>,
    /// The parent of its organization, or the organization itself if it has no parent.
    pub root_org: Arc<str>,
    /// The key is refused from this time.
    pub expires_at: Timestamp,
    /// Whether the key may be used until then.
    pub standing: Standing,
    /// The proofs of its secrets. They are shared by successive versions of the key, and so are the
    /// results of argon2id.
    pub evidence: Arc<Evidence>,
}

/// Whether a key may be used.
#[derive(Clone, Debug, PartialEq)]
pub enum Standing {
    /// It may be used.
    Usable {
        /// The organizations it may act in, its own first, with the roles in each.
        grants: Box<[Grant]>,
        /// Audiences of its tokens; empty: those of the server.
        audiences: Box<[String]>,
    },
    /// `spec.suspended` is set.
    Suspended,
    /// It is being deleted.
    Deleted,
    /// The rules do not allow it.
    NotAllowed,
}

/// The proof of one secret. `Debug` shows only its number.
pub struct Proof {
    /// Number of the secret.
    pub revision: i64,
    /// When the secret was minted.
    pub minted_at: Timestamp,
    /// Id of the pepper that made the fingerprint.
    pub pepper_id: Box<str>,
    /// The fingerprint, if it can be read.
    pub fingerprint: Option<[u8; 32]>,
    /// argon2id hash in PHC format.
    pub hash: Arc<str>,
    /// On a replaced secret: the time from which it is refused.
    pub valid_until: Option<Timestamp>,
    /// Tag of the secret that argon2id accepted; see [`crate::token_server::check_secret`].
    pub proven: OnceLock<[u8; 32]>,
}

impl Credential {
    pub(super) fn new(
        reference: &KeyRef,
        key: &Key,
        evidence: &Arc<Evidence>,
        parent_org: Option<&str>,
        assessment: Assessment,
    ) -> Self {
        let standing = match assessment.verdict {
            _ if key.deleting => Standing::Deleted,
            _ if key.suspended => Standing::Suspended,
            Verdict::Allowed => Standing::Usable {
                grants: assessment.grants.into(),
                audiences: assessment.audiences.into(),
            },
            Verdict::Waiting(_) | Verdict::Refused(_) => Standing::NotAllowed,
        };
        let fixed = evidence.expires_at;
        Self {
            key: reference.clone(),
            uid: Arc::clone(&key.uid),
            login_name: Arc::clone(&key.login_name),
            org: Arc::clone(&key.org),
            root_org: parent_org.map_or_else(|| Arc::clone(&key.org), Into::into),
            expires_at: assessment.expires_at.map_or(fixed, |at| at.min(fixed)),
            standing,
            evidence: Arc::clone(evidence),
        }
    }

    /// Public id.
    #[must_use]
    pub fn key_id(&self) -> &KeyId {
        &self.evidence.key_id
    }

    /// E-mail address that represents the key.
    #[must_use]
    pub fn email(&self) -> &str {
        &self.evidence.email
    }

    /// Audiences that the key names for its tokens and may have; empty: those of the server.
    #[must_use]
    pub fn audiences(&self) -> &[String] {
        match &self.standing {
            Standing::Usable { audiences, .. } => audiences,
            Standing::Suspended | Standing::Deleted | Standing::NotAllowed => &[],
        }
    }

    /// Time from which this secret is refused: the expiry of the key, or the end of the overlap.
    #[must_use]
    pub fn end_of(&self, proof: &Proof) -> Timestamp {
        let end = proof.valid_until.unwrap_or(self.expires_at);
        end.min(self.expires_at)
    }

    /// The secrets of the key that are accepted at this time.
    pub fn accepted(&self, now: Timestamp) -> impl Iterator<Item = &Proof> {
        let proofs = self.evidence.proofs.iter();
        proofs.filter(move |proof| now < self.end_of(proof))
    }

    /// Whether both keys belong to the same root organization, directly or through
    /// sub-organizations.
    #[must_use]
    pub fn shares_root_org_with(&self, other: &Self) -> bool {
        self.root_org == other.root_org
    }
}

impl Evidence {
    pub(super) fn of(document: &CredentialRecord) -> Self {
        let pending = document.pending.iter().map(|pending| &pending.entry);
        let delivered = [Some(&document.current), document.previous.as_ref()];
        let entries = delivered.into_iter().flatten().chain(pending);
        Self {
            key_id: document.key_id.clone(),
            key_id_since: document.key_id_since.as_ref().map(|time| time.0),
            email: document.email.as_str().into(),
            expires_at: document.expires_at.0,
            proofs: entries.map(Proof::of).collect(),
        }
    }
}

impl Proof {
    fn of(entry: &Entry) -> Self {
        Self {
            revision: entry.revision,
            minted_at: entry.created_at.0,
            pepper_id: entry.fingerprint.pepper_id.as_str().into(),
            fingerprint: entry.fingerprint.bytes(),
            hash: entry.hash.as_str().into(),
            valid_until: entry.valid_until.as_ref().map(|time| time.0),
            proven: OnceLock::new(),
        }
    }
}

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proof(revision {})", self.revision)
    }
}
