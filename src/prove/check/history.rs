//! What the clients of a proof saw, with the times at which they saw it: the checker's other witness beside the log.
//!
//! Times are of one monotonic clock: `sent` is before the first byte left, `at` after the whole reply was there.
//! Left out: judging (`checker.rs`).

use std::sync::Mutex;
use std::time::Duration;

use crate::model::amount::Amount;
use crate::model::command::{Body, Command};
use crate::model::types::{AccountId, Lsn, RequestId};
use crate::prove::proxy::lock;
use crate::wire::message::Receipt;

/// One thing that a client saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A numbered request, answered or not.
    Write(Write),
    /// A balance that was told.
    Read(Read),
    /// A reply that no bank may give, whatever its log says.
    Breach {
        /// The promise that it breaks, as in a verdict.
        rule: &'static str,
        /// The request that shows it, where it has an id.
        request: Option<RequestId>,
        /// What was asked and what came.
        what: String,
    },
}

/// A numbered request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// Session and number.
    pub id: RequestId,
    /// What was sent under it; none for a cancellation.
    pub command: Option<Command>,
    /// When it was sent; none where nobody knows, because its client was killed.
    pub sent: Option<Duration>,
    /// The answer, if one came.
    pub answered: Option<Answered>,
}

/// A recorded outcome as a client got it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answered {
    /// When.
    pub at: Duration,
    /// The recorded body.
    pub body: Body,
    /// Whether it was marked as told again.
    pub replayed: bool,
    /// The evidence beside it, where it was seen.
    pub receipt: Option<Receipt>,
}

/// A balance that was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Read {
    /// Whose.
    pub account: AccountId,
    /// When it was asked for.
    pub sent: Duration,
    /// When it came.
    pub at: Duration,
    /// How much.
    pub balance: Amount,
    /// The last entry that it reflects.
    pub lsn: Lsn,
}

/// Where all clients write down what they see.
#[derive(Debug, Default)]
pub struct History {
    events: Mutex<Vec<Event>>,
}

impl History {
    /// Notes an event.
    pub fn note(&self, event: Event) {
        lock(&self.events).push(event);
    }

    /// Everything noted so far; it is empty from then on.
    #[must_use]
    pub fn take(&self) -> Vec<Event> {
        std::mem::take(&mut lock(&self.events))
    }
}
