//! Output. Results go to standard output, and everything else goes to standard error. Colors, progress and
//! questions need a terminal.

use std::io::{self, ErrorKind, IsTerminal as _, Write};
use std::time::Duration;

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};
use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::exit::Failure;
use super::text::{Text, styled};

/// When to use colors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Style of good states.
pub(super) const GOOD: Style = AnsiColor::Green.on_default();
/// Style of bad states.
pub(super) const BAD: Style = AnsiColor::Red.on_default().bold();
/// Style of states that need attention.
pub(super) const WARN: Style = AnsiColor::Yellow.on_default();
/// Style of details.
pub(super) const DIM: Style = Style::new().dimmed();
/// Style of headings.
pub(super) const BOLD: Style = Style::new().bold();

/// Standard output and standard error. Output for people is a [`Text`], which can't contain terminal control
/// sequences.
///
/// If the reader of standard output closes it early, as `head` does, the rest of the output is dropped, and
/// the call continues normally.
pub(super) struct Terminal {
    out: Box<dyn Write>,
    err: Box<dyn Write>,
    shows_progress: bool,
    can_ask: bool,
    shown_to_a_person: bool,
}

impl Terminal {
    /// The terminal of the process.
    pub(super) fn system(color: Color) -> Self {
        let choice = match color {
            Color::Auto => ColorChoice::Auto,
            Color::Always => ColorChoice::Always,
            Color::Never => ColorChoice::Never,
        };
        let (stdin, stdout, stderr) = (io::stdin(), io::stdout(), io::stderr());
        let of_a_terminal = stderr.is_terminal();
        Self {
            shows_progress: of_a_terminal,
            can_ask: stdin.is_terminal() && of_a_terminal,
            shown_to_a_person: stdout.is_terminal(),
            out: Box::new(AutoStream::new(stdout, choice)),
            err: Box::new(AutoStream::new(stderr, choice)),
        }
    }

    /// Writes one or more lines of the result.
    pub(super) fn print(&mut self, text: impl Into<Text>) -> Result<(), Failure> {
        self.exact(text.into().as_str())
    }

    /// Writes a result for programs, or a secret, without changing a character.
    pub(super) fn exact(&mut self, text: &str) -> Result<(), Failure> {
        match self.hand_over(text) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            other => Ok(other?),
        }
    }

    /// Whether standard output certainly reaches nobody: it is `/dev/null`, or it was closed and the runtime
    /// replaced it with `/dev/null`.
    #[must_use]
    pub(super) fn is_discarded() -> bool {
        #[cfg(unix)]
        {
            use std::os::fd::AsFd as _;
            use std::os::unix::fs::MetadataExt as _;

            let out = io::stdout().as_fd().try_clone_to_owned();
            let out = out.and_then(|out| std::fs::File::from(out).metadata());
            let device =
                |found: io::Result<std::fs::Metadata>| found.map(|found| found.rdev()).ok();
            let out = device(out).filter(|device| *device != 0);
            out.is_some() && out == device(std::fs::metadata("/dev/null"))
        }
        #[cfg(not(unix))]
        false
    }

    /// Writes something that exists nowhere else, and fails if nobody reads it.
    pub(super) fn hand_over(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "{text}")?;
        self.out.flush()
    }

    /// Writes a line that is not part of the result. Write errors are ignored.
    pub(super) fn note(&mut self, text: impl Into<Text>) {
        let _ = writeln!(self.err, "{}", text.into().as_str());
    }

    /// Writes a warning.
    pub(super) fn warn(&mut self, text: impl Into<Text>) {
        self.note(styled(WARN, "warning:") + " " + text);
    }

    /// Writes the reason why the call failed.
    pub(super) fn fail(&mut self, why: &str) {
        if !why.is_empty() {
            self.note(styled(BAD, "error:") + " " + why);
        }
    }

    /// Returns standard output, for code that writes by itself.
    pub(super) fn out(&mut self) -> &mut dyn Write {
        &mut self.out
    }

    /// Whether the program can ask the user.
    pub(super) fn can_ask(&self) -> bool {
        self.can_ask
    }

    /// Whether a person, not a program, reads the result.
    pub(super) fn shown_to_a_person(&self) -> bool {
        self.shown_to_a_person
    }

    /// Shows a spinner during a wait. It is visible only on a terminal.
    pub(super) fn spinner(&self, text: impl Into<Text>) -> Spinner {
        let bar = ProgressBar::with_draw_target(None, self.target());
        bar.set_style(ProgressStyle::default_spinner());
        bar.enable_steady_tick(Duration::from_millis(100));
        let spinner = Spinner(bar);
        spinner.set_message(text);
        spinner
    }

    /// Shows a progress bar for `count` items. It is visible only on a terminal.
    pub(super) fn bar(&self, count: usize, text: &'static str) -> ProgressBar {
        let bar = ProgressBar::with_draw_target(Some(count as u64), self.target());
        if let Ok(style) = ProgressStyle::with_template("{msg} {bar:30} {pos}/{len}") {
            bar.set_style(style);
        }
        bar.set_message(text);
        bar
    }

    fn target(&self) -> ProgressDrawTarget {
        if self.shows_progress {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        }
    }
}

/// A spinner that is shown during a wait.
pub(super) struct Spinner(ProgressBar);

impl Spinner {
    /// Changes the text of the spinner.
    pub(super) fn set_message(&self, text: impl Into<Text>) {
        self.0.set_message(text.into().as_str().to_owned());
    }

    /// Removes the spinner from the terminal.
    pub(super) fn end(&self) {
        self.0.finish_and_clear();
    }
}
