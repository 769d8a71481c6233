//! What an earlier version stored can be read by this one.
//!
//! `tests/stored/v1` was written by the first version: the verifier of a key that was rotated once, both
//! rings, and the secret that was delivered. Files there never change; a new format adds a folder.

use apikey_credential::fingerprint::PepperRing;
use apikey_credential::record::CredentialRecord;
use apikey_credential::signing::SigningRing;
use apikey_credential::{Secret, hash};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use k8s_openapi::jiff::Timestamp;

#[test]
fn a_secret_that_the_first_version_delivered_is_still_proved() {
    let document = CredentialRecord::parse(include_bytes!("stored/v1/verifier.json")).unwrap();
    let peppers = PepperRing::parse(include_bytes!("stored/v1/peppers.json")).unwrap();
    let secret = Secret::parse(include_str!("stored/v1/secret")).unwrap();
    let current = &document.current;
    assert_eq!(peppers.matches(&secret, &current.fingerprint), Some(true));
    assert!(hash::verify(&secret, &current.hash, &mut hash::Memory::default()).unwrap());
    let overlap: Timestamp = "2026-11-24T18:00:00Z".parse().unwrap();
    let (previous, _) = document.accepted_previous(overlap).unwrap();
    assert_eq!((current.revision, previous.revision), (2, 1));
    assert!(document.has_handled("1"));
}

#[test]
fn the_keys_with_which_the_first_version_signed_still_sign() {
    let ring = SigningRing::parse(include_bytes!("stored/v1/signing-keys.json")).unwrap();
    let now: Timestamp = "2026-11-24T18:00:00Z".parse().unwrap();
    let key = ring.current(now).unwrap();
    assert_eq!(key.kid(), "K_DXPMshl3rI8Lm8T6pjhD9g9ldVlwGgSR2VZ-htqkk");
    let signature = BASE64URL.encode(key.sign(b"a token").unwrap());
    assert!(key.public().verify(b"a token", &signature));
}

#[test]
fn what_this_version_writes_is_what_the_first_version_wrote() {
    let stored: serde_json::Value =
        serde_json::from_slice(include_bytes!("stored/v1/verifier.json")).unwrap();
    let document = CredentialRecord::parse(include_bytes!("stored/v1/verifier.json")).unwrap();
    let written: serde_json::Value = serde_json::from_slice(&document.to_json().unwrap()).unwrap();
    assert_eq!(written, stored);
}
