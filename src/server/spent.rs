//! What one connection has used of a turn.
//!
//! Left out: the limits (`budget.rs`).

/// What one connection has used of a turn.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spent {
    /// The number of the turn.
    pub(super) turn: u64,
    /// Requests that the batch does not bound.
    pub(super) questions: usize,
    /// New money requests.
    pub(super) requests: usize,
    /// Nanoseconds of long queries.
    pub(super) long: u64,
    /// Bytes of answers.
    pub(super) answers: usize,
}

impl Spent {
    /// The use of a connection that was not served in this turn yet.
    pub(super) const NOTHING: Self = Self { turn: 0, questions: 0, requests: 0, long: 0, answers: 0 };
}
