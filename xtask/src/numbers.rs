//! Generates the benchmark results: the most important rows in `README.md`, and all in `docs/performance.md`.

use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use regex::Regex;

use crate::output::{self, Generated};
use crate::{markers, program};

const README: &str = "README.md";
const PERFORMANCE: &str = "docs/performance.md";
/// The reports in cargo's target folder, and their markers in `docs/performance.md`.
const REPORTS: [(&str, &str); 3] = [
    ("bench/lifecycle", "bench/lifecycle"),
    ("bench/token", "bench/token"),
    ("scale/report", "scale"),
];
/// The markers of the tables of rows in both pages.
const NUMBERS: &str = "numbers";
/// The beginnings of the first cells of the rows in the README, in order.
const HEADLINES: &[&str] = &[
    "From create to Active, one key at a time",
    "Keys made Active, 16 creators, default hashing cost",
    "Tokens, ES256",
    "From deleting a key to its first refusal, 2 replicas",
    "Memory of the controller, 1000 keys: right after issuing / at rest",
];

/// A report that a benchmark wrote.
struct Report {
    /// The markers in `docs/performance.md`.
    name: &'static str,
    /// Content of `NAME.md`.
    text: String,
    /// Content of `NAME.headlines.md`, the rows for the README.
    headlines: String,
}

/// Generates both pages with the numbers of the reports in cargo's target folder.
pub(crate) fn generate(root: &Path) -> Result<Vec<Generated>> {
    let target = program::target();
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
    let performance = performance(&output::read(root, PERFORMANCE)?, &reports)?;
    let readme = readme(&output::read(root, README)?, &reports)?;
    Ok(vec![
        Generated::file(README, readme),
        Generated::file(PERFORMANCE, performance),
    ])
}

fn performance(page: &str, reports: &[Report]) -> Result<String> {
    let mut page =
        splice(page, NUMBERS, &summary(&rows(reports), reports)?).context(PERFORMANCE)?;
    for Report { name, text, .. } in reports {
        page = splice(&page, name, text).context(PERFORMANCE)?;
    }
    Ok(page)
}

fn readme(page: &str, reports: &[Report]) -> Result<String> {
    let chosen = chosen(&rows(reports), HEADLINES)?;
    splice(page, NUMBERS, &summary(&chosen, reports)?).context(README)
}

fn rows(reports: &[Report]) -> Vec<&str> {
    reports.iter().flat_map(|r| r.headlines.lines()).collect()
}

/// A table of these rows, and the machine.
fn summary(rows: &[&str], reports: &[Report]) -> Result<String> {
    // The benchmarks run one after another on the same machine, so the first report describes all.
    let machine = machine(&reports.first().context("there is no report")?.text)?;
    Ok(format!(
        "| Measured | Result | Compared with | Aim |\n| --- | --- | --- | --- |\n{}\n\n{machine}\n",
        rows.join("\n")
    ))
}

/// Returns one row for each of these beginnings.
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

/// The machine and the version of Kubernetes, without the other load on the machine.
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

    /// The rows of the README come from the benchmarks.
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
        let text = "new\nMachine: 2 cores; Kubernetes v1.37.2. Alone.\n";
        let reports = [Report {
            name: "scale",
            text: text.to_owned(),
            headlines: "| A | 1 s |\n".to_owned(),
        }];
        let page = "a\n<!-- begin: numbers -->\n<!-- end: numbers -->\n\
                    <!-- begin: scale -->\nold\n<!-- end: scale -->\n";
        let written = performance(page, &reports).unwrap();
        assert!(written.contains(&format!(
            "<!-- begin: scale -->\n{text}<!-- end: scale -->\n"
        )));
        assert!(
            written.contains("\n| A | 1 s |\n\nMachine: 2 cores; Kubernetes v1.37.2.\n<!-- end")
        );
        assert!(!written.contains("old"));
        performance("a\n", &reports).unwrap_err();
    }
}
