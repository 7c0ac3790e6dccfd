//! Why a sweep or a load failed.

use std::io;

use crate::bench::load::BadPlan;
use crate::client::JournalError;

/// Why a sweep or a load failed.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The bank does not start, or answers wrongly.
    #[error("the bank: {0}")]
    Bank(String),
    /// No connection to the bank; no request was sent.
    #[error("the bank at {address} cannot be reached: {why}")]
    Unreachable {
        /// The address.
        address: String,
        /// The reason.
        why: String,
    },
    /// A file, process or socket operation failed.
    #[error("{what}: {source}")]
    Io {
        /// The file or operation.
        what: String,
        /// The system's error.
        source: io::Error,
    },
    /// The plan is invalid.
    #[error("the load needs {0}")]
    Plan(#[from] BadPlan),
    /// The generator's journal cannot be written.
    #[error("{0}")]
    Journal(#[from] JournalError),
    /// A chart cannot be drawn.
    #[error("a chart cannot be drawn: {0}")]
    Chart(String),
}
