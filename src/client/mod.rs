//! The client: one blocking connection, idempotent retries under the same request number, and a journal that survives the
//! process.
//!
//! The layers: [`Client`] (what to do about each outcome) -> [`Link`] (a connection that reconnects, logs in and resumes its
//! session) -> [`Connection`] (frames on a socket). [`Journal`] stores the requests whose outcome is unknown.
//! Single requests go through `request.rs`, many requests in flight through `pipeline.rs`.
//! Left out: dialogue with a person (`cli/`), and every decision about money, which the bank makes.
//!
//! # Example
//!
//! Settles every request whose outcome an earlier run of this login did not learn:
//!
//! ```no_run
//! use std::path::Path;
//! use std::time::Duration;
//!
//! use bankd::client::{Client, Login};
//! use bankd::{Env, Role, Secret};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut client = Client::new(&Env::os(), "127.0.0.1:7070", Path::new("journal"), Duration::from_secs(10));
//! let decimals = client.connect()?.decimals;
//! client.log_in(Login { role: Role::Customer, name: "Sami".to_owned(), secret: Secret::new("1234".to_owned()) })?;
//!
//! // The journal is locked while it is open: copy what is needed.
//! let deadline = client.deadline();
//! let journal = client.journal().open(&deadline)?;
//! let own = journal.in_doubt().filter(|request| request.intent.name == "Sami");
//! let open: Vec<_> = own.map(|request| (request.intent.id, request.intent.command)).collect();
//! drop(journal);
//!
//! for (id, command) in open {
//!     let answer = client.resend(id, command)?;
//!     println!("{id}: {}, balance {}", answer.body.outcome.name(), answer.body.balance.display(decimals));
//!     client.mark_delivered();
//! }
//! # Ok(())
//! # }
//! ```

#[allow(clippy::module_inception, reason = "the client is what this module is for")]
mod client;
mod connection;
mod error;
mod journal;
mod link;
mod pipeline;
#[cfg(test)]
mod pipeline_tests;
mod refusals;
mod request;
#[cfg(test)]
mod resolve_tests;
mod retry;
#[cfg(test)]
mod scripted;
mod statement;

pub use crate::client::client::Client;
pub use crate::client::journal::audit::{Told, told};
pub use crate::client::journal::index::{End, Request};
pub use crate::client::journal::record::{ClosedReason, Intent, Record, Settled};
pub use crate::client::journal::stream::JournalStream;
pub use crate::client::request::Answer;
pub use crate::client::statement::StatementPage;
pub use connection::{AskError, ConnectError, Connection};
pub use error::ClientError;
pub use journal::{Journal, JournalError, OpenJournal};
pub use link::{Fault, Link, Login};
pub use pipeline::{Fate, Stopped, Tell};
pub use retry::Deadline;
