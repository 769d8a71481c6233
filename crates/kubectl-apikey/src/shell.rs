//! Lines for a shell. Pure.

use std::fmt::Write as _;

use zeroize::Zeroizing;

/// Returns `export NAME='VALUE'` for each pair, for any POSIX shell. The text is wiped when it is dropped.
pub(super) fn exports(pairs: &[(&str, &str)]) -> Zeroizing<String> {
    let room = pairs
        .iter()
        .map(|(name, value)| name.len() + 4 * value.len() + 16);
    let mut text = Zeroizing::new(String::with_capacity(room.sum()));
    for (place, (name, value)) in pairs.iter().enumerate() {
        if place > 0 {
            text.push('\n');
        }
        let _ = write!(text, "export {name}='");
        for character in value.chars() {
            // Close the quotes, add an escaped quote, and open them again.
            match character {
                '\'' => text.push_str("'\\''"),
                other => text.push(other),
            }
        }
        text.push('\'');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_a_value_holds_stays_one_word() {
        let text = exports(&[("A", "x"), ("B", "it's $(rm -rf) `x`\n\"")]);
        assert_eq!(
            text.as_str(),
            "export A='x'\nexport B='it'\\''s $(rm -rf) `x`\n\"'"
        );
    }
}
