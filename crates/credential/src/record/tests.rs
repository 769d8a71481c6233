use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

use super::*;
use crate::fingerprint::Fingerprint;

const NOW: i64 = 1_800_000_000;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn pending(revision: i64, created: i64) -> Pending {
    Pending {
        entry: entry(revision, created),
        overlap_seconds: 3600,
        request: Some(format!("request {revision}")),
    }
}

fn entry(revision: i64, created: i64) -> Entry {
    Entry {
        revision,
        hash: format!("$argon2id$v=19$m=8,t=1,p=1${revision}"),
        fingerprint: Fingerprint {
            pepper_id: "p".into(),
            value: "v".into(),
        },
        created_at: Time(at(created)),
        cause: Cause::First,
        valid_until: None,
    }
}

fn document() -> CredentialRecord {
    let owner = Owner {
        namespace: "ns".into(),
        name: "n".into(),
        uid: "u".into(),
    };
    let key_id = KeyId::from_entropy([1; 10]);
    let identity = Identity {
        owner,
        org: "o".into(),
        email: "n@o".into(),
        key_id,
    };
    CredentialRecord::new(identity, at(NOW + 5000), entry(1, NOW))
}

#[test]
fn a_stored_document_is_read_back() {
    let mut document = document().with_pending(pending(2, NOW));
    document.claim = Claim::Revealed {
        at: MicroTime(at(NOW)),
    };
    assert_eq!(
        CredentialRecord::parse(&document.to_json().unwrap()),
        Ok(document)
    );
}

#[test]
fn unknown_versions_and_half_written_json_are_named() {
    let json = String::from_utf8(document().to_json().unwrap()).unwrap();
    let newer = json.replace("\"version\":1", "\"version\":7");
    let unknown = Unreadable::Version { found: 7, known: 1 };
    assert_eq!(
        CredentialRecord::parse(newer.as_bytes()),
        Err(Error(unknown))
    );
    for cut in 0..json.len() {
        assert!(CredentialRecord::parse(&json.as_bytes()[..cut]).is_err());
    }
}

fn pending_revisions(document: &CredentialRecord) -> Vec<i64> {
    let pending = document.pending.iter();
    pending.map(|pending| pending.entry.revision).collect()
}

#[test]
fn an_attempt_that_may_still_be_delivered_is_not_dropped() {
    let both = document()
        .with_pending(pending(2, NOW))
        .with_pending(pending(3, NOW + 1));
    let promoted = |document: &CredentialRecord| {
        let promoted = document.promoted(&entry(3, NOW + 1).digest(), at(NOW + 1));
        pending_revisions(&promoted.unwrap())
    };
    assert_eq!(
        promoted(&both),
        [0; 0],
        "both were to replace one version of the Secret"
    );
    let mut creating = both.clone();
    creating.pending[0].entry.cause = Cause::Replacement;
    assert_eq!(promoted(&creating), [2]);
    assert_eq!(
        pending_revisions(&both.without_old_pending(at(NOW + 599))),
        [2, 3]
    );
    assert_eq!(
        pending_revisions(&both.without_old_pending(at(NOW + 600))),
        [3]
    );
}

#[test]
fn a_full_list_has_room_again_when_its_oldest_entry_is_too_old() {
    let full = (0..4).fold(document(), |document, n| {
        assert_eq!(document.room_from(), None);
        document.with_pending(pending(n + 2, NOW + n))
    });
    assert_eq!(full.pending.len(), MAX_PENDING);
    assert_eq!(full.room_from(), Some(at(NOW + 600)));
    let fewer = full.without_old_pending(at(NOW + 600));
    assert_eq!(fewer.room_from(), None);
    let none = full.without_old_pending(at(NOW + 700));
    assert_eq!(
        (none.pending.len(), none.next_revision()),
        (0, 6),
        "no number is given twice"
    );
    assert_eq!(full.next_revision(), 6);
}

