//! Objects as JSON and YAML.

use clap::ValueEnum;
use serde::Serialize;

use super::exit::Failure;
use crate::object::Whole;

/// Forms for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Machine {
    /// JSON.
    Json,
    /// YAML.
    Yaml,
}

impl Machine {
    /// The value in this form, without a line break at the end.
    pub(super) fn render(self, value: &impl Serialize) -> Result<String, Failure> {
        let text = match self {
            Self::Json => serde_json::to_string_pretty(value).map_err(|error| error.to_string()),
            Self::Yaml => serde_saphyr::to_string(value).map_err(|error| error.to_string()),
        };
        let text = text.map_err(|error| Failure::failed(format!("can't be shown: {error}")))?;
        Ok(text.trim_end().to_owned())
    }
}

/// An object as the API server sent it.
pub(super) fn sent(whole: &Whole) -> Result<serde_json::Value, Failure> {
    let value = serde_json::to_value(whole);
    value.map_err(|error| Failure::failed(format!("an object can't be shown: {error}")))
}
