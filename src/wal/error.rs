//! The errors of the log, as full sentences: what failed, in which file, and why.
//!
//! Left out: advice on what to run next, and exit codes; the command line adds both.

use std::io;

use crate::env::os;

/// An error of reading, starting or writing the log.
#[derive(Debug, thiserror::Error)]
pub enum WalError {
    /// A system call failed. During a commit this is fatal: end the process, never retry.
    #[error("the log failed to {call} {file}: {source}")]
    Io {
        /// The call: `write`, `sync`, `rename` ...
        call: &'static str,
        /// The file's name in the data directory.
        file: String,
        /// The operating system's error.
        source: io::Error,
    },
    /// The store's files are in a state that no crash can explain. Nothing was changed.
    #[error("the log is damaged at {file}, offset {offset}, {}: {what}", after(.last_good))]
    Damaged {
        /// The file's name in the data directory.
        file: String,
        /// The offset in the file, in bytes.
        offset: u64,
        /// The number of the last batch that verified before it, if any.
        last_good: Option<u64>,
        /// What is wrong.
        what: String,
    },
    /// The files are intact, but have a version that this program does not support.
    #[error("{file} is of {what}, which this program does not know")]
    Unsupported {
        /// The file's name in the data directory.
        file: String,
        /// The kind of version, and its number.
        what: String,
    },
    /// The directory holds no store: neither manifest nor segments.
    #[error("there is no store in {dir}")]
    NoStore {
        /// The directory.
        dir: String,
    },
    /// The caller broke the contract of a call: a programming error. Nothing was written.
    #[error("the log was asked for something impossible: {0}")]
    Misuse(&'static str),
    /// An earlier error has stopped this log for good.
    #[error("the log has failed before and stays stopped: {0}")]
    Latched(String),
}

impl WalError {
    /// A closure for `map_err` that adds the call and the file.
    pub(super) fn io(call: &'static str, file: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let file = file.into();
        move |source| Self::Io { call, file, source }
    }

    /// The error for a required file that cannot be opened. `InvalidData` (not a regular file) counts as damage.
    pub(super) fn open(file: &str, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::InvalidData => Self::Damaged { file: file.to_owned(), offset: 0, last_good: None, what: source.to_string() },
            _ => Self::Io { call: "open", file: file.to_owned(), source },
        }
    }

    /// The error for a failed read of a segment at `offset`. `InvalidData` (a compressed file that does not decompress) counts
    /// as damage.
    pub(super) fn read(file: &str, offset: u64, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::InvalidData => Self::Damaged { file: file.to_owned(), offset, last_good: None, what: source.to_string() },
            _ => Self::Io { call: "read", file: file.to_owned(), source },
        }
    }

    /// Whether the disk, a quota or the table of file descriptors is full: a condition that may pass without intervention.
    #[must_use]
    pub fn is_no_space(&self) -> bool {
        matches!(self, Self::Io { source, .. } if is_no_space(source))
    }

    /// Whether the table of file descriptors of this process or of the system is full.
    pub(super) fn is_out_of_descriptors(&self) -> bool {
        matches!(self, Self::Io { source, .. } if os::is_out_of_descriptors(source))
    }
}

/// Whether `error` means that the disk, a quota or the table of file descriptors is full.
#[must_use]
pub fn is_no_space(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) || os::is_out_of_descriptors(error)
}

fn after(last_good: &Option<u64>) -> String {
    match last_good {
        Some(number) => format!("after the good batch {number}"),
        None => "before any good batch".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_sentences_that_name_the_file() {
        let damaged = WalError::Damaged { file: "0000000003.seg".into(), offset: 8192, last_good: Some(7), what: "a hole".into() };
        assert_eq!(damaged.to_string(), "the log is damaged at 0000000003.seg, offset 8192, after the good batch 7: a hole");
        let failed = WalError::io("sync", "MANIFEST")(io::Error::from_raw_os_error(5));
        assert_eq!(failed.to_string(), "the log failed to sync MANIFEST: Input/output error (os error 5)");
        assert!(!failed.is_no_space());
        for (errno, is_out_of_descriptors) in [(28, false), (122, false), (23, true), (24, true)] {
            let failed = WalError::io("create", "MANIFEST")(io::Error::from_raw_os_error(errno));
            assert!(failed.is_no_space() && failed.is_out_of_descriptors() == is_out_of_descriptors, "{failed}");
        }
    }
}
