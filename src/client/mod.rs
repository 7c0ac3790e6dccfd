//! The client: one blocking connection, idempotent retries under the same request number, and a journal that survives the
//! process.
//!
//! The layers: [`Client`] (what to do about each outcome) -> [`Link`] (a connection that reconnects, logs in and resumes its
//! session) -> [`Connection`] (frames on a socket). [`Journal`] stores the requests whose outcome is unknown.
//! Single requests go through `request.rs`, many requests in flight through `pipeline.rs`.
//! Left out: dialogue with a person (`cli/`), and every decision about money, which the bank makes.

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
