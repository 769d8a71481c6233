//! What a controller does, a request at a time, and what the API server makes of it.
//!
//! This is the executor without its I/O: the same steps of the same plan, in the same order, with the
//! same preconditions. Token servers see each write before the next one of the same run: that is what
//! the executor waits for between proving a secret and delivering it.

use apikey_api::ApiKeyStatus;
use apikey_credential::record::{Cause, CredentialRecord, Entry, FIRST_REVISION, Pending};
use apikey_operator::controller::apikey::MAX_ROUNDS;
use apikey_operator::controller::apikey::execute::DELIVER_WITHIN;
use apikey_operator::controller::apikey::model::{Action, Proof};
use apikey_operator::controller::apikey::observe::needs_confirmation;
use apikey_operator::controller::apikey::rotation::{self, MAX_REPLACEMENTS};

use super::interned::{DOCUMENTS, Interned};
use super::observe::{self, Decisions};
use super::record::{self, digest};
use super::state::{Controller, Delivered, History, Key, Next, Objects, Run, State, View};
use super::world::{Seconds, SecretNumber, Uid, World, timestamp};

/// How a request ends for the controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Answer {
    /// The request is done, and the controller gets the answer.
    Arrives,
    /// The request is done, and the answer is lost.
    IsLost,
}

/// The outcome of a request, from the API server or from the executor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Done,
    Conflict,
    /// The run ends, and a later one reconciles the key again.
    Failed,
}

/// The view of the key in the caches of this controller, if they have the key.
pub(crate) fn view(controller: &Controller, now: Seconds) -> Option<View> {
    let cache = &controller.cache;
    let key = cache.key.clone()?;
    Some(View {
        record: cache.record(key.uid),
        delivered: cache.delivered.clone(),
        refused: cache.refuses,
        confirmed: false,
        deleted: false,
        replacements: controller.replacements.clone(),
        now,
        key,
    })
}

/// The run that this controller would start; `None` if it has nothing to do.
pub(crate) fn begin(
    world: &World,
    decisions: &Decisions,
    controller: &Controller,
    now: Seconds,
) -> Option<Run> {
    let view = view(controller, now)?;
    let next = if needs_confirmation(&observe::apikey(world, &view.key)) {
        Next::ReadRecord
    } else {
        next_of(world, decisions, &view)?
    };
    Some(Run {
        view,
        next,
        minted: None,
        rounds: 0,
    })
}

/// Runs the sweeper of this controller for a credential record. It removes the record if neither the cache nor the
/// API server has the `ApiKey`, and if the record is unchanged since it was cached.
pub(crate) fn sweep(state: &mut State, controller: usize, uid: Uid) {
    let cache = &mut state.controllers[controller].cache;
    let seen = cache.record(uid);
    let is_gone = !cache.has_key(uid) && !state.objects.has_key(uid);
    if seen.is_some() && is_gone && state.objects.record(uid) == seen {
        *state.objects.record_mut(uid) = None;
        *cache.record_mut(uid) = None;
    }
}

/// The first request of the current decision; `None`: nothing to do and no status to write.
fn next_of(world: &World, decisions: &Decisions, view: &View) -> Option<Next> {
    let decision = decisions.of(world, view);
    match decision.actions.first() {
        Some(Action::Confirm) => Some(Next::ReadRecord),
        Some(_) => Some(Next::Act(decision, 0)),
        None => {
            (view.key.status != Some(decision.status)).then_some(Next::WriteStatus(decision.status))
        }
    }
}

/// Sends the next request of the run of this controller.
pub(crate) fn advance(
    world: &World,
    decisions: &Decisions,
    state: &mut State,
    controller: usize,
    answer: Answer,
) {
    let Some(mut run) = state.controllers[controller].run.take() else {
        return;
    };
    let mut advanced = state.controllers[controller].clone();
    let mut step = Step {
        world,
        now: world.moments[state.moment],
        objects: &mut state.objects,
        history: &mut state.history,
        controller: &mut advanced,
        run: &mut run,
    };
    let outcome = step.send();
    if answer == Answer::Arrives {
        advanced.run = go_on(world, decisions, run, outcome);
        state.controllers[controller] = advanced;
    }
}

