//! `balance`, `deposit`, `withdraw` and `transfer`: one request each.
//!
//! Left out: the exactly-once protocol (`bankd::client`).

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
    /// Name of the account
    name: String,
    /// Print the result as one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    options: ClientOptions,
}

/// `bankd deposit`.
#[derive(Debug, Args)]
pub struct Deposit {
    /// Name of the account
    name: String,
    /// Amount to deposit, above 0, such as 20; with at most as many decimals as the store has
    #[arg(allow_negative_numbers = true)]
    amount: String,
    #[command(flatten)]
    how: How,
}

/// `bankd withdraw`.
#[derive(Debug, Args)]
pub struct Withdraw {
    /// Name of the account
    name: String,
    /// Amount to withdraw, above 0, such as 20; with at most as many decimals as the store has
    #[arg(allow_negative_numbers = true)]
    amount: String,
    #[command(flatten)]
    how: How,
}

/// `bankd transfer`.
#[derive(Debug, Args)]
pub struct Transfer {
    /// Name of the account that pays
    name: String,
    /// Name of the account that receives
    to: String,
    /// Amount to transfer, above 0, such as 20; with at most as many decimals as the store has
    #[arg(allow_negative_numbers = true)]
    amount: String,
    #[command(flatten)]
    how: How,
}

/// Options that all money commands share.
#[derive(Debug, Args)]
struct How {
    /// Send an earlier request again under its id (idempotent retry); must be the same command, and returns the same answer
    #[arg(long, value_name = "SESSION/NUMBER")]
    request: Option<RequestId>,
    /// Print the result as one JSON object
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
        // Check the amount before asking for a PIN.
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
            client.mark_delivered();
        }
        Ok(exit)
    }
}

/// A command made from names and amounts, or why that failed.
type Made = Result<Command, ClientError>;
