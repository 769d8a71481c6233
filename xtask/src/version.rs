//! Checks that the chart and the operator have the same version.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use crate::output;

const CHART: &str = "charts/apikey-operator/Chart.yaml";
/// Version of the workspace, which xtask has too.
const VERSION: &str = env!("CARGO_PKG_VERSION");

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Chart {
    version: String,
    app_version: String,
}

/// Fails if `Chart.yaml` and `Cargo.toml` have different versions.
pub(crate) fn check(root: &Path) -> Result<()> {
    compare(&output::read(root, CHART)?, VERSION)
}

fn compare(chart: &str, expected: &str) -> Result<()> {
    let Chart {
        version,
        app_version,
    } = serde_saphyr::from_str(chart).context(CHART)?;
    for (field, found) in [("version", version), ("appVersion", app_version)] {
        if found != expected {
            bail!("{CHART}: {field} is {found:?}, but Cargo.toml has {expected:?}: set it to that");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_of_the_chart_are_that_of_the_workspace() {
        let compared = |version, app| {
            compare(
                &format!("name: x\nversion: {version}\nappVersion: \"{app}\"\n"),
                "0.2.0",
            )
        };
        compared("0.2.0", "0.2.0").unwrap();
        let error = compared("0.1.0", "0.2.0").unwrap_err().to_string();
        assert!(
            error.contains("version is \"0.1.0\"") && error.contains("\"0.2.0\""),
            "{error}"
        );
        let error = compared("0.2.0", "0.1.0").unwrap_err().to_string();
        assert!(error.contains("appVersion is"), "{error}");
    }
}
