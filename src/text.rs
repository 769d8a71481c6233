//! Text of others for a log, an Event or a terminal. Pure.

use std::borrow::Cow;

/// The text with every character that steers a terminal or reorders text as `\u{...}`: C0, C1 and DEL,
/// line breaks included, U+200E, U+200F, U+202A to U+202E, and U+2066 to U+2069.
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(steers) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(2 * text.len());
    for character in text.chars() {
        if steers(character) {
            shown.extend(character.escape_unicode());
        } else {
            shown.push(character);
        }
    }
    Cow::Owned(shown)
}

fn steers(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_is_escaped_and_everything_else_stays() {
        let plain = "größer – キー 🔑 \\u{1b}";
        assert!(matches!(printable(plain), Cow::Borrowed(same) if same == plain));
        assert_eq!(
            printable("a\u{1b}[2J\r\n\t\u{7f}\u{9b}\u{202e}z"),
            "a\\u{1b}[2J\\u{d}\\u{a}\\u{9}\\u{7f}\\u{9b}\\u{202e}z"
        );
        for code in 0..0x3000 {
            let Some(character) = char::from_u32(code) else {
                continue;
            };
            let escaped = matches!(
                code,
                0..=0x1f | 0x7f..=0x9f | 0x200e | 0x200f | 0x202a..=0x202e | 0x2066..=0x2069
            );
            let text = character.to_string();
            assert_eq!(printable(&text) != text, escaped, "{code:x}");
        }
    }
}
