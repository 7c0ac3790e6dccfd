//! Reads segments through one reused buffer, in large reads.
//!
//! Left out: the meaning of the bytes.

use std::path::Path;

use crate::env::Disk;
use crate::model::invariant::to_len;
use crate::wal::WalError;
use crate::wal::format::compressed::{Opened, open_segment};

/// The bytes per read. At least the largest batch, so that the buffer holds any batch whole.
const CHUNK: usize = 2 << 20;

/// A cursor over segments. One file is open at a time.
pub(in crate::wal) struct Reader<'a> {
    disk: &'a dyn Disk,
    dir: &'a Path,
    open: Option<(u64, Opened)>,
    buffer: Vec<u8>,
    /// The bytes per read: more only for a longer window.
    chunk: usize,
    /// The offset in the open file and the length of the buffered part.
    start: u64,
    filled: usize,
}

impl<'a> Reader<'a> {
    pub(in crate::wal) fn new(disk: &'a dyn Disk, dir: &'a Path) -> Self {
        Self::by(CHUNK, disk, dir)
    }

    /// A cursor that reads `chunk` bytes at a time, for single batches.
    pub(in crate::wal) fn by(chunk: usize, disk: &'a dyn Disk, dir: &'a Path) -> Self {
        Self { disk, dir, open: None, buffer: Vec::new(), chunk, start: 0, filled: 0 }
    }

    /// The `length` bytes at `offset` of a segment of `size` bytes, or fewer at its end. `length` is at most the largest batch.
    pub(in crate::wal) fn window(&mut self, sequence: u64, size: u64, offset: u64, length: usize) -> Result<&[u8], WalError> {
        let length = length.min(to_len(size.saturating_sub(offset)));
        assert!(length <= CHUNK, "a window is at most the largest batch");
        let is_open = self.open.as_ref().is_some_and(|(open, _)| *open == sequence);
        let held = offset.checked_sub(self.start).map(to_len).filter(|at| at.saturating_add(length) <= self.filled);
        let at = match held {
            Some(at) if is_open => at,
            _ => {
                self.fill(sequence, size, offset, length)?;
                0
            }
        };
        self.buffer.get(at..at.saturating_add(length)).ok_or(WalError::Misuse("to read what was not filled"))
    }

    /// The uncompressed size of a segment in bytes, by its file.
    pub(in crate::wal) fn size(&mut self, sequence: u64) -> Result<u64, WalError> {
        self.open(sequence)?;
        match &self.open {
            Some((_, Opened { name, file, .. })) => file.len().map_err(WalError::io("measure", name.as_str())),
            None => Err(WalError::Misuse("to measure a segment that is not open")),
        }
    }

    fn open(&mut self, sequence: u64) -> Result<(), WalError> {
        if self.open.as_ref().is_none_or(|(open, _)| *open != sequence) {
            self.filled = 0;
            self.open = Some((sequence, open_segment(self.disk, self.dir, sequence)?));
        }
        Ok(())
    }

    fn fill(&mut self, sequence: u64, size: u64, offset: u64, length: usize) -> Result<(), WalError> {
        if offset > size {
            return Err(WalError::Misuse("to read behind a segment's end"));
        }
        // The buffer is empty until the read has succeeded.
        self.filled = 0;
        self.open(sequence)?;
        let filled = self.chunk.max(length).min(to_len(size.saturating_sub(offset)));
        if self.buffer.len() < filled {
            self.buffer.resize(filled, 0);
        }
        if let (Some((_, Opened { name, file, .. })), Some(target)) = (&self.open, self.buffer.get_mut(..filled)) {
            file.read_exact_at(target, offset).map_err(|source| WalError::read(name, offset, source))?;
        }
        (self.start, self.filled) = (offset, filled);
        Ok(())
    }
}
