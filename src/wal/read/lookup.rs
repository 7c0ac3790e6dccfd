//! Reads single batches by their positions, for a reader with an index of its own.
//!
//! Each batch that is returned is verified by itself: header, records, chain, padding, and the store's id. Whether it continues
//! the log before it was verified when the index was made.
//! Left out: the index (`engine/statements/`), and reading in order (`recover.rs`).

use std::path::Path;

use crate::env::Disk;
use crate::model::types::{Lsn, StoreId};
use crate::wal::format::batch::{Batch, BatchHeader};
use crate::wal::format::bytes::BLOCK_LEN;
use crate::wal::read::continuity::describe;
use crate::wal::read::reader::Reader;
use crate::wal::{Position, WalError, file_name};

/// The bytes per read: as many as an index leaves between two positions.
const CHUNK: usize = 64 << 10;

/// A reader of single batches. Keeps the last segment open, and its last bytes.
pub struct Lookup<'a> {
    store: StoreId,
    reader: Reader<'a>,
    /// The last batch that was returned, and its position.
    last: Option<(Position, BatchHeader)>,
}

impl<'a> Lookup<'a> {
    /// A reader of the log in `dir`. Changes nothing.
    #[must_use]
    pub fn new(disk: &'a dyn Disk, dir: &'a Path, store: StoreId) -> Self {
        Self { store, reader: Reader::by(CHUNK, disk, dir), last: None }
    }

    /// The batch that holds entry `lsn`; `near` is the position of that batch or of one before it in the same segment.
    ///
    /// # Errors
    /// [`WalError::Damaged`] if there is no such batch behind `near`; [`WalError::Io`].
    pub fn batch(&mut self, near: Position, lsn: Lsn) -> Result<Batch<'_>, WalError> {
        let holds = |header: &BatchHeader| lsn >= header.first_lsn && lsn.0 - header.first_lsn.0 < u64::from(header.count);
        let size = self.reader.size(near.segment)?;
        let (at, header) = match self.last.take().filter(|(at, header)| at.segment == near.segment && holds(header)) {
            Some(last) => last,
            None => {
                let mut at = near;
                loop {
                    let header = self.header(at, size)?;
                    if holds(&header) {
                        let bytes = self.reader.window(at.segment, size, at.offset, header.extent())?;
                        header.check_body(bytes).map_err(|what| damaged(at, what))?;
                        break (at, header);
                    }
                    if header.first_lsn > lsn {
                        return Err(damaged(at, format!("entry {lsn} is not in this batch or one before it")));
                    }
                    at.offset = at.offset.saturating_add(header.bytes());
                }
            }
        };
        let bytes = self.reader.window(at.segment, size, at.offset, header.extent())?;
        let (_, header) = self.last.insert((at, header));
        Ok(Batch::new(header, at, bytes))
    }

    fn header(&mut self, at: Position, size: u64) -> Result<BatchHeader, WalError> {
        let block = self.reader.window(at.segment, size, at.offset, BLOCK_LEN)?;
        let header = BatchHeader::decode(block).map_err(|bad| damaged(at, describe(bad)))?;
        if header.store == self.store { Ok(header) } else { Err(damaged(at, "a batch of another store".to_owned())) }
    }
}

fn damaged(at: Position, what: String) -> WalError {
    WalError::Damaged { file: file_name(at.segment), offset: at.offset, last_good: None, what }
}
