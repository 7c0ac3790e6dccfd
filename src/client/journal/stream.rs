//! An append-only journal of the same format without a sync per request, for load generators.
//!
//! It is evidence for an audit ([`told`](crate::client::told)), but does not make retries safe: a crash of its writer loses
//! unsynced records, so its requests must not be resent from it. Left out: bytes (`format.rs`).

use std::path::{Path, PathBuf};

use crate::client::journal::JournalError;
use crate::client::journal::audit::MAX_BYTES;
use crate::client::journal::format;
use crate::client::journal::record::Record;
use crate::env::Env;
use crate::env::File;

/// Bytes per write.
const CHUNK: usize = 1 << 20;

/// The journal file, written in chunks.
pub struct JournalStream {
    path: PathBuf,
    file: Box<dyn File>,
    buffer: Vec<u8>,
    end: u64,
}

impl JournalStream {
    /// Creates a new file.
    ///
    /// # Errors
    /// [`JournalError::Io`], also if the file exists; it is left unchanged then.
    pub fn create(env: &Env, path: &Path) -> Result<Self, JournalError> {
        let failed = |error: std::io::Error| JournalError::Io { path: path.to_owned(), what: "created", why: error.to_string() };
        let file = env.disk.create(path).map_err(failed)?;
        let header = format::header(1);
        // Written at once, so that a writer killed before its first chunk leaves a valid journal.
        file.write_all_at(&header, 0).map_err(failed)?;
        let buffer = Vec::with_capacity(CHUNK + format::MAX_RECORD);
        Ok(Self { path: path.to_owned(), file, buffer, end: header.len() as u64 })
    }

    /// Appends a record to the buffer, which is written when it holds a chunk.
    ///
    /// # Errors
    /// [`JournalError::Full`] if a field is too long or the file too large for an audit; [`JournalError::Io`].
    pub fn put(&mut self, record: &Record) -> Result<(), JournalError> {
        let full = |why: &str| JournalError::Full { path: self.path.clone(), why: why.to_owned() };
        // Marked as delivered: no customer waits for these answers.
        if format::put(std::slice::from_ref(record), true, &mut self.buffer) == 0 {
            return Err(full("a name or a server address is too long"));
        }
        if self.end + self.buffer.len() as u64 > MAX_BYTES {
            return Err(full("it would be larger than an audit reads; ask for less"));
        }
        if self.buffer.len() < CHUNK { Ok(()) } else { self.write() }
    }

    /// Writes and syncs all of it.
    ///
    /// # Errors
    /// [`JournalError::Io`].
    pub fn sync(&mut self) -> Result<(), JournalError> {
        self.write()?;
        self.file.sync().map_err(|error| self.io(&error))
    }

    fn write(&mut self) -> Result<(), JournalError> {
        self.file.write_all_at(&self.buffer, self.end).map_err(|error| self.io(&error))?;
        self.end += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    fn io(&self, error: &std::io::Error) -> JournalError {
        JournalError::Io { path: self.path.clone(), what: "written", why: error.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::journal::audit::told;
    use crate::client::journal::record::samples::{id, intent, settled};

    /// A killed writer leaves a file cut at any byte.
    #[test]
    fn a_stream_that_ends_anywhere_is_sound() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let env = Env::os();
        let mut stream = JournalStream::create(&env, &path).unwrap();
        assert_eq!(told(&*env.disk, &path).unwrap(), [], "before the first chunk");
        for number in 1..=8 {
            stream.put(&Record::Intent(intent(number))).unwrap();
            stream.put(&Record::Reply(id(number), settled())).unwrap();
        }
        stream.sync().unwrap();
        let file = env.disk.open(&path).unwrap();
        for length in (24..=file.len().unwrap()).rev() {
            file.set_len(length).unwrap();
            assert!(told(&*env.disk, &path).is_ok(), "cut at {length}");
        }
    }

    #[test]
    fn what_was_put_is_listed_and_an_older_file_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let env = Env::os();
        let mut stream = JournalStream::create(&env, &path).unwrap();
        for number in 1..=10_000 {
            stream.put(&Record::Intent(intent(number))).unwrap();
            stream.put(&Record::Reply(id(number), settled())).unwrap();
        }
        stream.sync().unwrap();
        let found = told(&*env.disk, &path).unwrap();
        assert_eq!((found.len(), found[9999].request), (10_000, id(10_000)));
        assert!(matches!(JournalStream::create(&env, &path).err(), Some(JournalError::Io { what: "created", .. })));
        assert_eq!(told(&*env.disk, &path).unwrap().len(), 10_000);
    }
}
