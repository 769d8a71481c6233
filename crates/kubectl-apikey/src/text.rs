//! Text for people. Text from other sources can't steer the terminal or add lines. Pure.

use std::fmt::Display;
use std::ops::Add;

use anstyle::Style;
use termtree::Tree;

use apikey_api::text::printable;

/// Text that is safe to print on a terminal.
///
/// Every `Display` value can be converted. The conversion escapes control characters and line breaks. Only
/// the functions of this module add styles and line breaks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Text(String);

impl<T: Display> From<T> for Text {
    fn from(text: T) -> Self {
        Self(printable(&text.to_string()).into_owned())
    }
}

impl<T: Into<Self>> Add<T> for Text {
    type Output = Self;

    fn add(mut self, more: T) -> Self {
        self.0.push_str(&more.into().0);
        self
    }
}

/// Styles a text. A [`Terminal`](super::terminal::Terminal) removes styles if colors are off.
pub(super) fn styled(style: Style, text: impl Into<Text>) -> Text {
    Text(format!("{style}{}{style:#}", text.into().0))
}

impl Text {
    /// Joins lines.
    pub(super) fn lines<T: Into<Self>>(lines: impl IntoIterator<Item = T>) -> Self {
        let lines: Vec<_> = lines.into_iter().map(|line| line.into().0).collect();
        Self(lines.join("\n"))
    }

    /// A tree: a title, and below it each branch with its leaves.
    pub(super) fn tree(title: Self, branches: impl IntoIterator<Item = (Self, Vec<Self>)>) -> Self {
        let branches = branches.into_iter().map(|(branch, leaves)| {
            let leaves = leaves.into_iter().map(|leaf| leaf.0);
            Tree::new(branch.0).with_leaves(leaves)
        });
        let tree = Tree::new(title.0).with_leaves(branches);
        Self(tree.to_string().trim_end().to_owned())
    }

    /// Number of characters of a text without styles.
    pub(super) fn width(&self) -> usize {
        self.0.chars().count()
    }

    /// Whether the text is empty.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The text with its styles.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether the text is one word of visible ASCII, as secrets and tokens are.
pub(super) fn is_visible_ascii(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Whether the text has no control characters other than line breaks and tabs.
pub(super) fn is_plain(text: &str) -> bool {
    let mut parts = text.split(['\n', '\t']);
    parts.all(|part| printable(part) == part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::terminal::GOOD;

    #[test]
    fn only_our_own_styles_and_line_breaks_are_written() {
        let hostile = "x\u{1b}[32m\n\r\u{202e}";
        let escaped = "x\\u{1b}[32m\\u{a}\\u{d}\\u{202e}";
        assert_eq!(Text::from(hostile).as_str(), escaped);
        assert_eq!(
            styled(GOOD, hostile).as_str(),
            format!("\u{1b}[32m{escaped}\u{1b}[0m")
        );
        let lines = Text::lines([Text::from(hostile) + hostile, Text::from("y")]);
        assert_eq!(lines.as_str(), format!("{escaped}{escaped}\ny"));
        let tree = Text::tree("a".into(), [(hostile.into(), vec![hostile.into()])]);
        assert_eq!(
            tree.as_str(),
            format!("a\n└── {escaped}\n    └── {escaped}")
        );
    }
}
