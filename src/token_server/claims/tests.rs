use crate::watch::event::Event;

use super::*;
use crate::token_server::check_secret::{CheckOutcome, Login, SecretChecker};
use crate::token_server::testing::{EXPIRY, NOW, apikey, at, index, organization, ring, secret};
use crate::watch::scope::WatchScope;
use apikey_api::{SubOrganization, TokenSpec};
use apikey_policy::default_organization_id;

const ISSUER: &str = "https://keys.test";

/// Key 1, changed by `change` and authenticated at this time.
fn proven(change: impl FnOnce(&mut apikey_api::ApiKeySpec), now: i64) -> Proven {
    let index = index(1, &ring());
    for (name, parent) in [("acme", None), ("acme-tr", Some("acme")), ("other", None)] {
        index.organization(Event::Apply(
            organization(name, |spec| {
                spec.parent = parent.map(str::to_owned);
            })
            .into(),
        ));
    }
    let mut key = apikey(1);
    change(&mut key.spec);
    index.apikey(&WatchScope::Everything, Event::Apply(key.into()));
    let checker = SecretChecker::new(index).unwrap();
    let outcome = checker.check(secret(1).expose(), Login::Implied, at(now));
    let CheckOutcome::Proven(proven) = outcome else {
        panic!("{outcome:?}")
    };
    proven
}

fn made<'a>(proven: &'a Proven, wanted: Wanted<'a>, now: i64) -> Result<Claims<'a>, ClaimsError> {
    let issuer = Issuer {
        url: ISSUER,
        audiences: &[],
    };
    claims(proven, wanted, issuer, "id", at(now))
}

fn acting_in(name: &str) -> Wanted<'static> {
    Wanted {
        organization_id: Some(default_organization_id(name)),
        scope: None,
    }
}

#[test]
fn a_token_lives_as_long_as_the_key_asks_and_never_beyond_its_expiry() {
    let hour = proven(|_| {}, NOW);
    assert_eq!(made(&hour, Wanted::default(), NOW).unwrap().exp, NOW + 3600);
    let short = proven(
        |spec| {
            spec.token = Some(TokenSpec {
                ttl_seconds: Some(300),
                ..TokenSpec::default()
            });
        },
        NOW,
    );
    assert_eq!(made(&short, Wanted::default(), NOW).unwrap().exp, NOW + 300);
    let late = made(&hour, Wanted::default(), EXPIRY - 7).unwrap();
    assert_eq!((late.exp, late.exp - late.iat), (EXPIRY, 7));
    // Authenticated in time, but signed too late.
    let denied = made(&hour, Wanted::default(), EXPIRY).unwrap_err();
    assert_eq!(denied, ClaimsError::Refused(Refusal::Expired));
}

#[test]
fn the_organization_acted_in_is_the_own_one_or_a_listed_sub_organization() {
    let key = proven(
        |spec| {
            spec.sub_orgs = vec![SubOrganization {
                org: "acme-tr".into(),
                roles: vec!["operator".into()],
            }];
        },
        NOW,
    );
    let own = made(&key, Wanted::default(), NOW).unwrap();
    assert_eq!((&*own.org, own.roles), ("acme", vec!["viewer".into()]));
    let sub = made(&key, acting_in("acme-tr"), NOW).unwrap();
    assert_eq!((&*sub.org, sub.roles), ("acme-tr", vec!["operator".into()]));
    assert_eq!(
        sub.current_organization_id,
        default_organization_id("acme-tr")
    );
    let other = made(&key, acting_in("other"), NOW).unwrap_err();
    assert_eq!(other, ClaimsError::Refused(Refusal::OrganizationNotCovered));
}

#[test]
fn a_scope_narrows_the_roles_and_never_adds_one() {
    let key = proven(
        |spec| spec.roles = ["a", "b", "c"].map(Into::into).into(),
        NOW,
    );
    let with = |scope| {
        let wanted = Wanted {
            organization_id: None,
            scope: Some(scope),
        };
        made(&key, wanted, NOW).map(|claims| claims.roles.concat())
    };
    assert_eq!(with("c a a"), Ok("ca".into()));
    let wanted = Wanted {
        organization_id: None,
        scope: Some("c  a a"),
    };
    let claims = made(&key, wanted, NOW).unwrap();
    assert_eq!(claims.scope.as_deref(), Some("c a"), "each role once");
    assert_eq!(with("a d"), Err(ClaimsError::Scope("d".into())));
}

#[test]
fn a_token_says_honestly_when_it_was_made_and_is_good_for_a_clock_that_is_a_little_behind() {
    let key = proven(|_| {}, NOW);
    let claims = made(&key, Wanted::default(), NOW).unwrap();
    assert_eq!((claims.iat, claims.nbf), (NOW, NOW - 5));
    assert_eq!(claims.secret_revision, Some(1));
}

#[test]
fn one_audience_is_a_text_and_several_are_a_list() {
    let json = |names: &[&str]| {
        let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
        serde_json::to_string(&Audience::of(&names)).unwrap()
    };
    assert_eq!(json(&["a"]), "\"a\"");
    assert_eq!(json(&["a", "b"]), "[\"a\",\"b\"]");
    let key = proven(
        |spec| {
            spec.token = Some(TokenSpec {
                audiences: vec!["kube".into()],
                ..TokenSpec::default()
            });
        },
        NOW,
    );
    let claims = made(&key, Wanted::default(), NOW).unwrap();
    assert_eq!(claims.aud, Audience::One("kube".into()));
}
