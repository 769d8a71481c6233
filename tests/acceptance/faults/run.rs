//! Runs many cases at once: first a controller without faults, then controllers with faults until each key has come
//! to its end.

use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, Resource as _};
use serde_json::json;
use tokio::time::Instant;

use super::enumerate::Case;
use super::history::HistoryRecorder;
use super::scenarios::MOVED_SECONDS;
use crate::support::{Call, Cluster, Faults, Inside, MovedClock, Scope, eventually, ready_reason};

/// The number of users that act at the same time.
const USERS: usize = 16;
/// The time without a request after which a process has finished its work.
const DONE: Duration = Duration::from_secs(2);
/// A call without an answer occupies a worker for 10 seconds, so there is a worker for each key.
const WORKERS: &str = "--concurrency=1024";
/// The result of a case.
pub(super) struct Outcome {
    /// How many of its faults happened.
    pub(super) happened: usize,
    /// Its calls until the process without faults.
    pub(super) calls: Vec<Call>,
}

/// Runs cases without checks of the end.
pub(super) async fn look(cluster: &Cluster, cases: &[Case]) -> Vec<Outcome> {
    Run::harmed(cluster, cases).await.outcomes()
}

pub(super) struct Run<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) scope: Scope<'a>,
    pub(super) history: HistoryRecorder,
    pub(super) cases: &'a [Case],
    /// Logs and metrics of processes that have ended.
    pub(super) shown: Vec<(&'static str, String)>,
    pub(super) faults: Faults,
    pub(super) clock: MovedClock,
}

impl<'a> Run<'a> {
    /// Runs cases until all faults have happened and every key has come to its end.
    pub(super) async fn harmed(cluster: &'a Cluster, cases: &'a [Case]) -> Self {
        let scope = cluster.scope().await;
        let clock = MovedClock::default();
        let mut run = Self {
            history: HistoryRecorder::start(&scope, clock.clock()),
            faults: Faults::default(),
            shown: Vec::new(),
            cluster,
            scope,
            clock,
            cases,
        };
        run.prepare().await;
        run.harm().await;
        run
    }

    async fn each(&self, act: impl AsyncFn(&Case)) {
        let cases = futures::stream::iter(self.cases);
        cases.for_each_concurrent(USERS, |case| act(case)).await;
    }

    /// Creates the keys that exist before the faults.
    async fn prepare(&mut self) {
        let client = self.faults.client(self.cluster.operator_config().await);
        let controller = Inside::controller(client, self.clock.clock()).await;
        self.each(async |case| case.scenario.prepare(&self.scope, &case.name).await)
            .await;
        let prepared: Vec<_> = self
            .cases
            .iter()
            .filter(|case| case.scenario.is_prepared())
            .collect();
        eventually("all keys are prepared", async || {
            let is_ready = |case: &&Case| {
                let key = self.history.key(&case.name);
                key.is_some_and(|key| ready_reason(&key).0 == "True")
            };
            prepared.iter().all(is_ready).then_some(())
        })
        .await;
        self.ended(controller);
        self.each(async |case| {
            case.scenario
                .forget(&self.scope, &self.history, &case.name)
                .await;
        })
        .await;
    }

    /// Lets the faults happen, until every key has come to its end.
    async fn harm(&mut self) {
        self.clock.advance(MOVED_SECONDS);
        for case in self.cases {
            self.faults.insert(&case.name, &case.faults);
        }
        let mut flags = vec![WORKERS];
        if self.restores() {
            let chart = ["--set", "controller.restore=true"];
            self.cluster.install_chart(&chart);
            self.until_adoption_is_allowed().await;
            flags.push("--restore");
        }
        let mut has_begun = false;
        loop {
            let client = self.faults.client(self.cluster.operator_config().await);
            let controller = Inside::controller_with(client, self.clock.clock(), &flags).await;
            if !std::mem::replace(&mut has_begun, true) {
                self.each(async |case| case.scenario.begin(&self.scope, &case.name).await)
                    .await;
            }
            self.until_over("each key has its end, or a dead process")
                .await;
            self.until_silent_for(DONE).await;
            self.until_over("a key that has come to its end stays there")
                .await;
            self.ended(controller);
            let is_dead = |case: &Case| self.faults.is_dead(&case.name);
            if !self.cases.iter().any(is_dead) {
                break;
            }
        }
    }

    /// Waits until the API server lets the controller adopt Secrets. It reads an admission policy some time after the
    /// policy was stored.
    async fn until_adoption_is_allowed(&self) {
        let controller = Client::try_from(self.cluster.operator_config().await).unwrap();
        let secrets: Api<Secret> = Api::namespaced(controller, &self.scope.namespace);
        let name = &self.cases[0].name;
        let key = self.scope.keys().get(name).await.unwrap();
        let owners = [key.controller_owner_ref(&())];
        let adoption = Patch::Merge(json!({"metadata": {"ownerReferences": owners}}));
        let params = PatchParams {
            dry_run: true,
            ..PatchParams::default()
        };
        eventually("the controller may adopt Secrets", async || {
            let answer = secrets.patch_metadata(name, &params, &adoption).await;
            answer.map(drop).ok()
        })
        .await;
    }

    pub(super) fn restores(&self) -> bool {
        self.cases.iter().any(|case| case.scenario.restores())
    }

    pub(super) fn outcomes(&self) -> Vec<Outcome> {
        let outcomes = self.cases.iter().map(|case| Outcome {
            happened: self.faults.happened(&case.name),
            calls: self.faults.calls(&case.name),
        });
        outcomes.collect()
    }

    fn is_open(&self, case: &Case) -> bool {
        let is_dead = self.faults.is_dead(&case.name);
        !is_dead && !case.scenario.is_over(&self.history.state(&case.name))
    }

    pub(super) async fn until_over(&self, what: &str) {
        eventually(what, async || {
            let is_open = self.cases.iter().any(|case| self.is_open(case));
            (!is_open).then_some(())
        })
        .await;
    }

    pub(super) async fn until_silent_for(&self, time: Duration) {
        let mut last = (None, Instant::now());
        eventually("the process sends nothing", || {
            let requests = self.faults.requests();
            if requests.is_none() || requests != last.0 {
                last = (requests, Instant::now());
            }
            std::future::ready((last.1.elapsed() >= time).then_some(()))
        })
        .await;
    }

    pub(super) fn ended(&mut self, process: Inside) {
        self.shown.push(("logs", process.log()));
        self.shown.push(("metrics", process.metrics()));
        drop(process);
    }
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for case in self.cases.iter().filter(|case| self.is_open(case)) {
                let state = self.history.state(&case.name);
                eprintln!("{case:?} is not over: {state:?}");
            }
        }
    }
}
