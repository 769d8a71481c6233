//! When a key gets a further secret.

use super::world::{CREATED, DAY, World, apikey, at, minted};
use super::*;
use crate::controller::apikey::facts::scheduled_at;
use apikey_api::RotationSpec;

fn every(days: i32, overlap_seconds: Option<u32>) -> World {
    let mut key = apikey();
    key.spec.rotation = Some(RotationSpec {
        every_days: Some(days),
        overlap_seconds,
    });
    let mut world = World::new(key);
    assert!(world.run(usize::MAX));
    world
}

#[test]
fn a_request_is_answered_once_per_token_whatever_else_happens() {
    let mut world = minted();
    world.ask("a", None);
    assert_eq!(
        world.reasons(),
        [] as [&str; 0],
        "nothing is reported before it is done"
    );
    assert!(world.run(usize::MAX));
    assert_eq!(world.revision(), 2);
    let status = world.status();
    assert_eq!(status.handled_rotate_request.as_deref(), Some("a"));
    assert_eq!(status.rotated_at, Some(Time(at(CREATED))));
    let previous = status.previous_secret.unwrap();
    assert_eq!(
        (previous.revision, previous.valid_until.0),
        (1, at(CREATED + 3600))
    );
    // The status is lost, as by a restore from a backup without it.
    world.change(|key| key.status = None);
    assert!(world.run(0));
    assert_eq!(world.status().handled_rotate_request.as_deref(), Some("a"));
    world.observed.now = at(CREATED + 4000);
    world.ask("b", None);
    assert!(world.run(usize::MAX));
    assert_eq!(world.revision(), 3);
}

#[test]
fn a_request_that_is_put_back_after_another_was_answered_already() {
    let mut world = minted();
    for token in ["from Git", "by hand"] {
        world.ask(token, Some(0));
        assert!(world.run(usize::MAX));
    }
    assert_eq!(world.revision(), 3);
    world.ask("from Git", Some(0));
    assert!(world.run(0), "Git was applied again");
    let handled = world.status().handled_rotate_request;
    assert_eq!(handled.as_deref(), Some("by hand"));
}

#[test]
fn a_new_key_that_comes_with_a_request_has_its_answer() {
    let mut key = World::new(apikey());
    key.ask("from Git", None);
    assert!(key.run(usize::MAX));
    assert_eq!(key.revision(), 1);
    assert_eq!(
        key.status().handled_rotate_request.as_deref(),
        Some("from Git")
    );
}

#[test]
fn a_second_request_waits_for_the_end_of_the_overlap_and_says_how_to_end_it() {
    let mut world = minted();
    world.ask("a", None);
    assert!(world.run(usize::MAX));
    world.ask("b", None);
    assert!(
        world.run(0),
        "two secrets are accepted, a third would end one"
    );
    let message = world.ready().message;
    assert!(message.contains("discard-previous: \"1\""), "{message}");
    assert_eq!(plan(&world.observed).next, at(CREATED + 3600));
    world.annotate(names::ANNOTATION_DISCARD_PREVIOUS, "1");
    assert!(world.run(usize::MAX));
    assert_eq!(world.revision(), 3);
    assert_eq!(world.status().previous_secret.unwrap().revision, 2);
}

#[test]
fn a_request_without_overlap_waits_for_nothing_and_ends_only_the_secret_it_replaces() {
    let mut world = minted();
    world.ask("a", None);
    assert!(world.run(usize::MAX));
    world.ask("leaked", Some(0));
    assert!(world.run(usize::MAX));
    assert_eq!(world.revision(), 3);
    assert_eq!(world.status().previous_secret.unwrap().revision, 1);
}

/// A key after a request without an overlap, when the end of the old secret is written.
fn ended(mut world: World) -> World {
    world.ask("leaked", Some(0));
    assert_eq!(plan(&world.observed).actions, [Action::EndCurrent]);
    world.take(&Action::EndCurrent);
    assert!(
        world.accepts_delivered(),
        "there is time to deliver a new one"
    );
    world
}

fn give_to_nobody(world: &mut World) {
    Arc::make_mut(world.observed.delivered.as_mut().unwrap()).controller = None;
}

