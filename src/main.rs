//! Arguments, logs, signals. The only place that exits.

use std::error::Error;
use std::io::Write as _;
use std::process::ExitCode;

use apikey_operator::config::{Cli, Command, Flags};
use apikey_operator::metrics::Metrics;
use apikey_operator::{api, client, controller, telemetry};
use clap::Parser as _;
use tokio::signal::unix::{SignalKind, signal};

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Controller(flags) => run(*flags),
        Command::Crds { out } => print_crds(out.as_deref()),
        Command::Version => {
            let version = env!("CARGO_PKG_VERSION");
            writeln!(std::io::stdout(), "apikey-operator {version}").map_err(Into::into)
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "apikey-operator: {error}");
            ExitCode::FAILURE
        }
    }
}

fn print_crds(out: Option<&std::path::Path>) -> Result<(), Box<dyn Error>> {
    let Some(folder) = out else {
        return Ok(std::io::stdout().write_all(api::crds::yaml()?.as_bytes())?);
    };
    std::fs::create_dir_all(folder)?;
    for (name, content) in api::crds::files()? {
        std::fs::write(folder.join(name), content)?;
    }
    Ok(())
}

fn run(flags: Flags) -> Result<(), Box<dyn Error>> {
    telemetry::init(flags.log_format, &flags.log_level)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let result = runtime.block_on(async {
        let metrics = Metrics::new();
        let client = client::connect(&metrics).await?;
        let config = flags.into_config(client.default_namespace());
        tracing::info!(?config, version = env!("CARGO_PKG_VERSION"), "Starting");
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let shutdown = async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        controller::run(config, client, metrics, shutdown).await
    });
    runtime.shutdown_background();
    result
}
