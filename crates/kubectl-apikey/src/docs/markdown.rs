//! Renders the reference of the command line as Markdown. Pure.

use std::fmt::Write as _;

use clap::builder::StyledStr;
use clap::{Arg, ArgAction, Command};

/// Heading of the flags of every verb.
const GLOBAL: &str = "Global";

/// Renders the reference of a built command.
pub(super) fn render(command: &Command) -> String {
    let mut text = format!(
        "<!-- Generated from crates/kubectl-apikey by `make cli-docs`. Changes here are lost. -->\n\n\
         # `{}`\n\n{}\n\n",
        command.get_bin_name().unwrap_or_default(),
        about(command)
    );
    text.push_str("| Verb | What |\n| --- | --- |\n");
    for verb in verbs(command) {
        let (name, about) = (verb.get_name(), plain(verb.get_about()));
        let _ = writeln!(text, "| [`{name}`](#{name}) | {about} |");
    }
    text.push_str("\n[cli-tour.md](cli-tour.md) shows them at work.\n");
    for verb in verbs(command) {
        section(&mut text, verb, verb.get_name(), 2);
    }
    text.push_str("\n## Flags of every verb\n\n");
    for arg in command.get_arguments().filter(|arg| is_global(arg)) {
        option(&mut text, arg);
    }
    text.push_str("\n## Exit codes\n\n| Code | Meaning |\n| --- | --- |\n");
    for exit in crate::exit::Exit::ALL {
        let _ = writeln!(text, "| {} | {} |", exit.code(), exit.meaning());
    }
    text
}

fn verbs(command: &Command) -> impl Iterator<Item = &Command> {
    let verbs = command.get_subcommands();
    verbs.filter(|verb| !verb.is_hide_set())
}

fn section(text: &mut String, command: &Command, title: &str, level: usize) {
    let _ = write!(
        text,
        "\n{} {title}\n\n{}\n",
        "#".repeat(level),
        about(command)
    );
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ").trim();
    let _ = write!(text, "\n```text\n{usage}\n```\n");
    let shown = |arg: &&Arg| {
        let id = arg.get_id().as_str();
        !arg.is_hide_set() && !is_global(arg) && id != "help" && id != "version"
    };
    let arguments: Vec<_> = command.get_arguments().filter(shown).collect();
    if !arguments.is_empty() {
        text.push('\n');
    }
    let (positionals, options): (Vec<&Arg>, Vec<&Arg>) =
        arguments.into_iter().partition(|arg| arg.is_positional());
    for arg in positionals.into_iter().chain(options) {
        option(text, arg);
    }
    let own: Vec<_> = verbs(command).collect();
    // A verb with verbs of its own already has the examples of all of them.
    examples(text, command.get_after_help().filter(|_| level == 2));
    for verb in own {
        section(
            text,
            verb,
            &format!("{title} {}", verb.get_name()),
            level + 1,
        );
    }
}

fn is_global(arg: &Arg) -> bool {
    arg.get_help_heading() == Some(GLOBAL)
}

fn about(command: &Command) -> String {
    plain(command.get_long_about().or_else(|| command.get_about()))
}

fn plain(text: Option<&StyledStr>) -> String {
    text.map(ToString::to_string)
        .unwrap_or_default()
        .trim()
        .to_owned()
}

fn option(text: &mut String, arg: &Arg) {
    let help = plain(arg.get_long_help().or_else(|| arg.get_help()));
    let _ = write!(text, "- `{}`: {}", name(arg), sentence(&help));
    let possible = arg.get_possible_values();
    let values: Vec<_> = possible
        .iter()
        .filter(|value| !value.is_hide_set())
        .collect();
    let takes_value = matches!(arg.get_action(), ArgAction::Set | ArgAction::Append);
    if !values.is_empty() && takes_value && !is_bool(arg) {
        let described = values.iter().map(|value| match value.get_help() {
            Some(help) => {
                let help = plain(Some(help));
                format!("`{}` ({})", value.get_name(), help.trim_end_matches('.'))
            }
            None => format!("`{}`", value.get_name()),
        });
        let _ = write!(
            text,
            " One of {}.",
            described.collect::<Vec<_>>().join(", ")
        );
    }
    let defaults = arg.get_default_values().iter();
    let defaults: Vec<_> = defaults.map(|value| value.to_string_lossy()).collect();
    if !defaults.is_empty() && takes_value {
        let _ = write!(text, " Default `{}`.", defaults.join(" "));
    }
    text.push('\n');
}

fn is_bool(arg: &Arg) -> bool {
    let values = arg.get_possible_values();
    values.iter().any(|value| value.get_name() == "false")
}

fn sentence(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.ends_with(['.', ':', '?']) {
        text
    } else {
        format!("{text}.")
    }
}

fn name(arg: &Arg) -> String {
    let names = arg.get_value_names().unwrap_or_default().iter();
    let value = names
        .map(clap::builder::Str::as_str)
        .collect::<Vec<_>>()
        .join(" ");
    if arg.is_positional() {
        let many = matches!(arg.get_action(), ArgAction::Append);
        return format!("{value}{}", if many { "..." } else { "" });
    }
    let mut flags = Vec::new();
    flags.extend(arg.get_short().map(|short| format!("-{short}")));
    flags.extend(arg.get_long().map(|long| format!("--{long}")));
    let flags = flags.join(", ");
    let takes_value = matches!(arg.get_action(), ArgAction::Set | ArgAction::Append);
    let optional = arg
        .get_num_args()
        .is_some_and(|range| range.min_values() == 0);
    match (takes_value, optional) {
        (false, _) => flags,
        (true, true) => format!("{flags}[={value}]"),
        (true, false) => format!("{flags} {value}"),
    }
}

/// Renders examples as a script: the descriptions as comments, the commands as lines.
fn examples(text: &mut String, help: Option<&StyledStr>) {
    let help = help.map(ToString::to_string).unwrap_or_default();
    let Some((_, lines)) = help.split_once("Examples:\n") else {
        return;
    };
    text.push_str("\n```bash\n");
    for line in lines.lines() {
        let line = match (line.strip_prefix("    "), line.strip_prefix("  ")) {
            (Some(command), _) => command.to_owned(),
            (None, Some(what)) => format!("# {}", what.trim_end_matches(':')),
            (None, None) => line.to_owned(),
        };
        let _ = writeln!(text, "{line}");
    }
    text.push_str("```\n");
}
