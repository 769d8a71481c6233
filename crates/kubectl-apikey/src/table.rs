//! Tables as kubectl prints them. Pure.

use anstyle::Style;

use super::text::{Text, styled};

/// One cell.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    text: Text,
    style: Style,
}

impl Cell {
    pub(super) fn new(style: Style, text: impl Into<Text>) -> Self {
        Self {
            text: text.into(),
            style,
        }
    }
}

impl<T: Into<Text>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::new(Style::new(), text)
    }
}

/// Renders a table without a trailing line break. An empty cell is shown as `<none>`.
pub(super) fn render(head: &[&str], rows: &[Vec<Cell>]) -> Text {
    let head: Vec<Cell> = head.iter().map(|name| Cell::from(*name)).collect();
    let rows: Vec<_> = std::iter::once(&head).chain(rows).collect();
    let shown = |cell: &Cell| {
        if cell.text.is_empty() {
            Text::from("<none>")
        } else {
            cell.text.clone()
        }
    };
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| shown(cell).width()).max()
    };
    let widths: Vec<usize> = (0..head.len()).map_while(width).collect();
    let line = |row: &&Vec<Cell>| {
        let cells = row.iter().zip(&widths).enumerate();
        let cells = cells.map(|(column, (cell, width))| {
            let text = shown(cell);
            let last = column + 1 == row.len();
            let gap = if last { 0 } else { width + 3 - text.width() };
            styled(cell.style, text) + " ".repeat(gap)
        });
        cells.fold(Text::default(), |line, cell| line + cell)
    };
    Text::lines(rows.iter().map(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_nothing_trails() {
        let rows = [
            vec!["a".into(), "long one".into(), "1".into()],
            vec!["bcd".into(), "".into(), "2".into()],
        ];
        assert_eq!(
            render(&["NAME", "X", "Y"], &rows).as_str(),
            "NAME   X          Y\na      long one   1\nbcd    <none>     2"
        );
    }
}
