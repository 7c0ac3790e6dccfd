//! The command line: parses it, dispatches to one file per command, and turns the result into an exit code.
//!
//! Results go to stdout, everything else to stderr. Left out: the commands themselves.

mod commands;
mod support;

use std::process::ExitCode;

use bankd::env::os;
use clap::{Parser, Subcommand};

use support::failure::{Exit, Failure};

/// A persistent transactional bank daemon and its clients: every request is executed exactly once, and every retry returns
/// the recorded answer.
#[derive(Debug, Parser)]
#[command(name = "bankd", version, after_help = support::failure::CODES, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the bank daemon
    Serve(commands::serve::Serve),
    /// Create a new store
    Init(commands::init::Init),
    /// Run a teller machine (ATM): a text dialogue for balance, withdrawal and deposit
    Atm(commands::atm::Atm),
    /// Show an account's balance
    Balance(commands::money::Balance),
    /// Deposit cash into an account
    Deposit(commands::money::Deposit),
    /// Withdraw cash from an account
    Withdraw(commands::money::Withdraw),
    /// Transfer money from one account to another
    Transfer(commands::money::Transfer),
    /// Show an account's movements
    Statement(commands::statement::Statement),
    /// Execute many money commands from a file or standard input, with many requests in flight
    Batch(commands::batch::Batch),
    /// Resolve requests whose outcome is unknown
    Resolve(commands::resolve::Resolve),
    /// List or close sessions
    Sessions(commands::sessions::Sessions),
    /// Convert text to lower case on the server
    Lower(commands::utility::Lower),
    /// Test on the server whether an integer is prime
    Prime(commands::utility::Prime),
    /// Test on the server whether an integer is a palindrome
    Palindrome(commands::utility::Palindrome),
    /// Manage accounts, as the operator
    Account(commands::account::Account),
    /// Manage tellers, as the operator
    Teller(commands::teller::Teller),
    /// Inspect, verify or repair the log
    Wal(commands::wal::Wal),
    /// Copy a store; works while the daemon runs
    Snapshot(commands::snapshot::Snapshot),
    /// Show the history of one request
    Explain(commands::explain::Explain),
    /// Test the exactly-once guarantee under injected faults
    Prove(commands::prove::Prove),
    /// Measure throughput and latency
    Bench(commands::bench::Bench),
    /// Run a proxy that loses, duplicates and delays messages and cuts connections
    Proxy(commands::proxy::ProxyCommand),
}

/// Runs the program.
pub fn run() -> ExitCode {
    // Only this user may read the journals and other files that this program creates.
    os::restrict_umask();
    // A core dump would contain PINs.
    os::forbid_core_dumps();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are not errors: they go to stdout with exit code 0.
            if error.use_stderr() {
                // If stderr is gone, there is nowhere to print the error.
                let _ = error.print();
                return Exit::Usage.into();
            }
            support::output::help(&error);
            return support::output::check(Exit::Done).into();
        }
    };
    let exit = match dispatch(cli.command) {
        Ok(exit) => exit,
        Err(failure) => {
            failure.print();
            failure.exit
        }
    };
    support::output::check(exit).into()
}

fn dispatch(command: Command) -> Result<Exit, Failure> {
    match command {
        Command::Serve(serve) => serve.run().map(|()| Exit::Done),
        Command::Init(init) => init.run().map(|()| Exit::Done),
        Command::Atm(atm) => atm.run(),
        Command::Balance(balance) => balance.run(),
        Command::Deposit(deposit) => deposit.run(),
        Command::Withdraw(withdraw) => withdraw.run(),
        Command::Transfer(transfer) => transfer.run(),
        Command::Statement(statement) => statement.run(),
        Command::Batch(batch) => batch.run(),
        Command::Resolve(resolve) => resolve.run(),
        Command::Sessions(sessions) => sessions.run(),
        Command::Lower(lower) => lower.run(),
        Command::Prime(prime) => prime.run(),
        Command::Palindrome(palindrome) => palindrome.run(),
        Command::Account(account) => account.run(),
        Command::Teller(teller) => teller.run(),
        Command::Wal(wal) => wal.run(),
        Command::Snapshot(snapshot) => snapshot.run(),
        Command::Explain(explain) => explain.run(),
        Command::Prove(prove) => prove.run(),
        Command::Bench(bench) => bench.run(),
        Command::Proxy(proxy) => proxy.run(),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_option_for_unknown_outcomes_has_its_old_name_too() {
        for command in ["resolve", "atm"] {
            for option in ["--unknown", "--on-doubt"] {
                assert!(Cli::try_parse_from(["bankd", command, option, "cancel"]).is_ok(), "{command} {option}");
                assert!(Cli::try_parse_from(["bankd", command, option, "forget"]).is_err(), "{command} {option}");
            }
        }
        assert!(Cli::try_parse_from(["bankd", "resolve", "--write-off", "0000000000000abc-77/3", "--unknown", "cancel"]).is_err());
    }

    #[test]
    fn negative_integers_are_arguments() {
        let long = format!("-{}", "9".repeat(100));
        for words in [["bankd", "prime", "-5"].as_slice(), &["bankd", "palindrome", "--", "-5"], &["bankd", "prime", &long]] {
            assert!(Cli::try_parse_from(words).is_ok(), "{words:?}");
        }
        assert!(Cli::try_parse_from(["bankd", "withdraw", "Sami", "-5"]).is_ok(), "refused later, in words");
    }

    #[test]
    fn a_pin_comes_from_one_place_and_a_teller_has_a_token() {
        let parses = |words: &[&str]| Cli::try_parse_from(["bankd", "balance", "Sami"].iter().chain(words)).is_ok();
        assert!(parses(&["--pin-stdin"]) && parses(&["--pin-file", "f"]) && parses(&["--teller", "t", "--token-file", "f"]));
        assert!(!parses(&["--pin-stdin", "--pin-file", "f"]));
        assert!(!parses(&["--teller", "t"]) && !parses(&["--token-file", "f"]));
        assert!(!parses(&["--teller", "t", "--token-file", "f", "--pin-stdin"]));
    }
}