#[test]
fn promotion_keeps_the_old_secret_for_the_overlap_and_never_beyond_the_expiry() {
    let waiting = document().with_pending(pending(2, NOW));
    let digest = entry(2, NOW).digest();
    let promoted = waiting.promoted(&digest, at(NOW)).unwrap();
    assert_eq!(promoted.current.revision, 2);
    assert!(promoted.has_handled("request 2") && !promoted.has_handled("request 1"));
    let accepted = |second| promoted.accepted_previous(at(second));
    assert_eq!(accepted(NOW + 3599).unwrap().0.revision, 1);
    assert!(accepted(NOW + 3600).is_none());
    let late = waiting.promoted(&digest, at(NOW + 4000)).unwrap();
    assert_eq!(
        late.previous.unwrap().valid_until,
        Some(Time(at(NOW + 5000)))
    );
    assert!(waiting.promoted("0123456789abcdef", at(NOW)).is_none());
}

#[test]
fn answered_requests_are_remembered_up_to_a_bound() {
    let mut document = document();
    document.remember(None);
    for n in 0..20 {
        document.remember(Some(n.to_string()));
    }
    assert_eq!(document.handled_rotate_requests.len(), MAX_HANDLED);
    assert!(document.has_handled("4") && document.has_handled("19"));
    assert!(!document.has_handled("3"));
}

#[test]
fn an_overlap_is_never_shorter_than_promised() {
    let waiting = document().with_pending(pending(2, NOW));
    let now = Timestamp::from_millisecond(NOW * 1000 + 1).unwrap();
    let promoted = waiting.promoted(&entry(2, NOW).digest(), now).unwrap();
    let end = promoted.previous.unwrap().valid_until.unwrap().0;
    assert_eq!(end, at(NOW + 3601));
}

#[test]
fn without_an_overlap_the_old_secret_ends_and_the_one_before_keeps_its_time() {
    let overlapping = document().with_pending(pending(2, NOW));
    let overlapping = overlapping
        .promoted(&entry(2, NOW).digest(), at(NOW))
        .unwrap();
    let at_once = Pending {
        overlap_seconds: 0,
        ..pending(3, NOW)
    };
    let last = overlapping.with_pending(at_once);
    let last = last.promoted(&entry(3, NOW).digest(), at(NOW)).unwrap();
    let (previous, end) = last.accepted_previous(at(NOW)).unwrap();
    assert_eq!((previous.revision, end), (1, at(NOW + 3600)));
}

#[test]
fn a_current_secret_that_is_to_end_ends_and_no_promotion_gives_it_more_time() {
    let ending = document().ending_at(at(NOW + 10));
    assert_eq!(ending.current_until(), Some(at(NOW + 10)));
    let again = ending.ending_at(at(NOW + 20));
    assert_eq!(again.current_until(), Some(at(NOW + 10)));
    let waiting = ending.with_pending(pending(2, NOW));
    let promote = |waiting: &CredentialRecord| {
        let promoted = waiting.promoted(&entry(2, NOW).digest(), at(NOW)).unwrap();
        (promoted.current_until(), promoted.previous)
    };
    assert_eq!(promote(&waiting), (None, None));
    let before = document().with_pending(pending(2, NOW));
    let ended = before.ending_at(at(NOW + 10));
    assert_eq!(promote(&ended), (Some(at(NOW + 10)), None));
}

#[test]
fn an_attempt_that_was_refused_goes_and_counts_for_nothing() {
    let before = document();
    let waiting = before.with_pending(pending(2, NOW));
    assert_eq!(waiting.without_undelivered(&entry(2, NOW)), Some(before));
    assert_eq!(waiting.without_undelivered(&entry(3, NOW)), None);
}

#[test]
fn a_first_secret_that_was_refused_is_withdrawn_until_another_takes_its_place() {
    let first = document();
    let withdrawn = first.without_undelivered(&first.current).unwrap();
    assert!(withdrawn.withdrawn);
    let again = withdrawn.beginning_again(entry(1, NOW + 1));
    assert_eq!((again.withdrawn, again.next_revision()), (false, 2));
    let stored = CredentialRecord::parse(&withdrawn.to_json().unwrap());
    assert_eq!(stored, Ok(withdrawn));
}

#[test]
fn a_secret_that_is_shown_once_is_delivered_anew_by_its_promotion() {
    let mut waiting = document().with_pending(pending(2, NOW));
    let promoted = |document: &CredentialRecord| {
        let next = document.promoted(&entry(2, NOW).digest(), at(NOW));
        next.unwrap().claim
    };
    assert_eq!(promoted(&waiting), Claim::Unrecorded);
    waiting.claim = Claim::Unclaimed;
    assert_eq!(promoted(&waiting), Claim::Delivered);
}
