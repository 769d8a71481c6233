//! What holds in every state, and where every state comes to.

use apikey_api::conditions::{self, READY};
use apikey_api::{Delivery, Phase};
use apikey_credential::record::{CredentialRecord, Entry, MAX_PENDING};
use apikey_operator::controller::apikey::rotation::END_WITHIN;

use super::observe::Decisions;
use super::record::digest;
use super::state::{Controller, Objects, State};
use super::steps::{self, Answer};
use super::world::{Seconds, SecretNumber, UIDS, World, timestamp};

/// A message about a broken promise.
pub(crate) type Broken = String;

/// Whether the token server accepts the secret with this credential record.
fn is_accepted(document: &CredentialRecord, secret: SecretNumber, now: Seconds) -> bool {
    let now = timestamp(now);
    let digest = digest(secret);
    let pending = document.pending.iter().map(|pending| &pending.entry);
    let mut entries = pending.chain(&document.previous).chain([&document.current]);
    let is_good = |entry: &Entry| entry.valid_until.as_ref().is_none_or(|until| now < until.0);
    now < document.expires_at.0 && entries.any(|entry| entry.digest() == digest && is_good(entry))
}

/// The secrets that a credential record proves.
fn secrets(document: &CredentialRecord, minted: usize) -> impl Iterator<Item = SecretNumber> {
    let previous = document.previous.iter();
    let pending = document.pending.iter().map(|pending| &pending.entry);
    let entries = previous.chain(pending).chain([&document.current]);
    let digests: Vec<_> = entries.map(Entry::digest).collect();
    (1..=SecretNumber::try_from(minted).unwrap())
        .filter(move |secret| digests.contains(&digest(*secret)))
}

/// The token server accepts each delivered secret, unless a user requested its end.
pub(crate) fn delivered_is_accepted(world: &World, state: &State) -> Result<(), Broken> {
    let now = world.moments[state.moment];
    let Some(delivered) = &state.objects.delivered else {
        return Ok(());
    };
    let document = state.objects.record(delivered.owner);
    // A controller that has not seen the request yet may mint a secret after it.
    let is_asked = world.overlap_seconds == 0
        && state.objects.key.as_ref().is_some_and(|key| {
            let request = key.asked.to_string();
            let handles = |document: &CredentialRecord| document.has_handled(&request);
            key.asked > 0 && !document.as_ref().is_some_and(|document| handles(document))
        });
    let wanted = is_asked || delivered.secret <= state.history.ending;
    if !state.objects.has_key(delivered.owner) || now >= world.expiry() || wanted {
        return Ok(());
    }
    match document {
        Some(document) if is_accepted(&document, delivered.secret, now) => Ok(()),
        _ => Err(format!(
            "secret {} is delivered and refused",
            delivered.secret
        )),
    }
}

/// A secret that a rotation replaced stays accepted for the overlap.
pub(crate) fn overlap_is_kept(world: &World, state: &State) -> Result<(), Broken> {
    let now = world.moments[state.moment];
    let (Some((secret, until)), Some(key)) = (state.history.replaced, &state.objects.key) else {
        return Ok(());
    };
    let document = state.objects.record(key.uid);
    let holds =
        now >= until || document.is_some_and(|document| is_accepted(&document, secret, now));
    holds
        .then_some(())
        .ok_or_else(|| format!("secret {secret} is refused before {until}"))
}

/// A revision of a key has only one secret.
pub(crate) fn one_secret_per_revision(state: &State) -> Result<(), Broken> {
    let deliveries = state.history.deliveries.iter();
    let of_key = deliveries.filter(|(uid, ..)| state.objects.has_key(*uid));
    let mut revisions: Vec<_> = of_key.map(|(_, revision, _)| revision).collect();
    let count = revisions.len();
    revisions.sort_unstable();
    revisions.dedup();
    (revisions.len() == count)
        .then_some(())
        .ok_or_else(|| format!("delivered: {:?}", state.history.deliveries))
}

/// The token server accepts no secret from the expiry on, and no write moves the expiry.
pub(crate) fn nothing_outlives_the_key(world: &World, state: &State) -> Result<(), Broken> {
    let expiry = timestamp(world.expiry());
    for document in state.objects.records.iter().flatten() {
        let ends = document
            .previous
            .iter()
            .filter_map(|entry| entry.valid_until.as_ref());
        if document.expires_at.0 != expiry || ends.clone().any(|end| end.0 > expiry) {
            return Err(format!("{document:?}"));
        }
    }
    Ok(())
}

/// A key never adopts a secret, a credential record or a delivery of an earlier key of its name.
pub(crate) fn nothing_is_inherited(state: &State) -> Result<(), Broken> {
    let minted_for = &state.history.minted_for;
    for (uid, document) in (1..).zip(&state.objects.records) {
        let Some(document) = document else { continue };
        let foreign = secrets(document, minted_for.len())
            .find(|secret| minted_for[usize::from(*secret) - 1] != uid);
        if let Some(secret) = foreign {
            return Err(format!("key {uid} has secret {secret}"));
        }
    }
    match &state.objects.delivered {
        Some(delivered) if minted_for[usize::from(delivered.secret) - 1] != delivered.owner => {
            Err(format!("{delivered:?}"))
        }
        _ => Ok(()),
    }
}

