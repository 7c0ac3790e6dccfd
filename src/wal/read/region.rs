//! What was written to a part of a segment: its first sector of zeros, its last written sector, its first batch header.
//!
//! Left out: what that means (`tail_check.rs`, `segment_scan.rs`).

use crate::model::invariant::to_u64;
use crate::wal::format::batch::BatchHeader;
use crate::wal::format::bytes::{BLOCK_LEN, SECTOR, is_zero};
use crate::wal::read::continuity::is_whole;
use crate::wal::read::reader::Reader;
use crate::wal::{MAX_BATCH, Position, WalError};

/// What was written to a part of a segment. Offsets are relative to the file.
#[derive(Debug, Default)]
pub(in crate::wal) struct Region {
    /// The first sector of zeros.
    pub(in crate::wal) first_zero: Option<u64>,
    /// The last sector that is not zero.
    pub(in crate::wal) last_written: Option<u64>,
    /// The first block that begins with an intact batch header, and the batch's number if its version is supported.
    pub(in crate::wal) first_batch: Option<(u64, Option<u64>)>,
}

/// Scans a segment of `size` bytes from `from` on. A header at `from` itself is reported only if no other follows.
pub(in crate::wal) fn find_region(reader: &mut Reader<'_>, from: Position, size: u64) -> Result<Region, WalError> {
    let mut region = Region::default();
    let mut offset = from.offset;
    while offset < size {
        let window = reader.window(from.segment, size, offset, MAX_BATCH)?;
        for (block, at) in window.chunks(BLOCK_LEN).zip((offset..).step_by(BLOCK_LEN)) {
            if is_zero(block) {
                region.first_zero.get_or_insert(at);
                continue;
            }
            for (sector, at) in block.chunks(SECTOR).zip((at..).step_by(SECTOR)) {
                if is_zero(sector) {
                    region.first_zero.get_or_insert(at);
                } else {
                    region.last_written = Some(at);
                }
            }
            let found = match BatchHeader::decode(block) {
                Ok(header) => Some(Some(header.number)),
                Err(bad) => is_whole(bad).then_some(None),
            };
            if let Some(number) = found
                && region.first_batch.is_none_or(|(first, _)| first == from.offset)
            {
                region.first_batch = Some((at, number));
            }
        }
        offset = offset.saturating_add(to_u64(window.len()));
    }
    Ok(region)
}
