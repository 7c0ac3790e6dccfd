//! The client: one blocking connection, resending with the same number, and a journal that outlives the process.
//!
//! The way down: [`Client`] (what to do about each outcome) -> [`Link`] (a connection that is made again, logged in
//! and in its session) -> [`Connection`] (frames on a socket). Beside them [`Journal`] keeps what is in doubt.
//! One request at a time goes through `pursuit.rs`, many at once through `pipeline.rs`.
//! Left out: how a person is asked and told (`cli/`), and every decision about money, which is the bank's.

mod connection;
mod error;
mod journal;
mod journal_book;
#[cfg(test)]
mod journal_crash_tests;
mod journal_evidence;
mod journal_format;
mod journal_place;
mod journal_record;
mod journal_stream;
mod link;
mod pipeline;
#[cfg(test)]
mod pipeline_tests;
mod pursuit;
mod refusals;
mod requests;
#[cfg(test)]
mod resolve_tests;
mod retry;
#[cfg(test)]
mod scripted;

pub use connection::{AskError, ConnectError, Connection};
pub use error::ClientError;
pub use journal::{Journal, JournalError, OpenJournal};
pub use journal_book::{End, Request};
pub use journal_evidence::{Told, told};
pub use journal_record::{ClosedReason, Intent, Record, Settled};
pub use journal_stream::JournalStream;
pub use link::{Link, Login};
pub use pipeline::{Fate, Stopped, Tell};
pub use pursuit::Answer;
pub use requests::Client;
pub use retry::{Deadline, World};
