//! Parses an incomplete command line, and decides what can come next. Pure.

use std::collections::BTreeMap;

use clap::{Arg, ArgAction, Command};

use apikey_api::text::printable;

/// A word that can come next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    text: String,
    about: String,
}

impl Candidate {
    pub(super) fn new(text: &str, about: &str) -> Self {
        Self {
            text: printable(text).into_owned(),
            about: printable(about).into_owned(),
        }
    }
}

/// The kind of word that can come next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// One of these words.
    Candidates(Vec<Candidate>),
    /// A key of the namespace.
    Keys,
    /// A namespace.
    Namespaces,
    /// An organization.
    Organizations,
    /// A context of the kubeconfig.
    Contexts,
    /// A file.
    Files,
    /// A word that only the user knows.
    Nothing,
}

/// An incomplete command line.
pub(super) struct Line<'a> {
    /// The innermost verb on the line.
    command: &'a Command,
    /// The root command, for the flags of every verb.
    root: &'a Command,
    /// Positional arguments after the verb.
    positionals: Vec<&'a str>,
    /// Values of options, by argument id.
    values: BTreeMap<&'a str, &'a str>,
    /// The option whose value is incomplete.
    option: Option<&'a Arg>,
    /// The part of the last word that completion keeps, such as `--name=`.
    kept: &'a str,
    /// The rest of the last word, to be completed.
    prefix: &'a str,
}

impl<'a> Line<'a> {
    /// Parses the words. The last one is incomplete and may be empty.
    pub(super) fn read(root: &'a Command, words: &'a [String]) -> Self {
        let (last, before) = words
            .split_last()
            .map_or(("", &[][..]), |(last, before)| (last.as_str(), before));
        let mut line = Self {
            command: root,
            root,
            positionals: Vec::new(),
            values: BTreeMap::new(),
            option: None,
            kept: "",
            prefix: last,
        };
        for word in before {
            line.take(word);
        }
        if let Some((name, value)) = last.split_once('=')
            && line.option.is_none()
            && let Some(arg) = name.strip_prefix("--").and_then(|name| line.long(name))
        {
            line.option = Some(arg);
            line.kept = &last[..=name.len()];
            line.prefix = value;
        }
        line
    }

    fn take(&mut self, word: &'a str) {
        if let Some(arg) = self.option.take() {
            self.values.insert(arg.get_id().as_str(), word);
            return;
        }
        if let Some(long) = word.strip_prefix("--") {
            let (name, value) = match long.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (long, None),
            };
            match (self.long(name), value) {
                (Some(arg), Some(value)) => {
                    self.values.insert(arg.get_id().as_str(), value);
                }
                (Some(arg), None) if wants_a_word(arg) => self.option = Some(arg),
                (Some(_) | None, _) => {}
            }
        } else if let Some(short) = word.strip_prefix('-').filter(|rest| !rest.is_empty()) {
            let mut letters = short.chars();
            let arg = letters.next().and_then(|letter| self.short(letter));
            let Some(arg) = arg.filter(|arg| wants_a_word(arg)) else {
                return;
            };
            match letters.as_str() {
                "" => self.option = Some(arg),
                value => {
                    self.values.insert(arg.get_id().as_str(), value);
                }
            }
        } else if let Some(verb) = self.command.find_subcommand(word)
            && self.positionals.is_empty()
        {
            self.command = verb;
        } else {
            self.positionals.push(word);
        }
    }

    fn arguments(&self) -> impl Iterator<Item = &'a Arg> + use<'a> {
        let own = self.command.get_arguments();
        let global = self.root.get_arguments().filter(|arg| arg.is_global_set());
        own.chain(global)
    }

    fn long(&self, name: &str) -> Option<&'a Arg> {
        self.arguments().find(|arg| arg.get_long() == Some(name))
    }

    fn short(&self, letter: char) -> Option<&'a Arg> {
        self.arguments().find(|arg| arg.get_short() == Some(letter))
    }

    /// The value of an option.
    pub(super) fn value_of(&self, id: &str) -> Option<&'a str> {
        self.values.get(id).copied()
    }

    /// What can come next.
    pub(super) fn next(&self) -> Next {
        if let Some(arg) = self.option {
            return value(arg);
        }
        if self.prefix.starts_with('-') {
            return Next::Candidates(self.flags());
        }
        if self.command.has_subcommands() {
            let verbs = self.command.get_subcommands();
            let verbs = verbs.filter(|verb| !verb.is_hide_set());
            let candidate =
                |verb: &Command| Candidate::new(verb.get_name(), &about(verb.get_about()));
            return Next::Candidates(verbs.map(candidate).collect());
        }
        // A new key needs a name that no other key has, so existing names are not offered.
        if self.command.get_name() == "create" {
            return Next::Nothing;
        }
        let places: Vec<_> = self.command.get_positionals().collect();
        let place = self.positionals.len().min(places.len().saturating_sub(1));
        match places.get(place) {
            Some(arg) if place == self.positionals.len() || takes_many(arg) => value(arg),
            Some(_) | None => Next::Nothing,
        }
    }

    fn flags(&self) -> Vec<Candidate> {
        let mut flags: Vec<Candidate> = Vec::new();
        for arg in self.arguments().filter(|arg| !arg.is_hide_set()) {
            let Some(long) = arg.get_long() else { continue };
            let candidate = Candidate::new(&format!("--{long}"), &about(arg.get_help()));
            if !flags.iter().any(|known| known.text == candidate.text) {
                flags.push(candidate);
            }
        }
        flags
    }

    /// Returns the candidates that match the last word and are not on the line yet, as lines for kubectl.
    pub(super) fn matching(&self, candidates: Vec<Candidate>) -> Vec<String> {
        let fits = candidates.into_iter().filter(|candidate| {
            candidate.text.starts_with(self.prefix)
                && !self.positionals.contains(&candidate.text.as_str())
        });
        let line = |Candidate { text, about }: Candidate| {
            if about.is_empty() {
                format!("{}{text}", self.kept)
            } else {
                format!("{}{text}\t{about}", self.kept)
            }
        };
        fits.map(line).collect()
    }
}

