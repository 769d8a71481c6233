//! The table.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use super::machine;

pub(crate) struct Report<const COLUMNS: usize> {
    titles: [&'static str; COLUMNS],
    machine: String,
    kubernetes: String,
    rows: Vec<[String; COLUMNS]>,
    notes: Vec<String>,
    begun: Instant,
}

impl<const COLUMNS: usize> Report<COLUMNS> {
    /// An empty table; it describes the machine as it is now.
    pub(crate) fn new(titles: [&'static str; COLUMNS]) -> Self {
        Self {
            titles,
            machine: machine::describe(),
            kubernetes: String::new(),
            rows: Vec::new(),
            notes: Vec::new(),
            begun: Instant::now(),
        }
    }

    pub(crate) fn kubernetes(&mut self, version: String) {
        self.kubernetes = version;
    }

    pub(crate) fn add(&mut self, row: [String; COLUMNS]) {
        progress(&row.join(" | "));
        self.rows.push(row);
    }

    pub(crate) fn note(&mut self, text: String) {
        progress(&text);
        self.notes.push(text);
    }

    /// The table, the notes, and what of the machine was shared by whom.
    pub(crate) fn markdown(&self, quick: bool, shared: &str) -> String {
        let Self {
            titles,
            machine,
            kubernetes,
            rows,
            notes,
            begun,
        } = self;
        let rule = [" --- |"; COLUMNS].concat();
        let mut text = format!("| {} |\n|{rule}\n", titles.join(" | "));
        for row in rows {
            let _ = writeln!(text, "| {} |", row.join(" | "));
        }
        for note in notes {
            let _ = write!(text, "\n{note}\n");
        }
        let _ = write!(
            text,
            "\nMachine: {machine}; Kubernetes {kubernetes}. {shared} One run of {} s.\n",
            begun.elapsed().as_secs()
        );
        if quick {
            text.push_str("\nA quick run: the aims are for more keys.\n");
        }
        text
    }
}

/// Tells how far it is.
pub(crate) fn progress(text: &str) {
    eprintln!("{text}");
}

/// The value that `percent` of the sorted values do not exceed (nearest rank).
pub(crate) fn percentile<T: Copy>(sorted: &[T], percent: usize) -> T {
    sorted[(sorted.len() * percent).div_ceil(100).saturating_sub(1)]
}

pub(crate) fn ms(duration: Duration) -> String {
    let ms = duration.as_secs_f64() * 1000.0;
    if ms < 100.0 {
        format!("{ms:.1} ms")
    } else {
        format!("{ms:.0} ms")
    }
}
