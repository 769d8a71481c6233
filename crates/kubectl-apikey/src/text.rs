//! Text for people: what others wrote can't steer the terminal, or stand in a line of its own. Pure.

use std::fmt::Display;
use std::ops::Add;

use anstyle::Style;
use termtree::Tree;

use apikey_api::text::printable;

/// Text that is fit for a terminal.
///
/// Everything that can be displayed becomes one, with control characters and line breaks escaped.
/// Styles and line breaks are only those that are put in here.
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

/// The text in a style, which a [`Terminal`](super::terminal::Terminal) drops where colours are off.
pub(super) fn styled(style: Style, text: impl Into<Text>) -> Text {
    Text(format!("{style}{}{style:#}", text.into().0))
}

impl Text {
    /// One below the other.
    pub(super) fn lines<T: Into<Self>>(lines: impl IntoIterator<Item = T>) -> Self {
        let lines: Vec<_> = lines.into_iter().map(|line| line.into().0).collect();
        Self(lines.join("\n"))
    }

    /// A title, and below it each branch with its leaves.
    pub(super) fn tree(title: Self, branches: impl IntoIterator<Item = (Self, Vec<Self>)>) -> Self {
        let branches = branches.into_iter().map(|(branch, leaves)| {
            let leaves = leaves.into_iter().map(|leaf| leaf.0);
            Tree::new(branch.0).with_leaves(leaves)
        });
        let tree = Tree::new(title.0).with_leaves(branches);
        Self(tree.to_string().trim_end().to_owned())
    }

    /// Characters of a text that has no style.
    pub(super) fn width(&self) -> usize {
        self.0.chars().count()
    }

    /// Whether there is nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is written.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether it is one word of visible ASCII, as secrets and tokens are.
pub(super) fn is_visible_ascii(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Whether nothing in it but line breaks and tabs steers a terminal.
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
