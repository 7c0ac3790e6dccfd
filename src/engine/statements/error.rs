//! Why the index cannot be used.
//!
//! Left out: what follows: a damaged index is made again (`thread.rs`).

use std::io;

use crate::wal::WalError;

/// Why the index of statements cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// The index does not say what the log says, or is not whole. The log is not affected.
    #[error("the index of statements is damaged: {0}")]
    Damaged(String),
    /// The operating system refused a call.
    #[error("the index of statements: {0}")]
    Io(#[from] io::Error),
    /// The log itself cannot be read.
    #[error("{0}")]
    Log(#[from] WalError),
    /// The bank that the log adds up to cannot be made.
    #[error("{0}")]
    Replay(String),
    /// The store is being closed.
    #[error("the store is being closed")]
    Cancelled,
}

impl IndexError {
    pub(super) fn damaged(name: &str, what: &str) -> Self {
        Self::Damaged(format!("{name}: {what}"))
    }
}

impl From<redb::Error> for IndexError {
    fn from(error: redb::Error) -> Self {
        match error {
            redb::Error::Io(error) => Self::Io(error),
            error => Self::Damaged(error.to_string()),
        }
    }
}

/// Each call of redb has an error type of its own.
macro_rules! by_redb {
    ($($error:ident),*) => {
        $(impl From<redb::$error> for IndexError {
            fn from(error: redb::$error) -> Self {
                redb::Error::from(error).into()
            }
        })*
    };
}

by_redb!(CommitError, DatabaseError, StorageError, TableError, TransactionError);
