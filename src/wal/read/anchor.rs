//! Anchors: log ends recorded by checkpoints. Recovery starts at one of them, and must reach the others.
//!
//! An anchor is an earlier end of the log together with the position of its last batch, which must still be there. Of the
//! segments below the anchor's, recovery checks only existence, header and size.
//! Left out: the contents and the location of checkpoints (`engine/`).

use std::path::Path;

use crate::env::Disk;
use crate::model::invariant::to_u64;
use crate::model::types::StoreId;
use crate::wal::format::batch::{Batch, BatchHeader, VoucherKind};
use crate::wal::format::bytes::BLOCK_LEN;
use crate::wal::log_end::LogEnd;
use crate::wal::read::continuity::unsupported;
use crate::wal::read::continuity::{damaged, describe};
use crate::wal::read::reader::Reader;
use crate::wal::read::recover::{LogCursor, Recovered};
use crate::wal::read::segment_scan::SegmentScan;
use crate::wal::read::tail_check::judge;
use crate::wal::{Position, WalError, file_name};

/// Replays one batch; an error is damage at that batch.
pub type Replay<'a> = dyn FnMut(&Batch<'_>) -> Result<(), String> + 'a;

/// An earlier end of the log. Everything up to it was durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// The position of the last batch before it.
    pub last_batch: Position,
    /// The end.
    pub end: LogEnd,
}

/// An earlier end of the log, and its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// The source, for messages: `a checkpoint`, `the manifest`.
    pub by: &'static str,
    /// The end.
    pub anchor: Anchor,
}

/// All known ends: the log must pass through each of them.
pub(in crate::wal) struct Vouched<'a> {
    scan: &'a SegmentScan,
    from: Option<&'a Anchor>,
    known: Vec<Known>,
}

impl<'a> Vouched<'a> {
    /// For a recovery that starts at `from`. Adds the end in the manifest.
    pub(in crate::wal) fn new(scan: &'a SegmentScan, from: Option<&'a Anchor>, known: &[Known]) -> Self {
        Self { scan, from, known: known.iter().copied().chain(scan.known_end()).collect() }
    }

    /// Checks the batch just read against the known ends with its number.
    ///
    /// # Errors
    /// [`WalError::Damaged`].
    pub(in crate::wal) fn check_passed(&self, cursor: &LogCursor<'_>) -> Result<(), WalError> {
        let contradicts = |known: &&Known| {
            let end = &known.anchor.end;
            end.batch_number == cursor.end.batch_number && *end != cursor.end
        };
        match self.known.iter().find(|known| contradicts(known) && !self.scan.is_void(&known.anchor)) {
            Some(known) => {
                let what = format!("{} says that another batch {} stood in the log", known.by, cursor.end.batch_number);
                Err(damaged(cursor.last_batch, &cursor.end, what))
            }
            None => Ok(()),
        }
    }

    /// Checks that a log that ends at `end`, after `repairs`, reached every known end that no repair dropped.
    ///
    /// # Errors
    /// [`WalError::Damaged`].
    pub(in crate::wal) fn check_reached(&self, end: &LogEnd, repairs: &[u64]) -> Result<(), WalError> {
        // The checkpoint at which reading started already takes older repairs into account.
        let counts = |repair: u64| repairs.contains(&repair) || self.from.is_some_and(|from| from.end.position.segment >= repair);
        for Known { by, anchor } in self.known.iter().filter(|known| known.anchor.end.batch_number > end.batch_number) {
            if !self.scan.repairs_of(anchor).any(counts) {
                let LogEnd { position, batch_number, .. } = anchor.end;
                return Err(damaged(end.position, end, format!("{by} says that the log went on to batch {batch_number} at {position}")));
            }
        }
        Ok(())
    }
}

/// The finished part of a log: durable and immutable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finished {
    /// Its end. No batch before it is in the segment in use.
    pub end: LogEnd,
    /// The running outcome digest after its last batch.
    pub outcome_digest: u64,
    /// The bytes of its batches since the position at which recovery started.
    pub bytes: u64,
}

impl SegmentScan {
    /// The store's id.
    #[must_use]
    pub const fn store(&self) -> StoreId {
        self.manifest.store
    }

    /// The oldest segment.
    #[must_use]
    pub const fn first(&self) -> u64 {
        self.manifest.first_retained
    }

    /// Whether a repair claims to have dropped the end of the anchor. Recovery cannot start at such an anchor.
    #[must_use]
    pub fn is_void(&self, anchor: &Anchor) -> bool {
        self.repairs_of(anchor).next().is_some()
    }

    /// The known end in the manifest, if any.
    #[must_use]
    pub fn known_end(&self) -> Option<Known> {
        let end = self.manifest.known?.end;
        Some(Known { by: "the manifest", anchor: Anchor { last_batch: end.position, end } })
    }

    /// Whether the manifest records that the log was closed at exactly this end, so that nothing behind it belongs to the log.
    #[must_use]
    pub fn was_closed_at(&self, end: &LogEnd) -> bool {
        self.manifest.known.is_some_and(|known| known.is_last && known.end == *end)
    }

    /// The segments of the repairs that claim to have dropped the end of the anchor.
    fn repairs_of(&self, anchor: &Anchor) -> impl Iterator<Item = u64> {
        let Position { segment: own, .. } = anchor.end.position;
        let end = anchor.end.position;
        let starts = self.starts.iter();
        let repairs = starts.filter(move |(voucher, segment)| voucher.kind == VoucherKind::Repair && voucher.end < end && *segment > own);
        repairs.map(|(_, segment)| *segment)
    }

