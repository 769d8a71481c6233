//! A secret that is shown once.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

use super::world::{CREATED, World, apikey, at};
use super::*;
use apikey_api::conditions::DELIVERED;
use apikey_api::{DeliveredSecretSpec, Delivery};
use apikey_credential::record::{Cause, Claim, Pending};

/// A key whose secret waits to be claimed for a day.
fn shown_once() -> World {
    let mut key = apikey();
    key.spec.secret = Some(DeliveredSecretSpec {
        delivery: Delivery::RevealOnce,
        ..DeliveredSecretSpec::default()
    });
    World::new(key)
}

fn delivered() -> World {
    let mut world = shown_once();
    assert!(world.run(usize::MAX));
    world
}

impl World {
    fn claim(&mut self) {
        let secret = Arc::make_mut(self.observed.delivered.as_mut().unwrap());
        secret.revealed_at = Some(self.observed.now.to_string().into());
    }

    fn recorded_claim(&self) -> Claim {
        self.observed.document().unwrap().claim.clone()
    }

    fn delivered_reason(&self) -> String {
        let status = self.status();
        let delivered = conditions::find(&status.conditions, DELIVERED);
        delivered.unwrap().reason.clone()
    }
}

#[test]
fn labels_that_somebody_takes_before_the_claim_are_put_back() {
    let mut world = delivered();
    Arc::make_mut(world.observed.delivered.as_mut().unwrap()).is_labelled = false;
    assert_eq!(plan(&world.observed).actions, [Action::LabelDelivered]);
    assert!(world.run(1));
    assert_eq!(world.delivered_reason(), reason::AWAITING_CLAIM);
}

#[test]
fn it_waits_to_be_claimed_and_is_then_kept_nowhere() {
    let mut world = delivered();
    assert_eq!(world.recorded_claim(), Claim::Delivered);
    assert_eq!(world.delivered_reason(), reason::AWAITING_CLAIM);
    world.observed.now = at(CREATED + 60);
    world.claim();
    assert!(world.run(usize::MAX));
    assert!(world.observed.delivered.is_none());
    assert_eq!(
        world.status().revealed_at,
        Some(MicroTime(at(CREATED + 60)))
    );
    assert_eq!(world.ready().reason, reason::ISSUED);
    assert!(world.run(0), "and nothing is minted again");
    assert_eq!(world.revision(), 1);
}

/// A claimed secret whose Secret is being deleted and which a finalizer keeps.
fn kept() -> World {
    let mut world = delivered();
    let mut secret = world.observed.delivered.clone();
    world.claim();
    assert!(world.run(usize::MAX));
    Arc::make_mut(secret.as_mut().unwrap()).is_deleting = true;
    world.observed.delivered = secret;
    world
}

fn delivered_message(world: &World) -> String {
    let conditions = world.status().conditions;
    conditions::find(&conditions, DELIVERED)
        .unwrap()
        .message
        .clone()
}

#[test]
fn what_a_finalizer_keeps_is_emptied_once() {
    let mut world = kept();
    assert_eq!(plan(&world.observed).actions, [Action::EmptyDelivered]);
    assert!(world.run(usize::MAX));
    let message = delivered_message(&world);
    assert!(message.contains("is kept nowhere"), "{message}");
    assert!(world.run(0));
}

#[test]
fn what_a_finalizer_keeps_and_nobody_can_empty_is_reported_and_holds_up_nothing() {
    let mut world = kept();
    world.observed.unemptied = true;
    assert!(world.run(0), "it was tried");
    let message = delivered_message(&world);
    assert!(message.contains("Remove the finalizer"), "{message}");
    assert_eq!(world.delivered_reason(), reason::REVEALED);
    world.ask("leaked", Some(0));
    assert_eq!(plan(&world.observed).actions, [Action::EndCurrent]);
}

#[test]
fn a_replacement_that_another_process_delivers_after_the_claim_does_not_end_what_was_claimed() {
    let mut world = delivered();
    let entry = world.mint(2, Cause::Replacement);
    let pending = Pending {
        entry: entry.clone(),
        overlap_seconds: 3600,
        request: None,
    };
    world.claim();
    assert!(world.run(usize::MAX));
    let document = world.observed.document().unwrap().with_pending(pending);
    world.store(document);
    world.deliver(&entry.digest());
    assert!(world.run(usize::MAX));
    assert!(world.observed.delivered.is_none());
    assert_eq!(world.revision(), 1);
}

