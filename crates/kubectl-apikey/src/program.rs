//! The name of the program, and help texts that use it.

use std::ffi::OsString;
use std::path::Path;

use clap::Command;
use clap::builder::StyledStr;

/// The name that help texts and hints are written with.
const WRITTEN: &str = "kubectl apikey";

/// The name for usage and hints, as the user typed it. kubectl starts a plugin by its file name, in which `-`
/// separates words and `_` stands for `-`.
pub(super) fn name(argument: Option<&OsString>) -> String {
    let stem = argument.and_then(|path| Path::new(path).file_name());
    let stem = stem.map(|name| name.to_string_lossy().into_owned());
    let Some(stem) = stem else {
        return WRITTEN.to_owned();
    };
    let stem = stem.strip_suffix(".exe").unwrap_or(&stem);
    match stem.strip_prefix("kubectl-") {
        Some(words) => format!("kubectl {}", words.replace('-', " ").replace('_', "-")),
        None => stem.to_owned(),
    }
}

/// The command that runs a verb on a key: `kubectl apikey status ci -n team-a`. An empty namespace means that
/// of the context.
pub(super) fn call(verb: &str, name: &str, namespace: &str) -> String {
    if namespace.is_empty() {
        return format!("{WRITTEN} {verb} {name}");
    }
    format!("{WRITTEN} {verb} {name} -n {namespace}")
}

/// Replaces the name of the program in a text.
pub(super) fn with_name(text: &str, program: &str) -> String {
    text.replace(WRITTEN, program)
}

/// Replaces the name of the program in the usage and all texts of a command.
pub(super) fn named(command: Command, program: &str) -> Command {
    let command = command.bin_name(program).display_name(program);
    if program == WRITTEN {
        return command;
    }
    renamed(command, program)
}

fn renamed(mut command: Command, program: &str) -> Command {
    let other = |text: &StyledStr| with_name(&text.to_string(), program);
    if let Some(text) = command.get_after_help().map(other) {
        command = command.after_help(text);
    }
    if let Some(text) = command.get_about().map(other) {
        command = command.about(text);
    }
    if let Some(text) = command.get_long_about().map(other) {
        command = command.long_about(text);
    }
    command
        .mut_args(|mut argument| {
            if let Some(text) = argument.get_help().map(other) {
                argument = argument.help(text);
            }
            match argument.get_long_help().map(other) {
                Some(text) => argument.long_help(text),
                None => argument,
            }
        })
        .mut_subcommands(|verb| renamed(verb, program))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_names_the_namespace() {
        assert_eq!(
            call("status", "ci", "team-a"),
            "kubectl apikey status ci -n team-a"
        );
        assert_eq!(call("status", "ci", ""), "kubectl apikey status ci");
    }

    #[test]
    fn the_name_is_what_the_user_typed() {
        for (argument, expected) in [
            ("/usr/local/bin/kubectl-apikey", "kubectl apikey"),
            ("kubectl-apikey.exe", "kubectl apikey"),
            ("./kubectl-api_key", "kubectl api-key"),
            ("/home/me/bin/apikeyctl", "apikeyctl"),
        ] {
            assert_eq!(name(Some(&argument.into())), expected);
        }
        assert_eq!(name(None), "kubectl apikey");
    }
}
