//! Tests of the plan with a model of the API server.

mod claim;
mod reported;
mod restore;
mod rotation;
mod world;

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use proptest::prelude::*;

use self::world::{CREATED, DAY, World, apikey, at, minted};
use super::*;
use crate::controller::apikey::rotation::MAX_REPLACEMENTS;
use crate::watch::stored::StoredRecord;
use apikey_api::conditions::{self, STALLED, reason};
use apikey_api::{
    ApiKey, DeliveredSecretSpec, Organization, OrganizationSpec, Phase, RotationSpec,
    SecretTemplate, SubOrganization, TokenSpec, names,
};
use apikey_credential::KeyId;
use apikey_credential::record::{Cause, MAX_PENDING};

#[test]
fn a_new_key_is_minted_with_two_writes_and_is_then_left_alone() {
    let mut world = minted();
    assert_eq!((world.writes, world.phase()), (2, Phase::Active));
    assert_eq!(world.ready().reason, reason::ISSUED);
    let before = world.observed.apikey.status.clone();
    assert!(world.run(0), "a settled key has nothing to do");
    assert_eq!(world.observed.apikey.status, before);
}

#[test]
fn rare_steps_are_confirmed_before_they_are_taken() {
    let mut world = minted();
    world.observed.delivered = None;
    world.observed.confirmed = false;
    assert_eq!(plan(&world.observed).actions, [Action::Confirm]);
    let mut lost = minted();
    lost.observed.record = None;
    lost.observed.confirmed = false;
    assert_eq!(plan(&lost.observed).actions, [Action::Confirm]);
}

#[test]
fn a_lost_record_means_a_new_key_id_whatever_the_status_says() {
    let mut world = minted();
    let before = world.observed.document().unwrap().clone();
    world.observed.record = None;
    let theirs = KeyId::from_entropy([0xaa; 10]);
    world.change(|key| {
        let status = key.status.get_or_insert_default();
        status.key_id = Some(theirs.as_str().to_owned());
        status.email = Some("victim@acme".into());
        status.revision = Some(i64::MAX);
    });
    assert!(world.run(usize::MAX));
    let after = world.observed.document().unwrap();
    assert_ne!(after.key_id, before.key_id);
    assert_ne!(after.key_id, theirs);
    assert_eq!(after.expires_at, before.expires_at);
    let status = world.status();
    assert_eq!(status.key_id.as_deref(), Some(after.key_id.as_str()));
    assert_eq!(
        (status.revision, status.email),
        (Some(1), Some(after.email.clone()))
    );
}

#[test]
fn nothing_is_done_or_said_of_a_key_that_is_gone_though_a_cache_still_has_it() {
    let mut world = minted();
    let status = world.observed.apikey.status.clone().unwrap();
    world.observed.delivered = None;
    world.observed.confirmed = true;
    assert_ne!(
        plan(&world.observed).actions,
        [],
        "a lost Secret is replaced"
    );
    world.observed.deleted = true;
    let plan = plan(&world.observed);
    assert_eq!((plan.actions, plan.status), (Vec::new(), status));
    assert_eq!(plan.next, at(CREATED + 60));
}

#[test]
fn at_its_expiry_a_key_is_expired_and_nothing_more_is_minted() {
    let mut world = minted();
    let expiry = CREATED + 180 * DAY;
    world.observed.now = at(expiry - 1);
    assert!(world.run(0));
    assert_eq!(world.phase(), Phase::Active);
    world.observed.now = at(expiry);
    world.observed.delivered = None;
    assert!(world.run(0), "an expired key is left alone");
    assert_eq!(world.phase(), Phase::Expired);
    let status = world.observed.apikey.status.clone().unwrap();
    assert!(conditions::is_true(&status.conditions, STALLED));
    assert!(conditions::is_true(&status.conditions, conditions::EXPIRED));
}

#[test]
fn the_next_look_is_never_after_the_next_deadline() {
    let mut world = minted();
    world.observed.now = at(CREATED + 180 * DAY - 30);
    assert_eq!(plan(&world.observed).next, at(CREATED + 180 * DAY));
    world.observed.now = at(CREATED + 173 * DAY - 5);
    assert_eq!(
        plan(&world.observed).next,
        at(CREATED + 173 * DAY),
        "expires soon from then on"
    );
    world.observed.now = at(CREATED + DAY);
    assert_eq!(
        plan(&world.observed).next,
        at(CREATED + DAY + 3600),
        "clocks jump"
    );
}

