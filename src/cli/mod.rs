//! The command line: parses it, dispatches to one file per command, and turns what came of it into an exit code.
//!
//! Results go to stdout, everything else to stderr. Left out: what the commands do.

mod commands;
mod support;

use std::process::ExitCode;

use bankd::env::os;
use clap::{Parser, Subcommand};

use support::failure::{Exit, Failure};

/// A persistent transactional bank: every request takes effect exactly once, and is answered with the one true answer.
#[derive(Debug, Parser)]
#[command(name = "bankd", version, after_help = support::failure::CODES, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the daemon
    Serve(commands::serve::Serve),
    /// Makes a new store
    Init(commands::init::Init),
    /// The teller machine: a dialogue with balance, withdrawal and deposit
    Atm(commands::atm::Atm),
    /// Tells an account's balance
    Balance(commands::money::Balance),
    /// Puts cash into an account
    Deposit(commands::money::Deposit),
    /// Takes cash out of an account
    Withdraw(commands::money::Withdraw),
    /// Moves money from one account to another
    Transfer(commands::money::Transfer),
    /// Moves money many times: commands from a file or standard input, many under way at once
    Batch(commands::batch::Batch),
    /// Ends everything that is in doubt in the journal
    Resolve(commands::resolve::Resolve),
    /// Lists or closes sessions
    Sessions(commands::sessions::Sessions),
    /// Turns text into lower case, on the server
    Lower(commands::utility::Lower),
    /// Tells whether an integer is prime, on the server
    Prime(commands::utility::Prime),
    /// Tells whether an integer reads the same backwards, on the server
    Palindrome(commands::utility::Palindrome),
    /// The operator's commands about accounts
    Account(commands::account::Account),
    /// The operator's commands about tellers
    Teller(commands::teller::Teller),
    /// Looks at a store's log: how large it is, what it says, whether it is sound; and repairs it
    Wal(commands::wal::Wal),
    /// Copies a store, also while a daemon runs over it
    Snapshot(commands::snapshot::Snapshot),
    /// Tells everything that the log knows of one request
    Explain(commands::explain::Explain),
    /// Shows by kills and faults that each request takes effect once
    Prove(commands::prove::Prove),
    /// Measures what errors cost and what connections bring
    Bench(commands::bench::Bench),
    /// A proxy on the way to the bank that loses, repeats, delays and cuts
    Proxy(commands::proxy::ProxyCommand),
}

/// Runs the program.
pub fn run() -> ExitCode {
    // Journals and everything else that this program makes are nobody else's to read.
    os::restrict_umask();
    // A core dump would hold PINs.
    os::forbid_core_dumps();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no errors: they go to stdout, and the code is 0.
            if error.use_stderr() {
                // Without stderr there is no place to print why.
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
