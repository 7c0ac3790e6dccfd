//! The write-ahead log: batches of entries in preallocated segments that a manifest names. Recovery judges every byte.
//! `docs/log-format.md` describes the format byte by byte.
//!
//! [`recover`] reads and judges, [`Log`] writes; neither interprets entries. At most one batch is in flight: the next is
//! written only after the sync of the previous one has returned. Synced bytes are never rewritten.
//! Left out: the directory lock, the key file, the marker of an unfinished creation, and checkpoints (`engine/`). Of a
//! checkpoint the log knows only the log position that it refers to.
//!
//! # Example
//!
//! ```
//! use std::path::Path;
//! use std::sync::Arc;
//!
//! use bankd::env::Disk;
//! use bankd::env::sim::SimDisk;
//! use bankd::model::types::{BankTime, Lsn, StoreId};
//! use bankd::wal::{Log, Preparer, SegmentSizes, recover};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (disk, dir) = (SimDisk::new(), Path::new("/store"));
//! disk.create_dir(dir)?;
//! disk.sync_dir(Path::new("/"))?;
//!
//! let sizes = SegmentSizes { first: 64 << 10, max: 64 << 10 };
//! let mut log = Log::create(Arc::new(disk.clone()), dir, StoreId([7; 16]), sizes, 1, Preparer::Inline)?;
//! log.append(|out| out.extend_from_slice(b"first"))?;
//! log.append(|out| out.extend_from_slice(b"second"))?;
//! log.commit(BankTime(1), 0)?;
//! log.publish()?;
//! log.append(|out| out.extend_from_slice(b"never committed"))?;
//!
//! // The power fails: what was not synced may be lost.
//! drop(log);
//! disk.crash(42);
//!
//! let mut entries = Vec::new();
//! let recovered = recover(&disk, dir, &mut |batch| {
//!     entries.extend(batch.records().map(|record| record.bytes.to_vec()));
//!     Ok(())
//! })?;
//! assert_eq!(entries, [b"first".to_vec(), b"second".to_vec()]);
//! assert_eq!(recovered.end.next_lsn, Lsn(3));
//! # Ok(())
//! # }
//! ```

mod error;
mod format;
mod log_end;
mod read;
mod write;

use std::fmt;

pub use error::{WalError, is_no_space};
pub use format::batch::{Batch, BatchHeader, Incarnation, Voucher, VoucherKind};
pub use format::compressed::{compressed_name, kept_in, open_decompressed};
pub use format::record::Record;
pub use format::segment::file_name;
pub use log_end::LogEnd;
pub use read::anchor::{Anchor, Finished, Known, Replay};
pub use read::hold::Hold;
pub use read::inspect::{Inspected, Seen, Visit, Writer, inspect, survey};
pub use read::lookup::Lookup;
pub use read::mend::{Fix, Mended, Proof, find_fixes, heal_manifest, zero_behind};
pub use read::recover::{Recovered, recover};
pub use read::repair::{Diagnosis, DroppedBatch, Tail, diagnose};
pub use read::segment_scan::{SegmentScan, Stored};
pub use read::size::Extent;
pub use read::tail_check::Torn;
pub use write::committer::InFlight;
pub use write::compress::{Shrunk, compress, uncompressed};
pub use write::log::{Full, Log, exists};
pub use write::segment_pool::Preparer;
pub use write::segment_writer::{discard_unpublished, publish_copy, remove_dropped};

/// The manifest's file name.
pub const MANIFEST: &str = format::manifest::NAME;

/// Whether `name` is the file name of a segment, compressed or not.
#[must_use]
pub fn is_segment(name: &str) -> bool {
    format::compressed::sequence_of_any(name).is_some()
}

/// The version of the rules that turn entries into outcomes. Every batch header contains it.
pub const LOGIC_VERSION: u16 = 1;
/// The format version of segments, compressed or not, and of batches whose records hold one entry each.
pub const FORMAT_VERSION: u16 = 1;
/// The format version of a batch in which a record holds several entries.
pub const BATCH_VERSION: u16 = 2;
/// The format version of a batch with an entry kind that older versions lack. An older program rejects such a batch by its
/// version.
pub const NEW_KINDS_VERSION: u16 = 3;
/// The largest batch in bytes, header and padding included. A segment with less capacity lowers the limit.
pub const MAX_BATCH: usize = 1 << 20;
/// The longest entry in bytes; the shortest is 1 byte. A longer entry could contain a whole sector of zeros, which is
/// indistinguishable from a sector that was never written.
pub const MAX_ENTRY: usize = 504;
/// The longest record of several entries in bytes. After its first entry it must have a nonzero byte at least every
/// [`MAX_ENTRY`] bytes, for the same reason.
pub const MAX_RECORD: usize = 4096;

/// Segment sizes in bytes. Values are clamped to 64 KiB..=1 GiB and rounded down to whole 4 KiB blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentSizes {
    /// The size of an incarnation's first segment. Each further segment is twice as large.
    pub first: u64,
    /// The upper limit.
    pub max: u64,
}

impl SegmentSizes {
    /// The size of the segment that an incarnation creates after `made` others.
    pub(crate) fn nth(self, made: u32) -> u64 {
        let doubled = self.first.saturating_mul(2_u64.saturating_pow(made));
        let size = doubled.min(self.max).clamp(format::segment::MIN_SIZE, crate::wal::format::segment::MAX_SIZE);
        size - size % format::bytes::BLOCK
    }
}

/// A position in the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The segment's sequence number.
    pub segment: u64,
    /// The offset in the segment, in bytes.
    pub offset: u64,
}

impl Position {
    /// The name of the uncompressed segment's file.
    #[must_use]
    pub fn file(self) -> String {
        file_name(self.segment)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, offset {}", self.file(), self.offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_double_up_to_the_largest() {
        let sizes = SegmentSizes { first: 1 << 20, max: 5 << 20 };
        assert_eq!([0, 1, 2, 3, 64, u32::MAX].map(|made| sizes.nth(made) >> 20), [1, 2, 4, 5, 5, 5]);
        let odd = SegmentSizes { first: 70_000, max: 1 };
        assert_eq!(odd.nth(0), 65_536);
        assert_eq!(SegmentSizes { first: 70_000, max: 1 << 40 }.nth(0), 69_632);
        assert_eq!(SegmentSizes { first: 1 << 40, max: 1 << 40 }.nth(0), 1 << 30);
    }
}
