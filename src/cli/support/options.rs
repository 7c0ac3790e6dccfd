//! Options that several commands share, and the connected, logged-in client made from them.
//!
//! Left out: reading PINs and tokens (`secrets.rs`).

use std::path::PathBuf;
use std::time::Duration;

use bankd::client::{Client, Deadline, Link, Login};
use bankd::env::Env;
use bankd::model::amount::Amount;
use bankd::model::types::{AccountId, Owner};
use bankd::wire::message::{Role, Welcome};
use clap::Args;

use crate::cli::support::durations::some_time;
use crate::cli::support::failure::{Exit, Failure};
use crate::cli::support::output::show_aside;
use crate::cli::support::secrets::{PinSource, read_token};
use crate::cli::support::undelivered::{Whose, catch_up};

/// The bank's address and the time limit.
#[derive(Clone, Debug, Args)]
pub struct ServerOptions {
    /// Address of the bank
    #[arg(long, value_name = "HOST:PORT", env = "BANKD_SERVER", default_value = "127.0.0.1:7070")]
    pub server: String,
    /// Time limit for the bank's answer, with retries, such as 2s, 500ms or 1m, at most 24h; a plain number is seconds
    #[arg(long, value_name = "DURATION", env = "BANKD_TIMEOUT", default_value = "30s", value_parser = some_time)]
    timeout: Duration,
}

impl ServerOptions {
    /// The time limit of one operation.
    pub const fn timeout(&self) -> Duration {
        self.timeout
    }

    /// A connection for requests that need no login.
    pub fn link(&self, what: &str) -> Result<(Link, Deadline), Failure> {
        let env = Env::os();
        let deadline = Deadline::after(&env.clock, self.timeout());
        let mut link = Link::new(&env, &self.server);
        link.connect(&deadline).map_err(|error| Failure::client(what, &error))?;
        Ok((link, deadline))
    }
}

/// The option that names the journal.
#[derive(Clone, Debug, Args)]
pub struct JournalOption {
    /// Journal file, which records each request before it is sent, and its answer [default: $XDG_STATE_HOME/bankd/journal, or
    /// ~/.local/state/bankd/journal]
    #[arg(long, value_name = "FILE", env = "BANKD_JOURNAL")]
    journal: Option<PathBuf>,
}

impl JournalOption {
    /// The journal's path.
    pub fn path(&self) -> Result<PathBuf, Failure> {
        if let Some(path) = &self.journal {
            return Ok(path.clone());
        }
        // The XDG specification says to ignore a relative state directory.
        let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let state = absolute("XDG_STATE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local/state")));
        let state = state.ok_or_else(|| {
            Failure::because(
                Exit::CannotStart,
                "no place for the journal",
                "neither XDG_STATE_HOME nor HOME is set",
                "name one with --journal",
            )
        })?;
        Ok(state.join("bankd/journal"))
    }
}

/// The login options.
#[derive(Clone, Debug, Args)]
pub struct LoginOptions {
    #[command(flatten)]
    pin: PinSource,
    /// Log in as this teller, who may use any account, instead of the customer
    #[arg(long, value_name = "TELLER", requires = "token_file", conflicts_with_all = ["pin_file", "pin_stdin"])]
    teller: Option<String>,
    /// File whose first line is the teller's token; should be readable by its owner only
    #[arg(long, value_name = "FILE", requires = "teller")]
    token_file: Option<PathBuf>,
}

impl LoginOptions {
    /// The teller's name, if `--teller` is set.
    pub fn teller(&self) -> Option<&str> {
        self.teller.as_deref()
    }

    /// The source of PINs.
    pub const fn pin(&self) -> &PinSource {
        &self.pin
    }

    /// The login: the teller's, or that of the customer `name`, whose PIN is read.
    pub fn login(&self, name: &str) -> Result<Login, Failure> {
        match (&self.teller, &self.token_file) {
            (Some(teller), Some(file)) => Ok(Login { role: Role::Teller, name: teller.clone(), secret: read_token(file)? }),
            _ => Ok(Login { role: Role::Customer, name: name.to_owned(), secret: self.pin.read(&format!("PIN of {name}: "))? }),
        }
    }
}

/// The options of every command about an account.
#[derive(Clone, Debug, Args)]
pub struct ClientOptions {
    #[command(flatten)]
    pub server: ServerOptions,
    #[command(flatten)]
    pub journal: JournalOption,
    #[command(flatten)]
    pub login: LoginOptions,
}

/// A logged-in client, and the account named on the command line.
pub struct Desk {
    /// The client.
    pub client: Client,
    /// The bank's greeting.
    pub welcome: Welcome,
    /// The account named on the command line.
    pub account: AccountId,
}

impl ClientOptions {
    /// A client that is connected, but not logged in.
    pub fn client(&self, what: &str) -> Result<(Client, Welcome), Failure> {
        let mut client = Client::new(&Env::os(), &self.server.server, &self.journal.path()?, self.server.timeout());
        let welcome = client.connect().map_err(|error| Failure::client(what, &error))?;
        Ok((client, welcome))
    }

    /// Connects, asks for the PIN, logs in and finds the account.
    pub fn desk(&self, what: &str, name: &str) -> Result<Desk, Failure> {
        let (client, welcome) = self.client(what)?;
        self.log_in(what, name, client, welcome)
    }

    /// As [`desk`](Self::desk), on a client that is already connected; called after typed input was checked.
    pub fn log_in(&self, what: &str, name: &str, mut client: Client, welcome: Welcome) -> Result<Desk, Failure> {
        let login = self.login.login(name)?;
        let (role, who) = (login.role, login.name.clone());
        let failed = |error| Failure::client(what, &error);
        let account = match client.log_in(login).map_err(failed)? {
            Owner::Customer(account) => account,
            _ => client.find_account(name).map_err(failed)?,
        };
        catch_up(&mut client, Whose { role, name: &who, store: welcome.store }, welcome.decimals, &show_aside);
        Ok(Desk { client, welcome, account })
    }
}

/// Parses a typed amount with the bank's decimals; must be above zero.
pub fn amount(text: &str, welcome: &Welcome) -> Result<Amount, Failure> {
    let why = match Amount::parse(text, welcome.decimals) {
        Ok(Amount::ZERO) => "the amount must be more than zero".to_owned(),
        Ok(amount) => return Ok(amount),
        Err(error) => error.to_string(),
    };
    let example = Amount::new(20 * 10_u64.saturating_pow(u32::from(welcome.decimals).min(17))).unwrap_or(Amount::MAX);
    let next = format!("nothing was sent; give an amount such as {}", example.display(welcome.decimals));
    Err(Failure::usage(format!("cannot use the amount {text:?}"), why, next))
}
