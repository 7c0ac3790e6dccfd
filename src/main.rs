//! The `bankd` program: everything is in `cli`, which answers with the exit code.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