/// The rest of the run after a step; `None`: the run is over.
fn go_on(world: &World, decisions: &Decisions, mut run: Run, outcome: Outcome) -> Option<Run> {
    match (outcome, run.next) {
        (Outcome::Failed, _) | (_, Next::WriteStatus(_)) => return None,
        (Outcome::Conflict, Next::Deliver(..)) => run.next = Next::Forget,
        (Outcome::Conflict, _) | (Outcome::Done, Next::Forget) => {
            run.rounds += 1;
            run.next = Next::ReadRecord;
        }
        (Outcome::Done, Next::ReadRecord) => run.next = Next::ReadDelivered,
        (Outcome::Done, Next::ReadDelivered) => run.next = Next::ReadKey,
        (Outcome::Done, Next::Act(decision, n))
            if matches!(decision.actions[usize::from(n)], Action::Issue { .. }) =>
        {
            run.next = Next::Deliver(decision, n);
        }
        (Outcome::Done, Next::Act(decision, n) | Next::Deliver(decision, n))
            if usize::from(n) + 1 < decision.actions.len() =>
        {
            run.next = Next::Act(decision, n + 1);
        }
        (Outcome::Done, Next::Act(..) | Next::Deliver(..) | Next::ReadKey) => {
            run.rounds += 1;
            run.next = next_of(world, decisions, &run.view)?;
        }
    }
    (usize::from(run.rounds) <= MAX_ROUNDS).then_some(run)
}

/// One request of a run.
struct Step<'a> {
    world: &'a World,
    now: Seconds,
    objects: &'a mut Objects,
    history: &'a mut History,
    controller: &'a mut Controller,
    run: &'a mut Run,
}

