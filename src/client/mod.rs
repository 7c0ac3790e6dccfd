//! The client: one blocking connection, resending with the same number, and a journal that outlives the process.
//!
//! The way down: [`Client`] (what to do about each outcome) -> [`Link`] (a connection that is made again, logged in
//! and in its session) -> [`Connection`] (frames on a socket). Beside them [`Journal`] keeps what is in doubt.
//! One request at a time goes through `request.rs`, many at once through `pipeline.rs`.
//! Left out: how a person is asked and told (`cli/`), and every decision about money, which is the bank's.

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

pub use crate::client::client::Client;
pub use crate::client::journal::audit::{Told, told};
pub use crate::client::journal::index::{End, Request};
pub use crate::client::journal::record::{ClosedReason, Intent, Record, Settled};
pub use crate::client::journal::stream::JournalStream;
pub use crate::client::request::Answer;
pub use connection::{AskError, ConnectError, Connection};
pub use error::ClientError;
pub use journal::{Journal, JournalError, OpenJournal};
pub use link::{Link, Login};
pub use pipeline::{Fate, Stopped, Tell};
pub use retry::Deadline;
