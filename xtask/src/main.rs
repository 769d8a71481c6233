//! Generates files from the code, and checks that they are up to date: `cargo xtask --help`.
//!
//! Each generator has its own file, with a function `generate`, which reads the sources and returns the
//! files, and pure functions that render them. [`output`] writes the files, or compares them with those on
//! disk.

mod api_docs;
mod chart_readme;
mod chart_schema;
mod chart_values;
mod circles;
mod cited_tests;
mod cli_docs;
mod crds;
mod layers;
mod markers;
mod numbers;
mod openapi;
mod output;
mod program;
mod version;

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::{Args, Parser};

use self::output::Generated;

/// Generate files from the code, and check that they are up to date.
#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask")]
enum Task {
    /// The custom resource definitions in crds/ and in the chart.
    Crds(Mode),
    /// The OpenAPI description of the token server, docs/openapi.json.
    Openapi(Mode),
    /// The reference of the kubectl plugin, docs/cli.md.
    CliDocs(Mode),
    /// The API reference, docs/api.md.
    ApiDocs(Mode),
    /// The table of values in the README of the chart.
    ChartReadme(Mode),
    /// The numbers in README.md and docs/performance.md, from the reports of the last `make bench`.
    Numbers(Mode),
    /// Check that each test that the documentation cites exists.
    CitedTests,
    /// Check that no modules import each other in a circle.
    Circles,
    /// Check that packages depend on packages below them only.
    Layers,
    /// Run all checks except that of the numbers.
    Verify,
}

#[derive(Args, Debug)]
struct Mode {
    /// Only check: write nothing, and fail if a file is not up to date.
    #[arg(long)]
    check: bool,
}

/// A generator of files in the repository.
struct Generator {
    /// The command that writes the files.
    command: &'static str,
    generate: fn(&Path) -> Result<Vec<Generated>>,
}

const CRDS: Generator = Generator {
    command: "make crds",
    generate: crds::generate,
};
const OPENAPI: Generator = Generator {
    command: "make openapi",
    generate: openapi::generate,
};
const CLI_DOCS: Generator = Generator {
    command: "make cli-docs",
    generate: cli_docs::generate,
};
const API_DOCS: Generator = Generator {
    command: "make api-docs",
    generate: api_docs::generate,
};
const CHART_README: Generator = Generator {
    command: "make chart-readme",
    generate: chart_readme::generate,
};
const NUMBERS: Generator = Generator {
    command: "cargo xtask numbers",
    generate: numbers::generate,
};

impl Generator {
    fn run(&self, root: &Path, mode: &Mode) -> Result<()> {
        if mode.check {
            self.check(root)
        } else {
            output::write(root, &(self.generate)(root)?)
        }
    }

    fn check(&self, root: &Path) -> Result<()> {
        let stale = output::stale(root, &(self.generate)(root)?)?;
        if stale.is_empty() {
            return Ok(());
        }
        bail!("{}\nrun: {}", stale.join("\n"), self.command)
    }
}

fn main() -> ExitCode {
    match run(&Task::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: &Task) -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("xtask is a folder of the repository")?;
    match task {
        Task::Crds(mode) => CRDS.run(root, mode),
        Task::Openapi(mode) => OPENAPI.run(root, mode),
        Task::CliDocs(mode) => CLI_DOCS.run(root, mode),
        Task::ApiDocs(mode) => API_DOCS.run(root, mode),
        Task::ChartReadme(mode) => {
            CHART_README.run(root, mode)?;
            chart_schema::check(root)
        }
        Task::Numbers(mode) => NUMBERS.run(root, mode),
        Task::CitedTests => cited_tests::check(root),
        Task::Circles => circles::check(root),
        Task::Layers => layers::check(root),
        Task::Verify => verify(root),
    }
}

/// Runs all checks and reports each failure.
fn verify(root: &Path) -> Result<()> {
    let generated = [CRDS, OPENAPI, CLI_DOCS, API_DOCS, CHART_README].map(|g| g.check(root));
    let others = [
        chart_schema::check,
        circles::check,
        cited_tests::check,
        layers::check,
        version::check,
    ]
    .map(|f| f(root));
    let failures: Vec<_> = generated
        .into_iter()
        .chain(others)
        .filter_map(Result::err)
        .map(|error| format!("{error:#}"))
        .collect();
    if !failures.is_empty() {
        bail!(failures.join("\n\n"));
    }
    writeln!(
        std::io::stdout(),
        "generated files, cited tests, the layers of packages and modules, and the chart's values \
         and version are up to date"
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Task::command().debug_assert();
    }
}
