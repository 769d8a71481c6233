//! What Events and audit lines report. A status that others wrote must not change that.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::world::{CREATED, World, apikey, at, minted};
use super::*;
use crate::audit::{self, Record};
use crate::controller::apikey::reported::Reported;
use crate::controller::apikey::transitions::Change;
use apikey_api::conditions::{DELIVERED, EXPIRING_SOON, READY, SUSPENDED};
use apikey_api::{Phase, PreviousSecret, names};

/// A role that nobody has, with characters that move a terminal's cursor and turn the direction of
/// text.
const FORGED: &str = "admin\u{1b}[2J\u{202e}\u{9b}\n";

/// A settled key whose replaced secret is accepted. All this has been reported.
fn rotated() -> World {
    let mut world = minted();
    world.report();
    world.ask("a", None);
    assert!(world.run(usize::MAX));
    world.report();
    world
}

fn condition(type_: &str, status: &str, reason: &str) -> Condition {
    Condition {
        type_: type_.into(),
        status: status.into(),
        reason: reason.into(),
        message: FORGED.into(),
        last_transition_time: Time(at(CREATED)),
        observed_generation: None,
    }
}

/// Forged statuses.
fn forgeries(truth: &ApiKeyStatus) -> Vec<ApiKeyStatus> {
    let forged = |forge: fn(&mut ApiKeyStatus)| {
        let mut status = truth.clone();
        forge(&mut status);
        status
    };
    vec![
        ApiKeyStatus::default(),
        forged(|status| status.roles = vec![FORGED.into()]),
        forged(|status| status.key_id = None),
        forged(|status| status.key_id = Some("0123456789abcdef".into())),
        forged(|status| status.email = Some(FORGED.into())),
        forged(|status| status.revision = Some(1)),
        forged(|status| status.revision = Some(i64::MAX)),
        forged(|status| status.phase = Some(Phase::Expired)),
        forged(|status| status.observed_generation = 0),
        forged(|status| {
            status.previous_secret = Some(PreviousSecret {
                revision: 77,
                valid_until: Time(at(CREATED + 999_999)),
            });
        }),
        forged(|status| status.conditions = vec![condition(SUSPENDED, "True", "Suspended")]),
        forged(|status| {
            status.conditions = vec![
                condition(READY, "False", reason::ORGANIZATION_NOT_FOUND),
                condition(DELIVERED, "True", reason::REVEALED),
                condition(EXPIRING_SOON, "True", reason::EXPIRING_SOON),
            ];
        }),
    ]
}

fn lines(changes: &[Change]) -> Vec<Record> {
    let lines = changes.iter().filter_map(|change| change.audit.clone());
    lines.collect()
}

fn actions(changes: &[Change]) -> Vec<audit::Action> {
    lines(changes).iter().map(|line| line.action).collect()
}

#[test]
fn a_status_that_somebody_else_wrote_is_not_reported() {
    let mut world = rotated();
    let truth = world.status();
    for forged in forgeries(&truth) {
        world.change(|key| key.status = Some(forged.clone()));
        assert_eq!(world.report(), [], "{forged:#?}");
        assert!(world.run(0));
    }
    // The status does not count either while the credential record can't be read or is missing.
    let record = world.observed.record.clone().unwrap();
    let unreadable = StoredRecord {
        document: CredentialRecord::parse(b"{}"),
        is_labelled: true,
        ..StoredRecord::clone(&record)
    };
    world.observed.record = Some(Arc::new(unreadable));
    let reasons = world.reasons();
    assert_eq!(reasons, [reason::VERIFIER_UNREADABLE]);
    world.report();
    for forged in forgeries(&truth) {
        world.change(|key| key.status = Some(forged.clone()));
        assert_eq!(world.report(), [], "{forged:#?}");
    }
    world.change(|key| {
        key.spec.suspended = true;
        key.metadata.generation = Some(2);
    });
    let line = lines(&world.report()).remove(0);
    assert_eq!(line.action, audit::Action::Suspend);
    assert_eq!(Some(line.key_id), truth.key_id);
    assert_eq!(Some(line.actor), truth.email);
    assert_eq!(line.revision, Some(2));
}

#[test]
fn what_changed_is_reported_though_the_status_says_so_already() {
    let mut world = rotated();
    world.change(|key| {
        key.spec.suspended = true;
        key.spec.roles = vec!["operator".into()];
        key.metadata.generation = Some(2);
    });
    assert!(world.run(0));
    let audited = actions(&world.report());
    assert_eq!(audited, [audit::Action::Suspend, audit::Action::Update]);
    assert_eq!(world.report(), []);
}

