//! Tables as kubectl prints them. Pure.

use anstyle::Style;

use super::terminal::styled;

/// One cell.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    pub(super) fn new(style: Style, text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            style,
        }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::new(Style::new(), text)
    }
}

/// The lines of a table, without a line break at the end. An empty cell is shown as `<none>`.
pub(super) fn render(head: &[&str], rows: &[Vec<Cell>]) -> String {
    let head: Vec<Cell> = head.iter().map(|name| Cell::from(*name)).collect();
    let rows: Vec<_> = std::iter::once(&head).chain(rows).collect();
    let shown = |cell: &Cell| {
        if cell.text.is_empty() {
            "<none>".to_owned()
        } else {
            cell.text.clone()
        }
    };
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| shown(cell).chars().count()).max()
    };
    let widths: Vec<usize> = (0..head.len()).map_while(width).collect();
    let line = |row: &&Vec<Cell>| {
        let cells = row.iter().zip(&widths).enumerate();
        let cells = cells.map(|(column, (cell, width))| {
            let text = shown(cell);
            let last = column + 1 == row.len();
            let gap = if last {
                0
            } else {
                width + 3 - text.chars().count()
            };
            format!("{}{}", styled(cell.style, text), " ".repeat(gap))
        });
        cells.collect::<String>()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
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
            render(&["NAME", "X", "Y"], &rows),
            "NAME   X          Y\na      long one   1\nbcd    <none>     2"
        );
    }
}