impl Step<'_> {
    fn send(&mut self) -> Outcome {
        let uid = self.run.view.key.uid;
        match self.run.next {
            Next::ReadRecord => {
                self.run.view.record = self.objects.record(uid);
                Outcome::Done
            }
            Next::ReadDelivered => {
                self.run.view.delivered.clone_from(&self.objects.delivered);
                Outcome::Done
            }
            Next::ReadKey => {
                self.run.view.deleted = !self.objects.has_key(uid);
                self.run.view.confirmed = true;
                Outcome::Done
            }
            Next::Forget => self.forget(),
            Next::WriteStatus(status) => self.write_status(status),
            Next::Act(decision, n) => self.act(&decision.actions[usize::from(n)]),
            Next::Deliver(decision, n) => {
                let action = &decision.actions[usize::from(n)];
                let Action::Issue { replaces, .. } = action else {
                    unreachable!("{action:?} delivers nothing")
                };
                self.deliver(replaces.is_some())
            }
        }
    }

    fn write_status(&mut self, status: Interned<ApiKeyStatus>) -> Outcome {
        if self.objects.key.as_ref() != Some(&self.run.view.key) {
            return Outcome::Failed;
        }
        let key = Key {
            status: Some(status),
            ..self.run.view.key.clone()
        };
        self.objects.key = Some(key.clone());
        self.controller.cache.key = Some(key);
        Outcome::Done
    }

    fn act(&mut self, action: &Action) -> Outcome {
        match action {
            Action::Issue { proof, .. } => self.prove(proof),
            Action::Promote => {
                let delivered = self.run.view.delivered.as_ref();
                let named = delivered.map(|delivered| digest(delivered.secret));
                let named = named.unwrap_or_default();
                let Some(promoted) = self.document().promoted(&named, timestamp(self.now)) else {
                    return Outcome::Done;
                };
                let replaces = promoted.current.cause == Cause::Replacement;
                let outcome = self.write_record(promoted);
                if replaces && outcome == Outcome::Done {
                    self.remember_replacement();
                }
                outcome
            }
            Action::DropPending => {
                let observed_at = timestamp(self.run.view.now);
                self.write_record(self.document().without_old_pending(observed_at))
            }
            Action::DiscardPrevious => self.change_record(|document| document.previous = None),
            Action::EndCurrent => {
                let observed_at = timestamp(self.run.view.now);
                self.write_record(rotation::ending(&self.document(), observed_at))
            }
            Action::RecordClaim(claim) => {
                self.change_record(|document| document.claim = claim.clone())
            }
            Action::RemoveDelivered => {
                if self.objects.delivered.is_some() {
                    if self.objects.delivered != self.run.view.delivered {
                        return Outcome::Conflict;
                    }
                    self.objects.delivered = None;
                }
                self.run.view.delivered = None;
                Outcome::Done
            }
            Action::Confirm
            | Action::LabelRecord
            | Action::LabelDelivered
            | Action::ApplyTemplate
            | Action::AdoptDelivered
            | Action::EmptyDelivered => {
                unreachable!("no world asks for {action:?}")
            }
        }
    }

    fn prove(&mut self, proof: &Proof) -> Outcome {
        match proof {
            Proof::First { expires_at } => {
                let (secret, entry) = self.mint(FIRST_REVISION, Cause::First);
                let identity = record::identity(self.run.view.key.uid, secret);
                let mut document = CredentialRecord::new(identity, *expires_at, entry);
                document.remember(self.request());
                self.write_minted(document)
            }
            Proof::FirstAgain => {
                let entry = self.mint(FIRST_REVISION, Cause::First).1;
                let mut document = self.document().beginning_again(entry);
                document.remember(self.request());
                self.write_minted(document)
            }
            Proof::Pending(next) => {
                let entry = self.mint(next.revision, next.cause).1;
                let pending = Pending {
                    entry,
                    overlap_seconds: next.overlap_seconds,
                    request: next.request.clone(),
                };
                self.write_minted(self.document().with_pending(pending))
            }
        }
    }

    /// The document that the plan observed.
    fn document(&self) -> CredentialRecord {
        self.run.view.record.as_deref().unwrap().clone()
    }

    /// The rotation request of the key, answered or not.
    fn request(&self) -> Option<String> {
        let request = observe::apikey(self.world, &self.run.view.key).rotate_request();
        request.unwrap().map(|request| request.token)
    }

    /// The next secret and its entry. The secret takes the number when the entry is stored.
    fn mint(&self, revision: i64, cause: Cause) -> (SecretNumber, Entry) {
        let secret = SecretNumber::try_from(self.history.minted_for.len() + 1).unwrap();
        (secret, record::entry(secret, revision, cause, self.now))
    }

    fn write_minted(&mut self, document: CredentialRecord) -> Outcome {
        let outcome = self.write_record(document);
        if outcome == Outcome::Done {
            self.history.minted_for.push(self.run.view.key.uid);
            let secret = SecretNumber::try_from(self.history.minted_for.len()).unwrap();
            self.run.minted = Some((secret, self.now));
        }
        outcome
    }

    fn change_record(&mut self, change: impl FnOnce(&mut CredentialRecord)) -> Outcome {
        let mut document = self.document();
        change(&mut document);
        self.write_record(document)
    }

    fn write_record(&mut self, document: CredentialRecord) -> Outcome {
        let uid = self.run.view.key.uid;
        let stored = self.objects.record_mut(uid);
        if *stored != self.run.view.record {
            return Outcome::Conflict;
        }
        let document = Some(DOCUMENTS.intern(document));
        *stored = document;
        *self.controller.cache.record_mut(uid) = document;
        self.run.view.record = document;
        Outcome::Done
    }

    /// Drops the entry of the secret that was not delivered. If this fails, the entry is dropped later by age.
    fn forget(&mut self) -> Outcome {
        if let Some((secret, minted_at)) = self.run.minted.take() {
            let entry = record::entry(secret, FIRST_REVISION, Cause::First, minted_at);
            if let Some(document) = self.document().without_undelivered(&entry) {
                self.write_record(document);
            }
        }
        Outcome::Done
    }

    fn deliver(&mut self, replaces: bool) -> Outcome {
        let Some((secret, minted_at)) = self.run.minted else {
            return Outcome::Done;
        };
        if timestamp(self.now).duration_since(timestamp(minted_at)) > DELIVER_WITHIN {
            return Outcome::Failed;
        }
        let expected = self.run.view.delivered.as_ref().filter(|_| replaces);
        if self.objects.delivered.as_ref() != expected {
            return Outcome::Conflict;
        }
        self.run.minted = None;
        let key = &self.run.view.key;
        let earlier = expected.map(|delivered| delivered.secret);
        self.history.delivered(
            self.world,
            self.now,
            key.uid,
            secret,
            earlier,
            &self.document(),
        );
        let delivered = Some(Delivered {
            owner: key.uid,
            secret,
            is_taken: false,
            // An apply keeps the annotations of others.
            revealed_at: expected.and_then(|delivered| delivered.revealed_at),
        });
        self.objects.delivered.clone_from(&delivered);
        self.controller.cache.delivered.clone_from(&delivered);
        self.run.view.delivered = delivered;
        Outcome::Done
    }

    fn remember_replacement(&mut self) {
        let replacements = &mut self.run.view.replacements;
        replacements.push(self.run.view.now);
        let excess = replacements.len().saturating_sub(MAX_REPLACEMENTS);
        replacements.drain(..excess);
        self.controller.replacements.clone_from(replacements);
    }
}
