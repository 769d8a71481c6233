use crate::watch::event::Event;
use apikey_client::object::Identity;

use super::*;
use crate::token_server::testing::{
    EXPIRY, NOW, apikey, at, document, index, pending, record, ring, secret, secret_of_revision,
};
use crate::watch::scope::WatchScope;

fn checker(index: &Arc<Index>) -> SecretChecker {
    SecretChecker::new(Arc::clone(index)).unwrap()
}

fn refusal(outcome: &CheckOutcome) -> Option<Refusal> {
    match outcome {
        CheckOutcome::Refused(refusal, _) => Some(*refusal),
        CheckOutcome::Proven(_) => None,
        CheckOutcome::Undecided(_) => panic!("undecided"),
    }
}

#[test]
fn each_reason_is_distinguished_inside() {
    let ring = ring();
    let index = index(2, &ring);
    let checker = checker(&index);
    let check =
        |secret: &str, name, second| refusal(&checker.check(secret, Login::Name(name), at(second)));
    let (one, other) = (secret(1), secret_of_revision(1, 9));
    assert_eq!(check(one.expose(), "key-1", NOW), None);
    assert_eq!(
        check("ak_nonsense", "key-1", NOW),
        Some(Refusal::MalformedSecret)
    );
    assert_eq!(
        check(secret(7).expose(), "key-7", NOW),
        Some(Refusal::UnknownKey)
    );
    assert_eq!(check(one.expose(), "key-2", NOW), Some(Refusal::WrongName));
    assert_eq!(
        check(other.expose(), "key-1", NOW),
        Some(Refusal::WrongSecret)
    );
    let mut suspended = apikey(2);
    suspended.spec.suspended = true;
    index.apikey(&WatchScope::Everything, Event::Apply(suspended.into()));
    let two = secret(2);
    assert_eq!(check(two.expose(), "key-2", NOW), Some(Refusal::Suspended));
}

#[test]
fn a_key_is_good_to_its_last_second_whatever_the_clock_did_before() {
    let ring = ring();
    let checker = checker(&index(1, &ring));
    let good = |second| {
        refusal(&checker.check(secret(1).expose(), Login::Name("key-1"), at(second))).is_none()
    };
    // Time moves forwards and backwards: only the time of each call counts.
    for (second, expected) in [
        (NOW, true),
        (EXPIRY - 1, true),
        (EXPIRY, false),
        (EXPIRY + 1_000_000_000, false),
        (EXPIRY - 1, true),
        (NOW - 1_000_000, true),
        (EXPIRY, false),
    ] {
        assert_eq!(good(second), expected, "{second}");
    }
}

#[test]
fn every_secret_that_may_have_been_delivered_is_accepted_and_a_replaced_one_to_its_end() {
    let ring = ring();
    let index = index(1, &ring);
    let (first, second, third) = (
        secret(1),
        secret_of_revision(1, 2),
        secret_of_revision(1, 3),
    );
    let pending = document(1, &ring).with_pending(pending(&second, 2, &ring));
    index.record(Event::Apply(record(pending.clone()).into()));
    let checker = checker(&index);
    let good = |secret: &Secret, second| {
        let outcome = checker.check(secret.expose(), Login::Implied, at(second));
        refusal(&outcome).is_none()
    };
    assert!(good(&first, NOW) && good(&second, NOW) && !good(&third, NOW));

    let digest = pending.pending[0].entry.digest();
    let promoted = pending.promoted(&digest, at(NOW)).unwrap();
    index.record(Event::Apply(record(promoted).into()));
    assert!(good(&first, NOW + 59) && good(&second, NOW + 59));
    assert!(!good(&first, NOW + 60) && good(&second, NOW + 60));
}

#[test]
fn a_token_never_outlives_the_overlap_of_its_secret() {
    let ring = ring();
    let index = index(1, &ring);
    let pending = document(1, &ring).with_pending(pending(&secret_of_revision(1, 2), 2, &ring));
    let digest = pending.pending[0].entry.digest();
    let promoted = pending.promoted(&digest, at(NOW)).unwrap();
    index.record(Event::Apply(record(promoted).into()));
    let outcome = checker(&index).check(secret(1).expose(), Login::Implied, at(NOW));
    let CheckOutcome::Proven(proven) = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(proven.until, at(NOW + 60));
}

#[test]
fn a_forged_secret_never_needs_argon2_while_the_peppers_are_there() {
    let ring = ring();
    let checker = checker(&index(3, &ring));
    for n in 0..=255 {
        let forged = secret_of_revision(n, n ^ 0x55);
        let outcome = checker.check(forged.expose(), Login::Implied, at(NOW));
        assert!(
            matches!(outcome, CheckOutcome::Refused(..)),
            "{n}: {outcome:?}"
        );
    }
}

#[test]
fn where_the_pepper_is_lost_argon2_decides_once_and_is_remembered() {
    let ring = ring();
    let index = index(1, &ring);
    index.use_peppers(crate::token_server::testing::ring());
    let checker = checker(&index);
    let ask = |secret: &Secret| checker.check(secret.expose(), Login::Name("key-1"), at(NOW));
    let CheckOutcome::Undecided(question) = ask(&secret(1)) else {
        panic!("decided")
    };
    assert_eq!(question.hashes.len(), 1);
    let CheckOutcome::Proven(proven) = checker.decided(&question, Some(0), at(NOW)) else {
        panic!("refused")
    };
    assert_eq!(proven.path, Path::Argon2);
    let CheckOutcome::Proven(again) = ask(&secret(1)) else {
        panic!("not remembered")
    };
    assert_eq!(again.path, Path::Cache);
    // Another secret of the same key is not the remembered one, and an unknown key costs the same.
    assert!(matches!(
        ask(&secret_of_revision(1, 9)),
        CheckOutcome::Undecided(_)
    ));
    assert!(matches!(ask(&secret(9)), CheckOutcome::Undecided(_)));
}

#[test]
fn what_changed_while_argon2_ran_counts() {
    let ring = ring();
    let index = index(1, &ring);
    index.use_peppers(crate::token_server::testing::ring());
    let checker = checker(&index);
    let outcome = checker.check(secret(1).expose(), Login::Implied, at(NOW));
    let CheckOutcome::Undecided(question) = outcome else {
        panic!("decided")
    };
    let mut suspended = apikey(1);
    suspended.spec.suspended = true;
    index.apikey(&WatchScope::Everything, Event::Apply(suspended.into()));
    assert_eq!(
        refusal(&checker.decided(&question, Some(0), at(NOW))),
        Some(Refusal::Suspended)
    );
    index.apikey(
        &WatchScope::Everything,
        Event::Delete(Identity::of(&apikey(1))),
    );
    assert_eq!(
        refusal(&checker.decided(&question, Some(0), at(NOW))),
        Some(Refusal::UnknownKey)
    );
}
