use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn elector() -> Elector {
    Elector::new("own".into())
}

fn record(version: u32, holder: &str, spec: &str) -> Record {
    Record {
        resource_version: version.to_string().into(),
        holder: (!holder.is_empty()).then(|| holder.into()),
        duration: None,
        transitions: 3,
        spec: spec.into(),
    }
}

fn known(version: u32, holder: &str, spec: &str) -> Known {
    Known::Stored(record(version, holder, spec))
}

fn acquires(version: u32) -> NextStep {
    NextStep::Write(Write {
        replaces: Some(version.to_string().into()),
        change: Change::Acquire { transitions: 4 },
    })
}

fn renews(version: u32) -> NextStep {
    NextStep::Write(Write {
        replaces: Some(version.to_string().into()),
        change: Change::Renew,
    })
}

const CREATES: NextStep = NextStep::Write(Write {
    replaces: None,
    change: Change::Acquire { transitions: 0 },
});

/// An elector that leads since this time.
fn leader(now: Instant) -> Elector {
    let mut elector = elector();
    elector.read(Outcome::Known(Known::Missing), now);
    assert_eq!(elector.next(now), CREATES);
    elector.written(now, Outcome::Known(known(1, "own", "own-1")), now);
    assert!(elector.leads(now));
    elector
}

/// An elector that saw another holder at this time.
fn standby(now: Instant) -> Elector {
    let mut elector = elector();
    assert_eq!(elector.next(now), NextStep::Read);
    elector.read(Outcome::Known(known(1, "other", "other-1")), now);
    elector
}

#[test]
fn a_lease_is_over_when_it_was_not_seen_to_change_whatever_its_times_say() {
    let begun = Instant::now();
    let mut elector = standby(begun);
    assert_eq!(elector.next(begun), NextStep::Wait(begun + LEASE_DURATION));
    let renewed = begun + 4 * SECOND;
    elector.seen(known(2, "other", "other-2"), renewed);
    // A new version with the same spec is no renewal.
    elector.seen(known(3, "other", "other-2"), renewed + SECOND);
    let over = renewed + LEASE_DURATION;
    assert_eq!(elector.next(over - SECOND), NextStep::Wait(over));
    assert_eq!(elector.next(over), acquires(3));
    elector.written(over, Outcome::Conflict, over);
    let NextStep::Wait(again) = elector.next(over) else {
        panic!("no wait after a conflict")
    };
    assert_eq!(elector.next(again), NextStep::Read);
    elector.read(Outcome::Known(known(4, "other", "other-3")), again);
    assert_eq!(elector.next(again), NextStep::Wait(again + LEASE_DURATION));
}

#[test]
fn a_lease_that_is_given_back_is_taken_at_once_and_one_that_is_deleted_after_its_time() {
    let begun = Instant::now();
    let mut elector = standby(begun);
    elector.seen(known(2, "", "free"), begun + SECOND);
    assert_eq!(elector.next(begun + SECOND), acquires(2));

    let mut elector = standby(begun);
    elector.seen(Known::Missing, begun + SECOND);
    let over = begun + LEASE_DURATION;
    assert_eq!(elector.next(begun + SECOND), NextStep::Wait(over));
    assert_eq!(elector.next(over), CREATES);
}

#[test]
fn a_leader_makes_a_lease_again_that_is_gone() {
    let begun = Instant::now();
    let mut elector = leader(begun);
    let due = begun + RENEW_PERIOD;
    assert_eq!(elector.next(begun), NextStep::Wait(due));
    assert_eq!(elector.next(due), renews(1));
    elector.written(due, Outcome::Known(Known::Missing), due);
    assert_eq!(elector.next(due), CREATES);
    assert!(elector.leads(due));
}

#[test]
fn a_leader_without_answers_has_two_attempts_and_leads_no_more() {
    let begun = Instant::now();
    let mut elector = leader(begun);
    let mut now = begun + RENEW_PERIOD;
    let mut attempts = 0;
    while elector.leads(now) {
        match elector.next(now) {
            NextStep::Wait(until) => now = until,
            NextStep::Read => {
                now += REQUEST_DEADLINE;
                attempts += 1;
                elector.read(Outcome::Failed, now);
            }
            NextStep::Write(_) => {
                let sent = now;
                now += REQUEST_DEADLINE;
                attempts += 1;
                elector.written(sent, Outcome::Failed, now);
            }
        }
    }
    assert_eq!(attempts, 2);
    assert_eq!(elector.leads_until(), Some(begun + RENEW_DEADLINE));
    assert!(now < begun + LEASE_DURATION);
}

#[test]
fn an_answer_that_comes_late_counts_from_when_it_was_asked_for() {
    let begun = Instant::now();
    let mut elector = leader(begun);
    let sent = begun + RENEW_PERIOD;
    let late = sent + RENEW_DEADLINE + SECOND;
    elector.written(sent, Outcome::Known(known(2, "own", "own-2")), late);
    assert!(!elector.leads(late));
    assert_eq!(elector.next(late), renews(2));
}

#[test]
fn a_leader_that_sees_another_hold_the_lease_leads_no_more() {
    let begun = Instant::now();
    let mut elector = leader(begun);
    let due = begun + RENEW_PERIOD;
    elector.written(due, Outcome::Conflict, due);
    assert!(elector.leads(due), "somebody wrote something");
    elector.read(Outcome::Known(known(5, "other", "other-1")), due);
    assert!(!elector.leads(due) && elector.leads_until().is_none());
}

#[test]
fn absurd_durations_are_bounded_on_both_sides() {
    let of = |seconds: u64| {
        patience(&Record {
            duration: Some(Duration::from_secs(seconds)),
            ..record(1, "other", "")
        })
    };
    assert_eq!([of(0), of(1), of(15)], [LEASE_DURATION; 3]);
    assert_eq!(of(20), 20 * SECOND);
    assert_eq!([of(2_147_483_647), of(u64::MAX)], [MAX_DURATION; 2]);
}

#[test]
fn one_whose_name_another_wrote_waits_for_who_held_the_lease_before() {
    let begun = Instant::now();
    let mut elector = standby(begun);
    elector.seen(known(2, "own", "forged"), begun + SECOND);
    let over = begun + LEASE_DURATION;
    assert_eq!(elector.next(begun + SECOND), NextStep::Wait(over));
}

#[test]
fn two_retry_at_different_times() {
    let now = Instant::now();
    let waits = ["a", "b", "c", "d"].map(|name| {
        let mut elector = Elector::new(name.into());
        elector.read(Outcome::Failed, now);
        let NextStep::Wait(until) = elector.next(now) else {
            panic!("no wait after a failure")
        };
        until - now
    });
    assert!(
        waits.iter().all(|wait| (RETRY / 2..=RETRY).contains(wait)),
        "{waits:?}"
    );
    let different: std::collections::BTreeSet<_> = waits.into_iter().collect();
    assert_eq!(different.len(), 4);
}
