//! The write-ahead log: batches of entries in zero-written segments, named by a manifest, read back with a verdict on
//! every byte. Described byte by byte in `docs/log-format.md`.
//!
//! [`recover`] reads and judges, [`Log`] writes; neither knows what an entry says. One batch is in flight at a time:
//! the next is not written before the sync of the last returned, and what was synced is never written again.
//! Left out: the lock on the directory, the key file, the marker of an unfinished creation, checkpoints (`engine/`): of
//! those it knows only the places in the log that they vouch for.
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
mod read;
mod write;

use std::fmt;

pub use error::{WalError, is_no_space};
pub use format::batch::{Batch, BatchHeader, Incarnation, Voucher, VoucherKind};
pub use format::compressed::{compressed_name, kept_in, open_unpacked};
pub use format::record::Record;
pub use format::segment::file_name;
pub use read::anchor::{Anchor, Finished, Known, Replay};
pub use read::hold::Hold;
pub use read::inspect::{Inspected, Seen, Visit, Writer, inspect, survey};
pub use read::mend::{Fix, Mended, Proof, find_fixes, heal_manifest, zero_behind};
pub use read::recover::{LogEnd, Recovered, recover};
pub use read::repair::{Diagnosis, DroppedBatch, Tail, diagnose};
pub use read::segment_scan::{SegmentScan, Stored};
pub use read::size::Extent;
pub use read::tail_check::Torn;
pub use write::committer::InFlight;
pub use write::compress::{Shrunk, pack, unpacked};
pub use write::log::{Full, Log, exists};
pub use write::segment_pool::Preparer;
pub use write::segment_writer::{discard_unpublished, publish_copy, remove_dropped};

/// The manifest's file name.
pub const MANIFEST: &str = format::manifest::NAME;

/// Whether a file's name is a segment's, packed or not.
#[must_use]
pub fn is_segment(name: &str) -> bool {
    format::compressed::sequence_of_any(name).is_some()
}

/// The version of the rules that turn entries into outcomes; it stands in every batch header.
pub const LOGIC_VERSION: u16 = 1;
/// The version of the layouts of segment and manifest, and of a batch whose records hold one entry each.
pub const FORMAT_VERSION: u16 = 1;
/// The version of the layout of a batch in which a record holds several entries.
pub const BATCH_VERSION: u16 = 2;
/// The version of a batch with an entry of a kind that the versions before do not know: a program that knows no other
/// refuses the batch by its version.
pub const NEW_KINDS_VERSION: u16 = 3;
/// The largest batch in bytes, header and padding included; less where an empty segment holds less.
pub const MAX_BATCH: usize = 1 << 20;
/// The longest entry in bytes; the shortest is one. Longer ones could hold a whole sector of zeros, which would look
/// like a sector that was never written.
pub const MAX_ENTRY: usize = 504;
/// The longest record of several entries in bytes. Each must have, after the first, a byte that is not zero at least every
/// [`MAX_ENTRY`] bytes, for the same reason.
pub const MAX_RECORD: usize = 4096;

/// How large segments are made, in bytes. Values are rounded down to whole blocks of 4 KiB and kept between 64 KiB
/// and 1 GiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentSizes {
    /// The first that an incarnation makes; each next one is twice as large.
    pub first: u64,
    /// What they grow to.
    pub max: u64,
}

impl SegmentSizes {
    /// The size of the segment that an incarnation makes after `made` others.
    pub(crate) fn nth(self, made: u32) -> u64 {
        let doubled = self.first.saturating_mul(2_u64.saturating_pow(made));
        let size = doubled.min(self.max).clamp(format::segment::MIN_SIZE, crate::wal::format::segment::MAX_SIZE);
        size - size % format::bytes::BLOCK
    }
}

/// A place in the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The segment's sequence number.
    pub segment: u64,
    /// The offset in its file, in bytes.
    pub offset: u64,
}

impl Position {
    /// The name of the file that it is in.
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
