use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{DecodingKey, Validation, decode, decode_header};

use super::*;
use crate::token_server::claims::Audience;
use crate::token_server::testing::{NOW, at};
use apikey_api::bounds::MAX_TOKEN_TTL_SECONDS;
use apikey_credential::signing::rotation::RETIRED_FOR;
use apikey_credential::signing::{Algorithm, SigningKey};
use apikey_policy::DEFAULT_TOKEN_TTL_SECONDS;

fn signer(algorithms: &[Algorithm]) -> Signer {
    let ring = algorithms
        .iter()
        .fold(SigningRing::default(), |ring, &algorithm| {
            let key = SigningKey::generate(algorithm, at(NOW), at(NOW)).unwrap();
            ring.changed(Some(key), &[])
        });
    Signer::new(ring).unwrap()
}

fn claims() -> Claims<'static> {
    Claims {
        iss: "https://keys.test".into(),
        sub: "apikey:x".into(),
        aud: Audience::One("api".into()),
        iat: NOW,
        nbf: NOW,
        exp: NOW + 1_000_000_000,
        jti: "id".into(),
        client_id: "x".into(),
        email: "x@y".into(),
        name: "n \"quoted\"".into(),
        namespace: "ns".into(),
        org: "o".into(),
        current_organization_id: uuid::Uuid::nil(),
        roles: vec!["r".into()],
        scope: None,
        secret_revision: Some(1),
    }
}

#[test]
fn a_retired_key_is_published_for_longer_than_any_token_that_it_signed_is_valid() {
    assert!(RETIRED_FOR.as_secs() > i64::from(MAX_TOKEN_TTL_SECONDS));
    assert!(DEFAULT_TOKEN_TTL_SECONDS <= i64::from(MAX_TOKEN_TTL_SECONDS));
}

#[test]
fn an_independent_implementation_accepts_every_algorithm_by_the_published_keys() {
    for algorithm in Algorithm::ALL {
        let signer = signer(&[algorithm]);
        let token = signer.sign(&claims(), at(NOW)).unwrap();
        let header = decode_header(&token).unwrap();
        assert_eq!(header.typ.as_deref(), Some("at+jwt"));
        let keys: JwkSet = serde_json::from_slice(signer.jwks().json()).unwrap();
        let key = keys.find(header.kid.as_deref().unwrap()).unwrap();
        let mut validation = Validation::new(header.alg);
        validation.set_audience(&["api"]);
        validation.set_issuer(&["https://keys.test"]);
        let read =
            decode::<Claims<'static>>(&token, &DecodingKey::from_jwk(key).unwrap(), &validation);
        assert_eq!(read.unwrap().claims, claims(), "{algorithm}");
    }
}

#[test]
fn our_own_tokens_are_read_back_and_no_others() {
    let signer = signer(&[Algorithm::Es256, Algorithm::EdDsa]);
    let token = signer.sign(&claims(), at(NOW)).unwrap();
    assert_eq!(signer.verify(&token), Some(claims()));
    let parts: Vec<_> = token.split('.').collect();
    let header = |json: &str| format!("{}.{}.{}", BASE64URL.encode(json), parts[1], parts[2]);
    let kid = decode_header(&token).unwrap().kid.unwrap();
    for (what, other) in [
        ("nothing", String::new()),
        ("one part", parts[0].to_owned()),
        ("no signature", format!("{}.{}.", parts[0], parts[1])),
        ("a part more", format!("{token}.x")),
        ("padding", format!("{token}=")),
        ("other claims", {
            let mut other = claims();
            other.roles = vec!["owner".into()];
            let json = serde_json::to_vec(&other).unwrap();
            format!("{}.{}.{}", parts[0], BASE64URL.encode(json), parts[2])
        }),
        (
            "alg none",
            header(&format!(r#"{{"alg":"none","typ":"at+jwt","kid":"{kid}"}}"#)),
        ),
        (
            "another algorithm",
            header(&format!(
                r#"{{"alg":"HS256","typ":"at+jwt","kid":"{kid}"}}"#
            )),
        ),
        (
            "another type",
            header(&format!(r#"{{"alg":"EdDSA","typ":"JWT","kid":"{kid}"}}"#)),
        ),
        (
            "another key",
            self::signer(&[Algorithm::EdDsa])
                .sign(&claims(), at(NOW))
                .unwrap(),
        ),
        ("a long text", "a".repeat(MAX_TOKEN_BYTES + 1)),
    ] {
        assert_eq!(signer.verify(&other), None, "{what}");
    }
}

#[test]
fn after_a_change_of_algorithm_tokens_of_both_keys_are_read() {
    let old = signer(&[Algorithm::Es256]);
    let token = old.sign(&claims(), at(NOW)).unwrap();
    let next = SigningKey::generate(Algorithm::EdDsa, at(NOW), at(NOW + 100)).unwrap();
    let both = Signer::new(old.ring.changed(Some(next), &[])).unwrap();
    let alg = |second| {
        let token = both.sign(&claims(), at(second)).unwrap();
        assert!(both.verify(&token).is_some());
        decode_header(&token).unwrap().alg
    };
    assert_eq!(alg(NOW + 99), jsonwebtoken::Algorithm::ES256);
    assert_eq!(alg(NOW + 100), jsonwebtoken::Algorithm::EdDSA);
    assert_eq!(both.verify(&token), Some(claims()));
}
