//! Generated parts of hand-written files.

use anyhow::{Result, bail};

/// Replaces the text between the lines `begin` and `end` with `part`.
pub(crate) fn splice(text: &str, begin: &str, end: &str, part: &str) -> Result<String> {
    let (begin_line, end_line) = (format!("{begin}\n"), format!("{end}\n"));
    let Some((before, rest)) = split_at_line(text, &begin_line) else {
        bail!("the line {begin} is missing");
    };
    let Some((_, after)) = split_at_line(rest, &end_line) else {
        bail!("the line {end} is missing after {begin}");
    };
    Ok(format!("{before}{begin_line}{part}{end_line}{after}"))
}

/// The text before and after the first line that equals `line`.
fn split_at_line<'a>(text: &'a str, line: &str) -> Option<(&'a str, &'a str)> {
    let mut start = 0;
    for found in text.split_inclusive('\n') {
        let end = start + found.len();
        if found == line {
            return Some((&text[..start], &text[end..]));
        }
        start = end;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_part_between_the_marks_is_replaced() {
        let spliced = |text| splice(text, "<a>", "</a>", "new\n");
        assert_eq!(
            spliced("1\n<a>\nold\n</a>\n2\n").unwrap(),
            "1\n<a>\nnew\n</a>\n2\n"
        );
        assert_eq!(
            spliced("see <a>\n<a>\n</a>\n").unwrap(),
            "see <a>\n<a>\nnew\n</a>\n"
        );
        for text in ["", "<a>\n", "</a>\n<a>\n", "text <a>\n</a>\n"] {
            spliced(text).unwrap_err();
        }
    }
}
