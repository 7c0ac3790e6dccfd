//! How a command ends: the exit codes, and the line that says what failed, why, and what to run next.

use std::fmt;

use bankd::engine::StoreError;
use bankd::server::ServeError;
use bankd::wal::WalError;

/// The exit codes, which scripts rely on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// A bug, or a disk that failed while running.
    Internal = 1,
    /// The command line or a file named on it is wrong.
    Usage = 2,
    /// The bank declined: a refusal, a conflict, a gap, a wrong PIN, locked.
    Declined = 3,
    /// The bank could not be reached, and nothing was sent.
    Unreachable = 4,
    /// Sent, and no answer: the outcome is unknown.
    Unknown = 5,
    /// The store or journal is damaged.
    Damaged = 6,
    /// Another process has the directory or journal.
    InUse = 7,
    /// The daemon cannot start here: no store, key, permissions, file system, address.
    CannotStart = 8,
}

/// Why a command ends with another code than 0.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// What failed, why, and what to run next.
    pub message: String,
}

impl Failure {
    /// A failure with its line.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let exit = match &error {
            StoreError::InUse { .. } => Exit::InUse,
            StoreError::Damaged(_) => Exit::Damaged,
            StoreError::NoStore { .. } | StoreError::NotEmpty { .. } | StoreError::LooseMode { .. } | StoreError::Key { .. } => {
                Exit::CannotStart
            }
            StoreError::Io { .. } | StoreError::Log(WalError::NoStore { .. }) => Exit::CannotStart,
            StoreError::Records(_) => Exit::Usage,
            StoreError::Log(_) => Exit::Internal,
        };
        Self::new(exit, error.to_string())
    }
}

impl From<ServeError> for Failure {
    fn from(error: ServeError) -> Self {
        Self::new(Exit::CannotStart, error.to_string())
    }
}