/// Whether the next word is the value of this argument.
fn wants_a_word(arg: &Arg) -> bool {
    let takes_values = matches!(arg.get_action(), ArgAction::Set | ArgAction::Append);
    takes_values && !arg.is_require_equals_set()
}

fn takes_many(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Append)
        || arg
            .get_num_args()
            .is_some_and(|range| range.max_values() > 1)
}

/// The first line of a help text.
fn about(text: Option<&clap::builder::StyledStr>) -> String {
    let text = text.map(ToString::to_string).unwrap_or_default();
    text.lines().next().unwrap_or_default().to_owned()
}

/// The kind of value that an argument takes.
fn value(arg: &Arg) -> Next {
    let possible = arg.get_possible_values();
    if !possible.is_empty() {
        let values = possible.iter().filter(|value| !value.is_hide_set());
        let values = values.map(|value| Candidate::new(value.get_name(), &about(value.get_help())));
        return Next::Candidates(values.collect());
    }
    let names = arg.get_value_names().unwrap_or_default();
    let name = names.first().map_or("", |name| name.as_str());
    match (arg.get_id().as_str(), name) {
        ("namespace", _) => Next::Namespaces,
        ("context", _) => Next::Contexts,
        ("org" | "organization", _) => Next::Organizations,
        ("name" | "names" | "key", "NAME") => Next::Keys,
        (_, "FILE" | "DIR" | "PATH") => Next::Files,
        _ => Next::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(words: &[&str]) -> (Next, Vec<String>) {
        let mut command = crate::command("kubectl apikey");
        command.build();
        let words: Vec<_> = words.iter().map(|word| (*word).to_owned()).collect();
        let line = Line::read(&command, &words);
        let next = line.next();
        let shown = match line.next() {
            Next::Candidates(candidates) => line.matching(candidates),
            Next::Keys
            | Next::Namespaces
            | Next::Organizations
            | Next::Contexts
            | Next::Files
            | Next::Nothing => Vec::new(),
        };
        (next, shown)
    }

    fn words(shown: &[String]) -> Vec<&str> {
        let first = |line: &'_ String| line.split('\t').next().unwrap_or_default().len();
        shown.iter().map(|line| &line[..first(line)]).collect()
    }

    #[test]
    fn verbs_flags_and_values_come_from_the_definition() {
        let (_, verbs) = next(&["re"]);
        assert_eq!(words(&verbs), ["resume", "reveal", "revoke"]);
        let (_, flags) = next(&["rotate", "ci", "--o"]);
        assert_eq!(words(&flags), ["--org", "--overlap"]);
        assert!(
            next(&["list", "--"])
                .1
                .iter()
                .any(|flag| flag.starts_with("--namespace\t"))
        );
        assert_eq!(
            words(&next(&["reveal", "ci", "-o", ""]).1),
            ["env", "json", "age"]
        );
        assert_eq!(words(&next(&["reveal", "--output=e"]).1), ["--output=env"]);
        assert_eq!(words(&next(&["completion", "z"]).1), ["zsh"]);
        assert_eq!(words(&next(&["-n", "a", "roles", "a"]).1), ["add"]);
    }

    #[test]
    fn what_only_the_cluster_knows_is_asked_for() {
        for (line, expected) in [
            (&["status", ""][..], Next::Keys),
            (&["-n", "team-a", "rotate", "a", "b"], Next::Keys),
            (&["status", "a", ""], Next::Nothing),
            (&["status", "-n", ""], Next::Namespaces),
            (&["list", "--org", ""], Next::Organizations),
            (&["token", "ci", "--organization="], Next::Organizations),
            (&["list", "--context", ""], Next::Contexts),
            (&["reveal", "ci", "--identity", ""], Next::Files),
            (&["verify", ""], Next::Nothing),
            (&["create", ""], Next::Nothing),
            (&["roles", "add", ""], Next::Keys),
        ] {
            assert_eq!(next(line).0, expected, "{line:?}");
        }
    }

    #[test]
    fn a_key_that_is_named_already_is_not_offered_again() {
        let mut command = crate::command("kubectl apikey");
        command.build();
        let words = ["suspend", "a", ""].map(str::to_owned);
        let line = Line::read(&command, &words);
        let offered = ["a", "b"].map(|name| Candidate::new(name, "x"));
        assert_eq!(line.matching(offered.into()), ["b\tx"]);
    }
}
