//! Keys that come back from a backup, under new uids.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

use super::world::{CREATED, DAY, World, apikey, at};
use super::*;
use crate::controller::apikey::restore::may_adopt;
use crate::controller::delivered::Delivered;
use apikey_api::conditions::{self, RECONCILING};
use apikey_credential::record::Claim;

/// A key before the restore, and the same key after it with only its manifest.
fn before_and_after() -> (World, World) {
    let mut before = World::new(apikey());
    assert!(before.run(usize::MAX));
    let mut after = World::new(apikey());
    after.change(|key| key.metadata.uid = Some("uid-2".into()));
    after.observed.settings.restore = true;
    (before, after)
}

fn restore_record(before: &World, after: &mut World) {
    let document = before.observed.document().unwrap();
    after.store(document.adopted_by("uid-2"));
}

fn restore_delivered(before: &World, after: &mut World) {
    let mut secret = Delivered::clone(before.observed.delivered.as_ref().unwrap());
    secret.controller = None;
    after.observed.delivered = Some(Arc::new(secret));
}

fn incomplete(world: &World) -> String {
    let ready = world.ready();
    assert_eq!(ready.reason, reason::RESTORE_INCOMPLETE);
    let status = world.status();
    assert!(conditions::is_true(&status.conditions, RECONCILING));
    ready.message
}

#[test]
fn a_key_without_its_record_waits_for_it_and_gets_no_new_secret() {
    let (before, mut after) = before_and_after();
    assert!(after.run(0), "nothing is minted");
    assert!(incomplete(&after).contains("credential record"));
    restore_delivered(&before, &mut after);
    assert!(after.run(0));
    after.observed.settings.restore = false;
    after.observed.delivered = None;
    assert!(after.run(usize::MAX), "the restore is ended");
    assert_eq!(after.ready().reason, reason::ISSUED);
}

#[test]
fn in_any_order_record_and_secret_are_taken_over_as_they_were() {
    for secret_first in [false, true] {
        let (before, mut after) = before_and_after();
        let steps = [restore_delivered, restore_record];
        let (first, second) = (
            steps[usize::from(!secret_first)],
            steps[usize::from(secret_first)],
        );
        first(&before, &mut after);
        assert!(after.run(0));
        incomplete(&after);
        second(&before, &mut after);
        assert!(after.run(usize::MAX));
        assert_eq!(after.ready().reason, reason::ISSUED);
        assert_eq!(after.named(), before.named(), "the same secret");
        assert_eq!(after.revision(), 1);
        after.observed.settings.restore = false;
        assert!(after.run(0), "and nothing changes when the restore ends");
    }
}

#[test]
fn a_secret_of_another_time_than_the_record_is_left_alone_and_named() {
    let (before, mut after) = before_and_after();
    restore_record(&before, &mut after);
    restore_delivered(&before, &mut after);
    let secret = Arc::make_mut(after.observed.delivered.as_mut().unwrap());
    secret.entry_digest = Some("0123456789abcdef".into());
    assert!(after.run(0));
    assert!(incomplete(&after).contains("not from the same time"));
}

#[test]
fn a_secret_of_somebody_else_is_left_alone_in_a_restore_as_well() {
    let (before, mut after) = before_and_after();
    restore_record(&before, &mut after);
    restore_delivered(&before, &mut after);
    let secret = Arc::make_mut(after.observed.delivered.as_mut().unwrap());
    secret.entry_digest = None;
    assert!(after.run(0));
    assert_eq!(after.ready().reason, reason::SECRET_CONFLICT);
}

#[test]
fn a_rotation_that_is_due_waits_until_the_restore_ends() {
    let (before, mut after) = before_and_after();
    restore_record(&before, &mut after);
    restore_delivered(&before, &mut after);
    after.ask("now", None);
    assert!(after.run(usize::MAX));
    assert_eq!(after.revision(), 1);
    after.observed.settings.restore = false;
    assert!(after.run(usize::MAX));
    assert_eq!(after.revision(), 2);
}

#[test]
fn a_secret_that_was_claimed_needs_no_secret_to_come_back() {
    let (before, mut after) = before_and_after();
    let mut document = before.observed.document().unwrap().adopted_by("uid-2");
    document.claim = Claim::Revealed {
        at: MicroTime(at(CREATED)),
    };
    after.store(document);
    assert!(after.run(0));
    assert_eq!(after.ready().reason, reason::ISSUED);
}

#[test]
fn only_a_key_with_the_same_organization_and_expiry_may_adopt_the_record() {
    let (before, after) = before_and_after();
    let document = before.observed.document().unwrap();
    let key = |change: fn(&mut ApiKey)| {
        let mut key = ApiKey::clone(&after.observed.apikey);
        change(&mut key);
        may_adopt(&key, document)
    };
    assert!(key(|_| {}));
    assert!(key(|key| key.spec.roles = vec!["other".into()]));
    assert!(key(
        |key| key.spec.expiry = Some(at(CREATED + 180 * DAY).to_string())
    ));
    assert!(!key(
        |key| key.spec.expiry = Some(at(CREATED + 181 * DAY).to_string())
    ));
    assert!(!key(|key| key.spec.expiry = Some("tomorrow".into())));
    assert!(!key(|key| key.spec.org = "other".into()));
    assert!(!key(
        |key| key.metadata.deletion_timestamp = Some(Time(at(CREATED)))
    ));
}
