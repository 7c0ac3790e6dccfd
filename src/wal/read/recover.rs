//! Recovery: reads the log batch by batch, checks each batch against the log before it, and replays it.
//!
//! Writes nothing. Where the good batches stop, `tail_check.rs` decides between end of the log, torn write and damage.
//! Left out: starting at a checkpoint (`anchor.rs`).

use std::path::Path;

use crate::env::Disk;
use crate::model::invariant::to_u64;
use crate::model::types::{Lsn, StoreId};
use crate::wal::format::batch::{Batch, BatchHeader, VoucherKind};
use crate::wal::format::bytes::{BLOCK, BLOCK_LEN, is_zero};
use crate::wal::format::manifest::Manifest;
use crate::wal::log_end::LogEnd;
use crate::wal::read::continuity::unsupported;
use crate::wal::read::continuity::{Continuation, damaged, describe, misfit};
use crate::wal::read::reader::Reader;
use crate::wal::read::segment_scan::SegmentScan;
use crate::wal::read::tail_check::{Stop, Torn};
use crate::wal::{MAX_BATCH, Position, WalError};

/// A log that was read to its end and is sound.
#[derive(Debug)]
pub struct Recovered {
    /// The store's id.
    pub store: StoreId,
    /// The end of the log.
    pub end: LogEnd,
    /// The torn write behind the end, if any. To be reported to the operator.
    pub torn: Option<Torn>,
    /// One of the manifest's two slots is damaged; the other one was used. To be reported to the operator.
    pub has_damaged_slot: bool,
    /// The number of replayed batches: those after the checkpoint, if there was one.
    pub batches: u64,
    /// The number of their entries.
    pub entries: u64,
    /// The bytes of these batches, headers and padding included.
    pub bytes: u64,
    /// The manifest, for the next incarnation.
    pub(in crate::wal) manifest: Manifest,
    /// Untouched segments behind the end: sequence number and size.
    pub(in crate::wal) spares: Vec<(u64, u64)>,
}

/// Reads the whole log, from the device and not from the page cache, and calls `replay` for each batch in order. An error of
/// `replay` counts as damage at that batch. Writes nothing.
///
/// # Errors
/// [`WalError::NoStore`] if there is neither manifest nor segment, [`WalError::Damaged`] for anything that no crash can
/// explain, [`WalError::Unsupported`] for other versions, [`WalError::Io`] for failed system calls.
pub fn recover(disk: &dyn Disk, dir: &Path, replay: &mut dyn FnMut(&Batch<'_>) -> Result<(), String>) -> Result<Recovered, WalError> {
    SegmentScan::read(disk, dir)?.recover(disk, dir, None, &[], replay)
}

/// A cursor that reads the log batch by batch.
pub(in crate::wal) struct LogCursor<'a> {
    scan: &'a SegmentScan,
    pub(in crate::wal) reader: Reader<'a>,
    /// The end of the log read so far.
    pub(in crate::wal) end: LogEnd,
    /// The position of the last batch before `end`.
    pub(in crate::wal) last_batch: Position,
    /// The batches, entries and bytes read.
    pub(in crate::wal) batches: u64,
    pub(in crate::wal) entries: u64,
    pub(in crate::wal) bytes: u64,
    /// The segments of the repairs among the batches read.
    pub(in crate::wal) repairs: Vec<u64>,
}

impl<'a> LogCursor<'a> {
    /// A cursor at `end`, which is known to be good.
    pub(in crate::wal) fn new(scan: &'a SegmentScan, reader: Reader<'a>, end: LogEnd) -> Self {
        Self { scan, reader, end, last_batch: end.position, batches: 0, entries: 0, bytes: 0, repairs: Vec::new() }
    }

