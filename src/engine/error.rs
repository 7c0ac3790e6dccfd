//! What can keep a store from opening, and what ends a running one.
//!
//! Left out: refusals of requests, which end nothing (`wire/message.rs`, `command.rs`).

use std::io;
use std::path::PathBuf;

use crate::bank::LogicError;
use crate::wal::WalError;

/// The end of a running daemon: nobody is answered any more, nothing is retried, the process ends.
#[derive(Debug, thiserror::Error)]
pub enum Fatal {
    /// The log could not be written or synced.
    #[error("{0}; ending without an answer to anybody, since nothing is known to be on the disk any more")]
    Log(#[from] WalError),
    /// The log's finished segments no longer say what was written to them, as the making of a checkpoint found.
    #[error("what the log had made durable is damaged: {0}; ending, since no start could recover from it")]
    Damaged(String),
    /// An entry that admission should never have let through: a bug.
    #[error("the bank met an entry that it should never see: {0}")]
    Logic(#[from] LogicError),
    /// A rule of this program does not hold: a bug.
    #[error("a rule of this program is broken: {0}; ending before wrong data comes of it")]
    Broken(&'static str),
    /// The walk and the batch disagree: a bug.
    #[error("the turn's list and the batch disagree")]
    NothingToApply,
    /// No random numbers.
    #[error("the system gives no random numbers: {0}")]
    Entropy(io::Error),
    /// The event loop's own calls fail.
    #[error("{call} failed: {source}")]
    Loop {
        /// Which call.
        call: &'static str,
        /// What the system says.
        source: io::Error,
    },
}

/// Why a store cannot be created or opened.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has it.
    #[error("the store {dir} is in use by {holder}")]
    InUse {
        /// Which store.
        dir: PathBuf,
        /// Who has it, as it says itself.
        holder: String,
    },
    /// There is none.
    #[error("there is no store in {dir}; name the right directory with --data-dir, or make one with: bankd init --data-dir {dir}")]
    NoStore {
        /// Where.
        dir: PathBuf,
    },
    /// There is something already.
    #[error("{dir} is not empty ({found}); a new store needs a directory of its own")]
    NotEmpty {
        /// Where.
        dir: PathBuf,
        /// One thing that is there.
        found: String,
    },
    /// It is a snapshot, and was never finished.
    #[error("{dir} is a snapshot that was not finished; remove it, and make another with: bankd snapshot")]
    Unfinished {
        /// Where.
        dir: PathBuf,
    },
    /// It is whole, but of a version that this program does not know: exit code 8.
    #[error("{0}, which this program does not know; nothing was changed: use the version of bankd that wrote it, or a later one")]
    Unsupported(String),
    /// Its bytes are damaged: exit code 6.
    #[error("{0}")]
    Damaged(String),
    /// Group or others could read what only the owner may.
    #[error("{path} is open to other users (mode {mode:04o}); make it private with: chmod go= {path}")]
    LooseMode {
        /// What.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Its file system cannot keep what a sync promises: exit code 8.
    #[error("{dir} is on {file_system}, {why}; choose a directory on a disk of this machine{hint}")]
    UnfitPlace {
        /// Where.
        dir: PathBuf,
        /// Of which kind.
        file_system: &'static str,
        /// Why it will not do.
        why: &'static str,
        /// What else may be done.
        hint: &'static str,
    },
    /// There is no space for the segment that a new lineage is written to.
    #[error("the disk has no room for one more segment of the log; make room, and run it again")]
    NoRoom,
    /// A repair was asked for, and there is nothing that it could do.
    #[error("{0}")]
    CannotRepair(String),
    /// The key file is missing, malformed or another store's.
    #[error("the key file {path} {problem}")]
    Key {
        /// Where.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A call failed.
    #[error("{call} {path}: {source}")]
    Io {
        /// Which.
        call: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The log could not be read or written.
    #[error("{0}")]
    Log(WalError),
    /// The list of accounts for a new store is unusable.
    #[error("{0}")]
    Records(String),
}

impl From<WalError> for StoreError {
    fn from(error: WalError) -> Self {
        match error {
            WalError::Damaged { .. } => Self::Damaged(error.to_string()),
            WalError::Unsupported { file, what } => Self::Unsupported(format!("{file} is of {what}")),
            WalError::NoStore { dir } => Self::NoStore { dir: dir.into() },
            other => Self::Log(other),
        }
    }
}
