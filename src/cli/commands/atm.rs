//! `atm`: the teller machine, a dialogue on standard input and output.
//!
//! Invalid input is answered with one line, and the dialogue continues. The machine waits for a bank that restarts. Only an
//! outcome that stays unknown ends the dialogue, so that the customer does not repeat the request.
//! At login, before the menu, the customer's earlier requests with unknown outcome are resolved and their outcomes shown
//! (`resolve.rs`); so are answers of earlier runs that were never shown (`undelivered.rs`).
//! Left out: sending and resending (`bankd::client`).

use std::io;

use bankd::client::{Client, ClientError, JournalError, Login, Request};
use bankd::env::Env;
use bankd::model::amount::Amount;
use bankd::model::command::{Command, Outcome};
use bankd::model::types::{AccountId, Owner, StoreId};
use bankd::wire::message::{Refusal, Role};
use clap::Args;

use crate::cli::commands::resolve::{OnDoubt, doubt_in_words, ending_in_words};
use crate::cli::support::failure::{Exit, Failure};
use crate::cli::support::options::{JournalOption, ServerOptions};
use crate::cli::support::output;
use crate::cli::support::output::{declined, say, show, tell};
use crate::cli::support::secrets::{line_of_input, pin_at_the_machine};
use crate::cli::support::undelivered::{Whose, catch_up};

const MENU: &str = "
Enter the commands below:
1. To check your account balance -> Press '1'
2. To withdraw from your account -> Press '2'
3. To deposit money in your account -> Press '3'
4. To terminate the transaction -> Press '4'
";

/// `bankd atm`.
#[derive(Debug, Args)]
pub struct Atm {
    /// Print request ids on stderr
    #[arg(long, short)]
    verbose: bool,
    /// What to do with a customer's earlier requests whose outcome is unknown
    #[arg(long = "unknown", alias = "on-doubt", value_name = "ACTION", value_enum, default_value_t = OnDoubt::Resend)]
    on_doubt: OnDoubt,
    #[command(flatten)]
    server: ServerOptions,
    #[command(flatten)]
    journal: JournalOption,
}

impl Atm {
    /// Runs the dialogue until the customer ends it, or until the end of input.
    pub fn run(self) -> Result<Exit, Failure> {
        let env = Env::os();
        let mut client = Client::new(&env, &self.server.server, &self.journal.path()?, self.server.timeout());
        tell("Socket created successfully");
        let start = env.clock.monotonic();
        let welcome = client.connect().map_err(|error| Failure::client("connection with the bank's server failed", &error))?;
        let connection_time = env.clock.monotonic().saturating_sub(start);
        tell("Connected with the bank's server successfully");
        let mut machine =
            Machine { client, store: welcome.store, decimals: welcome.decimals, verbose: self.verbose, on_doubt: self.on_doubt };
        match machine.doubts(None)?.len() {
            0 => {}
            count => tell(&format!("{count} request(s) of an earlier run are in doubt; each is ended when its customer logs in")),
        }
        let end = machine.dialogue();
        machine.client.finish();
        if end.is_ok() {
            tell("Connection closed!");
            tell(&format!("Connection time: {:.6} seconds", connection_time.as_secs_f64()));
            tell(&format!("Total time: {:.6} seconds", env.clock.monotonic().saturating_sub(start).as_secs_f64()));
        }
        end
    }
}

struct Machine {
    client: Client,
    store: StoreId,
    decimals: u8,
    verbose: bool,
    on_doubt: OnDoubt,
}

impl Machine {
    fn dialogue(&mut self) -> Result<Exit, Failure> {
        let Some((name, account)) = self.log_in()? else { return Ok(Exit::Done) };
        tell("Successfully Logged in");
        let whose = Whose { role: Role::Customer, name: &name, store: self.store };
        catch_up(&mut self.client, whose, self.decimals, &show);
        self.end_doubts(&name)?;
        tell(MENU);
        heard()?;
        while let Some(line) = input(line_of_input())? {
            match line.trim() {
                "1" => self.balance(account)?,
                "2" => self.movement(account, |account, amount| Command::Withdraw { account, amount })?,
                "3" => self.movement(account, |account, amount| Command::Deposit { account, amount })?,
                "4" => break,
                _ => tell("Enter a valid command"),
            }
            heard()?;
        }
        Ok(Exit::Done)
    }

    /// Asks for name and PIN until the bank accepts them; `None` at the end of input.
    fn log_in(&mut self) -> Result<Option<(String, AccountId)>, Failure> {
        loop {
            tell("Enter Your Account Name : ");
            let Some(name) = input(line_of_input())? else { return Ok(None) };
            tell("Enter Your Account Pin : ");
            heard()?;
            let Some(secret) = input(pin_at_the_machine())? else { return Ok(None) };
            let name = name.trim().to_owned();
            match self.client.log_in(Login { role: Role::Customer, name: name.clone(), secret }) {
                Ok(Owner::Customer(account)) => return Ok(Some((name, account))),
                Ok(_) | Err(ClientError::Refused(Refusal::BadLogin | Refusal::BadName)) => tell("Incorrect account name/pin"),
                Err(ClientError::Refused(refusal @ Refusal::LoginLocked)) => tell(&format!("Account locked: {refusal}")),
                Err(error) => go_on("the bank did not log you in", &error)?,
            }
        }
    }

