//! Objects as JSON and YAML.

use std::borrow::Cow;
use std::fmt::{Display, Write as _};

use clap::ValueEnum;
use serde::Serialize;

use super::exit::Failure;
use apikey_api::text;
use apikey_client::object::Whole;

/// Output formats for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Machine {
    /// JSON.
    Json,
    /// YAML.
    Yaml,
}

impl Machine {
    /// Renders the value in this format, without a trailing line break and without raw control characters.
    /// YAML that would contain control characters is written as JSON, which is valid YAML too.
    pub(super) fn render(self, value: &impl Serialize) -> Result<String, Failure> {
        let text = match self {
            Self::Json => json(value)?,
            Self::Yaml => match serde_saphyr::to_string(value).map_err(unshown)? {
                text if text.contains(is_raw) => json(value)?,
                text => text,
            },
        };
        Ok(text.trim_end().to_owned())
    }
}

fn json(value: &impl Serialize) -> Result<String, Failure> {
    let text = serde_json::to_string_pretty(value).map_err(unshown)?;
    Ok(escaped(&text).into_owned())
}

fn unshown(error: impl Display) -> Failure {
    Failure::failed(format!("can't be shown: {error}"))
}

fn is_raw(c: char) -> bool {
    c != '\n' && text::is_hidden(c)
}

/// Equivalent JSON with control characters escaped.
pub(super) fn escaped(json: &str) -> Cow<'_, str> {
    if !json.contains(is_raw) {
        return Cow::Borrowed(json);
    }
    let mut escaped = String::with_capacity(json.len() + 64);
    for c in json.chars() {
        if is_raw(c) {
            let _ = write!(escaped, "\\u{:04x}", u32::from(c));
        } else {
            escaped.push(c);
        }
    }
    Cow::Owned(escaped)
}

/// An object as the API server sent it.
pub(super) fn sent(whole: &Whole) -> Result<serde_json::Value, Failure> {
    let value = serde_json::to_value(whole);
    value.map_err(|error| Failure::failed(format!("an object can't be shown: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_means_the_same_and_has_nothing_hidden_in_it() {
        let value = serde_json::json!({"a\u{9b}": ["\u{202e}x\u{7f}\n", "\u{2066}é\u{1b}"]});
        let shown = Machine::Json.render(&value).unwrap();
        assert!(!shown.contains(is_raw), "{shown:?}");
        let yaml = Machine::Yaml.render(&value).unwrap();
        assert!(!yaml.contains(is_raw), "{yaml:?}");
        let read: serde_json::Value = serde_saphyr::from_str(&yaml).unwrap();
        assert_eq!(read, value);
        assert!(
            shown.contains("\\u202ex\\u007f\\n") && shown.contains('é'),
            "{shown}"
        );
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&shown).unwrap(),
            value
        );
        let plain = r#"{"a": "b"}"#;
        assert!(matches!(escaped(plain), Cow::Borrowed(same) if same == plain));
    }
}