    /// Reads everything after `from`, or from the beginning, and calls `replay` for each batch in order. The log must pass
    /// through each end in `known` and the one in the manifest, except for those that a repair dropped. Writes nothing.
    ///
    /// # Errors
    /// As [`crate::wal::recover`]; [`WalError::Damaged`] also if the batch of an anchor is missing.
    pub fn recover(
        self,
        disk: &dyn Disk,
        dir: &Path,
        from: Option<&Anchor>,
        known: &[Known],
        replay: &mut Replay<'_>,
    ) -> Result<Recovered, WalError> {
        let mut reader = Reader::new(disk, dir);
        let vouched = Vouched::new(&self, from, known);
        let end = self.begin(&mut reader, from)?;
        let mut cursor = LogCursor::new(&self, reader, end);
        let stop = loop {
            if let Some(stop) = cursor.step(replay)? {
                break stop;
            }
            vouched.check_passed(&cursor)?;
        };
        let LogCursor { mut reader, end, batches, entries, bytes, repairs, .. } = cursor;
        let tail = judge(&mut reader, &self, &end, &stop)?;
        if end.batch_number == 0 {
            return Err(damaged(self.origin(), &end, "the manifest says that there is a store, but there is no batch".to_owned()));
        }
        vouched.check_reached(&end, &repairs)?;
        Ok(Recovered {
            store: self.manifest.store,
            end,
            torn: tail.torn,
            has_damaged_slot: self.has_damaged_slot,
            batches,
            entries,
            bytes,
            manifest: self.manifest,
            spares: tail.spares,
        })
    }

    /// Reads the finished part of a log that is in use, from `from` or from the beginning, exactly to `to`, and returns the
    /// anchor there. `self` is from [`SegmentScan::part`]; the segment in use is never touched.
    ///
    /// # Errors
    /// As [`crate::wal::recover`]; [`WalError::Damaged`] also if the finished part ends elsewhere.
    pub fn replay_to(
        &self,
        disk: &dyn Disk,
        dir: &Path,
        from: Option<&Anchor>,
        to: &LogEnd,
        replay: &mut Replay<'_>,
    ) -> Result<Anchor, WalError> {
        let mut reader = Reader::new(disk, dir);
        let end = self.begin(&mut reader, from)?;
        let mut cursor = LogCursor::new(self, reader, end);
        cursor.last_batch = from.map_or(end.position, |anchor| anchor.last_batch);
        while cursor.end.batch_number < to.batch_number {
            if let Some(stop) = cursor.step(replay)? {
                return Err(damaged(stop.at, &cursor.end, format!("the log went on here to batch {}: {}", to.batch_number, stop.what)));
            }
        }
        if cursor.end != *to {
            return Err(damaged(cursor.last_batch, &cursor.end, "it is not the batch that was written here".to_owned()));
        }
        Ok(Anchor { last_batch: cursor.last_batch, end: cursor.end })
    }

    /// Whether the log's first segments were dropped, so that recovery needs a checkpoint.
    #[must_use]
    pub const fn is_cut(&self) -> bool {
        self.manifest.first_retained > 1
    }

    /// The end at which reading starts: the anchor's, after verifying its last batch, or that of an empty log.
    pub(in crate::wal) fn begin(&self, reader: &mut Reader<'_>, from: Option<&Anchor>) -> Result<LogEnd, WalError> {
        match from {
            Some(anchor) => self.confirm(reader, anchor).map(|()| anchor.end),
            None if self.is_cut() => {
                let what = "the log's first segments were dropped, and there is no sound checkpoint to go on from".to_owned();
                Err(damaged(self.origin(), &LogEnd::default(), what))
            }
            None => Ok(LogEnd { position: self.origin(), ..LogEnd::default() }),
        }
    }

    /// Verifies that the anchor's last batch is still there.
    fn confirm(&self, reader: &mut Reader<'_>, anchor: &Anchor) -> Result<(), WalError> {
        let Anchor { last_batch: at, end } = *anchor;
        let refuse = |what: &str| {
            let LogEnd { batch_number, .. } = end;
            let what = format!("a checkpoint says that batch {batch_number} stands here, but {what}");
            Err(WalError::Damaged { file: file_name(at.segment), offset: at.offset, last_good: None, what })
        };
        let Some(size) = self.size(at.segment) else {
            return refuse("the manifest does not name the segment");
        };
        let header = match BatchHeader::decode(reader.window(at.segment, size, at.offset, BLOCK_LEN)?) {
            Ok(header) => header,
            Err(bad) => return unsupported(at, bad).map_or_else(|| refuse(&format!("there is {}", describe(bad))), Err),
        };
        let is_it = header.store == self.manifest.store
            && header.number == end.batch_number
            && header.chain_after == end.chain
            && header.incarnation == end.incarnation
            && header.bank_time == end.bank_time
            && header.first_lsn.0.checked_add(u64::from(header.count)) == Some(end.next_lsn.0)
            && at.segment == end.position.segment
            && at.offset.checked_add(to_u64(header.extent())) == Some(end.position.offset);
        if !is_it {
            return refuse("there is another one");
        }
        let bytes = reader.window(at.segment, size, at.offset, header.extent())?;
        header.check_body(bytes).or_else(|what| refuse(&what))
    }
}
