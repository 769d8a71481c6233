//! Reads the values of the chart and their comments.

use anyhow::{Context as _, Result, ensure};

/// Path of the file from the root of the repository.
pub(crate) const PATH: &str = "charts/apikey-operator/values.yaml";

/// A value of the chart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ChartValue {
    /// Name of the value, as for `--set`.
    pub(crate) name: String,
    /// Default as YAML on one line.
    pub(crate) default: String,
    /// Comment on one line.
    pub(crate) comment: String,
}

/// Returns the values in the order of the file.
///
/// # Assumptions
/// Each key is on its own line, indented by two spaces for each section, with its value on the same line and
/// its comment directly above. The result is compared with that of a YAML parser.
pub(crate) fn parse(yaml: &str) -> Result<Vec<ChartValue>> {
    let parsed: serde_json::Value = serde_saphyr::from_str(yaml).context(PATH)?;
    let mut entries = lines(yaml);
    for ChartValue { name, default, .. } in &entries {
        let read = parsed.pointer(&format!("/{}", name.replace('.', "/")));
        let agrees = match default.as_str() {
            "" => read.is_some_and(serde_json::Value::is_object),
            default => {
                let of_line = serde_saphyr::from_str::<serde_json::Value>(default).ok();
                of_line.is_some() && of_line.as_ref() == read
            }
        };
        ensure!(
            agrees,
            "{PATH}: write the value of {name} on the line of its key"
        );
    }
    entries.retain(|entry| !entry.default.is_empty());
    Ok(entries)
}

/// Values and sections as the lines have them. A section has no default.
fn lines(yaml: &str) -> Vec<ChartValue> {
    let mut entries = Vec::new();
    let mut sections: Vec<&str> = Vec::new();
    let mut comment: Vec<&str> = Vec::new();
    for line in yaml.lines() {
        let text = line.trim_start();
        if let Some(words) = text.strip_prefix('#') {
            comment.push(words.strip_prefix(' ').unwrap_or(words));
            continue;
        }
        if !text.is_empty() {
            let (key, default) = text.split_once(':').unwrap_or((text, ""));
            sections.truncate((line.len() - text.len()) / 2);
            sections.push(key);
            entries.push(ChartValue {
                name: sections.join("."),
                default: default.trim().to_owned(),
                comment: comment.join(" "),
            });
        }
        comment.clear();
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_has_its_sections_its_default_and_its_comment() {
        let yaml = "\
            # Of nothing.\n\
            \n\
            # Pods,\n\
            # in a sentence.\n\
            pods:\n\
            \x20 # How many.\n\
            \x20 # Two or more.\n\
            \x20 replicas: 2\n\
            \x20 image:\n\
            \x20   tag: \"a:b\"\n\
            labels: {a: b}\n";
        let value = |name: &str, default: &str, comment: &str| ChartValue {
            name: name.to_owned(),
            default: default.to_owned(),
            comment: comment.to_owned(),
        };
        assert_eq!(
            parse(yaml).unwrap(),
            [
                value("pods.replicas", "2", "How many. Two or more."),
                value("pods.image.tag", "\"a:b\"", ""),
                value("labels", "{a: b}", ""),
            ]
        );
    }

    #[test]
    fn a_value_on_several_lines_is_refused() {
        for yaml in [
            "a: |\n  text\n",
            "a:\n  - b: 1\n",
            "a:\n  - b\n",
            "a:\n  text\n",
            "a: {b: 1,\n  c: 2}\n",
        ] {
            let error = parse(yaml).unwrap_err().to_string();
            assert!(error.contains("the value of a on the line"), "{error}");
        }
    }
}