#[test]
fn whatever_holds_up_the_new_secret_the_old_one_ends_if_a_person_asked_for_that() {
    let taken = || {
        let mut world = minted();
        give_to_nobody(&mut world);
        assert!(world.run(usize::MAX));
        world
    };
    let at_pending_limit = || {
        let mut world = minted();
        world.ask("a", None);
        for _ in 0..MAX_PENDING {
            assert!(!world.run(1), "dies after minting");
        }
        world
    };
    let denied = || {
        let mut world = minted();
        world.observed.settings.require_organizations = true;
        world
    };
    for (world, reason) in [
        (taken(), reason::SECRET_CONFLICT),
        (at_pending_limit(), reason::PROGRESSING_WITH_RETRY),
        (denied(), reason::ORGANIZATION_NOT_FOUND),
    ] {
        let revision = world.revision();
        let mut world = world;
        world.ask("leaked", Some(0));
        assert!(world.run(1) || world.observed.is_ending(), "{reason}");
        world.settle_at(CREATED + 10);
        let document = world.observed.document().unwrap();
        assert_eq!(document.current_until(), Some(at(CREATED + 10)), "{reason}");
        assert!(!world.accepts_delivered(), "{reason}");
        let ready = world.ready();
        let refused = format!("Revision {revision} of the secret is refused from");
        assert_eq!((&*ready.status, &*ready.reason), ("False", reason));
        assert!(ready.message.contains(&refused), "{}", ready.message);
        let conditions = world.status().conditions;
        let delivered = conditions::find(&conditions, conditions::DELIVERED).unwrap();
        assert_eq!(
            (&*delivered.status, &*delivered.reason),
            ("False", reason::DELIVERY_HELD_UP)
        );
    }
}

#[test]
fn only_a_person_who_asks_without_overlap_ends_a_secret_before_the_new_one_is_delivered() {
    let mut asked = minted();
    asked.ask("a", None);
    let mut scheduled = every(1, Some(0));
    scheduled.observed.now = at(CREATED + DAY);
    let mut removed = every(30, Some(0));
    removed.observed.delivered = None;
    removed.observed.confirmed = true;
    for mut world in [asked, scheduled, removed] {
        let steps = plan(&world.observed).actions;
        let Action::Issue { proof, .. } = &steps[0] else {
            panic!("{steps:?}");
        };
        assert!(matches!(proof, Proof::Pending(_)), "{proof:?}");
        world.prove(proof);
        assert!(!world.observed.is_ending());
    }
}

#[test]
fn a_secret_that_is_to_end_is_replaced_even_if_the_request_is_withdrawn_or_changed() {
    let annotations: [&[(&str, &str)]; 3] = [
        &[(names::ANNOTATION_ROTATE_REQUESTED_AT, "")],
        &[(names::ANNOTATION_ROTATE_OVERLAP_SECONDS, "soon")],
        &[(names::ANNOTATION_ROTATE_OVERLAP_SECONDS, "3600")],
    ];
    for changed in annotations {
        let mut world = ended(minted());
        for (name, value) in changed {
            world.annotate(name, value);
        }
        assert!(world.run(usize::MAX));
        assert_eq!(world.revision(), 2, "{changed:?}");
        assert_eq!(world.status().previous_secret, None, "{changed:?}");
        assert!(world.run(0) && world.accepts_delivered());
    }
}

#[test]
fn a_removed_secret_does_not_keep_the_one_in_service_that_was_to_end() {
    let mut world = minted();
    world.observed.delivered = None;
    world.ask("leaked", Some(0));
    assert!(world.run(usize::MAX));
    let status = world.status();
    assert_eq!(status.handled_rotate_request.as_deref(), Some("leaked"));
    assert_eq!((status.revision, status.previous_secret), (Some(2), None));
}

#[test]
fn a_removed_secret_that_answers_a_request_has_the_overlap_of_the_request() {
    let mut world = minted();
    world.observed.delivered = None;
    world.ask("a", Some(60));
    assert!(world.run(usize::MAX));
    let previous = world.status().previous_secret.unwrap();
    assert_eq!(previous.valid_until.0, at(CREATED + 60));
}

#[test]
fn discarding_names_a_revision_and_ends_no_other() {
    let mut world = minted();
    world.ask("a", None);
    assert!(world.run(usize::MAX));
    world.annotate(names::ANNOTATION_DISCARD_PREVIOUS, "2");
    assert!(world.run(0), "2 is the delivered one");
    world.annotate(names::ANNOTATION_DISCARD_PREVIOUS, "1");
    let actions = plan(&world.observed).actions;
    assert_eq!(actions, [Action::DiscardPrevious]);
    world.take(&actions[0]);
    assert_eq!(world.reasons(), [reason::PREVIOUS_RETIRED]);
    assert!(world.run(0));
    assert_eq!(world.status().previous_secret, None);
}

