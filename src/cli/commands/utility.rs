//! `lower`, `prime` and `palindrome`: computed by the server, without login.
//!
//! The server refuses an argument that is not an integer (exit code 3).
//! Left out: the arithmetic (`bankd::model::utilities`, on the server).

use bankd::wire::message::{Ask, MAX_TEXT, Reply};
use clap::Args;
use serde_json::json;

use crate::cli::support::failure::{Exit, Failure};
use crate::cli::support::options::ServerOptions;
use crate::cli::support::output::tell;

/// `bankd lower`.
#[derive(Debug, Args)]
pub struct Lower {
    /// Text to convert
    #[arg(allow_hyphen_values = true)]
    text: String,
    #[command(flatten)]
    how: How,
}

/// `bankd prime`.
#[derive(Debug, Args)]
pub struct Prime {
    /// Integer of up to 100 digits, with an optional sign
    #[arg(allow_negative_numbers = true)]
    number: String,
    #[command(flatten)]
    how: How,
}

/// `bankd palindrome`.
#[derive(Debug, Args)]
pub struct Palindrome {
    /// Integer of up to 100 digits, with an optional sign
    #[arg(allow_negative_numbers = true)]
    number: String,
    #[command(flatten)]
    how: How,
}

#[derive(Debug, Args)]
struct How {
    /// Print the result as one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerOptions,
}

impl Lower {
    /// Prints the text in lower case.
    pub fn run(self) -> Result<Exit, Failure> {
        let what = "cannot turn the text into lower case";
        if self.text.len() > MAX_TEXT {
            let why = format!("it has {} bytes; the server takes {MAX_TEXT}", self.text.len());
            return Err(Failure::usage(what, why, "nothing was sent; send less at a time"));
        }
        self.how.ask(what, &Ask::Lower { text: self.text }, |reply| match reply {
            Reply::Text(text) => Some((text.clone(), json!({ "outcome": "done", "text": text }))),
            _ => None,
        })
    }
}

impl Prime {
    /// Prints `Prime` or `NonPrime`.
    pub fn run(self) -> Result<Exit, Failure> {
        self.how.ask("cannot tell whether it is prime", &Ask::Prime { number: self.number }, |reply| match reply {
            Reply::Truth(prime) => {
                Some((if prime { "Prime" } else { "NonPrime" }.to_owned(), json!({ "outcome": "done", "prime": prime })))
            }
            _ => None,
        })
    }
}

impl Palindrome {
    /// Prints `Palindrome` or `NonPalindrome`.
    pub fn run(self) -> Result<Exit, Failure> {
        self.how.ask("cannot tell whether it is a palindrome", &Ask::Palindrome { number: self.number }, |reply| match reply {
            Reply::Truth(same) => {
                Some((if same { "Palindrome" } else { "NonPalindrome" }.to_owned(), json!({ "outcome": "done", "palindrome": same })))
            }
            _ => None,
        })
    }
}

impl How {
    fn ask(&self, what: &str, ask: &Ask, shown: impl FnOnce(Reply) -> Option<(String, serde_json::Value)>) -> Result<Exit, Failure> {
        let (mut link, deadline) = self.server.link(what)?;
        let reply = link.ask(ask, None, &deadline).map_err(|error| {
            let failure = Failure::client(what, &error);
            if self.json {
                failure.tell_json(None);
            }
            failure
        })?;
        let Some((line, value)) = shown(reply) else {
            let why = "the server answered another question";
            return Err(Failure::because(Exit::Internal, what, why, "check that client and server are of the same version"));
        };
        tell(&if self.json { value.to_string() } else { line });
        Ok(Exit::Done)
    }
}
