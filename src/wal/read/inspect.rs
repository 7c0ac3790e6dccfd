//! Read-only inspection of a log, for tools; also while a daemon is writing it.
//!
//! On a stopped store the verdict is exactly that of recovery. On a running one the tail moves: the last batch counts as
//! unsealed until another follows it, and the tail is damaged only if an intact batch follows one that does not verify. The
//! daemon finishes a batch before it begins the next, so a second look must find every earlier batch intact.
//! Left out: reading from the device instead of the page cache (`recover.rs`), and the meaning of entries.

use std::path::Path;

use crate::env::{Disk, ReadOnly};
use crate::model::types::StoreId;
use crate::wal::format::batch::{Batch, BatchHeader};
use crate::wal::format::bytes::BLOCK;
use crate::wal::log_end::LogEnd;
use crate::wal::read::anchor::{Anchor, Known, Vouched};
use crate::wal::read::continuity::damaged;
use crate::wal::read::reader::Reader;
use crate::wal::read::recover::LogCursor;
use crate::wal::read::region::find_region;
use crate::wal::read::segment_scan::{SegmentScan, Stored};
use crate::wal::read::tail_check::{Stop, Torn, judge};
use crate::wal::{Position, WalError};

/// The most attempts to read files that a daemon is changing.
const LOOKS: usize = 8;

/// Whether a daemon may be writing to the log meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writer {
    /// The store's lock is free: the whole log can be judged.
    None,
    /// A daemon holds the lock.
    Running,
}

/// A good batch, and whether a later batch proves it durable.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// The batch.
    pub batch: Batch<'a>,
    /// Whether a later batch follows, or the batch is a seal. Always true except for the last batch.
    pub is_sealed: bool,
}

/// Callback for each good batch in order. An error counts as damage at that batch.
pub type Visit<'a> = dyn FnMut(&Seen<'_>) -> Result<(), String> + 'a;

/// The result of an inspection.
#[derive(Clone, Debug)]
pub struct Inspected {
    /// The store's id.
    pub store: StoreId,
    /// The end of the log: after the last sealed batch if a daemon is running, otherwise after the last good batch.
    pub end: LogEnd,
    /// The end of the last good batch, sealed or not.
    pub good_end: LogEnd,
    /// Whether the last good batch is unsealed.
    pub has_unsealed: bool,
    /// The torn write of a stopped store, if any.
    pub torn: Option<Torn>,
    /// One of the manifest's two slots is damaged; with a running daemon it may just be in the middle of a write.
    pub has_damaged_slot: bool,
    /// Every segment that the manifest names.
    pub segments: Vec<Stored>,
}

/// Reads everything after `from`, or from the beginning, and calls `visit` for each good batch in order. The log must pass
/// through each end in `known`, as in recovery. Writes, syncs and evicts nothing. An error of `visit` counts as damage at
/// that batch.
///
/// # Errors
/// As [`crate::wal::recover`].
pub fn inspect(
    disk: &dyn Disk,
    dir: &Path,
    writer: Writer,
    from: Option<&Anchor>,
    known: &[Known],
    visit: &mut Visit<'_>,
) -> Result<Inspected, WalError> {
    let disk = &ReadOnly(disk);
    let mut held = Held::default();
    let mut repairs = Vec::new();
    let mut end: Option<LogEnd> = None;
    let mut looks = 0;
    loop {
        looks += 1;
        let scan = survey(disk, dir, writer)?;
        let mut reader = Reader::new(disk, dir);
        let begin = match end {
            Some(end) => end,
            None => scan.begin(&mut reader, from)?,
        };
        let vouched = Vouched::new(&scan, from, known);
        let mut cursor = LogCursor::new(&scan, reader, begin);
        let stop = go(&mut cursor, &vouched, &mut held, visit)?;
        repairs.append(&mut cursor.repairs);
        let stood = end.replace(cursor.end) == Some(cursor.end);
        match writer {
            Writer::None => {
                let tail = judge(&mut cursor.reader, &scan, &cursor.end, &stop)?;
                vouched.check_reached(&cursor.end, &repairs)?;
                return finish(&scan, cursor.end, held, tail.torn, writer, visit);
            }
            Writer::Running => match proof_beyond(&mut Reader::new(disk, dir), &scan, &cursor.end)? {
                // The end did not move since the previous look, so the batch there must be intact by now.
                Some(what) if stood => return Err(damaged(stop.at, &cursor.end, format!("{}, and {what}", stop.what))),
                Some(_) if looks < LOOKS => {}
                _ => {
                    vouched.check_reached(&cursor.end, &repairs)?;
                    return finish(&scan, cursor.end, held, None, writer, visit);
                }
            },
        }
    }
}

