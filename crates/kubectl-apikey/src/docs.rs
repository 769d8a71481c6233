//! `docs`: manual pages, shell completions and the reference, all generated from the definition of the
//! command line. The verb is hidden because it is for packagers and the generators.

mod markdown;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, Command, ValueEnum as _};
use clap_complete::Shell;
use clap_mangen::Man;

use super::exit::Failure;
use super::invocation::Invocation;

/// File name of the program, which is also the base name of its manual pages and scripts.
const FILE: &str = "kubectl-apikey";

/// Write manual pages and shell completions, and print the reference.
///
/// Without --out, the reference is printed as Markdown.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES, hide = true)]
pub(super) struct Docs {
    /// Folder in which to write man/, completions/ and cli.md.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  What a package needs:
    kubectl apikey docs --out target/plugin";

pub(super) fn run(flags: &Docs, call: &mut Invocation) -> Result<(), Failure> {
    let Some(folder) = &flags.out else {
        return call.terminal.exact(reference().trim_end());
    };
    let written = write(folder);
    written.map_err(|error| Failure::failed(format!("{}: {error}", folder.display())))
}

/// The reference, which becomes `docs/cli.md`.
fn reference() -> String {
    let mut command = super::command("kubectl apikey");
    command.build();
    markdown::render(&command)
}

fn write(folder: &Path) -> io::Result<()> {
    let (pages, scripts) = (folder.join("man"), folder.join("completions"));
    fs::create_dir_all(&pages)?;
    fs::create_dir_all(&scripts)?;
    fs::write(folder.join("cli.md"), reference())?;
    let mut command = super::command("kubectl apikey");
    command.build();
    page(&command, FILE, &pages)?;
    // A shell finds the script by the file name of the program.
    let command = super::command(FILE);
    for shell in Shell::value_variants() {
        let mut command = command.clone();
        clap_complete::generate_to(*shell, &mut command, FILE, &scripts)?;
    }
    Ok(())
}

/// Writes the page of a command and the pages of its verbs. Each file is named after its command.
fn page(command: &Command, name: &str, folder: &Path) -> io::Result<()> {
    for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
        page(verb, &format!("{name}-{}", verb.get_name()), folder)?;
    }
    let shown = command.clone().display_name(name);
    let source = format!("{FILE} {}", env!("CARGO_PKG_VERSION"));
    let mut text = Vec::new();
    Man::new(shown)
        .title(name)
        .source(source)
        .render(&mut text)?;
    fs::write(folder.join(format!("{name}.1")), text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_checked_in_is_the_one_generated() {
        let kept = include_str!("../../../docs/cli.md");
        assert_eq!(reference(), kept, "docs/cli.md is stale: run make cli-docs");
    }

    #[test]
    fn every_verb_has_a_page_and_every_shell_a_script() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path()).unwrap();
        let page = |name: &str| fs::read_to_string(folder.path().join("man").join(name)).unwrap();
        assert!(page("kubectl-apikey.1").contains("Exit codes:"));
        let reveal = page("kubectl-apikey-reveal.1");
        assert!(reveal.contains("RevealOnce") && reveal.contains("kubectl apikey reveal"));
        assert!(page("kubectl-apikey-roles-add.1").contains("ROLE"));
        assert!(!folder.path().join("man/kubectl-apikey-docs.1").exists());
        let scripts = fs::read_dir(folder.path().join("completions")).unwrap();
        assert_eq!(scripts.count(), Shell::value_variants().len());
    }
}