    /// Reads the next batch. Returns a [`Stop`] if there is no good one.
    pub(in crate::wal) fn step(&mut self, replay: &mut dyn FnMut(&Batch<'_>) -> Result<(), String>) -> Result<Option<Stop>, WalError> {
        let (at, header) = match self.vouching_start()? {
            Some(start) => start,
            None => match self.next_in_order()? {
                Ok(next) => next,
                Err(stop) => return Ok(Some(stop)),
            },
        };
        let size = self.size(at.segment)?;
        let bytes = self.reader.window(at.segment, size, at.offset, header.extent())?;
        let batch = Batch::new(&header, at, bytes);
        replay(&batch).map_err(|what| damaged(at, &self.end, what))?;
        if header.voucher.is_some_and(|voucher| voucher.kind == VoucherKind::Repair) {
            self.repairs.push(at.segment);
        }
        self.last_batch = at;
        self.batches = self.batches.saturating_add(1);
        self.entries = self.entries.saturating_add(u64::from(header.count));
        self.bytes = self.bytes.saturating_add(to_u64(header.extent()));
        self.end = LogEnd {
            position: Position { segment: at.segment, offset: at.offset.saturating_add(to_u64(header.extent())) },
            batch_number: header.number,
            chain: header.chain_after,
            next_lsn: Lsn(header.first_lsn.0.saturating_add(u64::from(header.count))),
            bank_time: header.bank_time,
            incarnation: header.incarnation,
        };
        Ok(None)
    }

    /// The verified first batch of a later incarnation whose voucher names exactly this end. Bytes in between are void even if
    /// they look sound: that incarnation did not see them, and acknowledged requests without them.
    fn vouching_start(&mut self) -> Result<Option<(Position, BatchHeader)>, WalError> {
        let scan = self.scan;
        let mut chosen = None;
        for (voucher, segment) in scan.starts_from(self.end.position) {
            if *segment <= self.end.position.segment {
                continue;
            }
            let at = Position { segment: *segment, offset: BLOCK };
            // A start continues another start's sound batch; only a repair may drop it.
            if (chosen.is_none() || voucher.kind == VoucherKind::Repair)
                && let Ok(header) = self.verify(at, Continuation::Start)?
            {
                chosen = Some((at, header));
            }
        }
        Ok(chosen)
    }

    /// The next batch of this incarnation: directly behind the last one, or first in the next segment if the rest of this one
    /// is zero.
    fn next_in_order(&mut self) -> Result<Result<(Position, BatchHeader), Stop>, WalError> {
        let end = self.end.position;
        let size = self.size(end.segment)?;
        if !is_zero(self.reader.window(end.segment, size, end.offset, BLOCK_LEN)?) {
            let found = self.verify(end, Continuation::Next)?;
            return Ok(found.map(|header| (end, header)).map_err(|what| Stop { at: end, rest_is_zero: false, what }));
        }
        if !self.is_zero_from(end, size)? {
            return Ok(Err(Stop { at: end, rest_is_zero: false, what: "a batch without a header".to_owned() }));
        }
        let at = Position { segment: end.segment.saturating_add(1), offset: BLOCK };
        let stop = |what| Stop { at, rest_is_zero: true, what };
        let Some(size) = self.scan.size(at.segment) else {
            return Ok(Err(stop(String::new())));
        };
        if is_zero(self.reader.window(at.segment, size, at.offset, BLOCK_LEN)?) {
            return Ok(Err(stop("a batch without a header".to_owned())));
        }
        Ok(self.verify(at, Continuation::Next)?.map(|header| (at, header)).map_err(stop))
    }

    /// The size of a scanned segment in bytes.
    fn size(&self, sequence: u64) -> Result<u64, WalError> {
        self.scan.size(sequence).ok_or(WalError::Misuse("to read a segment that was not surveyed"))
    }

    fn is_zero_from(&mut self, from: Position, size: u64) -> Result<bool, WalError> {
        let mut offset = from.offset;
        while offset < size {
            let window = self.reader.window(from.segment, size, offset, MAX_BATCH)?;
            if !is_zero(window) {
                return Ok(false);
            }
            offset = offset.saturating_add(to_u64(window.len()));
        }
        Ok(true)
    }

    /// Verifies that the batch at `at` is intact and continues the log. Returns its header, or what is wrong with it.
    fn verify(&mut self, at: Position, continuation: Continuation) -> Result<Result<BatchHeader, String>, WalError> {
        let size = self.size(at.segment)?;
        let header = match BatchHeader::decode(self.reader.window(at.segment, size, at.offset, BLOCK_LEN)?) {
            Ok(header) => header,
            Err(bad) => return unsupported(at, bad).map_or_else(|| Ok(Err(describe(bad))), Err),
        };
        if let Some(what) = misfit(&header, self.scan.manifest.store, &self.end, continuation) {
            return Ok(Err(what));
        }
        let bytes = self.reader.window(at.segment, size, at.offset, header.extent())?;
        Ok(header.check_body(bytes).map(|()| header))
    }
}
