//! The open batch: its bytes as they grow, record after record, until they are written.
//!
//! They stand at a block's boundary in memory as well, so that the write can go past the page cache.
//! Left out: the layout (`batch.rs`), and how much room there is (`log.rs`).

use crate::model::invariant::held;
use crate::wal::format::batch::{BatchHeader, HASHED, HEADER, chain_after};
use crate::wal::format::bytes::{BLOCK_LEN, round_up};
use crate::wal::format::record;
use crate::wal::format::record::HEAD;
use crate::wal::{BATCH_VERSION, FORMAT_VERSION, MAX_BATCH, MAX_ENTRY, MAX_RECORD, NEW_KINDS_VERSION};

/// The open batch. Allocates once: its capacity is beyond the largest batch.
///
/// Invariant: but for a default one, which only holds a place, the batch's first byte stands `start` bytes into `bytes`, at a
/// block's boundary in memory; the heads of all records but the last are written.
#[derive(Default)]
pub(in crate::wal) struct OpenBatch {
    bytes: Vec<u8>,
    start: usize,
    last: Option<LastRecord>,
    /// The oldest version that says what it holds.
    version: u16,
}

/// The record at the end, which may still grow.
#[derive(Clone, Copy)]
struct LastRecord {
    /// Where its head is in the memory.
    at: usize,
    /// How many entries it has but the first.
    further: u16,
}

/// An open batch as it was, to go back to.
#[derive(Clone, Copy)]
pub(in crate::wal) struct Mark {
    len: usize,
    last: Option<LastRecord>,
    /// The oldest version that says what it holds.
    version: u16,
}

impl OpenBatch {
    /// Room for a header, no records.
    pub(in crate::wal) fn new() -> Self {
        // An entry is encoded before it is known whether it fits.
        let bytes: Vec<u8> = Vec::with_capacity(BLOCK_LEN + MAX_BATCH + 2 * MAX_RECORD);
        let start = bytes.as_ptr().align_offset(BLOCK_LEN);
        let mut batch = Self { bytes, start, last: None, version: FORMAT_VERSION };
        batch.begin();
        batch
    }

    /// Begins afresh.
    pub(in crate::wal) fn begin(&mut self) {
        self.bytes.truncate(self.start);
        self.bytes.resize(self.start.saturating_add(HEADER), 0);
        (self.last, self.version) = (None, FORMAT_VERSION);
    }

    /// How many bytes there are, header included.
    pub(in crate::wal) const fn len(&self) -> usize {
        self.bytes.len().saturating_sub(self.start)
    }

    /// The bytes.
    pub(in crate::wal) fn bytes(&self) -> &[u8] {
        held(self.bytes.get(self.start..), "a batch begins within its memory")
    }

    /// What [`OpenBatch::back_to`] goes back to.
    pub(in crate::wal) const fn mark(&self) -> Mark {
        Mark { len: self.bytes.len(), last: self.last, version: self.version }
    }

    /// Takes off the end what was appended since.
    pub(in crate::wal) fn back_to(&mut self, mark: Mark) {
        self.bytes.truncate(mark.len);
        (self.last, self.version) = (mark.last, mark.version);
    }

    /// Appends a record of the entry that `encode` writes. `false` for an empty or overlong one: then go back.
    #[inline]
    pub(in crate::wal) fn push(&mut self, encode: impl FnOnce(&mut Vec<u8>)) -> bool {
        self.close_record();
        let at = self.bytes.len();
        self.last = Some(LastRecord { at, further: 0 });
        self.bytes.extend_from_slice(&[0; HEAD]);
        encode(&mut self.bytes);
        let length = self.bytes.len().saturating_sub(at.saturating_add(HEAD));
        (1..=MAX_ENTRY).contains(&length)
    }

    /// [`OpenBatch::push`] for an entry of a kind that only [`NEW_KINDS_VERSION`] knows.
    pub(in crate::wal) fn push_new_kind(&mut self, encode: impl FnOnce(&mut Vec<u8>)) -> bool {
        self.version = self.version.max(NEW_KINDS_VERSION);
        self.push(encode)
    }

    /// Adds so many entries to the last record, of which `encode` writes what they do not share. `false` if there is none, less
    /// than a byte for each was written, or the record is too long: then go back.
    #[inline]
    pub(in crate::wal) fn join(&mut self, count: u16, encode: impl FnOnce(&mut Vec<u8>)) -> bool {
        let before = self.bytes.len();
        encode(&mut self.bytes);
        let Some(LastRecord { at, further }) = &mut self.last else { return false };
        *further = further.saturating_add(count);
        self.version = self.version.max(BATCH_VERSION);
        let added = self.bytes.len().saturating_sub(before);
        count > 0 && added >= usize::from(count) && self.bytes.len().saturating_sub(at.saturating_add(HEAD)) <= MAX_RECORD
    }

    /// Writes the last record's head.
    fn close_record(&mut self) {
        if let Some(LastRecord { at, further }) = self.last
            && let Some(bytes) = self.bytes.get_mut(at..)
        {
            record::put_head(bytes, further);
        }
    }

    /// Closes the batch: fills in the version, the payload length and both chain heads of `header`, pads, and writes the
    /// header in its place. `header.chain_before`, first LSN, count and bank time must be right.
    pub(in crate::wal) fn finish(&mut self, header: &mut BatchHeader) {
        self.close_record();
        let end = self.len();
        // The oldest that says it, so that whoever knows no other reads all the rest.
        header.format_version = self.version;
        assert!(end >= HEADER && round_up(end) <= MAX_BATCH, "a batch has its header and at most the largest length");
        header.payload_len = held(u32::try_from(end - HEADER).ok(), "a payload is at most the largest batch");
        self.bytes.resize(self.start.saturating_add(round_up(end)), 0xFF);
        let bytes = held(self.bytes.get_mut(self.start..), "a batch begins within its memory");
        // The hashed part of the header must stand before it is hashed.
        header.encode(bytes);
        header.chain_after = chain_after(header.chain_before, header.count, held(bytes.get(HASHED..end), "a batch is in its memory"));
        header.encode(bytes);
        assert!(bytes.len().is_multiple_of(BLOCK_LEN) && bytes.len() <= MAX_BATCH, "a batch is whole blocks");
        assert_eq!(bytes.as_ptr().align_offset(BLOCK_LEN), 0, "it was never moved");
    }
}
