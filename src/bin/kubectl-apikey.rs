//! The kubectl plugin: `kubectl apikey ...`, or on its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    apikey_operator::cli::main(std::env::args_os())
}
