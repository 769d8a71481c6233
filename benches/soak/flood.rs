//! Floods of forged secrets.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::caller::Caller;
use crate::holder::{Holder, Request};
use crate::world::World;

/// The length of a flood.
pub(crate) const TIME: Duration = Duration::from_secs(5);
const CONNECTIONS: usize = 8;
/// The time between requests of a connection. All connections together send a thousand requests per second.
const PACE: Duration = Duration::from_millis(8);

/// Sends well-formed secrets that were never issued: wrong ones of known keys, and those of unknown keys.
pub(crate) async fn flood(world: &Arc<World>) {
    let forged: Arc<[Request]> = {
        let ledger = world.ledger.lock();
        let holders = ledger.keys.values().filter_map(|key| key.newest.as_ref());
        let both = |holder: &Holder| [holder.unknown_key(), holder.wrong_secret()];
        holders.flat_map(both).collect()
    };
    let end = Instant::now() + TIME;
    let mut connections = JoinSet::new();
    for first in 0..CONNECTIONS {
        connections.spawn(pour(Arc::clone(world), Arc::clone(&forged), first, end));
    }
    connections.join_all().await;
}

async fn pour(world: Arc<World>, forged: Arc<[Request]>, first: usize, end: Instant) {
    let mut caller = Caller::of(world.server);
    let mut tick = tokio::time::interval(PACE);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let turns = forged.iter().cycle().skip(first).step_by(CONNECTIONS);
    for request in turns {
        tick.tick().await;
        if Instant::now() >= end {
            return;
        }
        let answer = caller.ask(request).await;
        let counts = &mut world.tally.lock().counts;
        let count = match answer {
            Ok((200, _)) => &mut counts.forged_accepted,
            Ok(_) => &mut counts.forged_refused,
            Err(_) => &mut counts.forged_unanswered,
        };
        *count += 1;
    }
}
