//! Makes text from other sources safe to print.

use std::borrow::Cow;

/// Replaces each control character (C0, DEL, C1), each mark that changes the direction of text, and each
/// separator of lines and paragraphs with `\u{...}`.
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if is_hidden(c) {
            shown.extend(c.escape_unicode());
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
}

/// Whether the character can move a cursor, start a line, or change the direction of text.
#[must_use]
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_moves_a_cursor_or_turns_text_around_is_written_out_and_all_else_stays() {
        let plain = "Zoë's key: 鍵 \u{200d}\\";
        assert!(matches!(printable(plain), Cow::Borrowed(text) if text == plain));
        for hidden in [
            '\0', '\t', '\n', '\r', '\u{1b}', '\u{7f}', '\u{80}', '\u{9b}', '\u{9f}',
        ]
        .into_iter()
        .chain(['\u{61c}', '\u{200e}', '\u{200f}'])
        .chain('\u{2028}'..='\u{202e}')
        .chain('\u{2066}'..='\u{2069}')
        {
            let written = format!("a\\u{{{:x}}}b", u32::from(hidden));
            assert_eq!(printable(&format!("a{hidden}b")), written);
        }
    }
}
