//! `account`: the operator opens, closes, locks, unlocks and lists accounts, and sets PINs.
//!
//! Left out: the socket (`operator.rs`).

use bankd::model::amount::Amount;
use bankd::model::types::AccountId;
use bankd::wire::message::{AccountInfo, MAX_PAGE, Operation, Reply};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::cli::support::failure::{Exit, Failure};
use crate::cli::support::operator::{OperatorOptions, operate};
use crate::cli::support::output::{is_lost, tell};
use crate::cli::support::secrets::PinSource;

/// `bankd account`.
#[derive(Debug, Args)]
pub struct Account {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Open an account
    Open {
        /// Name of the new account, 1 to 64 bytes of UTF-8
        name: String,
        /// Opening balance, with at most as many decimals as the store has
        #[arg(long, value_name = "AMOUNT", default_value = "0", allow_negative_numbers = true)]
        balance: String,
        #[command(flatten)]
        pin: NewPin,
        #[command(flatten)]
        operator: OperatorOptions,
    },
    /// Close an account permanently; its balance must be zero
    Close(Named),
    /// Lock an account: deposits, withdrawals and transfers are declined until it is unlocked
    Lock(Named),
    /// Unlock an account, and its login if too many wrong PINs locked it
    Unlock(Named),
    /// Set an account's PIN
    Pin {
        /// Name of the account
        name: String,
        #[command(flatten)]
        pin: NewPin,
        #[command(flatten)]
        operator: OperatorOptions,
    },
    /// List all accounts
    List {
        /// Print one JSON object per account, each on its own line
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        operator: OperatorOptions,
    },
}

#[derive(Debug, Args)]
struct Named {
    /// Name of the account
    name: String,
    #[command(flatten)]
    operator: OperatorOptions,
}

#[derive(Debug, Args)]
struct NewPin {
    #[command(flatten)]
    source: PinSource,
    /// Allow a PIN of 4 or 5 digits; without this option at least 6 are needed
    #[arg(long)]
    allow_short_pin: bool,
}

impl Account {
    /// Runs the subcommand, and prints the number of its log entry.
    pub fn run(self) -> Result<Exit, Failure> {
        match self.action {
            Action::Open { name, balance, pin, operator } => open(name, &balance, &pin, &operator),
            Action::Close(Named { name, operator }) => operate(&operator, "cannot close the account", Operation::CloseAccount { name }),
            Action::Lock(Named { name, operator }) => operate(&operator, "cannot lock the account", Operation::LockAccount { name }),
            Action::Unlock(Named { name, operator }) => operate(&operator, "cannot unlock the account", Operation::UnlockAccount { name }),
            Action::Pin { name, pin, operator } => {
                let pin = pin.source.read_new(&name, pin.allow_short_pin)?;
                operate(&operator, "cannot set the PIN", Operation::SetPin { name, pin })
            }
            Action::List { json, operator } => list(json, &operator),
        }
    }
}

fn open(name: String, balance: &str, pin: &NewPin, operator: &OperatorOptions) -> Result<Exit, Failure> {
    let what = "cannot open the account";
    // This connection only reads the decimals: the bank may drop it while a PIN is typed, so the command gets another one.
    let decimals = operator.connect(what)?.welcome().decimals;
    let balance = Amount::parse(balance, decimals)
        .map_err(|error| Failure::usage(what, error, "nothing was changed; give --balance in the bank's decimals"))?;
    let pin = pin.source.read_new(&name, pin.allow_short_pin)?;
    operate(operator, what, Operation::OpenAccount { name, pin, balance })
}

fn list(as_json: bool, options: &OperatorOptions) -> Result<Exit, Failure> {
    let mut operator = options.connect("cannot list the accounts")?;
    let decimals = operator.welcome().decimals;
    let mut from = AccountId(0);
    loop {
        let Reply::Accounts(page) = operator.ask(Operation::ListAccounts { from })? else { return Err(operator.nonsense()) };
        for account in &page {
            tell(&if as_json { in_json(account, decimals).to_string() } else { in_words(account, decimals) });
        }
        match page.last().and_then(|last| last.account.0.checked_add(1)) {
            Some(next) if page.len() == MAX_PAGE && !is_lost() => from = AccountId(next),
            _ => return Ok(Exit::Done),
        }
    }
}

fn in_words(account: &AccountInfo, decimals: u8) -> String {
    let marks = [(account.closed, "  closed"), (account.locked, "  locked"), (account.login_locked, "  login locked")];
    let marks: String = marks.into_iter().filter_map(|(is, mark)| is.then_some(mark)).collect();
    format!("{}  {}  {}{marks}", account.account.0, account.name, account.balance.display(decimals))
}

fn in_json(account: &AccountInfo, decimals: u8) -> Value {
    json!({
        "account": account.account.0,
        "name": account.name,
        "balance": account.balance.display(decimals).to_string(),
        "closed": account.closed,
        "locked": account.locked,
        "login_locked": account.login_locked,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_in_words_and_in_json() {
        let balance = Amount::new(1169).unwrap();
        let account =
            AccountInfo { account: AccountId(0), name: "Farhan".to_owned(), balance, closed: false, locked: true, login_locked: true };
        assert_eq!(in_words(&account, 2), "0  Farhan  11.69  locked  login locked");
        assert_eq!(in_json(&account, 0)["balance"], "1169");
    }
}