#[test]
fn a_secret_removed_again_and_again_is_held_back() {
    let mut world = minted();
    for _ in 0..MAX_REPLACEMENTS {
        world.observed.delivered = None;
        assert!(world.run(usize::MAX));
    }
    world.observed.delivered = None;
    let writes = world.writes;
    assert!(world.run(usize::MAX));
    assert_eq!(world.writes, writes);
    assert_eq!(world.ready().reason, reason::SECRET_REMOVED_REPEATEDLY);
    world.observed.now = plan(&world.observed).next;
    assert!(world.run(usize::MAX));
    assert_eq!(world.ready().reason, reason::ISSUED);
}

#[test]
fn attempts_that_are_refused_count_neither_as_secrets_nor_as_removals() {
    let mut world = World::new(apikey());
    for _ in 0..10 {
        world.run_refused();
    }
    assert!(world.run(usize::MAX));
    assert_eq!((world.revision(), world.observed.is_delivered()), (1, true));
    world.observed.delivered = None;
    for _ in 0..10 {
        world.run_refused();
    }
    assert!(world.run(usize::MAX));
    assert_eq!((world.revision(), world.observed.is_delivered()), (2, true));
    assert_eq!(world.ready().reason, reason::ISSUED);
    world.settle_at(CREATED + DAY);
    world.ask("a", None);
    for _ in 0..10 {
        world.run_refused();
    }
    assert!(world.run(usize::MAX));
    assert_eq!((world.revision(), world.observed.is_delivered()), (3, true));
}

#[test]
fn a_requested_secret_does_not_wait_for_the_backoff_of_replacements() {
    let mut world = minted();
    for _ in 0..MAX_REPLACEMENTS {
        world.observed.delivered = None;
        assert!(world.run(usize::MAX));
    }
    world.observed.delivered = None;
    assert!(world.run(usize::MAX));
    assert_eq!(world.ready().reason, reason::SECRET_REMOVED_REPEATEDLY);
    world.ask("leaked", Some(0));
    assert!(world.run(usize::MAX));
    assert_eq!(world.ready().reason, reason::ISSUED);
    assert!(world.accepts_delivered());
}

#[test]
fn a_secret_of_an_earlier_key_is_waited_for_and_that_of_another_is_a_conflict() {
    let mut world = minted();
    world.observed.record = None;
    world.change(|key| {
        key.metadata.uid = Some("uid-2".into());
        key.status = None;
    });
    assert!(world.run(0));
    assert_eq!(world.ready().reason, reason::PREVIOUS_SECRET_TERMINATING);
    world.change(|key| key.metadata.name = Some("other".into()));
    assert!(world.run(0));
    assert_eq!(world.ready().reason, reason::SECRET_CONFLICT);
}

#[test]
fn a_taken_name_is_looked_at_again_soon_and_then_every_half_a_minute() {
    let mut world = minted();
    world.observed.record = None;
    world.change(|key| {
        key.metadata.uid = Some("uid-2".into());
        key.metadata.name = Some("other".into());
        key.status = None;
    });
    let wait = |world: &World| {
        let next = plan(&world.observed).next;
        next.duration_since(world.observed.now).as_secs()
    };
    assert_eq!(wait(&world), 5);
    assert!(world.run(0));
    let begun = world.observed.now.as_second();
    for (age, seconds) in [(0, 5), (4, 5), (12, 12), (30, 30), (DAY, 30), (-60, 5)] {
        world.observed.now = at(begun + age);
        assert_eq!(wait(&world), seconds, "{age}");
    }
}

#[test]
fn an_unreadable_record_is_left_to_people() {
    let mut world = minted();
    world.observed.record = Some(Arc::new(StoredRecord {
        metadata: ObjectMeta::default(),
        owner: None,
        document: CredentialRecord::parse(b"{}"),
        is_labelled: true,
    }));
    let known = world.observed.apikey.status.clone().unwrap();
    assert!(world.run(0));
    assert_eq!(world.ready().reason, reason::VERIFIER_UNREADABLE);
    let status = world.observed.apikey.status.clone().unwrap();
    assert_eq!((status.key_id, status.email), (known.key_id, known.email));
}

#[test]
fn a_secret_that_is_no_longer_watched_gets_its_labels_back_and_keeps_its_value() {
    let mut world = minted();
    Arc::make_mut(world.observed.delivered.as_mut().unwrap()).is_labelled = false;
    assert_eq!(plan(&world.observed).actions, [Action::LabelDelivered]);
    assert!(world.run(1));
    assert_eq!(world.revision(), 1);
}

