//! Why a store does not open, and why a running one ends.
//!
//! Left out: refusals of requests, which end nothing (`wire/message.rs`, `model/command.rs`).

use std::io;
use std::path::PathBuf;

use crate::bank::LogicError;
use crate::engine::statements::IndexError;
use crate::wal::WalError;

/// The end of a running daemon: no more answers, no retries, the process ends.
#[derive(Debug, thiserror::Error)]
pub enum Fatal {
    /// The log could not be written or synced.
    #[error("{0}; ending without an answer, since the state of the disk is unknown")]
    Log(#[from] WalError),
    /// Another daemon appends to the log now.
    #[error(
        "this daemon no longer leads: another one appends to the log; ending without an answer, since whether the last batch counts is not known here"
    )]
    Deposed,
    /// The log's finished segments differ from what was written to them, as the making of a checkpoint found.
    #[error("what the log had made durable is damaged: {0}; ending, since no start could recover from it")]
    Damaged(String),
    /// An entry that admission must never let through: a bug.
    #[error("the bank met an entry that it should never see: {0}")]
    Logic(#[from] LogicError),
    /// An invariant of this program does not hold: a bug.
    #[error("a rule of this program is broken: {0}; ending before wrong data comes of it")]
    Broken(&'static str),
    /// The turn's list and the batch disagree: a bug.
    #[error("the turn's list and the batch disagree")]
    NothingToApply,
    /// The system has no random numbers.
    #[error("the system gives no random numbers: {0}")]
    Entropy(io::Error),
    /// A system call of the event loop failed.
    #[error("{call} failed: {source}")]
    Loop {
        /// The call.
        call: &'static str,
        /// The system's error.
        source: io::Error,
    },
}

/// Why a store cannot be created or opened.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has its lock.
    #[error("the store {dir} is in use by {holder}")]
    InUse {
        /// Its directory.
        dir: PathBuf,
        /// The holder's own description.
        holder: String,
    },
    /// There is no store.
    #[error("there is no store in {dir}; name the right directory with --data-dir, or make one with: bankd init --data-dir {dir}")]
    NoStore {
        /// The directory.
        dir: PathBuf,
    },
    /// The directory is not empty.
    #[error("{dir} is not empty ({found}); a new store needs a directory of its own")]
    NotEmpty {
        /// The directory.
        dir: PathBuf,
        /// One of the files there.
        found: String,
    },
    /// It is a snapshot that was not finished.
    #[error("{dir} is a snapshot that was not finished; remove it, and make another with: bankd snapshot")]
    Unfinished {
        /// Its directory.
        dir: PathBuf,
    },
    /// It is sound, but of a version that this program does not know: exit code 8.
    #[error("{0}, which this program does not know; nothing was changed: use the version of bankd that wrote it, or a later one")]
    Unsupported(String),
    /// Its bytes are damaged: exit code 6.
    #[error("{0}")]
    Damaged(String),
    /// Group or others have access that only the owner may have.
    #[error("{path} is open to other users (mode {mode:04o}); make it private with: chmod go= {path}")]
    LooseMode {
        /// The file or directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Its file system does not keep synced data: exit code 8.
    #[error("{dir} is on {file_system}, {why}; choose a directory on a disk of this machine{hint}")]
    UnfitPlace {
        /// The directory.
        dir: PathBuf,
        /// The kind of file system.
        file_system: &'static str,
        /// Why it is unfit.
        why: &'static str,
        /// What the user can do instead.
        hint: &'static str,
    },
    /// The disk has no room for the segment that a new lineage is written to.
    #[error("the disk has no room for one more segment of the log; make room, and run it again")]
    NoRoom,
    /// A repair was asked for that cannot be done.
    #[error("{0}")]
    CannotRepair(String),
    /// The key file is missing, malformed or another store's.
    #[error("the key file {path} {problem}")]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A system call failed.
    #[error("{call} {path}: {source}")]
    Io {
        /// The call.
        call: &'static str,
        /// Its path.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The log could not be read or written.
    #[error("{0}")]
    Log(WalError),
    /// The list of accounts for a new store is unusable.
    #[error("{0}")]
    Records(String),
    /// The index of statements cannot be made; the log is not affected.
    #[error("{0}")]
    Index(IndexError),
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