    /// The journal's requests with unknown outcome of this bank's customers, or of one customer.
    fn doubts(&mut self, of: Option<&str>) -> Result<Vec<Request>, Failure> {
        let deadline = self.client.deadline();
        let journal =
            self.client.journal().open(&deadline).map_err(|error| Failure::journal("cannot look for what is in doubt", &error))?;
        let store = self.store;
        let ours = |request: &&Request| {
            let intent = &request.intent;
            intent.store == store && intent.role == Role::Customer && of.is_none_or(|name| intent.name == name)
        };
        Ok(journal.in_doubt().filter(ours).cloned().collect())
    }

    /// Resolves the customer's earlier requests with unknown outcome, and prints the outcome of each.
    fn end_doubts(&mut self, name: &str) -> Result<(), Failure> {
        for request in self.doubts(Some(name))? {
            heard()?;
            let words = match self.on_doubt.end(&mut self.client, &request) {
                Ok(answer) => ending_in_words(&request, &answer.body, answer.replayed, self.decimals),
                Err(error @ ClientError::Refused(_)) => format!("{}: not executed: {error}", doubt_in_words(&request, self.decimals)),
                Err(error @ ClientError::AskTheBank { .. }) => format!("{}: {error}", doubt_in_words(&request, self.decimals)),
                Err(error) => format!("{}: still in doubt: {error}", doubt_in_words(&request, self.decimals)),
            };
            if show(&words) {
                self.client.mark_delivered();
            }
        }
        Ok(())
    }

    fn balance(&mut self, account: AccountId) -> Result<(), Failure> {
        match self.client.balance(account) {
            Ok((balance, _)) => tell(&format!("Current balance is {}", balance.display(self.decimals))),
            Err(error) => go_on("the bank did not tell the balance", &error)?,
        }
        Ok(())
    }

    fn movement(&mut self, account: AccountId, command: fn(AccountId, Amount) -> Command) -> Result<(), Failure> {
        tell("Enter Amount : ");
        heard()?;
        let Some(typed) = input(line_of_input())? else { return Ok(()) };
        let amount = match Amount::parse(&typed, self.decimals) {
            Ok(amount) => amount,
            Err(error) => {
                tell(&format!("Invalid amount: {error}"));
                return Ok(());
            }
        };
        if let Err(malformed) = command(account, amount).check() {
            tell(&format!("Invalid amount: {malformed}"));
            return Ok(());
        }
        match self.client.execute(command(account, amount)) {
            Ok(answer) => {
                if self.verbose {
                    say(&format!("request {}{}", answer.request, if answer.replayed { " (replayed)" } else { "" }));
                }
                let is_shown = match answer.body.outcome {
                    Outcome::Done => show(&format!("New balance is {}", answer.body.balance.display(self.decimals))),
                    outcome => show(declined(outcome)),
                };
                if is_shown {
                    self.client.mark_delivered();
                }
                if let Some(failure) = answer.journal_failure {
                    // The customer has the answer; without a journal no further request may be sent.
                    return Err(Failure::journal("the answer stands, but could not be kept", &failure));
                }
                Ok(())
            }
            Err(error) => {
                let went_on = go_on("nothing was moved", &error);
                if went_on.is_ok() && !output::is_lost() {
                    self.client.mark_delivered();
                }
                went_on
            }
        }
    }
}

/// Ends the dialogue if stdout is lost: the customer would not see the outcome.
fn heard() -> Result<(), Failure> {
    if !output::is_lost() {
        return Ok(());
    }
    let (what, why) = ("the teller machine is out of service", "its standard output is gone");
    Err(Failure::because(Exit::Internal, what, why, "nothing more was sent; start it on another terminal"))
}

/// Prints one line about a failed request. An unknown outcome and an unusable journal end the dialogue instead.
fn go_on(what: &str, error: &ClientError) -> Result<(), Failure> {
    match error {
        ClientError::OutcomeUnknown { .. } | ClientError::AskTheBank { .. } => {
            tell("It is not known whether the money was moved. Do not repeat it.");
            Err(Failure::client("the teller machine is out of service", error))
        }
        // Nothing was sent; the other process that holds the journal will release it.
        ClientError::Journal(JournalError::InUse { .. }) => {
            tell(&format!("Please try again: {what}: {error}"));
            Ok(())
        }
        ClientError::Journal(_) | ClientError::OtherStore { .. } => Err(Failure::client("the teller machine is out of service", error)),
        _ => {
            tell(&format!("Please try again: {what}: {error}"));
            Ok(())
        }
    }
}

fn input<T>(read: io::Result<Option<T>>) -> Result<Option<T>, Failure> {
    match read {
        Ok(value) => Ok(value),
        Err(error) => Err(Failure::because(Exit::CannotStart, "cannot read what is typed", error, "give it a readable standard input")),
    }
}
