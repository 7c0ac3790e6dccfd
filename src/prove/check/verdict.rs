//! What a proof ends with: the breaches that were found, each with the request that shows it, and the counts.
//!
//! Left out: finding them (`checker.rs`, `model.rs`).

use std::fmt;
use std::time::Duration;

use crate::model::types::RequestId;
use crate::prove::proxy::Counts;

/// One breach of what the bank promises.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The promise, in a word; one of those in `RULES`.
    pub rule: &'static str,
    /// The request that shows it, where one does.
    pub request: Option<RequestId>,
    /// What is wrong.
    pub what: String,
}

impl Violation {
    pub(in crate::prove) fn new(rule: &'static str, request: Option<RequestId>, what: impl Into<String>) -> Self {
        Self { rule, request, what: what.into() }
    }
}

/// The promises, the most telling breaches first.
const RULES: [&str; 12] = ["start", "owner", "once", "answer", "balance", "order", "asked", "time", "cash", "eviction", "doubt", "receipt"];

/// Puts the most telling violations first, each rule's in the order in which they were found.
pub(in crate::prove) fn sort(violations: &mut [Violation]) {
    let place = |violation: &Violation| RULES.iter().position(|rule| *rule == violation.rule);
    violations.sort_by_key(|violation| place(violation).unwrap_or(RULES.len()));
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.request {
            Some(id) => write!(f, "[{}] request {id}: {}", self.rule, self.what),
            None => write!(f, "[{}] {}", self.rule, self.what),
        }
    }
}

/// What the checker looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Checked {
    /// Different requests that clients made.
    pub requests: u64,
    /// Of them answered with a recorded outcome.
    pub answered: u64,
    /// Answers that the bank told again: duplicates that it absorbed.
    pub duplicates_absorbed: u64,
    /// Refused for good, such as for insufficient balance.
    pub declined: u64,
    /// Cancelled for good.
    pub cancelled: u64,
    /// Balances that were told.
    pub reads: u64,
    /// Receipts held against the log's chain.
    pub receipts: u64,
    /// Pairs of operations that real time puts in order, and so must the log (one a request).
    pub ordered: u64,
    /// Not answered, and by the log never executed: refused, never sent, or lost for good with their session.
    pub never_executed: u64,
    /// Executed by the log, and their clients were left to ask the bank.
    pub left_to_the_log: u64,
    /// Journals read.
    pub journals: u64,
    /// Entries in the log.
    pub entries: u64,
    /// Batches in the log, seals included.
    pub batches: u64,
    /// Starts that the log shows.
    pub incarnations: u64,
    /// Half-written tails that it shows, each void.
    pub torn_tails: u64,
}

/// What was done to bank and clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Deeds {
    /// The daemon was killed.
    pub daemon_kills: u64,
    /// Processes of clients were killed.
    pub client_kills: u64,
    /// Runs of clients were given up with a request under way.
    pub runs_abandoned: u64,
    /// Requests that were answered while a window of others was under way in their session.
    pub in_windows: u64,
    /// Half-written tails put behind the log's end, as a power cut leaves them.
    pub tails_torn: u64,
    /// Requests in doubt that were resolved afterwards.
    pub doubts_resolved: u64,
}

/// The end of a proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Everything found, the most telling first.
    pub violations: Vec<Violation>,
    /// What the checker looked at.
    pub checked: Checked,
    /// What was done to bank and clients.
    pub deeds: Deeds,
    /// What was done on the way between them.
    pub proxy: Counts,
    /// How long the clients were at it.
    pub lasted: Duration,
}

impl Verdict {
    /// Whether the bank kept every promise.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.violations.is_empty()
    }
}
