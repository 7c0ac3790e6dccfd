//! Why a run has no verdict.

use std::io;

use crate::client::JournalError;
use crate::prove::check::log_reader::LogReadError;

/// Why a run has no verdict.
#[derive(Debug, thiserror::Error)]
pub enum ProveError {
    /// The bank does not start.
    #[error("the bank on trial did not come up: {0}")]
    Bank(String),
    /// A file, process or socket operation failed.
    #[error("{what}: {source}")]
    Io {
        /// The operation.
        what: &'static str,
        /// The system's error.
        source: io::Error,
    },
    /// The checker cannot read the log.
    #[error("the log cannot be read: {0}")]
    Log(#[from] LogReadError),
    /// The checker cannot read a client's journal.
    #[error("a journal cannot be read: {0}")]
    Journal(#[from] JournalError),
}
