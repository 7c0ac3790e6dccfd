//! The open batch: a buffer of records that grows until it is committed.
//!
//! The batch is block-aligned in memory, as direct I/O requires.
//! Left out: the layout (`batch.rs`), and the capacity checks (`log.rs`).

use crate::model::invariant::held;
use crate::wal::format::batch::{BatchHeader, HASHED, HEADER, chain_after};
use crate::wal::format::bytes::{BLOCK_LEN, round_up};
use crate::wal::format::record;
use crate::wal::format::record::HEAD;
use crate::wal::{BATCH_VERSION, FORMAT_VERSION, MAX_BATCH, MAX_ENTRY, MAX_RECORD, NEW_KINDS_VERSION};

/// The open batch. Allocates once: its capacity exceeds the largest batch.
///
/// Invariants, except for a default value, which is only a placeholder: the batch begins `start` bytes into `bytes`, at a
/// block boundary in memory; the heads of all records but the last are written.
#[derive(Default)]
pub(in crate::wal) struct OpenBatch {
    bytes: Vec<u8>,
    start: usize,
    last: Option<LastRecord>,
    /// The oldest format version that can represent its contents.
    version: u16,
}

/// The last record, which may still grow.
#[derive(Clone, Copy)]
struct LastRecord {
    /// The index of its head in `bytes`.
    at: usize,
    /// The number of its entries minus one.
    further: u16,
}

/// A saved state of the open batch, for [`OpenBatch::back_to`].
#[derive(Clone, Copy)]
pub(in crate::wal) struct Mark {
    len: usize,
    last: Option<LastRecord>,
    /// The oldest format version that can represent its contents.
    version: u16,
}

impl OpenBatch {
    /// An empty batch: space for the header, no records.
    pub(in crate::wal) fn new() -> Self {
        // Room beyond the largest batch: an entry is encoded before it is known whether it fits.
        let bytes: Vec<u8> = Vec::with_capacity(BLOCK_LEN + MAX_BATCH + 2 * MAX_RECORD);
        let start = bytes.as_ptr().align_offset(BLOCK_LEN);
        let mut batch = Self { bytes, start, last: None, version: FORMAT_VERSION };
        batch.begin();
        batch
    }

    /// Clears the batch.
    pub(in crate::wal) fn begin(&mut self) {
        self.bytes.truncate(self.start);
        self.bytes.resize(self.start.saturating_add(HEADER), 0);
        (self.last, self.version) = (None, FORMAT_VERSION);
    }

    /// The length in bytes, header included.
    pub(in crate::wal) const fn len(&self) -> usize {
        self.bytes.len().saturating_sub(self.start)
    }

    /// The encoded batch.
    pub(in crate::wal) fn bytes(&self) -> &[u8] {
        held(self.bytes.get(self.start..), "a batch begins within its memory")
    }

    /// Saves the state for [`OpenBatch::back_to`].
    pub(in crate::wal) const fn mark(&self) -> Mark {
        Mark { len: self.bytes.len(), last: self.last, version: self.version }
    }

    /// Removes everything appended since `mark`.
    pub(in crate::wal) fn back_to(&mut self, mark: Mark) {
        self.bytes.truncate(mark.len);
        (self.last, self.version) = (mark.last, mark.version);
    }

    /// Appends a record of the entry that `encode` writes. Returns false for an empty or overlong entry: then call
    /// [`OpenBatch::back_to`].
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

    /// Adds `count` entries to the last record; `encode` writes the bytes that they do not share. Returns false if there is no
    /// record, if `encode` wrote less than one byte an entry, or if the record is too long: then call [`OpenBatch::back_to`].
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

    /// Writes the head of the last record.
    fn close_record(&mut self) {
        if let Some(LastRecord { at, further }) = self.last
            && let Some(bytes) = self.bytes.get_mut(at..)
        {
            record::put_head(bytes, further);
        }
    }

    /// Completes the batch: sets the format version, the payload length and `chain_after` of `header`, pads, and writes the
    /// header. `header.chain_before`, first LSN, count and bank time must be set.
    pub(in crate::wal) fn finish(&mut self, header: &mut BatchHeader) {
        self.close_record();
        let end = self.len();
        // The oldest version possible, so that older programs can read as many batches as possible.
        header.format_version = self.version;
        assert!(end >= HEADER && round_up(end) <= MAX_BATCH, "a batch has its header and at most the largest length");
        header.payload_len = held(u32::try_from(end - HEADER).ok(), "a payload is at most the largest batch");
        self.bytes.resize(self.start.saturating_add(round_up(end)), 0xFF);
        let bytes = held(self.bytes.get_mut(self.start..), "a batch begins within its memory");
        // The hash covers part of the header, so encode it before hashing, and again with the hash.
        header.encode(bytes);
        header.chain_after = chain_after(header.chain_before, header.count, held(bytes.get(HASHED..end), "a batch is in its memory"));
        header.encode(bytes);
        assert!(bytes.len().is_multiple_of(BLOCK_LEN) && bytes.len() <= MAX_BATCH, "a batch is whole blocks");
        assert_eq!(bytes.as_ptr().align_offset(BLOCK_LEN), 0, "it was never moved");
    }
}