#[test]
fn unclaimed_it_is_removed_on_time_and_the_status_says_what_to_do() {
    let mut world = delivered();
    assert_eq!(
        plan(&world.observed).next,
        at(CREATED + 3600),
        "clocks jump"
    );
    world.observed.now = at(CREATED + DAY - 1);
    assert!(world.run(0));
    assert_eq!(plan(&world.observed).next, at(CREATED + DAY));
    world.settle_at(CREATED + DAY);
    assert!(world.observed.delivered.is_none());
    assert_eq!(world.recorded_claim(), Claim::Unclaimed);
    assert_eq!(world.ready().reason, reason::CLAIM_EXPIRED);
    assert!(world.ready().message.contains("rotate"));
    assert!(world.run(0), "and nothing is minted again");
    world.ask("again", None);
    assert!(world.run(usize::MAX));
    assert_eq!(
        (world.revision(), world.recorded_claim()),
        (2, Claim::Delivered)
    );
    assert_eq!(world.ready().reason, reason::ISSUED);
}

#[test]
fn an_expired_or_refused_key_does_not_keep_it_longer() {
    let mut world = delivered();
    world.observed.settings.require_organizations = true;
    world.settle_at(CREATED + DAY);
    assert!(world.observed.delivered.is_none());
    let mut claimed = delivered();
    claimed.claim();
    claimed.settle_at(CREATED + 180 * DAY);
    assert!(claimed.observed.delivered.is_none());
    assert_eq!(claimed.phase(), Phase::Expired);
}

#[test]
fn removed_by_somebody_it_counts_as_taken() {
    let mut world = delivered();
    world.observed.delivered = None;
    world.observed.confirmed = false;
    assert_eq!(plan(&world.observed).actions, [Action::Confirm]);
    assert!(world.run(usize::MAX));
    assert_eq!(world.recorded_claim(), Claim::Removed);
    assert_eq!(world.delivered_reason(), reason::SECRET_REMOVED);
    assert_eq!(world.revision(), 1);
}

#[test]
fn a_rotation_before_the_claim_replaces_it() {
    let mut world = delivered();
    world.ask("again", None);
    assert!(world.run(usize::MAX));
    assert_eq!(
        (world.revision(), world.recorded_claim()),
        (2, Claim::Delivered)
    );
    assert!(world.accepts_delivered());
}

#[test]
fn a_stale_secret_is_looked_at_before_the_new_one_counts_as_claimed_or_removed() {
    for claimed in [false, true] {
        let mut world = delivered();
        let mut stale = world.observed.delivered.clone();
        world.ask("again", None);
        assert!(world.run(usize::MAX));
        std::mem::swap(&mut world.observed.delivered, &mut stale);
        if claimed {
            world.claim();
        }
        world.observed.confirmed = false;
        assert_eq!(plan(&world.observed).actions, [Action::Confirm]);
        world.observed.delivered = stale;
        assert!(world.run(0));
        assert_eq!(world.recorded_claim(), Claim::Delivered);
    }
}

proptest! {
    /// For any crashes, a secret that is shown once is minted once, is claimed or removed, and
    /// never comes back.
    #[test]
    fn any_crash_leaves_one_secret_that_goes_for_good(
        deaths in prop::collection::vec(0..4_usize, 0..4),
        claimed in any::<bool>(),
        more_deaths in prop::collection::vec(0..3_usize, 0..4),
    ) {
        let mut world = shown_once();
        for death in deaths {
            world.run(death);
        }
        world.observed.replacements.clear();
        prop_assert!(world.run(usize::MAX));
        let revision = world.revision();
        if claimed {
            world.claim();
        } else {
            world.observed.now = at(CREATED + DAY);
        }
        for death in more_deaths {
            world.run(death);
        }
        prop_assert!(world.run(usize::MAX));
        prop_assert!(world.observed.delivered.is_none());
        prop_assert_eq!(world.revision(), revision);
        let revealed = matches!(world.recorded_claim(), Claim::Revealed { .. });
        prop_assert_eq!(revealed, claimed);
        prop_assert!(claimed || world.recorded_claim() == Claim::Unclaimed);
    }
}