#[test]
fn a_template_is_applied_once_and_its_removal_too() {
    let mut world = minted();
    let set = |world: &mut World, label: Option<&str>| {
        let labels = label
            .map(|l| ("team".to_owned(), l.to_owned()))
            .into_iter()
            .collect();
        let template = Some(SecretTemplate {
            labels,
            ..SecretTemplate::default()
        });
        let secret = Some(DeliveredSecretSpec {
            template,
            ..DeliveredSecretSpec::default()
        });
        world.change(|key| key.spec.secret = secret);
    };
    for label in [Some("a"), Some("b"), None] {
        let writes = world.writes;
        set(&mut world, label);
        assert!(world.run(usize::MAX));
        assert!(world.run(0));
        assert_eq!(world.writes, writes + 1);
    }
}

#[test]
fn a_change_of_the_token_endpoint_reaches_the_secret_by_one_write_and_no_new_value() {
    let mut world = minted();
    let revision = world.observed.apikey.status.clone().unwrap().revision;
    for url in [Some("https://a"), Some("https://b"), None] {
        let writes = world.writes;
        world.observed.settings.token_url = url.map(Into::into);
        assert!(world.run(usize::MAX));
        assert!(world.run(0));
        assert_eq!(world.writes, writes + 1);
    }
    assert_eq!(
        world.observed.apikey.status.clone().unwrap().revision,
        revision
    );
}

#[test]
fn each_change_is_reported_once() {
    let reasons = World::reasons;
    let mut world = minted();
    assert!(reasons(&world).is_empty());
    world.change(|key| {
        key.spec.roles = vec!["operator".into()];
        key.metadata.generation = Some(2);
    });
    assert_eq!(reasons(&world), [reason::UPDATED]);
    assert!(world.run(0));
    world.change(|key| {
        key.spec.suspended = true;
        key.metadata.generation = Some(3);
    });
    assert_eq!(reasons(&world), [reason::SUSPENDED]);
    assert!(world.run(0));
    world.observed.now = at(CREATED + 180 * DAY);
    assert_eq!(reasons(&world), [reason::EXPIRED]);
    assert!(world.run(0));
    assert!(reasons(&world).is_empty());
}

/// The token server writes the last use. A change of it is not reported.
#[test]
fn the_last_use_is_carried_over_and_not_reported() {
    let mut world = minted();
    let used = Some(Time(at(CREATED + 5)));
    world.change(|key| key.status.as_mut().unwrap().last_used_at = used.clone());
    let before = world.observed.apikey.status.clone().unwrap();
    let plan_now = plan(&world.observed);
    assert_eq!(plan_now.actions, []);
    assert_eq!(plan_now.status, before);
    world.change(|key| {
        key.spec.roles = vec!["operator".into()];
        key.metadata.generation = Some(2);
    });
    assert!(world.run(0));
    let after = world.observed.apikey.status.clone().unwrap();
    assert_eq!(
        (after.roles.as_slice(), after.last_used_at),
        (&["operator".to_owned()][..], used)
    );
    world.observed.now = at(CREATED + 180 * DAY);
    assert!(world.run(0));
    let expired = world.observed.apikey.status.clone().unwrap();
    assert_eq!(
        (expired.phase, expired.last_used_at),
        (Some(Phase::Expired), before.last_used_at)
    );
}

#[test]
fn the_status_says_which_sub_organizations_and_audiences_are_left_out_and_why() {
    let mut world = minted();
    world.change(|key| {
        let listed = |org: &str| SubOrganization {
            org: org.into(),
            roles: Vec::new(),
        };
        key.spec.sub_orgs = vec![listed("tr"), listed("de")];
        let audiences = vec!["builds".into(), "cluster".into()];
        key.spec.token = Some(TokenSpec {
            audiences,
            ..TokenSpec::default()
        });
        key.metadata.generation = Some(2);
    });
    let organization = |name: &str, parent: Option<&str>| {
        let spec = OrganizationSpec {
            parent: parent.map(Into::into),
            audiences: vec!["builds".into()],
            ..OrganizationSpec::default()
        };
        Some(Arc::new(Organization::new(name, spec)))
    };
    let message = |world: &mut World| {
        assert!(world.run(0));
        let ready = world.ready();
        assert_eq!((&*ready.status, &*ready.reason), ("True", reason::ISSUED));
        ready.message
    };
    let undeclared = message(&mut world);
    assert!(
        undeclared.contains("`subOrgs` [tr, de] are left out: Organization 'acme' is not declared"),
        "{undeclared}"
    );
    world.observed.organization = organization("acme", None);
    world.observed.sub_organizations = organization("tr", Some("acme")).into_iter().collect();
    let covered = message(&mut world);
    assert!(
        covered.contains("`subOrgs` [de] are left out: each must"),
        "{covered}"
    );
    assert!(
        covered.contains("`token.audiences` [cluster] are not among"),
        "{covered}"
    );
    world.observed.parent = world.observed.organization.take();
    world.observed.organization = organization("acme", Some("root"));
    let below = message(&mut world);
    assert!(
        below.contains("[tr, de] are left out: 'acme' is a sub-organization itself"),
        "{below}"
    );
    let status = world.observed.apikey.status.clone().unwrap();
    assert_eq!(status.roles, ["viewer"], "those in its own organization");
}

