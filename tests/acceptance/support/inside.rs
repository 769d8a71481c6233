//! The operator inside the process of the test, with a client and a clock that the test controls.

use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use apikey_client::clock::Clock;
use apikey_operator::admin::Readiness;
use apikey_operator::config::{Cli, Command, RunCommand};
use apikey_operator::metrics::Metrics;
use apikey_operator::process::Process;
use apikey_operator::{controller as controllers, token_server as tokens};
use clap::Parser as _;
use k8s_openapi::jiff::SignedDuration;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tokio::runtime::Builder;
use tokio::sync::watch;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::operator::CHEAP;
use super::{Cluster, OPERATOR_NAMESPACE, eventually};

/// A clock that the test moves ahead of the system's clock.
#[derive(Clone, Default)]
pub(crate) struct MovedClock(Arc<AtomicI64>);

impl MovedClock {
    /// Moves the clock ahead.
    pub(crate) fn advance(&self, seconds: i64) {
        self.0.fetch_add(seconds, Ordering::Relaxed);
    }

    pub(crate) fn clock(&self) -> Clock {
        let (ahead, system) = (Arc::clone(&self.0), Clock::system());
        Clock::from_fn(move || {
            let ahead = SignedDuration::from_secs(ahead.load(Ordering::Relaxed));
            system.now().checked_add(ahead).unwrap()
        })
    }
}

/// An operator that runs until it is dropped. The drop ends it abruptly, like a kill.
pub(crate) struct Inside {
    kill: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
    readiness: Readiness,
    metrics: Metrics,
    log: Log,
}

/// The log of one operator.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// Makes this thread write its log here, until the thread ends.
    fn of_thread(&self) {
        let log = self.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::DEBUG)
            .with_ansi(false)
            .with_writer(move || log.clone());
        std::mem::forget(subscriber.set_default());
    }
}

impl Inside {
    /// Starts a controller, without election.
    pub(crate) async fn controller(client: Client, clock: Clock) -> Self {
        Self::start(client, clock, None, &[]).await
    }

    /// Starts a controller with more flags, without election.
    pub(crate) async fn controller_with(client: Client, clock: Clock, flags: &[&str]) -> Self {
        Self::start(client, clock, None, flags).await
    }

    /// Starts a controller and a token server that listens at this address.
    pub(crate) async fn both(client: Client, clock: Clock, listen: &str) -> Self {
        Self::start(client, clock, Some(listen), &[]).await
    }

    /// Starts a controller and a token server, with more flags.
    pub(crate) async fn both_with(
        client: Client,
        clock: Clock,
        listen: &str,
        flags: &[&str],
    ) -> Self {
        Self::start(client, clock, Some(listen), flags).await
    }

    async fn start(
        client: Client,
        clock: Clock,
        token_listen: Option<&str>,
        flags: &[&str],
    ) -> Self {
        let mut arguments = vec!["apikey-operator", "run", "--leader-elect=false"];
        arguments.extend(["--namespace", OPERATOR_NAMESPACE]);
        arguments.extend(CHEAP);
        arguments.extend(flags);
        if let Some(listen) = token_listen {
            arguments.extend(["--token-listen", listen]);
            // After the clock moves, fresh data from the API server looks old.
            arguments.push("--max-staleness=1000000h");
        }
        let Command::Run(flags) = Cli::try_parse_from(arguments).unwrap().command else {
            unreachable!("`run` was asked for")
        };
        let RunCommand {
            common,
            controller,
            token,
        } = *flags;
        let common = common.check(OPERATOR_NAMESPACE);
        let (kill, mut killed) = watch::channel(false);
        // Nothing requests an orderly end of this process.
        let (stop, stopped) = watch::channel(false);
        let (metrics, log) = (Metrics::new(), Log::default());
        let process = Process::new((client.into(), clock), metrics.clone(), stopped).unwrap();
        let readiness = process.readiness.clone();
        let config = controller.check();
        let token_config = token_listen.map(|_| token.check(&common));
        // The operator has its own runtime, so the end of the runtime ends all of its tasks.
        let log_of_thread = log.clone();
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .on_thread_start(move || log_of_thread.of_thread())
            .enable_all()
            .build();
        let runtime = runtime.unwrap();
        let log_of_thread = log.clone();
        let thread = std::thread::spawn(move || {
            log_of_thread.of_thread();
            runtime.block_on(async {
                let serving = async {
                    match &token_config {
                        Some(config) => tokens::run(&common, config, &process).await,
                        None => Ok(()),
                    }
                };
                let reconciling = controllers::run(&common, &config, &process);
                tokio::select! {
                    _ = killed.wait_for(|killed| *killed) => {}
                    ended = futures::future::try_join(reconciling, serving) => {
                        ended.unwrap();
                    }
                }
                process.audit.close().await;
            });
            runtime.shutdown_background();
            drop(stop);
        });
        let inside = Self {
            kill,
            thread: Some(thread),
            readiness,
            metrics,
            log,
        };
        eventually("the operator inside is ready", async || {
            inside.readiness.report().0.then_some(())
        })
        .await;
        inside
    }

    /// The log so far.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&self.log.0.lock().unwrap()).into_owned()
    }

    /// The metrics.
    pub(crate) fn metrics(&self) -> String {
        self.metrics.encode().unwrap()
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.kill.send_replace(true);
        if let Some(thread) = self.thread.take() {
            // The thread has printed its panic already.
            let _ = thread.join();
        }
    }
}

impl Cluster {
    /// A client configuration for the operator's ServiceAccount.
    pub(crate) async fn operator_config(&self) -> Config {
        Self::config_from(self.service_account()).await
    }

    /// A client configuration for an administrator.
    pub(crate) async fn admin_config(&self) -> Config {
        Self::config_from(self.control_plane.admin_kubeconfig()).await
    }

    async fn config_from(kubeconfig: &Path) -> Config {
        let kubeconfig = Kubeconfig::read_from(kubeconfig).unwrap();
        let options = KubeConfigOptions::default();
        let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
        let mut config = config.unwrap();
        config.default_retry = false;
        config
    }
}
