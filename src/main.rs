//! Parses arguments, sets up logs and runs the processes. The process exits only here.

use std::alloc::System;
use std::error::Error;
use std::io::Write as _;
use std::process::ExitCode;

use apikey_client::clock::Clock;
use apikey_credential::memory;
use apikey_operator::config::{
    Cli, Command, CommonFlags, ControllerCommand, ControllerFlags, RunCommand, TokenFlags,
    TokenServerCommand,
};
use apikey_operator::metrics::Metrics;
use apikey_operator::{client, controller, process, telemetry, token_server};
use clap::Parser as _;
use zeroizing_alloc::ZeroAlloc;

/// Wipes memory when it is freed. A secret passes through buffers of HTTP, TLS, JSON and age that
/// this program does not own, and a buffer that grows leaves a copy in its old allocation.
#[global_allocator]
static WIPES: ZeroAlloc<System> = ZeroAlloc(System);

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Controller(flags) => {
            let ControllerCommand { common, controller } = *flags;
            run(common, Some(controller), None)
        }
        Command::TokenServer(flags) => {
            let TokenServerCommand { common, token } = *flags;
            run(common, None, Some(token))
        }
        Command::Run(flags) => {
            let RunCommand {
                common,
                controller,
                token,
            } = *flags;
            run(common, Some(controller), Some(token))
        }
        Command::Crds { out } => print_crds(out.as_deref()),
        Command::Openapi => print(&token_server::openapi::json("")),
        Command::Version => print(&format!("apikey-operator {}", env!("CARGO_PKG_VERSION"))),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "apikey-operator: {error}");
            ExitCode::FAILURE
        }
    }
}

fn print(text: &str) -> Result<(), Box<dyn Error>> {
    Ok(writeln!(std::io::stdout(), "{text}")?)
}

fn print_crds(out: Option<&std::path::Path>) -> Result<(), Box<dyn Error>> {
    let Some(folder) = out else {
        return Ok(std::io::stdout().write_all(apikey_api::crds::yaml()?.as_bytes())?);
    };
    std::fs::create_dir_all(folder)?;
    for (name, content) in apikey_api::crds::files()? {
        std::fs::write(folder.join(name), content)?;
    }
    Ok(())
}

/// Runs the components whose flags are given, in one process.
fn run(
    common: CommonFlags,
    controller: Option<ControllerFlags>,
    token: Option<TokenFlags>,
) -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let service = match (&controller, &token) {
        (Some(_), None) => "apikey-operator-controller",
        (None, Some(_)) => "apikey-operator-token-server",
        _ => "apikey-operator",
    };
    let (format, level) = (common.log_format, &common.log_level);
    let traces = telemetry::init(format, level, service, runtime.handle())?;
    if let Err(error) = memory::turn_core_dumps_off() {
        tracing::warn!(%error, "Core dumps can't be turned off");
    }
    let result = runtime.block_on(async {
        let metrics = Metrics::new();
        let clock = Clock::system();
        let clients = client::connect(&metrics).await?;
        let common = common.check(clients.requests.default_namespace());
        let controller = controller.map(ControllerFlags::check);
        let token = token.map(|flags| flags.check(&common));
        let version = env!("CARGO_PKG_VERSION");
        tracing::info!(?common, ?controller, ?token, version, "Starting");
        if !common.require_organizations {
            tracing::warn!(
                "--require-organizations=false: keys whose Organization does not exist may have any role"
            );
        }
        process::run(&common, (clients, clock), metrics, async |process| {
            let controller = async {
                match &controller {
                    Some(config) => Box::pin(controller::run(&common, config, &process)).await,
                    None => Ok(()),
                }
            };
            let token = async {
                match &token {
                    Some(config) => Box::pin(token_server::run(&common, config, &process)).await,
                    None => Ok(()),
                }
            };
            futures::try_join!(controller, token)?;
            Ok(())
        })
        .await
    });
    if let Some(traces) = traces {
        traces.flush();
    }
    runtime.shutdown_background();
    result
}