/// The list of pending secrets is bounded, and the revisions in a credential record differ.
pub(crate) fn documents_are_sound(state: &State) -> Result<(), Broken> {
    for document in state.objects.records.iter().flatten() {
        let pending = document
            .pending
            .iter()
            .map(|pending| pending.entry.revision);
        let previous = document.previous.iter().map(|entry| entry.revision);
        let mut revisions: Vec<_> = pending.chain(previous).collect();
        revisions.push(document.current.revision);
        let entries = revisions.len();
        revisions.sort_unstable();
        revisions.dedup();
        if document.pending.len() > MAX_PENDING || revisions.len() != entries {
            return Err(format!("{document:?}"));
        }
    }
    Ok(())
}

/// The maximum number of runs of a controller until nothing changes.
const PATIENCE: usize = 10;

/// Without further faults, one controller reaches a state in which nothing changes, and then writes nothing.
pub(crate) fn comes_to_rest(
    world: &World,
    decisions: &Decisions,
    state: &State,
) -> Result<(), Broken> {
    let mut state = without_controllers(state);
    let mut looks_again = None;
    loop {
        let before = state.objects.clone();
        settle(world, decisions, &mut state)?;
        let now = world.moments[state.moment];
        if before != state.objects && looks_again.is_some_and(|at| at > now) {
            return Err(format!("at {now} no reconcile is due: {before:?}"));
        }
        check_rest(world, &state)?;
        if state.moment + 1 == world.moments.len() {
            return Ok(());
        }
        looks_again = next_look(world, decisions, &state);
        state.moment += 1;
    }
}

/// Runs one controller with a current cache, and the garbage collector, until a run changes nothing.
fn settle(world: &World, decisions: &Decisions, state: &mut State) -> Result<(), Broken> {
    for _ in 0..PATIENCE {
        let before = state.objects.clone();
        run_once(world, decisions, state);
        if state.objects == before {
            return Ok(());
        }
    }
    Err(format!(
        "no rest after {PATIENCE} runs: {:?}",
        state.objects
    ))
}

fn run_once(world: &World, decisions: &Decisions, state: &mut State) {
    let now = world.moments[state.moment];
    state.objects.collect_garbage();
    state.controllers[0].cache = state.objects.clone();
    for uid in UIDS {
        steps::sweep(state, 0, uid);
    }
    state.controllers[0].run = steps::begin(world, decisions, &state.controllers[0], now);
    while state.controllers[0].run.is_some() {
        steps::advance(world, decisions, state, 0, Answer::Arrives);
    }
}

/// Whether a controller with a current cache has nothing to change.
pub(crate) fn is_at_rest(world: &World, decisions: &Decisions, state: &State) -> bool {
    let mut after = without_controllers(state);
    run_once(world, decisions, &mut after);
    after.objects == state.objects
}

fn without_controllers(state: &State) -> State {
    State {
        controllers: [Controller::default(), Controller::default()],
        ..state.clone()
    }
}

/// The time of the next reconcile of a key that needs no change.
fn next_look(world: &World, decisions: &Decisions, state: &State) -> Option<Seconds> {
    let now = world.moments[state.moment];
    let view = steps::view(&state.controllers[0], now)?;
    Some(decisions.of(world, &view).next)
}

fn check_rest(world: &World, state: &State) -> Result<(), Broken> {
    let now = world.moments[state.moment];
    let Objects {
        key,
        delivered,
        refuses,
        ..
    } = &state.objects;
    let Some(key) = key else {
        let ours = delivered.as_ref().filter(|delivered| !delivered.is_taken);
        let nothing = state.objects.records == [None; 2] && ours.is_none();
        return nothing
            .then_some(())
            .ok_or_else(|| format!("a deleted key leaves {:?}", state.objects));
    };
    let broken = |what: &str| Err(format!("{what}, at {now}: {:?}", state.objects));
    let Some(status) = key.status else {
        return broken("a key without a status");
    };
    if (status.phase == Some(Phase::Expired)) != (now >= world.expiry()) {
        return broken("a wrong phase");
    }
    let is_ready =
        conditions::find(&status.conditions, READY).is_some_and(|ready| ready.status == "True");
    if now >= world.expiry() || *refuses {
        return if is_ready { broken("Ready") } else { Ok(()) };
    }
    let is_taken = delivered.as_ref().is_some_and(|secret| secret.is_taken);
    let document = match state.objects.record(key.uid) {
        Some(document) => document,
        None if is_taken && !is_ready => return Ok(()),
        None => return broken("no record"),
    };
    let soon = now + Seconds::try_from(END_WITHIN.as_secs()).unwrap();
    let of_key = state
        .history
        .deliveries
        .iter()
        .filter(|(uid, ..)| *uid == key.uid);
    let mut ending = of_key.filter(|(_, _, secret)| *secret <= state.history.ending);
    if ending.any(|(_, _, secret)| is_accepted(&document, *secret, soon)) {
        return broken("a secret that is to end does not");
    }
    if world.delivery == Delivery::RevealOnce && state.history.claimed == Some(key.uid) {
        return match delivered {
            Some(delivered) if !delivered.is_taken => broken("a claimed secret is still there"),
            Some(_) | None => Ok(()),
        };
    }
    let holds_current = delivered
        .as_ref()
        .is_some_and(|delivered| digest(delivered.secret) == document.current.digest());
    let is_held_back = world.delivery == Delivery::RevealOnce || !is_ready;
    if !holds_current && !is_held_back {
        return broken("the current secret is not delivered");
    }
    let asked = key.asked.to_string();
    let waits = document.accepted_previous(timestamp(now)).is_some();
    if key.asked > 0 && is_ready && !document.has_handled(&asked) && !waits {
        return broken("a request is not answered");
    }
    Ok(())
}
