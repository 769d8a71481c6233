//! Errors in YAML, without its text, which may contain credentials. Pure.

use std::fmt;

use serde_saphyr::Error;

/// Where parsing stopped, and why. It quotes nothing except field names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The line, starting at 1.
    pub line: usize,
    /// The column, starting at 1.
    pub column: usize,
    /// What is wrong.
    pub what: String,
}

impl Problem {
    /// Describes an error of the parser.
    #[must_use]
    pub fn of(error: &Error) -> Self {
        let number = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        let (line, column) = error
            .location()
            .map_or((1, 1), |at| (number(at.line()), number(at.column())));
        Self {
            line,
            column,
            what: what(error),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, column, what } = self;
        write!(f, "line {line}, column {column}: {what}")
    }
}

/// Most error texts quote values, so this function has its own text for each.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "what is not known not to quote values is not shown"
)]
fn what(error: &Error) -> String {
    match error {
        Error::WithSnippet { error, .. } | Error::AliasError { error, .. } => what(error),
        // These texts come from this program and from the parser, which quotes at most single characters.
        Error::Message { msg, .. } | Error::ExternalMessage { msg, .. } => msg.clone(),
        Error::Eof { .. } => "it ends too early".to_owned(),
        Error::DuplicateMappingKey { key: Some(key), .. } => {
            format!("`{key}` appears twice: remove one")
        }
        Error::DuplicateMappingKey { key: None, .. } => {
            "a field appears twice: remove one".to_owned()
        }
        Error::SerdeMissingField { field, .. } => format!("`{field}` is required: set it"),
        Error::SerdeInvalidType {
            unexpected,
            expected,
            ..
        }
        | Error::SerdeInvalidValue {
            unexpected,
            expected,
            ..
        } => format!("{} must be {expected}", kind(unexpected)),
        Error::Unexpected { expected, .. } => {
            format!("a {} is expected", expected.trim_end_matches(" start"))
        }
        Error::UnknownAnchor { .. } => "an alias (`*`) names no anchor (`&`)".to_owned(),
        Error::NonFiniteFloat { .. } => "a number must be finite".to_owned(),
        _ => "it can't be understood".to_owned(),
    }
}

/// The kind of an unexpected value, without the value. serde writes `string "abc"` and "integer `1`".
fn kind(unexpected: &str) -> &str {
    let end = unexpected.find(['"', '`']).unwrap_or(unexpected.len());
    unexpected[..end].trim_end()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn what_is_wrong_is_told_without_a_value() {
        const VALUE: &str = "s3cr3t-value";
        for (yaml, expected) in [
            (format!("a: {VALUE}\nb: ["), "line 2, column 4: "),
            (format!("a: {VALUE}\n  b: c\n"), "line 2, column 4: "),
            (
                format!("a: {VALUE}\na: {VALUE}\n"),
                "line 2, column 1: `a` appears twice: remove one",
            ),
            (VALUE.to_owned(), "line 1, column 1: a mapping is expected"),
            (format!("a: \"{VALUE}\\q\"\n"), "line 1, column "),
            (format!("a: *{VALUE}\n"), "line 1, column "),
            (format!("a: '{VALUE}\n"), "line 1, column "),
        ] {
            let read = serde_saphyr::from_str::<BTreeMap<String, serde_json::Value>>(&yaml);
            let message = Problem::of(&read.unwrap_err()).to_string();
            assert!(message.starts_with(expected), "{message}\n{expected}");
            assert!(
                !message.contains(VALUE) && !message.contains('\n'),
                "{message}"
            );
        }
    }
}
