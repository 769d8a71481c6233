//! `completion`: scripts for shells.

use clap::Args;
use clap_complete::Shell;

use super::exit::Failure;
use super::invocation::Invocation;

/// Print a script that completes verbs and flags in a shell.
///
/// The script completes the program by its file name, so it also works for a program that is installed under
/// another name than `kubectl-apikey`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Completion {
    /// The shell to complete in.
    shell: Shell,
}

const EXAMPLES: &str = "\
Examples:
  In this shell, until it ends:
    source <(kubectl apikey completion bash)

  In every zsh, if ~/.zfunc is in $fpath:
    kubectl apikey completion zsh >~/.zfunc/_kubectl-apikey

  In every fish:
    kubectl apikey completion fish >~/.config/fish/completions/kubectl-apikey.fish";

pub(super) fn run(flags: &Completion, call: &mut Invocation) -> Result<(), Failure> {
    let file = call.program.replace('-', "_").replace(' ', "-");
    let mut command = super::command(&file);
    let mut script = Vec::new();
    clap_complete::generate(flags.shell, &mut command, file, &mut script);
    Ok(call.terminal.out().write_all(&script)?)
}
