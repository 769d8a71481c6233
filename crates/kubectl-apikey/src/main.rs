//! The kubectl plugin. Each verb has its own file; [`exit`], `invocation`, `terminal` and `format` are
//! shared.
//!
//! A verb is a struct of flags, with its help text as doc comment, and a function `run`. To add a verb, add a
//! file, its `mod`, a line in `Verb` and a line in `run`. Decisions and rendering are pure functions of the
//! input and the time. `run` reads from the cluster and writes to the `terminal::Terminal`.

mod bulk;
mod check;
mod complete;
mod completion;
mod create;
mod delivered;
mod dialogue;
mod discard;
mod docs;
mod exit;
mod follow;
mod format;
mod gitops;
mod http;
mod input;
mod inspect;
mod invocation;
mod jwt;
mod key;
mod lint;
mod list;
mod lost;
mod nearest;
mod organization;
mod pages;
mod patch;
mod program;
mod reveal;
mod revoke;
mod roles;
mod rotate;
mod select;
mod shell;
mod status;
mod suspend;
mod table;
mod terminal;
mod text;
mod time;
mod token;
mod verify;
mod version;
mod wait;

use std::alloc::System;
use std::process::ExitCode;

use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use zeroizing_alloc::ZeroAlloc;

use self::exit::{Exit, Failure};
use self::invocation::{Invocation, Target};
use self::terminal::{Color, Terminal};
use apikey_client::clock::Clock;
use apikey_credential::memory;

/// Overwrites freed memory. A secret passes through buffers of HTTP, TLS, JSON and age that this program does
/// not own, and a buffer that grows leaves a copy behind.
#[global_allocator]
static WIPES: ZeroAlloc<System> = ZeroAlloc(System);

/// Create, inspect, change and revoke API keys.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100, arg_required_else_help = true,
    subcommand_required = true, propagate_version = false, disable_help_subcommand = true,
    after_help = exit::table())]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    verb: Verb,
}

/// Flags of every verb.
#[derive(Args, Debug)]
struct Global {
    #[command(flatten)]
    target: Target,

    /// When to use colors. `auto`: on a terminal, unless `NO_COLOR` is set.
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        default_value = "auto",
        help_heading = "Global"
    )]
    color: Color,
}

/// The verb to run.
#[derive(Debug, Subcommand)]
enum Verb {
    Check(check::Check),
    Completion(completion::Completion),
    Create(Box<create::Create>),
    DiscardPrevious(discard::DiscardPrevious),
    Docs(docs::Docs),
    Inspect(inspect::Inspect),
    Lint(lint::Lint),
    List(list::List),
    Resume(suspend::Resume),
    Reveal(reveal::Reveal),
    Revoke(revoke::Revoke),
    Roles(roles::Roles),
    Rotate(rotate::Rotate),
    Status(status::Status),
    Suspend(suspend::Suspend),
    Token(token::Token),
    Verify(verify::Verify),
    Version(version::Version),
}

async fn run(verb: Verb, call: &mut Invocation) -> Result<(), Failure> {
    match verb {
        Verb::Check(flags) => check::run(&flags, call).await,
        Verb::Completion(flags) => completion::run(&flags, call),
        Verb::Create(flags) => create::run(*flags, call).await,
        Verb::DiscardPrevious(flags) => discard::run(&flags, call).await,
        Verb::Docs(flags) => docs::run(&flags, call),
        Verb::Inspect(flags) => inspect::run(&flags, call).await,
        Verb::Lint(flags) => lint::run(&flags, call).await,
        Verb::List(flags) => list::run(&flags, call).await,
        Verb::Resume(flags) => suspend::resume(&flags, call).await,
        Verb::Reveal(flags) => reveal::run(&flags, call).await,
        Verb::Revoke(flags) => revoke::run(&flags, call).await,
        Verb::Roles(flags) => roles::run(&flags, call).await,
        Verb::Rotate(flags) => rotate::run(&flags, call).await,
        Verb::Status(flags) => status::run(&flags, call).await,
        Verb::Suspend(flags) => suspend::suspend(&flags, call).await,
        Verb::Token(flags) => token::run(&flags, call).await,
        Verb::Verify(flags) => verify::run(&flags, call).await,
        Verb::Version(flags) => version::run(&flags, call).await,
    }
}

/// The whole command line, with help texts for the name `program` (for example `kubectl apikey`).
fn command(program: &str) -> clap::Command {
    program::named(Cli::command(), program)
}

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    let program = program::name(arguments.first());
    if let [_, word, words @ ..] = &arguments[..]
        && word == complete::WORD
    {
        let mut command = command(&program);
        command.build();
        return complete::run(&command, &program, words);
    }
    let parsed = command(&program)
        .try_get_matches_from(arguments)
        .and_then(|matches| Cli::from_arg_matches(&matches));
    let Cli { global, verb } = match parsed {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return Exit::of(&error).into();
        }
    };
    let mut terminal = Terminal::system(global.color);
    if let Err(error) = memory::turn_core_dumps_off() {
        terminal.warn(format!("core dumps can't be turned off: {error}"));
    }
    let mut call = Invocation::new(program, terminal, Clock::system(), global.target);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(run(verb, &mut call)),
        Err(error) => Err(Failure::failed(format!(
            "the runtime does not start: {error}"
        ))),
    };
    match result {
        Ok(()) => Exit::Done.into(),
        Err(failure) => {
            let why = program::with_name(failure.message(), &call.program);
            call.terminal.fail(&why);
            failure.exit().into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed_and_every_verb_teaches_by_example() {
        command("kubectl apikey").debug_assert();
        for verb in command("kubectl apikey").get_subcommands() {
            let name = verb.get_name();
            let mut verb = verb.clone();
            assert!(verb.get_about().is_some(), "{name} says nothing");
            let help = verb.render_long_help().to_string();
            assert!(help.contains("Examples:"), "{name} has no example\n{help}");
            assert!(help.contains("kubectl apikey "), "{name}\n{help}");
        }
    }

    #[test]
    fn help_speaks_of_the_program_as_it_was_called() {
        let mut command = command("keys");
        command.build();
        let verb = command.find_subcommand_mut("version").unwrap();
        let help = verb.render_long_help().to_string();
        assert!(help.contains("Usage: keys version"), "{help}");
        assert!(!help.contains("kubectl"), "{help}");
        for verb in command.get_subcommands_mut() {
            let help = verb.render_help().to_string() + &verb.render_long_help().to_string();
            assert!(!help.contains("kubectl apikey"), "{help}");
        }
    }
}
