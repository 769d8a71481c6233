//! A shared context for tests. Its client gets no responses.

use std::sync::Arc;

use clap::Parser as _;
use kube::{Client, Config};
use tokio::sync::watch;

use super::context::Context;
use crate::config::{Cli, Command, ControllerCommand};
use crate::metrics::Metrics;
use crate::process::Process;
use apikey_client::clock::Clock;

/// A context whose caches and queues are empty. Needs a runtime.
pub(super) fn context() -> Arc<Context> {
    let arguments = ["apikey-operator", "controller", "--namespace=operator"];
    let command = Cli::try_parse_from(arguments).unwrap().command;
    let Command::Controller(flags) = command else {
        unreachable!("`controller` was asked for")
    };
    let ControllerCommand { common, controller } = *flags;
    let nobody = Config::new("http://127.0.0.1:1".parse().unwrap());
    let client = Client::try_from(nobody).unwrap();
    let (_, stopped) = watch::channel(false);
    let process = Process::new((client.into(), Clock::system()), Metrics::new(), stopped).unwrap();
    let common = common.check("operator");
    let context = super::context(&common, &controller.check(), &process, "test".to_owned());
    Arc::new(context)
}
