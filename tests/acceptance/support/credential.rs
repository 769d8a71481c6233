//! The delivered secret of a key, and what proves it.

use apikey_credential::fingerprint::PepperRing;
use apikey_credential::record::{CredentialRecord, Entry};
use apikey_credential::{Secret, hash};
use k8s_openapi::api::core::v1::Secret as CoreSecret;

pub(crate) struct Credential {
    pub(crate) delivered: CoreSecret,
    pub(crate) document: CredentialRecord,
    pub(super) ring: PepperRing,
}

impl Credential {
    /// A data value of the delivered Secret, as text.
    pub(crate) fn data(&self, key: &str) -> String {
        let data = self.delivered.data.as_ref().unwrap();
        String::from_utf8(data[key].0.clone()).unwrap()
    }

    /// The delivered secret. Panics if it does not have the published format.
    pub(crate) fn secret(&self) -> Secret {
        Secret::parse(&self.data("secret")).expect("the published format")
    }

    /// Whether the entry proves the delivered secret, by hash and by fingerprint.
    pub(crate) fn proves(&self, entry: &Entry) -> bool {
        let secret = self.secret();
        let by_hash = hash::verify(&secret, &entry.hash, &mut hash::Memory::default()).unwrap();
        let by_fingerprint = self.ring.matches(&secret, &entry.fingerprint);
        assert_eq!(
            by_fingerprint,
            Some(by_hash),
            "hash and fingerprint disagree"
        );
        by_hash
    }

    /// Panics unless the delivered secret is the current one and no pending entry is left.
    pub(crate) fn assert_sound(&self) {
        assert!(
            self.proves(&self.document.current),
            "the delivered secret does not verify"
        );
        assert!(
            self.document.pending.is_empty(),
            "a pending entry is left over"
        );
        assert_eq!(self.secret().key_id(), &self.document.key_id);
        assert_eq!(self.data("key-id"), self.document.key_id.as_str());
    }
}
