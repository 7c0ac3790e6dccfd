//! What a repair needs to know of a damaged log: where its good part ends, and what can still be read behind it.
//!
//! Nothing is written here; [`crate::wal::Log::repair`] writes the batch that makes the rest void.
//! Left out: copying what is dropped and naming its requests (`engine/`), and damage that is not behind the good part:
//! manifest, segment headers and missing files are not a tail, and no repair drops them.

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
use crate::wal::read::anchor::{Anchor, Known, Vouched};
use crate::wal::read::reader::Reader;
use crate::wal::read::recover::{LogCursor, LogEnd, Recovered};
use crate::wal::read::segment_scan::SegmentScan;
use crate::wal::read::tail_check::{Torn, judge};
use crate::wal::{MAX_BATCH, Position, WalError};

/// What became of reading a log that may be damaged.
#[derive(Debug)]
pub enum Diagnosis {
    /// It is sound, and a start takes it as it is. It drops by itself what a crash left half-written.
    Sound(Option<Torn>),
    /// Something behind the last good batch makes a start refuse.
    Damaged(Box<Tail>),
}

/// A good part of a log, and what stands behind it.
#[derive(Debug)]
pub struct Tail {
    /// The store.
    pub store: StoreId,
    /// Where the good part ends.
    pub end: LogEnd,
    /// Why a start refuses.
    pub why: WalError,
    /// Where something was written behind the end, and how many bytes from there to the last that was written.
    pub parts: Vec<(Position, u64)>,
    /// Whether later batches stand there: then more than a tail was damaged, and what is dropped was once good.
    pub holds_batches: bool,
    manifest: Manifest,
}

/// Something behind the good part that looks like a batch.
#[derive(Debug)]
pub struct DroppedBatch<'a> {
    /// Where it stands.
    pub position: Position,
    /// Its header, if that is whole.
    pub header: Option<&'a BatchHeader>,
    /// Whether everything in it checks.
    pub is_whole: bool,
    /// Its first records, as far as their checksums hold.
    pub records: Vec<Record<'a>>,
}

/// Reads the log from the device as a start does, after `from` or from the beginning, and tells what a repair would drop,
/// batch by batch. A log that does not come as far as is `known` is damaged, too, though nothing stands behind its end.
/// `lost` says why something is missing that cannot be seen here: then even a sound log is one to be repaired. Writes
/// nothing.
///
/// # Errors
/// [`WalError::Damaged`] where the damage is not behind a good part, or where `replay` refuses a batch that is
/// whole: what was executed otherwise than it would be now is not for a repair to drop.
pub fn diagnose(
    disk: &dyn Disk,
    dir: &Path,
    (from, known): (Option<&Anchor>, &[Known]),
    lost: Option<WalError>,
    replay: &mut dyn FnMut(&Batch<'_>) -> Result<(), String>,
    dropped: &mut dyn FnMut(&DroppedBatch<'_>),
) -> Result<Diagnosis, WalError> {
    let survey = SegmentScan::read(disk, dir)?;
    let vouched = Vouched::new(&survey, from, known);
    let mut reader = Reader::new(disk, dir);
    let begin = survey.begin(&mut reader, from)?;
    let mut walk = LogCursor::new(&survey, reader, begin);
    let stop = loop {
        if let Some(stop) = walk.step(replay)? {
            break stop;
        }
        vouched.check_passed(&walk)?;
    };
    let LogCursor { mut reader, end, repairs, .. } = walk;
    let judged = judge(&mut reader, &survey, &end, &stop);
    let why = match judged.and_then(|tail| vouched.check_reached(&end, &repairs).map(|()| tail)) {
        Ok(tail) => match lost {
            Some(why) if end.batch_number > 0 => why,
            _ => return Ok(Diagnosis::Sound(tail.torn)),
        },
        Err(why @ WalError::Damaged { .. }) if end.batch_number > 0 => why,
        Err(other) => return Err(other),
    };
    let mut tail = Tail { store: survey.manifest.store, end, why, parts: Vec::new(), holds_batches: false, manifest: survey.manifest };
    let mut at = end.position;
    while let Some(size) = survey.size(at.segment) {
        tail.look(&mut reader, at, size, dropped)?;
        at = Position { segment: at.segment.saturating_add(1), offset: BLOCK };
    }
    Ok(Diagnosis::Damaged(Box::new(tail)))
}

impl Tail {
    /// The good part, as recovery would have found it without the rest.
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
            // An untouched segment may be no such thing in a damaged log.
            spares: Vec::new(),
        }
    }

    /// Looks through one segment from `at` on.
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
            // A whole header right at the end may belong to the one batch that was under way.
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

/// The records at the front of what may be a payload, as far as lengths and checksums hold.
fn readable(payload: &[u8], mut first: Lsn) -> Vec<Record<'_>> {
    let mut rest = Take(payload);
    let mut records = Vec::new();
    while let Ok(record) = record::take(&mut rest, first) {
        first = Lsn(first.0.saturating_add(u64::from(record.count)));
        records.push(record);
    }
    records
}
