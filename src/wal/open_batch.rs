//! The open batch: its bytes as they grow, record after record, until they are written.
//!
//! They stand at a block's boundary in memory as well, so that the write can go past the page cache.
//! Left out: the layout (`batch.rs`), and how much room there is (`log.rs`).

use super::batch::{BatchHeader, HASHED, HEADER, RECORD, chain_after};
use super::bytes::{BLOCK_LEN, Put, round_up};
use super::{MAX_BATCH, MAX_ENTRY};

/// The open batch. Allocates once: its capacity is beyond the largest batch.
///
/// Invariant: but for a default one, which only holds a place, the batch's first byte stands `start` bytes into `bytes`, at a
/// block's boundary in memory.
#[derive(Default)]
pub(super) struct OpenBatch {
    bytes: Vec<u8>,
    start: usize,
}

impl OpenBatch {
    /// Room for a header, no records.
    pub(super) fn new() -> Self {
        // An entry is encoded before it is known whether it fits.
        let bytes: Vec<u8> = Vec::with_capacity(BLOCK_LEN + MAX_BATCH + 2 * MAX_ENTRY);
        let start = bytes.as_ptr().align_offset(BLOCK_LEN);
        let mut batch = Self { bytes, start };
        batch.begin();
        batch
    }

    /// Begins afresh.
    pub(super) fn begin(&mut self) {
        self.bytes.truncate(self.start);
        self.bytes.resize(self.start.saturating_add(HEADER), 0);
    }

    /// How many bytes there are, header included.
    pub(super) const fn len(&self) -> usize {
        self.bytes.len().saturating_sub(self.start)
    }

    /// The bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }

    /// Appends one record around what `encode` writes. On an empty or overlong entry nothing has changed, and this is
    /// `false`.
    pub(super) fn push(&mut self, encode: impl FnOnce(&mut Vec<u8>)) -> bool {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; RECORD]);
        encode(&mut self.bytes);
        let fits = match self.bytes.get_mut(start..).and_then(|record| record.split_first_chunk_mut::<RECORD>()) {
            Some((head, entry)) if !entry.is_empty() && entry.len() <= MAX_ENTRY => {
                let mut put = Put(head);
                put.u32(u32::try_from(entry.len()).unwrap_or(u32::MAX));
                put.u32(crc32fast::hash(entry));
                true
            }
            _ => false,
        };
        if !fits {
            self.bytes.truncate(start);
        }
        fits
    }

    /// Takes records off the end: back to a [`OpenBatch::len`] of before.
    pub(super) fn truncate(&mut self, len: usize) {
        self.bytes.truncate(self.start.saturating_add(len));
    }

    /// Closes the batch: fills in the payload length and both chain heads of `header`, pads, and writes the header in its
    /// place. `header.chain_before`, first LSN, count and bank time must be right.
    pub(super) fn finish(&mut self, header: &mut BatchHeader) {
        let end = self.len();
        header.payload_len = u32::try_from(end.saturating_sub(HEADER)).unwrap_or(u32::MAX);
        self.bytes.resize(self.start.saturating_add(round_up(end)), 0xFF);
        let bytes = self.bytes.get_mut(self.start..).unwrap_or_default();
        // The hashed part of the header must stand before it is hashed.
        header.encode(bytes);
        header.chain_after = chain_after(header.chain_before, header.count, bytes.get(HASHED..end).unwrap_or_default());
        header.encode(bytes);
        debug_assert!(bytes.len().is_multiple_of(BLOCK_LEN) && bytes.len() <= MAX_BATCH);
        debug_assert_eq!(bytes.as_ptr().align_offset(BLOCK_LEN), 0, "it was never moved");
    }
}
