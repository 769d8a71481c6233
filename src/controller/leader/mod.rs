//! Leader election by a Lease: one controller writes at a time.
//!
//! Election only saves work. Two controllers that write at the same time do no harm, because every
//! write has a precondition. Therefore the Lease needs no fencing.
//!
//! | file | pure | responsibility |
//! | --- | --- | --- |
//! | `election` | yes | decides who leads, and the next request |
//! | `record` | yes | the Lease as it is read and written |
//! | this file | no | sends the requests, and reports changes of leadership |

pub mod election;
pub mod record;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kube::Resource as _;
use kube::api::{GetParams, Patch, PatchParams};
use kube::{Client, core};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};

use self::election::{
    Elector, Known, LEASE_DURATION, NextStep, Outcome, RENEW_DEADLINE, REQUEST_DEADLINE,
};
use self::record::{Change, Record, Write};
use super::cluster::post_params;
use crate::process::Process;
use crate::watch::event::Event;
use crate::watch::source::Source;
use crate::watch::stream::{Output, Watcher};
use apikey_api::names;
use apikey_client::clock::Clock;
use apikey_client::error::{self, Error};
use apikey_client::object::Answer;

/// See [`crate::watch::WatchSet::new`]. Unit: seconds.
const WATCH_TIMEOUT_SECONDS: u32 = 240;
/// Longest wait for the release of the Lease at the end.
const RELEASE_DEADLINE: Duration = Duration::from_secs(5);
/// How long running work may continue after leadership has ended. Another process may lead one
/// second later.
const WIND_DOWN: Duration = LEASE_DURATION
    .saturating_sub(RENEW_DEADLINE)
    .saturating_sub(Duration::from_secs(1));

/// Whether this process leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leading {
    /// It does not lead, and another process may.
    No,
    /// It leads until this time, unless the Lease is renewed.
    Until(Instant),
    /// It always leads.
    Always,
}

/// The leadership of this process, as it changes.
#[derive(Debug)]
pub struct Leadership {
    leading: watch::Receiver<Leading>,
    keeper: Option<JoinHandle<()>>,
}

impl Leadership {
    /// Leads always, without an election.
    #[must_use]
    pub fn without_election() -> Self {
        Self {
            leading: watch::channel(Leading::Always).1,
            keeper: None,
        }
    }

    /// Starts the election under this identity. Retries until the API server accepts its requests.
    #[must_use]
    pub fn elect(process: &Process, namespace: &str, identity: String) -> Self {
        let (sender, leading) = watch::channel(Leading::No);
        let identity = Arc::<str>::from(identity);
        let source = Source::of::<Lease>(Some(namespace)).named(names::CONTROLLER_LEASE);
        let candidate = Candidate {
            elector: Elector::new(Arc::clone(&identity)),
            store: Store {
                client: process.lease_client.clone(),
                clock: process.clock.clone(),
                path: Lease::url_path(&(), Some(namespace)),
                identity,
            },
            watches: (process.watch_clients.next(), source),
            watcher: None,
            trouble: String::new(),
        };
        Self {
            leading,
            keeper: Some(tokio::spawn(candidate.stand(sender))),
        }
    }

