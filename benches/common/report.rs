//! The report of a benchmark: a table with notes.

use std::fmt::Write as _;
use std::time::Instant;

use super::machine;

pub(crate) struct Report {
    titles: Vec<String>,
    machine: String,
    kubernetes: String,
    rows: Vec<Vec<String>>,
    pub(crate) headlines: Vec<[String; 4]>,
    notes: Vec<String>,
    begun: Instant,
}

impl Report {
    /// An empty table, with a description of the machine at this moment.
    pub(crate) fn new(titles: &[impl ToString]) -> Self {
        Self {
            titles: titles.iter().map(ToString::to_string).collect(),
            machine: machine::describe(),
            kubernetes: String::new(),
            rows: Vec::new(),
            headlines: Vec::new(),
            notes: Vec::new(),
            begun: Instant::now(),
        }
    }

    pub(crate) fn kubernetes(&mut self, version: String) {
        self.kubernetes = version;
    }

    /// Adds a row with a cell for each title.
    pub(crate) fn add(&mut self, row: Vec<String>) {
        progress(&row.join(" | "));
        self.rows.push(row);
    }

    /// The rows of the summary, without titles.
    pub(crate) fn headlines(&self) -> String {
        let mut text = String::new();
        for row in &self.headlines {
            let _ = writeln!(text, "| {} |", row.join(" | "));
        }
        text
    }

    pub(crate) fn note(&mut self, text: String) {
        progress(&text);
        self.notes.push(text);
    }

    /// The table, the notes, and the description of the machine. `shared` names the processes on the machine.
    pub(crate) fn markdown(&self, quick: bool, shared: &str) -> String {
        let Self {
            titles,
            machine,
            kubernetes,
            rows,
            notes,
            begun,
            ..
        } = self;
        let rule = " --- |".repeat(titles.len());
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

/// Prints progress on standard error.
pub(crate) fn progress(text: &str) {
    eprintln!("{text}");
}