#[test]
fn a_first_look_at_a_forged_status_reports_no_id_secret_or_discard_that_the_record_does_not_show() {
    let truth = rotated();
    let document = truth.observed.document().unwrap().clone();
    for forged in forgeries(&truth.status()) {
        let mut next = truth.clone();
        next.reported = None;
        next.change(|key| key.status = Some(forged.clone()));
        let changes = next.report();
        let lines = lines(&changes);
        assert!(lines.len() <= 1, "{lines:#?}");
        for line in lines {
            assert_eq!(line.key_id, document.key_id.as_str());
            assert_eq!(line.actor, document.email);
            assert_eq!(line.revision, Some(document.current.revision));
            assert_ne!(line.action, audit::Action::Discard);
            let before = line.previous_roles.unwrap_or_default();
            assert!(
                before
                    .iter()
                    .all(|role| !role.contains(['\u{1b}', '\u{202e}', '\n']))
            );
        }
        for change in changes {
            let message = change.transition.message;
            assert!(
                !message.contains(['\u{1b}', '\u{202e}', '\u{9b}', '\n']),
                "{message:?}"
            );
        }
        assert_eq!(next.report(), []);
    }
}

/// Only the previous values of a status can be wrong, and they are in one line.
#[test]
fn a_first_look_reports_all_that_a_status_claims_was_before_in_one_line() {
    let mut world = rotated();
    world.reported = None;
    world.change(|key| {
        let status = key.status.as_mut().unwrap();
        status.roles = vec!["admin".into()];
        status.conditions = vec![condition(SUSPENDED, "True", "Suspended")];
    });
    let lines = lines(&world.report());
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert_eq!(lines[0].action, audit::Action::Resume);
    assert_eq!(lines[0].previous_roles, Some(vec!["admin".to_owned()]));
}

#[test]
fn a_first_secret_is_said_to_be_delivered_when_it_is() {
    let report = |world: &mut World| {
        let changes = world.report();
        let transitions = changes
            .iter()
            .map(|change| change.transition.message.clone());
        (transitions.collect::<Vec<_>>(), actions(&changes))
    };
    let mut world = World::new(apikey());
    world.run_refused();
    let (transitions, audited) = report(&mut world);
    assert_eq!(
        transitions,
        ["Minted revision 1 of the secret, not yet delivered to Secret 'ci'"]
    );
    assert_eq!(audited, [audit::Action::Create]);
    world.run_refused();
    assert_eq!(report(&mut world), (Vec::new(), Vec::new()));
    assert!(world.run(usize::MAX));
    let (transitions, audited) = report(&mut world);
    assert_eq!(
        transitions,
        ["Delivered revision 1 of the secret to Secret 'ci'"]
    );
    assert_eq!(audited, []);
    assert_eq!(report(&mut world), (Vec::new(), Vec::new()));
}

#[test]
fn a_lost_record_makes_a_new_id_that_is_reported_as_such() {
    let mut world = rotated();
    world.observed.record = None;
    world.observed.delivered = None;
    assert!(world.run(usize::MAX));
    let changes = world.report();
    assert_eq!(actions(&changes), [audit::Action::Create]);
    let line = lines(&changes).remove(0);
    assert_eq!(Some(line.key_id), world.status().key_id);
    assert_eq!(line.revision, Some(1));
}

#[test]
fn a_discard_is_reported_where_a_rotation_waited_for_it() {
    let mut world = rotated();
    world.ask("b", None);
    assert!(world.run(0), "the overlap is not over");
    let before = world.status();
    world.annotate(names::ANNOTATION_DISCARD_PREVIOUS, "1");
    assert!(world.run(usize::MAX));
    assert_eq!(world.revision(), 3);
    let both = [audit::Action::Discard, audit::Action::Rotate];
    let mut killed = world.clone();
    assert_eq!(actions(&world.report()), both);
    assert_eq!(world.report(), []);
    killed.reported = None;
    killed.change(|key| key.status = Some(before));
    assert_eq!(actions(&killed.report()), both, "by the next process");
}

#[test]
fn a_discard_is_reported_by_the_next_process_if_the_one_that_did_it_dies() {
    let mut world = rotated();
    let before = world.status();
    world.annotate(names::ANNOTATION_DISCARD_PREVIOUS, "1");
    assert!(world.run(1));
    world.report();
    assert_eq!(world.status().previous_secret, None);
    world.reported = None;
    world.change(|key| key.status = Some(before));
    assert_eq!(actions(&world.report()), [audit::Action::Discard]);
}

#[test]
fn a_key_that_is_usable_again_is_reported() {
    let mut world = minted();
    world.report();
    world.observed.settings.require_organizations = true;
    let refused = [reason::UPDATED, reason::ORGANIZATION_NOT_FOUND];
    assert_eq!(world.reasons(), refused, "it has no role any more");
    world.report();
    assert!(world.run(0));
    world.observed.settings.require_organizations = false;
    assert_eq!(world.reasons(), [reason::UPDATED, reason::RECOVERED]);
    world.report();
    assert_eq!(world.report(), []);
}

#[test]
fn what_is_remembered_of_a_key_is_small() {
    assert!(size_of::<Reported>() <= 144, "{}", size_of::<Reported>());
}