    /// Waits until this process leads.
    pub async fn begins(&mut self) {
        let leads = |leading: &Leading| match leading {
            Leading::No => false,
            Leading::Until(until) => Instant::now() < *until,
            Leading::Always => true,
        };
        if self.leading.wait_for(leads).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Waits until this process no longer leads. No new work may begin after that.
    pub fn ends(&self) -> impl Future<Output = ()> + Send + use<> {
        past(self.leading.clone(), Duration::ZERO)
    }

    /// Waits until another process may lead. No work may continue after that.
    pub fn is_over(&self) -> impl Future<Output = ()> + Send + use<> {
        past(self.leading.clone(), WIND_DOWN)
    }

    /// Releases the Lease, so that another process can acquire it at once.
    pub async fn release(self) {
        let Self { leading, keeper } = self;
        drop(leading);
        if let Some(keeper) = keeper
            && timeout(RELEASE_DEADLINE, keeper).await.is_err()
        {
            tracing::warn!("The lease was not given back in time");
        }
    }
}

/// Waits until `margin` after the end of leadership, or until another process leads. Leadership
/// ends at its time unless it is renewed.
async fn past(mut leading: watch::Receiver<Leading>, margin: Duration) {
    loop {
        let known = *leading.borrow_and_update();
        let end = async {
            match known {
                Leading::No => {}
                Leading::Until(until) => sleep_until(until + margin).await,
                Leading::Always => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            Ok(()) = leading.changed() => {}
            () = end => return,
        }
    }
}

/// A participant in the election, with its connections.
struct Candidate {
    elector: Elector,
    store: Store,
    watches: (Client, Source),
    /// While this process does not lead: reports the release of the Lease, and renewals.
    watcher: Option<Watcher<Record>>,
    /// The last logged cause of failing requests.
    trouble: String,
}

impl Candidate {
    /// Reports until when this process leads while there is a receiver, and then releases the
    /// Lease.
    async fn stand(mut self, leading: watch::Sender<Leading>) {
        loop {
            tokio::select! {
                biased;
                () = leading.closed() => break,
                () = self.step() => {}
            }
            let now = self
                .elector
                .leads_until()
                .map_or(Leading::No, Leading::Until);
            leading.send_if_modified(|known| std::mem::replace(known, now) != now);
        }
        if self.elector.leads_until().is_some() {
            self.release().await;
        }
    }

    async fn step(&mut self) {
        let now = Instant::now();
        match self.elector.next(now) {
            NextStep::Wait(until) if self.elector.leads(now) => {
                self.watcher = None;
                sleep_until(until).await;
            }
            NextStep::Wait(until) => self.stand_by(until).await,
            NextStep::Read => {
                let outcome = self.store.read().await;
                let outcome = self.noted(outcome);
                self.elector.read(outcome, Instant::now());
            }
            NextStep::Write(write) => {
                let outcome = self.store.write(&write).await;
                let outcome = self.noted(outcome);
                self.elector.written(now, outcome, Instant::now());
            }
        }
    }

    /// Waits until this time, or until the watch delivers something.
    async fn stand_by(&mut self, until: Instant) {
        let (client, source) = &self.watches;
        let watcher = self.watcher.get_or_insert_with(|| {
            Watcher::new(client.clone(), source.clone(), WATCH_TIMEOUT_SECONDS)
        });
        let item = tokio::select! {
            item = watcher.next() => item,
            () = sleep_until(until) => return,
        };
        let known = match item {
            Ok(Output::Event(Event::InitApply(stored) | Event::Apply(stored))) => {
                stored.object.ok().map(Known::Stored)
            }
            Ok(Output::Event(Event::Delete(_))) => Some(Known::Missing),
            Ok(Output::Event(Event::Init | Event::InitDone) | Output::UpToDate) => None,
            Err(error) => {
                tracing::debug!(%error, "The watch of the lease failed");
                None
            }
        };
        if let Some(known) = known {
            self.elector.seen(known, Instant::now());
        }
    }

    /// Logs a failure, once for each cause.
    fn noted(&mut self, outcome: Result<Outcome, Error>) -> Outcome {
        match outcome {
            Ok(outcome) => {
                self.trouble.clear();
                outcome
            }
            Err(error) => {
                let trouble = error.to_string();
                if self.trouble != trouble {
                    tracing::warn!(%error, "Can't use the lease; trying again");
                    self.trouble = trouble;
                }
                Outcome::Failed
            }
        }
    }

    async fn release(self) {
        loop {
            let outcome = match self.store.read().await {
                Ok(Outcome::Known(Known::Stored(record))) if self.elector.is_mine(&record) => {
                    let write = Write {
                        replaces: Some(record.resource_version),
                        change: Change::Release,
                    };
                    self.store.write(&write).await
                }
                other => other,
            };
            match outcome {
                // Somebody else wrote in between.
                Ok(Outcome::Conflict) => {}
                Ok(Outcome::Known(_) | Outcome::Failed) => return,
                Err(error) => {
                    tracing::warn!(%error, "The lease is not given back");
                    return;
                }
            }
        }
    }
}

/// The Lease in the API server.
struct Store {
    client: Client,
    clock: Clock,
    path: String,
    identity: Arc<str>,
}

impl Store {
    async fn read(&self) -> Result<Outcome, Error> {
        let request = core::Request::new(&*self.path);
        let request = request.get(names::CONTROLLER_LEASE, &GetParams::default());
        match self.send("read the lease", request).await {
            Ok(record) => Ok(Outcome::Known(Known::Stored(record))),
            Err(error) if error.is_not_found() => Ok(Outcome::Known(Known::Missing)),
            Err(error) => Err(error),
        }
    }

    async fn write(&self, write: &Write) -> Result<Outcome, Error> {
        let body = write.body(&self.identity, LEASE_DURATION, self.clock.now());
        let request = core::Request::new(&*self.path);
        let params = PatchParams {
            field_manager: Some(names::FIELD_MANAGER.into()),
            ..PatchParams::default()
        };
        let request = match write.replaces {
            None => request.create(&post_params(), body.to_string().into_bytes()),
            Some(_) => request.patch(names::CONTROLLER_LEASE, &params, &Patch::Merge(&body)),
        };
        match self.send("write the lease", request).await {
            Ok(record) => Ok(Outcome::Known(Known::Stored(record))),
            Err(error) if error.code() == Some(409) => Ok(Outcome::Conflict),
            // For a create, 404 says that the namespace is missing.
            Err(error) if error.is_not_found() && write.replaces.is_some() => {
                Ok(Outcome::Known(Known::Missing))
            }
            Err(error) => Err(error),
        }
    }

    async fn send(
        &self,
        doing: &'static str,
        request: Result<axum::http::Request<Vec<u8>>, core::request::Error>,
    ) -> Result<Record, Error> {
        let answer = async {
            let request = request.map_err(kube::Error::BuildRequest)?;
            self.client.request::<Answer<Record>>(request).await
        };
        let Answer(record) = error::request_within(REQUEST_DEADLINE, doing, answer).await?;
        Ok(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn leadership(leading: Leading) -> (watch::Sender<Leading>, Leadership) {
        let (sender, leading) = watch::channel(leading);
        let keeper = None;
        (sender, Leadership { leading, keeper })
    }

    #[tokio::test(start_paused = true)]
    async fn leadership_ends_by_itself_and_running_work_before_another_may_lead() {
        let begun = Instant::now();
        let (sender, mut leadership) = leadership(Leading::Until(begun + RENEW_DEADLINE));
        leadership.begins().await;
        let (ends, is_over) = (leadership.ends(), leadership.is_over());
        let renewed = tokio::spawn(async move {
            sleep_until(begun + 4 * SECOND).await;
            sender.send_replace(Leading::Until(begun + 4 * SECOND + RENEW_DEADLINE));
        });
        ends.await;
        assert_eq!(begun.elapsed().as_secs(), 14);
        is_over.await;
        assert_eq!(begun.elapsed().as_secs(), 18);
        assert!(begun.elapsed() < 4 * SECOND + LEASE_DURATION);
        renewed.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn all_ends_at_once_where_another_leads_already() {
        let begun = Instant::now();
        let (sender, leadership) = leadership(Leading::Until(begun + RENEW_DEADLINE));
        let (ends, is_over) = (leadership.ends(), leadership.is_over());
        sender.send_replace(Leading::No);
        futures::join!(ends, is_over);
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn without_election_it_leads_for_ever() {
        let mut leadership = Leadership::without_election();
        leadership.begins().await;
        let ends = timeout(1000 * SECOND, leadership.ends()).await;
        ends.unwrap_err();
        leadership.release().await;
    }
}
