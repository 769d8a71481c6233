//! What the benchmarks measured last: a part of `README.md`, and all of it in `docs/performance.md`.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use regex::Regex;

use crate::markers;
use crate::output::{self, Generated};

const README: &str = "README.md";
const PERFORMANCE: &str = "docs/performance.md";
/// The reports below cargo's target folder, and the marks of each in `docs/performance.md`.
const REPORTS: [(&str, &str); 3] = [
    ("bench/lifecycle", "bench/lifecycle"),
    ("bench/token", "bench/token"),
    ("scale/report", "scale"),
];
/// The rows of the README, in this order: how the first cell of each begins.
const HEADLINES: &[&str] = &[
    "From create to Active, one key at a time",
    "From expiry to Expired",
    "Keys made Active, 16 creators, default hashing cost",
    "Memory of the controller",
    "API requests of the controller for each key |",
    "Controller: From restart",
    "Keys made Active, 16 creators, least hashing cost",
    "Tokens, EdDSA",
    "Tokens, RS256",
    "Tokens, ES256",
    "Refusals, forged secrets of unknown keys",
    "Refusals, wrong secrets of known keys",
    "4 valid callers",
    "Token server: From start",
    "Time of a refusal",
    "From a change of roles",
    "From deleting a key",
    "From the first create to all Active",
    "API requests of the controller for each key, until it is at rest",
    "Other API requests of the controller",
    "From a change of the organization",
    "From a restart of the controller",
    "From a restart of the token server",
    "Resident memory of the controller",
    "Resident memory of the token server",
];

/// A report, as a benchmark wrote it.
struct Report {
    /// The marks in `docs/performance.md`.
    name: &'static str,
    /// `NAME.md`.
    text: String,
    /// `NAME.headlines.md`: rows for the README.
    headlines: String,
}

/// Both pages with the numbers of the reports in cargo's target folder.
pub(crate) fn generate(root: &Path) -> Result<Vec<Generated>> {
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
    let read = |path: String| {
        output::read(&root.join(&target), path).context("a report is missing, run: make bench")
    };
    let mut reports = Vec::new();
    for (path, name) in REPORTS {
        let text = read(format!("{path}.md"))?;
        ensure!(
            !text.lines().any(|line| line.starts_with("A quick run")),
            "the report {path}.md is of a quick run, run: make bench"
        );
        let headlines = read(format!("{path}.headlines.md"))?;
        reports.push(Report {
            name,
            text,
            headlines,
        });
    }
    let performance = performance(output::read(root, PERFORMANCE)?, &reports)?;
    let readme = readme(&output::read(root, README)?, &reports)?;
    Ok(vec![
        Generated::file(README, readme),
        Generated::file(PERFORMANCE, performance),
    ])
}

fn performance(mut page: String, reports: &[Report]) -> Result<String> {
    for Report { name, text, .. } in reports {
        page = splice(&page, name, text).context(PERFORMANCE)?;
    }
    Ok(page)
}

fn readme(page: &str, reports: &[Report]) -> Result<String> {
    let rows: Vec<_> = reports.iter().flat_map(|r| r.headlines.lines()).collect();
    let rows = chosen(&rows, HEADLINES)?.join("\n");
    // The benchmarks follow each other: the machine and versions of the first are those of all.
    let machine = machine(&reports.first().context("there is no report")?.text)?;
    let block = format!(
        "| Measured | Result | Compared with | Aim |\n| --- | --- | --- | --- |\n{rows}\n\n{machine}\n"
    );
    splice(page, "numbers", &block).context(README)
}

/// The rows that begin with these words, one for each.
fn chosen<'a>(rows: &[&'a str], beginnings: &[&str]) -> Result<Vec<&'a str>> {
    let row = |beginning: &&str| {
        let start = format!("| {beginning}");
        let found: Vec<_> = rows.iter().filter(|row| row.starts_with(&start)).collect();
        match found[..] {
            [row] => Ok(*row),
            _ => bail!("{} rows of the reports begin with {start:?}", found.len()),
        }
    };
    beginnings.iter().map(row).collect()
}

/// The machine and the version of Kubernetes, without what shared the machine.
fn machine(report: &str) -> Result<String> {
    let pattern = Regex::new(r"(?m)^(Machine: .*; Kubernetes \S*) ")?;
    let found = pattern.captures(report);
    let found = found.context("a report does not name its machine")?;
    Ok(found[1].to_owned())
}

fn splice(page: &str, name: &str, part: &str) -> Result<String> {
    let (begin, end) = (
        format!("<!-- begin: {name} -->"),
        format!("<!-- end: {name} -->"),
    );
    markers::splice(page, &begin, &end, part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_readme_has_the_chosen_rows_in_their_order() {
        let rows = ["| B, 2 keys | 1 s |", "| A | 2 s |", "| A, twice | 3 s |"];
        assert_eq!(chosen(&rows, &["A |", "B"]).unwrap(), [rows[1], rows[0]]);
        for beginning in ["A", "C"] {
            chosen(&rows, &[beginning]).unwrap_err();
        }
    }

    /// The README has its rows from the benchmarks.
    #[test]
    fn each_beginning_is_that_of_a_row_in_the_readme() {
        let readme = include_str!("../../README.md");
        let (_, block) = readme.split_once("<!-- begin: numbers -->").unwrap();
        let (block, _) = block.split_once("<!-- end: numbers -->").unwrap();
        let rows: Vec<_> = block.lines().filter(|l| l.starts_with("| ")).collect();
        let rows = &rows[2..];
        assert_eq!(chosen(rows, HEADLINES).unwrap(), rows);
    }

    #[test]
    fn the_machine_is_named_without_what_shared_it() {
        let report = "| a |\n\nMachine: 2 cores, rustc 1; Kubernetes v1.37.2. One core each. One run of 9 s.\n";
        assert_eq!(
            machine(report).unwrap(),
            "Machine: 2 cores, rustc 1; Kubernetes v1.37.2."
        );
        machine("| a |\n").unwrap_err();
    }

    #[test]
    fn each_report_goes_between_its_marks() {
        let reports = [Report {
            name: "scale",
            text: "new\n".to_owned(),
            headlines: String::new(),
        }];
        let page = "a\n<!-- begin: scale -->\nold\n<!-- end: scale -->\n".to_owned();
        assert_eq!(
            performance(page, &reports).unwrap(),
            "a\n<!-- begin: scale -->\nnew\n<!-- end: scale -->\n"
        );
        performance("a\n".to_owned(), &reports).unwrap_err();
    }
}
