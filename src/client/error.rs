//! Errors of a client's request, by what the caller may conclude from them.
//!
//! Left out: exit codes and advice (`cli/`).

use super::journal::JournalError;
use crate::model::types::{RequestId, StoreId};
use crate::wire::message::Refusal;

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// The bank was not reached; no part of a money request was sent.
    #[error("the bank at {address} cannot be reached: {why}")]
    Unreachable {
        /// The server's address.
        address: String,
        /// What went wrong last.
        why: String,
    },
    /// The bank refused; the outcome is known.
    #[error("{0}")]
    Refused(Refusal),
    /// The journal holds the number with another command or another owner; nothing was sent.
    #[error("request {request} is known to this journal {why}")]
    NotThisRequest {
        /// The request.
        request: RequestId,
        /// How the journal's entry differs.
        why: String,
    },
    /// Sent, but no recorded outcome by the deadline. The request may or may not have been executed.
    #[error("the outcome of request {request} is unknown: {why}")]
    OutcomeUnknown {
        /// The request; sending it again returns the outcome.
        request: RequestId,
        /// What went wrong last.
        why: String,
    },
    /// Sent, and no retry can return the outcome any more: only the bank's log shows it.
    #[error("only the bank's log shows the outcome of request {request}: {refusal}")]
    AskTheBank {
        /// The request.
        request: RequestId,
        /// The refusal that ended the retries.
        refusal: Refusal,
    },
    /// Another bank answers at that address.
    #[error("the bank at {address} is another one: its store is {found}, not {expected}")]
    OtherStore {
        /// The server's address.
        address: String,
        /// The store of the earlier connection, or of the journal's entry.
        expected: StoreId,
        /// The store that answers.
        found: StoreId,
    },
    /// The bank's reply does not match the request.
    #[error("the bank at {address} gave an answer that makes no sense here: {what}")]
    Nonsense {
        /// The server's address.
        address: String,
        /// The reply.
        what: String,
    },
    /// The journal cannot be used.
    #[error("{0}")]
    Journal(#[from] JournalError),
}
