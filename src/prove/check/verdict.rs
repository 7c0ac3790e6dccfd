//! The result of a test run: the violations, each with the request that shows it, and counts.
//!
//! Left out: the checks (`checker.rs`, `model.rs`).

use std::fmt;
use std::time::Duration;

use crate::model::types::RequestId;
use crate::prove::proxy::Counts;

/// One violation of the bank's guarantees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The violated rule, one of `RULES`.
    pub rule: &'static str,
    /// The request that shows it, if there is one.
    pub request: Option<RequestId>,
    /// What is wrong.
    pub what: String,
}

impl Violation {
    pub(in crate::prove) fn new(rule: &'static str, request: Option<RequestId>, what: impl Into<String>) -> Self {
        Self { rule, request, what: what.into() }
    }
}

/// The rules, in the order in which violations are reported.
const RULES: [&str; 12] = ["start", "owner", "once", "answer", "balance", "order", "asked", "time", "cash", "eviction", "doubt", "receipt"];

/// Sorts violations by rule; within a rule their order stays.
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

/// What the checker checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Checked {
    /// Distinct requests that clients made.
    pub requests: u64,
    /// Requests with a recorded outcome.
    pub answered: u64,
    /// Answers marked as replayed: duplicates that the bank absorbed.
    pub duplicates_absorbed: u64,
    /// Requests that were declined, such as for insufficient balance.
    pub declined: u64,
    /// Requests that were cancelled.
    pub cancelled: u64,
    /// Answered balance inquiries.
    pub reads: u64,
    /// Receipts compared with the log's chain.
    pub receipts: u64,
    /// Operations whose place in the log was compared with an operation that ended before they were sent.
    pub ordered: u64,
    /// Requests without answer that are not in the log: refused, never sent, or lost with their session.
    pub never_executed: u64,
    /// Requests without answer that are in the log.
    pub left_to_the_log: u64,
    /// Clients' journals.
    pub journals: u64,
    /// Entries in the log.
    pub entries: u64,
    /// Batches in the log, seals included.
    pub batches: u64,
    /// Starts in the log.
    pub incarnations: u64,
    /// Torn tails in the log, each void.
    pub torn_tails: u64,
}

/// The faults outside the proxy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Deeds {
    /// Kills of the bank.
    pub daemon_kills: u64,
    /// Kills of client processes.
    pub client_kills: u64,
    /// Clients' runs that were abandoned with requests in flight.
    pub runs_abandoned: u64,
    /// Answered requests of pipelined steps.
    pub in_windows: u64,
    /// Torn batches written behind the log's end, as a power cut leaves them.
    pub tails_torn: u64,
    /// Unknown outcomes that were resolved.
    pub doubts_resolved: u64,
}

/// The result of a test run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The violations, sorted by rule.
    pub violations: Vec<Violation>,
    /// What the checker checked.
    pub checked: Checked,
    /// The faults outside the proxy.
    pub deeds: Deeds,
    /// The faults that the proxy injected.
    pub proxy: Counts,
    /// How long the clients ran.
    pub lasted: Duration,
}

impl Verdict {
    /// Whether there are no violations.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.violations.is_empty()
    }
}
