//! What can go wrong with the log, in full sentences: what failed, in which file, why.
//!
//! Left out: what to run next, and exit codes, which the command line adds.

use std::io;

use crate::env::os;

/// Why the log cannot be read, started or written.
#[derive(Debug, thiserror::Error)]
pub enum WalError {
    /// The operating system refused a call. On the way of a commit this is fatal: end the process, never retry.
    #[error("the log failed to {call} {file}: {source}")]
    Io {
        /// What was asked of the system: `write`, `sync`, `rename` ...
        call: &'static str,
        /// The file's name in the data directory.
        file: String,
        /// The system's answer.
        source: io::Error,
    },
    /// The store's files say something that no crash can explain. Nothing was changed.
    #[error("the log is damaged at {file}, offset {offset}, {}: {what}", after(.last_good))]
    Damaged {
        /// The file's name in the data directory.
        file: String,
        /// Where in it, in bytes.
        offset: u64,
        /// The last batch that verified before it, if any.
        last_good: Option<u64>,
        /// What is wrong.
        what: String,
    },
    /// The files are whole, but of a version that this program does not know.
    #[error("{file} is of {what}, which this program does not know")]
    Unsupported {
        /// The file's name in the data directory.
        file: String,
        /// Which version of what.
        what: String,
    },
    /// There is no store in the directory: neither manifest nor segments.
    #[error("there is no store in {dir}")]
    NoStore {
        /// The directory.
        dir: String,
    },
    /// The caller asked for what the log cannot do; a programming error, and nothing was written.
    #[error("the log was asked for something impossible: {0}")]
    Misuse(&'static str),
    /// An earlier error has ended this log; it stays ended.
    #[error("the log has failed before and stays stopped: {0}")]
    Latched(String),
}

impl WalError {
    /// A closure for `map_err`, which names the call and the file.
    pub(super) fn io(call: &'static str, file: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let file = file.into();
        move |source| Self::Io { call, file, source }
    }

    /// What it means that a file which must be there cannot be opened: damage, where something else has its name.
    pub(super) fn open(file: &str, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::InvalidData => Self::Damaged { file: file.to_owned(), offset: 0, last_good: None, what: source.to_string() },
            _ => Self::Io { call: "open", file: file.to_owned(), source },
        }
    }

    /// What it means that a segment cannot be read at `offset`: damage, where its packed file does not unpack.
    pub(super) fn read(file: &str, offset: u64, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::InvalidData => Self::Damaged { file: file.to_owned(), offset, last_good: None, what: source.to_string() },
            _ => Self::Io { call: "read", file: file.to_owned(), source },
        }
    }

    /// Whether it says that the disk, a quota or the table of open descriptors is full: what passes by itself.
    #[must_use]
    pub fn is_no_space(&self) -> bool {
        matches!(self, Self::Io { source, .. } if is_no_space(source))
    }

    /// Whether it says that the table of open descriptors, this process's or the machine's, is full.
    pub(super) fn is_out_of_descriptors(&self) -> bool {
        matches!(self, Self::Io { source, .. } if os::is_out_of_descriptors(source))
    }
}

/// Whether an error says that the disk, a quota or the table of open descriptors is full.
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
