//! The table.

use std::fmt::Write as _;
use std::time::Duration;

pub(crate) struct Report {
    machine: String,
    kubernetes: String,
    rows: Vec<[String; 3]>,
    notes: Vec<String>,
}

impl Report {
    pub(crate) const fn new(machine: String) -> Self {
        Self {
            machine,
            kubernetes: String::new(),
            rows: Vec::new(),
            notes: Vec::new(),
        }
    }

    pub(crate) fn kubernetes(&mut self, version: String) {
        self.kubernetes = version;
    }

    /// Adds a row; `aim` is empty where there is none.
    pub(crate) fn row(&mut self, what: impl Into<String>, result: impl Into<String>, aim: &str) {
        let (what, result) = (what.into(), result.into());
        progress(&format!("{what}: {result}"));
        self.rows.push([what, result, aim.to_owned()]);
    }

    pub(crate) fn note(&mut self, text: String) {
        progress(&text);
        self.notes.push(text);
    }

    pub(crate) fn markdown(&self, quick: bool, took: Duration) -> String {
        let Self {
            machine,
            kubernetes,
            rows,
            notes,
        } = self;
        let mut text = String::from("| Measured | Result | Aim |\n| --- | --- | --- |\n");
        for [what, result, aim] in rows {
            let _ = writeln!(text, "| {what} | {result} | {aim} |");
        }
        for note in notes {
            let _ = write!(text, "\n{note}\n");
        }
        let _ = write!(
            text,
            "\nMachine: {machine}; Kubernetes {kubernetes}. API server, etcd, operator and this \
             program share it. One run of {} s.\n",
            took.as_secs()
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
