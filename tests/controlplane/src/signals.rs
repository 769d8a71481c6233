//! The signals that ask this command to end.

use std::io;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator;

/// Catches INT, TERM and HUP from its creation on. Before, they end this process at once, which
/// ends a control plane as well.
pub(crate) struct Signals(iterator::Signals);

impl Signals {
    pub(crate) fn catch() -> io::Result<Self> {
        iterator::Signals::new([SIGINT, SIGTERM, SIGHUP]).map(Self)
    }

    /// Returns at the first signal.
    pub(crate) fn wait(&mut self) {
        let _ = self.0.forever().next();
    }

    /// The signals since the last call that the running command must also get. INT is not one of them:
    /// the terminal has sent it to the command already, and many programs treat a second INT differently.
    pub(crate) fn take_forwardable(&mut self) -> Vec<i32> {
        self.0
            .pending()
            .filter(|&signal| signal != SIGINT)
            .collect()
    }
}
