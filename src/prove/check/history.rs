//! The clients' observations with their times: the checker's second source beside the log.
//!
//! All times are of one monotonic clock: `sent` is before the first byte left, `at` after the whole reply arrived.
//! Left out: the checks (`checker.rs`).

use std::sync::Mutex;
use std::time::Duration;

use crate::model::amount::Amount;
use crate::model::command::{Body, Command};
use crate::model::types::{AccountId, Lsn, RequestId};
use crate::prove::proxy::lock;
use crate::wire::message::Receipt;

/// One observation of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A numbered request, answered or not.
    Write(Write),
    /// An answered balance inquiry.
    Read(Read),
    /// A reply that is a violation whatever the log holds.
    Breach {
        /// The violated rule; see [`Violation::rule`](crate::prove::Violation).
        rule: &'static str,
        /// The request that shows it, if it has an id.
        request: Option<RequestId>,
        /// The message and its reply.
        what: String,
    },
}

/// A numbered request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// Session and number.
    pub id: RequestId,
    /// The command that was sent; none for a cancellation.
    pub command: Option<Command>,
    /// When it was sent; none if unknown, because its client was killed.
    pub sent: Option<Duration>,
    /// The answer, if one arrived.
    pub answered: Option<Answered>,
}

/// A recorded outcome as a client received it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answered {
    /// When it arrived.
    pub at: Duration,
    /// The recorded body.
    pub body: Body,
    /// Whether it was marked as a replay.
    pub replayed: bool,
    /// The receipt in the answer, if the client saw it.
    pub receipt: Option<Receipt>,
}

/// An answered balance inquiry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Read {
    /// The account.
    pub account: AccountId,
    /// When the inquiry was sent.
    pub sent: Duration,
    /// When the reply arrived.
    pub at: Duration,
    /// The balance in the reply.
    pub balance: Amount,
    /// The LSN of the last entry that the balance reflects.
    pub lsn: Lsn,
}

/// The observations of all clients.
#[derive(Debug, Default)]
pub struct History {
    events: Mutex<Vec<Event>>,
}

impl History {
    /// Records an event.
    pub fn note(&self, event: Event) {
        lock(&self.events).push(event);
    }

    /// Removes and returns all recorded events.
    #[must_use]
    pub fn take(&self) -> Vec<Event> {
        std::mem::take(&mut lock(&self.events))
    }
}
