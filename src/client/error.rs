//! How a client's request can fail, told apart by what the caller may conclude.
//!
//! Left out: exit codes and advice (`cli/`).

use super::journal::JournalError;
use crate::model::types::{RequestId, StoreId};
use crate::wire::message::Refusal;

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// The bank was not reached. Of a money request nothing was sent.
    #[error("the bank at {address} cannot be reached: {why}")]
    Unreachable {
        /// The server's address.
        address: String,
        /// What went wrong last.
        why: String,
    },
    /// The bank refused, and nothing is in doubt.
    #[error("{0}")]
    Refused(Refusal),
    /// The number belongs to another command, which is itself in doubt or answered; nothing was sent.
    #[error("request {request} is known to this journal {why}")]
    NotThisRequest {
        /// The request.
        request: RequestId,
        /// In what way it differs.
        why: String,
    },
    /// Sent, and no recorded outcome by the deadline. The money may or may not have moved.
    #[error("the outcome of request {request} is unknown: {why}")]
    OutcomeUnknown {
        /// The request; sending it again tells.
        request: RequestId,
        /// What went wrong last.
        why: String,
    },
    /// Sent, and no resending can bring the outcome any more: only the bank's log tells.
    #[error("the outcome of request {request} can only be told by the bank itself: {refusal}")]
    AskTheBank {
        /// The request.
        request: RequestId,
        /// Why resending ended.
        refusal: Refusal,
    },
    /// Another bank answers at that address.
    #[error("the bank at {address} is another one: its store is {found}, not {expected}")]
    OtherStore {
        /// The server's address.
        address: String,
        /// The store that was talked to before, or that the journal names.
        expected: StoreId,
        /// The store that answers.
        found: StoreId,
    },
    /// The bank's reply does not belong to the question.
    #[error("the bank at {address} gave an answer that makes no sense here: {what}")]
    Nonsense {
        /// The server's address.
        address: String,
        /// What came.
        what: String,
    },
    /// The journal.
    #[error("{0}")]
    Journal(#[from] JournalError),
}
