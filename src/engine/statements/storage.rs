//! One file of the bank's disk as the storage of a redb database.
//!
//! The index is derived, so nothing here syncs: a file that a power cut has left incomplete is found by its checksum.
//! Left out: what the database holds (`part.rs`).

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use redb::StorageBackend;

use crate::env::File;
use crate::model::invariant::to_u64;

/// A file, and its length.
pub(super) struct FileStorage {
    file: Box<dyn File>,
    length: AtomicU64,
}

impl FileStorage {
    pub(super) fn new(file: Box<dyn File>) -> io::Result<Self> {
        let length = AtomicU64::new(file.len()?);
        Ok(Self { file, length })
    }
}

impl fmt::Debug for FileStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FileStorage")
    }
}

impl StorageBackend for FileStorage {
    fn len(&self) -> io::Result<u64> {
        Ok(self.length.load(Ordering::Relaxed))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(out, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)?;
        self.length.store(len, Ordering::Relaxed);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file.write_all_at(data, offset)?;
        self.length.fetch_max(offset.saturating_add(to_u64(data.len())), Ordering::Relaxed);
        Ok(())
    }
}