#[test]
fn a_key_that_may_have_none_of_its_audiences_is_refused_until_somebody_changes_that() {
    let mut world = minted();
    world.change(|key| {
        let audiences = vec!["cluster".into()];
        key.spec.token = Some(TokenSpec {
            audiences,
            ..TokenSpec::default()
        });
        key.metadata.generation = Some(2);
    });
    let spec = OrganizationSpec {
        audiences: vec!["builds".into()],
        ..OrganizationSpec::default()
    };
    world.observed.organization = Some(Arc::new(Organization::new("acme", spec)));
    assert_eq!(
        world.reasons(),
        [reason::UPDATED, reason::AUDIENCE_NOT_ALLOWED]
    );
    assert!(world.run(0));
    assert_eq!(world.ready().reason, reason::AUDIENCE_NOT_ALLOWED);
    let status = world.observed.apikey.status.clone().unwrap();
    assert!(conditions::is_true(&status.conditions, STALLED));
}

/// The state that a process may find when it starts.
#[derive(Clone, Copy, Debug)]
enum Found {
    Nothing,
    Settled,
    SecretRemoved,
    RecordRemoved,
    OtherValue,
    Asked,
    AskedWithoutOverlap,
    Due,
}

proptest! {
    /// For any initial state and any crashes, the last process settles the key. A delivered value
    /// that was accepted once stays accepted at every step, until it is replaced or a request ends
    /// it.
    #[test]
    fn any_crash_converges_and_never_refuses_what_is_delivered(
        found in prop::sample::select(vec![
            Found::Nothing,
            Found::Settled,
            Found::SecretRemoved,
            Found::RecordRemoved,
            Found::OtherValue,
            Found::Asked,
            Found::AskedWithoutOverlap,
            Found::Due,
        ]),
        deaths in prop::collection::vec(0..5_usize, 0..4),
        pauses in prop::collection::vec(0..900_i64, 6),
    ) {
        let mut world =
            if matches!(found, Found::Nothing) { World::new(apikey()) } else { minted() };
        match found {
            Found::SecretRemoved => world.observed.delivered = None,
            Found::RecordRemoved => world.observed.record = None,
            Found::OtherValue => world.deliver("0123456789abcdef"),
            Found::Asked => world.ask("once", None),
            Found::AskedWithoutOverlap => world.ask("once", Some(0)),
            Found::Due => {
                world.change(|key| {
                    key.spec.rotation = Some(RotationSpec {
                        every_days: Some(1),
                        ..RotationSpec::default()
                    });
                });
                world.observed.now = at(CREATED + DAY);
            }
            Found::Nothing | Found::Settled => {}
        }
        let rotates = matches!(found, Found::Asked | Found::AskedWithoutOverlap | Found::Due);
        let mut accepted = world.accepts_delivered();
        for (death, pause) in deaths.iter().zip(pauses) {
            world.run(*death);
            prop_assert!(world.accepts_delivered() || !accepted);
            accepted = world.accepts_delivered();
            world.observed.now = at(world.observed.now.as_second() + pause);
            let wanted = matches!(found, Found::AskedWithoutOverlap);
            prop_assert!(world.accepts_delivered() || !accepted || wanted);
            accepted = world.accepts_delivered();
        }
        world.observed.replacements.clear();
        prop_assert!(world.run(usize::MAX));
        if rotates {
            let document = world.observed.document().unwrap();
            prop_assert!(document.current.cause != Cause::First, "never rotated");
            let revision = world.revision();
            prop_assert!(world.run(0), "rotated again");
            prop_assert_eq!(world.revision(), revision);
        }
        prop_assert!(world.accepts_delivered() && world.observed.is_delivered());
        prop_assert_eq!(world.ready().reason, reason::ISSUED);
        let document = world.observed.document().unwrap();
        prop_assert!(document.pending.len() <= MAX_PENDING);
        let pending = document.pending.clone();
        world.observed.now = at(world.observed.now.as_second() + 601);
        prop_assert!(world.run(usize::MAX));
        let left = world.observed.document().unwrap().pending.len();
        prop_assert_eq!(left, 0, "left over from {:?}", pending);
    }
}
