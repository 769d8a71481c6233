//! The controller for tests. Its client gets no responses.

use clap::Parser as _;
use kube::{Client, Config};
use tokio::sync::watch;

use super::assembly::Assembly;
use crate::config::{Cli, Command, ControllerCommand};
use crate::metrics::Metrics;
use crate::process::Process;
use apikey_client::clock::Clock;

/// A controller whose caches and queues are empty. Needs a runtime.
pub(super) fn assembly() -> Assembly {
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
    Assembly::new(&common, &controller.check(), &process, "test".to_owned())
}
