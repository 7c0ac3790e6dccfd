//! The `bankd` program.
mod cli;
fn main() {
    cli::tmp();
}
