//! The kubectl plugin on a terminal.

use rexpect::session::{PtySession, spawn_command};

use super::{SOON, Scope};

/// Moves down in a list of choices.
pub(crate) const DOWN: &str = "\u{1b}[B";
/// Deletes a character.
pub(crate) const BACKSPACE: &str = "\u{7f}";
/// Confirms an answer.
pub(crate) const ENTER: &str = "\r";
/// Cancels.
pub(crate) const ESC: &str = "\u{1b}";

impl Scope<'_> {
    /// `kubectl apikey` as admin in the namespace, with these arguments, on a terminal of 40 lines.
    pub(crate) fn plugin_on_terminal(&self, arguments: &[&str]) -> PtySession {
        let plugin = self.plugin_command();
        let mut command = std::process::Command::new("sh");
        command
            .args(["-c", "stty rows 40 cols 160; exec \"$@\"", "sh"])
            .arg(plugin.get_program())
            .args(plugin.get_args())
            .args(arguments);
        for (name, value) in plugin.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.env("TERM", "xterm-256color");
        let patience = u64::try_from(SOON.as_millis()).unwrap();
        spawn_command(command, Some(patience)).unwrap()
    }
}

/// Types these keys.
pub(crate) fn press(session: &mut PtySession, keys: &[&str]) {
    for key in keys {
        session.send(key).unwrap();
        session.flush().unwrap();
    }
}
