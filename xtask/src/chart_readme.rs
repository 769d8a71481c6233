//! Generates the table of values in the README of the chart.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use crate::chart_values::{self, ChartValue};
use crate::markers;
use crate::output::{self, Generated};

const README: &str = "charts/apikey-operator/README.md";
const BEGIN: &str = "<!-- values -->";
const END: &str = "<!-- end of values -->";

/// Generates the README with the table.
pub(crate) fn generate(root: &Path) -> Result<Vec<Generated>> {
    let values = chart_values::parse(&output::read(root, chart_values::PATH)?)?;
    let readme = output::read(root, README)?;
    let readme = markers::splice(&readme, BEGIN, END, &table(&values)?).context(README)?;
    Ok(vec![Generated::file(README, readme)])
}

fn table(values: &[ChartValue]) -> Result<String> {
    let mut text = "\n| Value | Default | What |\n| --- | --- | --- |\n".to_owned();
    for ChartValue {
        name,
        default,
        comment,
    } in values
    {
        ensure!(
            !comment.is_empty(),
            "{}: {name} has no comment",
            chart_values::PATH
        );
        let comment = comment.replace('|', "\\|");
        writeln!(text, "| `{name}` | `{default}` | {comment} |")?;
    }
    text.push('\n');
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(comment: &str) -> [ChartValue; 1] {
        [ChartValue {
            name: "log.level".to_owned(),
            default: "info".to_owned(),
            comment: comment.to_owned(),
        }]
    }

    #[test]
    fn a_value_is_a_row() {
        assert_eq!(
            table(&value("Level: a|b.")).unwrap(),
            "\n| Value | Default | What |\n| --- | --- | --- |\n\
             | `log.level` | `info` | Level: a\\|b. |\n\n"
        );
    }

    #[test]
    fn a_value_without_a_comment_is_refused() {
        let error = table(&value("")).unwrap_err().to_string();
        assert!(error.contains("log.level has no comment"), "{error}");
    }
}