/// Reads all good batches; passes each to `visit` once the next is found.
fn go(cursor: &mut LogCursor<'_>, vouched: &Vouched<'_>, held: &mut Held, visit: &mut Visit<'_>) -> Result<Stop, WalError> {
    loop {
        let before = cursor.end;
        let mut refused = None;
        let stop = cursor.step(&mut |batch| {
            if let Err(error) = held.hand_on(true, visit) {
                refused = Some(error);
            }
            held.take(batch, before);
            Ok(())
        })?;
        if let Some(error) = refused {
            return Err(error);
        }
        if let Some(stop) = stop {
            return Ok(stop);
        }
        vouched.check_passed(cursor)?;
    }
}

fn finish(
    scan: &SegmentScan,
    end: LogEnd,
    mut held: Held,
    torn: Option<Torn>,
    writer: Writer,
    visit: &mut Visit<'_>,
) -> Result<Inspected, WalError> {
    if end.batch_number == 0 {
        return Err(damaged(scan.origin(), &end, "the manifest says that there is a store, but there is no batch".to_owned()));
    }
    // A batch without entries proves the one before it, and needs no proof itself.
    let has_unsealed = held.header.as_ref().is_some_and(|(header, _)| header.count > 0);
    let sealed_end = if has_unsealed { held.before } else { end };
    held.hand_on(!has_unsealed, visit)?;
    Ok(Inspected {
        store: scan.manifest.store,
        end: if writer == Writer::Running { sealed_end } else { end },
        good_end: end,
        has_unsealed,
        torn,
        has_damaged_slot: scan.has_damaged_slot,
        segments: scan.segments().to_vec(),
    })
}

/// [`SegmentScan::read`], with retries while a daemon may be changing the files.
///
/// # Errors
/// As [`crate::wal::recover`].
pub fn survey(disk: &dyn Disk, dir: &Path, writer: Writer) -> Result<SegmentScan, WalError> {
    let mut looks = 1;
    loop {
        match SegmentScan::read(disk, dir) {
            Err(WalError::Damaged { .. } | WalError::Io { .. }) if writer == Writer::Running && looks < LOOKS => looks += 1,
            other => return other,
        }
    }
}

/// Describes a batch whose existence proves that another batch was complete at `end`; `None` if there is no such batch.
fn proof_beyond(reader: &mut Reader<'_>, scan: &SegmentScan, end: &LogEnd) -> Result<Option<String>, WalError> {
    let mut at = end.position;
    while let Some(size) = scan.size(at.segment) {
        if let Some((offset, number)) = find_region(reader, at, size)?.first_batch {
            let is_next = number.is_some_and(|number| number <= end.batch_number.saturating_add(1));
            if offset > at.offset || !is_next {
                let number = number.map_or_else(|| "another batch".to_owned(), |number| format!("batch {number}"));
                return Ok(Some(format!("{number} follows at {}", Position { offset, ..at })));
            }
        }
        at = Position { segment: at.segment.saturating_add(1), offset: BLOCK };
    }
    Ok(None)
}

/// The last good batch, withheld until another follows it.
#[derive(Default)]
struct Held {
    header: Option<(BatchHeader, Position)>,
    payload: Vec<u8>,
    /// The log's end before it.
    before: LogEnd,
}

impl Held {
    fn take(&mut self, batch: &Batch<'_>, before: LogEnd) {
        self.header = Some((batch.header.clone(), batch.position));
        self.payload.clear();
        self.payload.extend_from_slice(batch.payload);
        self.before = before;
    }

    fn hand_on(&mut self, is_sealed: bool, visit: &mut Visit<'_>) -> Result<(), WalError> {
        let Some((header, position)) = self.header.take() else { return Ok(()) };
        let batch = Batch { header: &header, position, payload: &self.payload };
        visit(&Seen { batch, is_sealed }).map_err(|what| damaged(position, &self.before, what))
    }
}
