//! Runs cases and checks how they end.

use std::time::Duration;

use tokio::net::TcpStream;

use super::enumerate::Case;
use super::oracle;
use super::run::{Outcome, Run};
use super::scenarios::{FORGOTTEN_SECONDS, LEFT_SECONDS, LIFE_SECONDS, MOVED_SECONDS};
use crate::support::{Cluster, Inside, eventually, free_address};

/// The time without a request after which a process is idle. Organizations are counted every 5 seconds.
const QUIET: Duration = Duration::from_secs(6);
/// Budgets that the checks don't exhaust.
const UNLIMITED: [&str; 2] = [
    "--source-failures-per-second=100000",
    "--failures-per-second=100000",
];

/// Runs cases, and panics unless each ends as expected. Either all cases restore, or none.
pub(super) async fn run(cluster: &Cluster, cases: &[Case]) -> Vec<Outcome> {
    let mut run = Run::harmed(cluster, cases).await;
    let outcomes = run.outcomes();
    run.end().await;
    outcomes
}

impl Run<'_> {
    /// Checks the end, with a process without faults.
    async fn end(&mut self) {
        if self.restores() {
            self.cluster.install_chart(&[]);
        }
        self.clock.advance(FORGOTTEN_SECONDS);
        self.faults.end();
        let client = self.faults.client(self.cluster.admin_config().await);
        let address = free_address();
        let listen = address.to_string();
        let process = Inside::both_with(client, self.clock.clock(), &listen, &UNLIMITED).await;
        eventually("the token server listens", async || {
            TcpStream::connect(address).await.ok()
        })
        .await;
        self.until_over("each key has its end").await;
        self.until_silent_for(QUIET).await;
        oracle::settled(self).await;
        oracle::refused_while_unreadable(self, address).await;
        let passed = MOVED_SECONDS + FORGOTTEN_SECONDS;
        self.clock.advance(LIFE_SECONDS - passed - LEFT_SECONDS);
        oracle::tokens_before_expiry(self, address).await;
        self.clock.advance(LEFT_SECONDS);
        oracle::no_token_after_expiry(self, address).await;
        self.ended(process);
        oracle::nothing_leaks(self).await;
    }
}
