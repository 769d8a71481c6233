//! Consumers: they ask for tokens with the secrets of keys all the time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::MissedTickBehavior;

use crate::caller::Caller;
use crate::claims;
use crate::common::report::progress;
use crate::ledger::{Judgement, Question};
use crate::world::{IN_TIME, World};

/// The number of consumers.
pub(crate) const CONSUMERS: usize = 8;
/// The time between requests of a consumer.
const PACE: Duration = Duration::from_millis(20);

/// Asks for a token with one key after the other. The consumers share the keys.
pub(crate) async fn consume(world: Arc<World>, first: usize) {
    let mut caller = Caller::of(world.server);
    let mut tick = tokio::time::interval(PACE);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for turn in (first..).step_by(CONSUMERS) {
        tick.tick().await;
        let sent = world.clock.now();
        let Some(question) = world.ledger.lock().question(turn, sent) else {
            continue;
        };
        let begun = Instant::now();
        let Ok((status, body)) = caller.ask(&question.request).await else {
            world.tally.lock().counts.unanswered += 1;
            continue;
        };
        let took = begun.elapsed();
        let answered = world.clock.now();
        let judgement = world.ledger.lock().judge(&question, status, sent, answered);
        if judgement == Judgement::WronglyRefused {
            progress(&format!(
                "{}: wrongly refused with {status} at {answered}",
                question.key
            ));
        }
        let outlives = status == 200 && outlives_its_key(&question, &body);
        let mut tally = world.tally.lock();
        let microseconds = u64::try_from(took.as_micros()).unwrap();
        tally.times.saturating_record(microseconds);
        let counts = &mut tally.counts;
        counts.outliving += u32::from(outlives);
        let count = match judgement {
            Judgement::Issued => &mut counts.issued,
            Judgement::Late => &mut counts.late,
            Judgement::IssuedAfterDeletion(_) => &mut counts.issued_after_deletion,
            Judgement::RightlyRefused => &mut counts.rightly_refused,
            Judgement::NotYetKnown => &mut counts.not_yet_known,
            Judgement::WronglyRefused => &mut counts.wrongly_refused,
            Judgement::Unavailable => &mut counts.unavailable,
        };
        *count += 1;
        if let Judgement::IssuedAfterDeletion(after) = judgement {
            let known = world.since_known(sent - after, sent);
            tally.counts.deletions_unseen += u32::from(known > IN_TIME);
            tally.longest_after_deletion = tally.longest_after_deletion.max(after);
        }
    }
}

fn outlives_its_key(question: &Question, body: &[u8]) -> bool {
    let end = claims::of(body)["exp"].as_i64().unwrap();
    question
        .expiry
        .is_some_and(|expiry| end > expiry.as_second())
}
