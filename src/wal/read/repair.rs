//! Diagnosis of a damaged log for repair: where its good part ends, and what is still readable behind it.
//!
//! Writes nothing; [`crate::wal::Log::repair`] writes the batch that makes the rest void.
//! Left out: copying the dropped bytes and listing their requests (`engine/`), and damage outside the tail: manifest,
//! segment headers and missing files. A repair never drops those.

use std::path::Path;

use crate::env::Disk;
use crate::model::bytes::Take;
use crate::model::invariant::{held, to_len, to_u64};
use crate::model::types::{Lsn, StoreId};
use crate::wal::format::batch::{BadHeader, Batch, BatchHeader, HEADER};
use crate::wal::format::bytes::{BLOCK, BLOCK_LEN, is_zero};
use crate::wal::format::manifest::Manifest;
use crate::wal::format::record;
use crate::wal::format::record::Record;
use crate::wal::log_end::LogEnd;
use crate::wal::read::anchor::{Anchor, Known, Vouched};
use crate::wal::read::reader::Reader;
use crate::wal::read::recover::{LogCursor, Recovered};
use crate::wal::read::segment_scan::SegmentScan;
use crate::wal::read::tail_check::{Torn, judge};
use crate::wal::{MAX_BATCH, Position, WalError};

/// The result of diagnosing a log.
#[derive(Debug)]
pub enum Diagnosis {
    /// The log is sound: a start accepts it, and drops the torn write, if any.
    Sound(Option<Torn>),
    /// A start refuses the log because of what is behind the last good batch.
    Damaged(Box<Tail>),
}

/// The good part of a damaged log, and the bytes behind it.
#[derive(Debug)]
pub struct Tail {
    /// The store's id.
    pub store: StoreId,
    /// Where the good part ends.
    pub end: LogEnd,
    /// The error with which a start refuses the log.
    pub why: WalError,
    /// For each segment with bytes behind the end: where they begin, and the length up to the last one written.
    pub parts: Vec<(Position, u64)>,
    /// Whether later batches are behind the end: then the damage is more than a torn write, and a repair drops valid batches.
    pub holds_batches: bool,
    manifest: Manifest,
}

/// A possible batch behind the good part.
#[derive(Debug)]
pub struct DroppedBatch<'a> {
    /// The position of its first byte.
    pub position: Position,
    /// Its header, if that is intact.
    pub header: Option<&'a BatchHeader>,
    /// Whether all of its checksums hold.
    pub is_whole: bool,
    /// Its leading records with valid checksums.
    pub records: Vec<Record<'a>>,
}

/// Reads the log from the device as a start does, after `from` or from the beginning, and passes each batch that a repair
/// would drop to `dropped`. A log that ends before an end in `known` is damaged, too, even with nothing behind its end.
/// `lost` is an error found outside the log: with it even a sound log counts as damaged. Writes nothing.
///
/// # Errors
/// [`WalError::Damaged`] if the damage is not behind a good part, or if `replay` rejects an intact batch: a repair must not
/// drop batches that were executed with a different outcome.
pub fn diagnose(
    disk: &dyn Disk,
    dir: &Path,
    (from, known): (Option<&Anchor>, &[Known]),
    lost: Option<WalError>,
    replay: &mut dyn FnMut(&Batch<'_>) -> Result<(), String>,
    dropped: &mut dyn FnMut(&DroppedBatch<'_>),
) -> Result<Diagnosis, WalError> {
    let scan = SegmentScan::read(disk, dir)?;
    let vouched = Vouched::new(&scan, from, known);
    let mut reader = Reader::new(disk, dir);
    let begin = scan.begin(&mut reader, from)?;
    let mut cursor = LogCursor::new(&scan, reader, begin);
    let stop = loop {
        if let Some(stop) = cursor.step(replay)? {
            break stop;
        }
        vouched.check_passed(&cursor)?;
    };
    let LogCursor { mut reader, end, repairs, .. } = cursor;
    let judged = judge(&mut reader, &scan, &end, &stop);
    let why = match judged.and_then(|tail| vouched.check_reached(&end, &repairs).map(|()| tail)) {
        Ok(tail) => match lost {
            Some(why) if end.batch_number > 0 => why,
            _ => return Ok(Diagnosis::Sound(tail.torn)),
        },
        Err(why @ WalError::Damaged { .. }) if end.batch_number > 0 => why,
        Err(other) => return Err(other),
    };
    let mut tail = Tail { store: scan.manifest.store, end, why, parts: Vec::new(), holds_batches: false, manifest: scan.manifest };
    let mut at = end.position;
    while let Some(size) = scan.size(at.segment) {
        tail.look(&mut reader, at, size, dropped)?;
        at = Position { segment: at.segment.saturating_add(1), offset: BLOCK };
    }
    Ok(Diagnosis::Damaged(Box::new(tail)))
}

impl Tail {
    /// The good part, as recovery would return it without the rest.
    pub(in crate::wal) fn good_part(&self) -> Recovered {
        Recovered {
            store: self.store,
            end: self.end,
            torn: None,
            has_damaged_slot: false,
            batches: 0,
            entries: 0,
            bytes: 0,
            manifest: self.manifest,
            // In a damaged log a segment that looks untouched may have been in use.
            spares: Vec::new(),
        }
    }

    /// Scans one segment from `at` on.
    fn look(
        &mut self,
        reader: &mut Reader<'_>,
        at: Position,
        size: u64,
        dropped: &mut dyn FnMut(&DroppedBatch<'_>),
    ) -> Result<(), WalError> {
        let mut written_to = at.offset;
        let mut offset = at.offset;
        while offset < size {
            let window = reader.window(at.segment, size, offset, MAX_BATCH)?;
            let block = window.get(..BLOCK_LEN).ok_or(WalError::Misuse("to read less than a block"))?;
            if is_zero(block) {
                offset = offset.saturating_add(BLOCK);
                continue;
            }
            let decoded = BatchHeader::decode(block);
            let header = decoded.as_ref().ok();
            let is_whole = header.is_some_and(|header| header.check_body(window).is_ok());
            let is_of_store = header.is_some_and(|header| header.store == self.store);
            // An intact header right at the end may belong to the one batch that was in flight.
            let is_under_way = offset == at.offset && header.is_some_and(|header| header.number <= self.end.batch_number.saturating_add(1));
            self.holds_batches |= (is_of_store && (is_whole || !is_under_way)) || matches!(decoded, Err(BadHeader::LogicVersion(_)));
            let payload_len = header.map_or(MAX_BATCH, |header| to_len(u64::from(header.payload_len)));
            let payload = held(window.get(HEADER..), "a block is longer than a header");
            let first = header.map_or(Lsn(0), |header| header.first_lsn);
            let records = readable(payload.get(..payload_len).unwrap_or(payload), first);
            if header.is_some() || !records.is_empty() {
                dropped(&DroppedBatch { position: Position { offset, ..at }, header, is_whole, records });
            }
            let length = header.filter(|_| is_whole).map_or(BLOCK, |header| to_u64(header.extent()));
            offset = offset.saturating_add(length);
            written_to = offset;
        }
        if written_to > at.offset {
            self.parts.push((at, written_to.min(size).saturating_sub(at.offset)));
        }
        Ok(())
    }
}

/// The leading valid records of a possible payload.
fn readable(payload: &[u8], mut first: Lsn) -> Vec<Record<'_>> {
    let mut rest = Take(payload);
    let mut records = Vec::new();
    while let Ok(record) = record::take(&mut rest, first) {
        first = Lsn(first.0.saturating_add(u64::from(record.count)));
        records.push(record);
    }
    records
}
