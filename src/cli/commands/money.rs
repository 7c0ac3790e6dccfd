//! `balance`, `deposit`, `withdraw` and `transfer`: one request each.
//!
//! Left out: everything that makes it happen once (`bankd::client`).

use bankd::client::{Client, ClientError};
use bankd::model::amount::Amount;
use bankd::model::command::Command;
use bankd::model::types::{AccountId, RequestId};
use clap::Args;

use crate::cli::support::failure::{Exit, Failure};
use crate::cli::support::options::{ClientOptions, Desk, amount};
use crate::cli::support::output::{RequestJson, report, say, tell, tell_json};

/// `bankd balance`.
#[derive(Debug, Args)]
pub struct Balance {
    /// The account's name
    name: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    options: ClientOptions,
}

/// `bankd deposit`.
#[derive(Debug, Args)]
pub struct Deposit {
    /// The account's name
    name: String,
    /// How much
    #[arg(allow_negative_numbers = true)]
    amount: String,
    #[command(flatten)]
    how: How,
}

/// `bankd withdraw`.
#[derive(Debug, Args)]
pub struct Withdraw {
    /// The account's name
    name: String,
    /// How much
    #[arg(allow_negative_numbers = true)]
    amount: String,
    #[command(flatten)]
    how: How,
}

/// `bankd transfer`.
#[derive(Debug, Args)]
pub struct Transfer {
    /// The name of the account that pays
    name: String,
    /// The name of the account that is paid
    to: String,
    /// How much
    #[arg(allow_negative_numbers = true)]
    amount: String,
    #[command(flatten)]
    how: How,
}

/// What the money commands have in common.
#[derive(Debug, Args)]
struct How {
    /// Send that very request again: the same command gets the same answer
    #[arg(long, value_name = "SESSION/NUMBER")]
    request: Option<RequestId>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    options: ClientOptions,
}

impl Balance {
    /// Prints the balance.
    pub fn run(&self) -> Result<Exit, Failure> {
        self.ask().inspect_err(|failure| {
            if self.json {
                failure.tell_json(None);
            }
        })
    }

    fn ask(&self) -> Result<Exit, Failure> {
        let what = "cannot tell the balance";
        let Desk { mut client, welcome, account } = self.options.desk(what, &self.name)?;
        let (balance, lsn) = client.balance(account).map_err(|error| Failure::client(what, &error))?;
        let balance = balance.display(welcome.decimals);
        if self.json {
            tell_json(&RequestJson::balance(balance, lsn));
        } else {
            tell(&format!("Current balance is {balance}"));
        }
        Ok(Exit::Done)
    }
}

impl Deposit {
    /// Deposits.
    pub fn run(&self) -> Result<Exit, Failure> {
        self.how.run("cannot deposit", &self.name, &self.amount, |_, account, amount| Ok(Command::Deposit { account, amount }))
    }
}

impl Withdraw {
    /// Withdraws.
    pub fn run(&self) -> Result<Exit, Failure> {
        self.how.run("cannot withdraw", &self.name, &self.amount, |_, account, amount| Ok(Command::Withdraw { account, amount }))
    }
}

impl Transfer {
    /// Transfers.
    pub fn run(&self) -> Result<Exit, Failure> {
        self.how.run("cannot transfer", &self.name, &self.amount, |client, from, amount| {
            Ok(Command::Transfer { from, to: client.find_account(&self.to)?, amount })
        })
    }
}

impl How {
    fn run(
        &self,
        what: &str,
        name: &str,
        typed: &str,
        command: impl FnOnce(&mut Client, AccountId, Amount) -> Made,
    ) -> Result<Exit, Failure> {
        self.send(what, name, typed, command).inspect_err(|failure| self.tell_failure(failure))
    }

    fn tell_failure(&self, failure: &Failure) {
        if let Some(request) = failure.in_doubt() {
            say(&format!("request {request}"));
        }
        if self.json {
            failure.tell_json(self.request);
        }
    }

    fn send(
        &self,
        what: &str,
        name: &str,
        typed: &str,
        command: impl FnOnce(&mut Client, AccountId, Amount) -> Made,
    ) -> Result<Exit, Failure> {
        let failed = |error| Failure::client(what, &error);
        let (client, welcome) = self.options.client(what)?;
        // What was typed is judged before a PIN is asked for.
        let amount = amount(typed, &welcome)?;
        let Desk { mut client, account, .. } = self.options.log_in(what, name, client, welcome)?;
        let command = command(&mut client, account, amount).map_err(failed)?;
        if let Err(malformed) = command.check() {
            return Err(Failure::usage(what, malformed, "nothing was sent; correct the command"));
        }
        let answer = match self.request {
            Some(id) => client.request_again(id, command),
            None => client.execute(command),
        };
        let (exit, is_shown) = match answer.map_err(failed) {
            Ok(answer) => report(&answer, welcome.decimals, self.json),
            Err(failure) => {
                self.tell_failure(&failure);
                (failure.exit, failure.print())
            }
        };
        if is_shown {
            client.mark_told();
        }
        Ok(exit)
    }
}

/// A command from names and amounts, or why there is none.
type Made = Result<Command, ClientError>;