#[test]
fn an_annotation_that_cannot_be_understood_rotates_nothing_and_is_named() {
    let mut world = minted();
    world.ask("a", None);
    world.annotate(names::ANNOTATION_ROTATE_OVERLAP_SECONDS, "soon");
    assert!(world.run(0));
    let message = world.ready().message;
    assert!(
        message.contains("rotate-overlap-seconds' is 'soon'"),
        "{message}"
    );
}

#[test]
fn a_schedule_of_every_day_rotates_as_often_as_it_says_through_a_year() {
    let expiry = CREATED + 365 * DAY;
    let mut key = apikey();
    key.spec.expiry = Some(at(expiry).to_string());
    key.spec.rotation = Some(RotationSpec {
        every_days: Some(1),
        ..RotationSpec::default()
    });
    let mut world = World::new(key);
    assert!(world.run(usize::MAX));
    let step = {
        let document = world.observed.document().unwrap();
        let first = scheduled_at(&world.observed.apikey, document, None).unwrap();
        first.as_second() - CREATED
    };
    assert!((DAY * 9 / 10..=DAY).contains(&step), "{step}");
    let mut rotations = 0;
    let mut now = CREATED;
    while now < expiry {
        let before = world.revision();
        world.settle_at(now);
        rotations += world.revision() - before;
        now = plan(&world.observed).next.as_second();
    }
    assert_eq!(rotations, (365 * DAY - 1) / step);
    assert_eq!(
        world.status().next_rotation_at,
        None,
        "none before the expiry"
    );
    assert_eq!(world.status().expires_at, Some(Time(at(expiry))));
}

#[test]
fn a_schedule_that_was_missed_is_caught_up_by_one_rotation() {
    let mut world = every(1, None);
    world.settle_at(CREATED + 100 * DAY);
    assert_eq!(world.revision(), 2);
    assert!(world.status().next_rotation_at.unwrap().0 > at(CREATED + 100 * DAY));
}

#[test]
fn keys_made_together_are_not_rotated_together() {
    let at_for = |uid: &str| {
        let mut world = every(30, None);
        world.change(|key| key.metadata.uid = Some(uid.to_owned()));
        let document = world.observed.document().unwrap();
        scheduled_at(&world.observed.apikey, document, None).unwrap()
    };
    let times: std::collections::BTreeSet<_> = (0..50).map(|n| at_for(&n.to_string())).collect();
    assert!(times.len() > 45, "{}", times.len());
    assert!(times.iter().all(|time| *time > at(CREATED + 29 * DAY)));
    assert!(times.iter().all(|time| *time <= at(CREATED + 30 * DAY)));
}

#[test]
fn a_rotation_waits_while_too_many_secrets_are_on_their_way() {
    let mut world = minted();
    world.ask("a", None);
    for _ in 0..MAX_PENDING {
        assert!(!world.run(1), "dies after minting");
    }
    assert!(world.run(usize::MAX));
    assert_eq!(world.revision(), 1);
    assert_eq!(world.ready().reason, reason::PROGRESSING_WITH_RETRY);
    let next = plan(&world.observed).next;
    assert_eq!(next, at(CREATED + 600));
    world.settle_at(next.as_second());
    assert_eq!(world.status().handled_rotate_request.as_deref(), Some("a"));
}

#[test]
fn an_old_attempt_is_dropped_only_when_the_api_server_says_that_it_was_not_delivered() {
    let mut world = minted();
    world.ask("a", None);
    assert!(!world.run(1), "dies after minting");
    world.observed.now = at(CREATED + 600);
    world.observed.confirmed = false;
    assert_eq!(plan(&world.observed).actions, [Action::Confirm]);
    world.observed.confirmed = true;
    assert_eq!(plan(&world.observed).actions, [Action::DropPending]);
}

#[test]
fn an_event_says_what_was_rotated_why_and_until_when_the_old_secret_holds() {
    let mut world = minted();
    let before = world.status();
    world.ask("a", None);
    assert!(world.run(usize::MAX));
    let after = world.status();
    world.change(|key| key.status = Some(before));
    assert_eq!(world.reasons(), [reason::ROTATED]);
    world.change(|key| key.status = Some(after));
    world.observed.now = at(CREATED + 3600);
    assert_eq!(world.reasons(), [reason::PREVIOUS_RETIRED]);
}
