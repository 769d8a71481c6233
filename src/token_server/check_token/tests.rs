use crate::watch::event::Event;
use proptest::prelude::*;

use super::*;
use crate::token_server::check_secret::{CheckOutcome, Login, SecretChecker};
use crate::token_server::claims::{self, Issuer, Wanted};
use crate::token_server::index::Index;
use crate::token_server::testing::{
    EXPIRY, NOW, apikey, at, document, index, pending, record, ring, secret, secret_of_revision,
};
use crate::watch::scope::WatchScope;
use apikey_api::TokenSpec;
use apikey_credential::record::CredentialRecord;
use std::sync::Arc;

/// An index with key 1, and the credential record of its first secret.
fn world() -> (Arc<Index>, CredentialRecord) {
    let ring = ring();
    let index = index(0, &ring);
    index.apikey(&WatchScope::Everything, Event::Apply(apikey(1).into()));
    let document = document(1, &ring);
    index.record(Event::Apply(record(document.clone()).into()));
    let second = pending(&secret_of_revision(1, 2), 2, &ring);
    (index, document.with_pending(second))
}

/// The claims of a token that key 1 gets for its secret of this revision.
fn token(index: &Arc<Index>, revision: u8, now: i64) -> Claims<'static> {
    let checker = SecretChecker::new(Arc::clone(index)).unwrap();
    let secret = secret_of_revision(1, revision);
    let outcome = checker.check(secret.expose(), Login::Implied, at(now));
    let CheckOutcome::Proven(proven) = outcome else {
        panic!("{outcome:?}")
    };
    let issuer = Issuer {
        url: "https://keys.test",
        audiences: &["api".to_owned()],
    };
    let claims = claims::claims(&proven, Wanted::default(), issuer, "id", at(now)).unwrap();
    serde_json::from_value(serde_json::to_value(claims).unwrap()).unwrap()
}

fn is_live(index: &Index, claims: &Claims<'static>, now: i64) -> bool {
    let credential = index.get(secret(1).key_id()).unwrap();
    current_claims(claims.clone(), &credential, at(now)).is_some()
}

/// Delivers the second secret. The first one stays accepted for `overlap_seconds`.
fn rotate(index: &Index, mut document: CredentialRecord, overlap_seconds: u32, now: i64) {
    document.pending[0].overlap_seconds = overlap_seconds;
    document.pending[0].entry.created_at.0 = at(now);
    let digest = document.pending[0].entry.digest();
    let rotated = document.promoted(&digest, at(now)).unwrap();
    index.record(Event::Apply(record(rotated).into()));
}

#[test]
fn a_token_ends_with_the_secret_that_it_was_made_with_at_its_second() {
    for overlap_seconds in [0, 60] {
        let (index, document) = world();
        let old = token(&index, 1, NOW);
        assert_eq!(old.secret_revision, Some(1));
        rotate(&index, document, overlap_seconds, NOW + 10);
        let new = token(&index, 2, NOW + 10);
        let end = NOW + 10 + i64::from(overlap_seconds);
        assert!(overlap_seconds == 0 || is_live(&index, &old, end - 1));
        assert!(!is_live(&index, &old, end), "{overlap_seconds}");
        assert!(
            old.exp > end,
            "it would live on where only its signature is checked"
        );
        assert!(is_live(&index, &new, NOW + 3000));
    }
}

#[test]
fn a_token_of_a_secret_that_is_being_delivered_is_good_before_and_after_its_delivery() {
    let (index, document) = world();
    index.record(Event::Apply(record(document.clone()).into()));
    let early = token(&index, 2, NOW);
    assert!(is_live(&index, &early, NOW));
    rotate(&index, document, 0, NOW + 1);
    assert!(is_live(&index, &early, NOW + 1));
}

#[test]
fn a_token_from_before_there_were_revisions_is_refused_only_if_its_secret_is_certainly_replaced() {
    let (index, document) = world();
    let without = |revision, now| Claims {
        secret_revision: None,
        ..token(&index, revision, now)
    };
    let before = without(1, NOW);
    assert!(
        is_live(&index, &before, NOW + 5),
        "an upgrade refuses nobody"
    );
    rotate(&index, document.clone(), 60, NOW + 10);
    let after = without(2, NOW + 10);
    assert!(is_live(&index, &before, NOW + 69));
    assert!(!is_live(&index, &before, NOW + 70), "the overlap is over");
    assert!(is_live(&index, &after, NOW + 70));
    rotate(&index, document, 0, NOW + 10);
    assert!(
        !is_live(&index, &before, NOW + 10),
        "a leaked secret takes its tokens along"
    );
}

#[test]
fn an_audience_that_a_key_no_longer_has_is_gone_from_its_tokens() {
    let (index, _) = world();
    let with = |audiences: &[&str]| {
        let mut key = apikey(1);
        key.spec.token = Some(TokenSpec {
            audiences: audiences.iter().map(|&name| name.to_owned()).collect(),
            ..TokenSpec::default()
        });
        index.apikey(&WatchScope::Everything, Event::Apply(key.into()));
    };
    let of_server = token(&index, 1, NOW);
    with(&["a", "b"]);
    assert!(!is_live(&index, &of_server, NOW));
    let both = token(&index, 1, NOW);
    with(&["b", "c"]);
    let credential = index.get(secret(1).key_id()).unwrap();
    let left = current_claims(both.clone(), &credential, at(NOW))
        .unwrap()
        .aud;
    assert_eq!(left.names().collect::<Vec<_>>(), ["b"]);
    with(&["c"]);
    assert!(!is_live(&index, &both, NOW));
}

proptest! {
    /// A live token has not expired, and belongs to a secret that could authenticate at this
    /// moment.
    #[test]
    fn a_live_token_is_timely_and_of_an_accepted_secret(
        overlap in 0_u32..100,
        rotated in 0_i64..100,
        revision in proptest::option::of(0_i64..4),
        asked in -10_i64..EXPIRY - NOW + 10,
    ) {
        let (index, document) = world();
        let claims = Claims {
            secret_revision: revision,
            exp: EXPIRY,
            ..token(&index, 1, NOW)
        };
        rotate(&index, document, overlap, NOW + rotated);
        let now = NOW + asked;
        let accepts = |revision| {
            let checker = SecretChecker::new(Arc::clone(&index)).unwrap();
            let secret = secret_of_revision(1, revision);
            matches!(
                checker.check(secret.expose(), Login::Implied, at(now)),
                CheckOutcome::Proven(_)
            )
        };
        let expected = match revision {
            Some(1) | None if rotated > 0 || revision.is_some() => accepts(1),
            Some(2) | None => accepts(1) || accepts(2),
            Some(_) => false,
        };
        let timely = asked >= -claims::NOT_BEFORE_LEEWAY_SECONDS;
        let expected = match revision { Some(2) => accepts(2), _ => expected };
        prop_assert_eq!(is_live(&index, &claims, now), timely && expected);
    }
}
