//! The verdict on the bytes behind the last good batch: end of the log, torn write, or damage.
//!
//! A crash can tear at most one batch, because the next batch is written only after the sync of the previous one has
//! returned. A torn write is therefore confined to the extent of one batch, has an unwritten sector (no batch contains a
//! sector of zeros), and nothing follows it. Each start that crashed in its first commit may have left one more torn write,
//! in a segment of its own. Anything else is damage.
//! Left out: reading the good batches (`recover.rs`).

use std::fmt;

use crate::model::invariant::to_u64;
use crate::wal::format::batch::BatchHeader;
use crate::wal::format::bytes::{BLOCK, BLOCK_LEN};
use crate::wal::log_end::LogEnd;
use crate::wal::read::continuity::{Continuation, damaged, describe, misfit};
use crate::wal::read::continuity::{is_whole, unsupported};
use crate::wal::read::reader::Reader;
use crate::wal::read::region::find_region;
use crate::wal::read::segment_scan::SegmentScan;
use crate::wal::{MAX_BATCH, Position, WalError};

/// The most segments that can be untouched: the next segment of the log, and one created ahead of need, which is requested
/// only when the first batch of the former is written. If more are empty, some of them were once in use.
const MAX_SPARES: usize = 2;

/// A torn write left by a crash. None of its requests was acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Torn {
    /// The position of its first byte.
    pub position: Position,
    /// The file name.
    pub file: String,
    /// The number that follows the last good batch.
    pub batch_number: u64,
    /// The largest extent that it may have, in bytes.
    pub bytes: u64,
    /// The number of further torn writes: first batches of later starts that crashed.
    pub more: usize,
}

impl fmt::Display for Torn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { position, batch_number, bytes, more, .. } = self;
        write!(
            f,
            "torn tail dropped: a crash left batch {batch_number} half-written ({position}, {bytes} bytes); no request in it was answered"
        )?;
        match more {
            0 => Ok(()),
            more => write!(f, "; likewise the first batch of {more} later start(s)"),
        }
    }
}

/// Where and why reading stopped.
pub(in crate::wal) struct Stop {
    /// The first position without a good batch.
    pub(in crate::wal) at: Position,
    /// Whether the rest of the last good batch's segment is known to be zero.
    pub(in crate::wal) rest_is_zero: bool,
    /// What is wrong there; empty where the log ends with the last segment.
    pub(in crate::wal) what: String,
}

/// The bytes behind the last good batch of a sound log.
pub(in crate::wal) struct Tail {
    pub(in crate::wal) torn: Option<Torn>,
    /// Untouched segments: sequence number and size.
    pub(in crate::wal) spares: Vec<(u64, u64)>,
}

/// Judges everything from the end of the good batches to the end of the last segment.
pub(in crate::wal) fn judge(reader: &mut Reader<'_>, scan: &SegmentScan, end: &LogEnd, stop: &Stop) -> Result<Tail, WalError> {
    let mut tail = Tail { torn: None, spares: Vec::new() };
    let mut at = end.position;
    let mut is_rest_zero = stop.rest_is_zero;
    while let Some(size) = scan.size(at.segment) {
        let is_first = at.segment == end.position.segment;
        // The log may continue behind the last batch; in the next segment, if the rest of this one is zero; and at the front
        // of any later segment, with a later incarnation.
        let continuations: &[Continuation] = match at.segment.saturating_sub(end.position.segment) {
            0 => &[Continuation::Next],
            1 if is_rest_zero => &[Continuation::Next, Continuation::Start],
            _ => &[Continuation::Start],
        };
        let torn = if is_first && is_rest_zero { None } else { torn_part(reader, scan, end, (at, size), continuations, stop)? };
        match (torn, tail.spares.last()) {
            (None, _) if is_first => is_rest_zero = true,
            (None, _) => tail.spares.push((at.segment, size)),
            (Some(_), Some((spare, _))) => {
                return Err(damaged(at, end, format!("something was written here, but nothing to segment {spare} before it")));
            }
            // A start clears the mark of a closed log before it writes, so no crash leaves anything here.
            (Some(_), None) if scan.was_closed_at(end) => {
                return Err(damaged(at, end, "the log was closed here, and something stands behind its end".to_owned()));
            }
            (Some(torn), None) => match &mut tail.torn {
                None => tail.torn = Some(torn),
                Some(first) => first.more = first.more.saturating_add(1),
            },
        }
        at = Position { segment: at.segment.saturating_add(1), offset: BLOCK };
    }
    match tail.spares.as_slice() {
        [(first, _), rest @ ..] if rest.len() >= MAX_SPARES => {
            let what = format!("it and {} more segments are empty, but the last was not made before the first was in use", rest.len());
            Err(damaged(Position { segment: *first, offset: BLOCK }, end, what))
        }
        _ => Ok(tail),
    }
}

/// Judges the tail within one segment: zero (`None`), torn, or damage (an error).
fn torn_part(
    reader: &mut Reader<'_>,
    scan: &SegmentScan,
    end: &LogEnd,
    (at, size): (Position, u64),
    continuations: &[Continuation],
    stop: &Stop,
) -> Result<Option<Torn>, WalError> {
    let region = find_region(reader, at, size)?;
    let Some(last_written) = region.last_written else {
        return Ok(None);
    };
    let why = if stop.at == at { format!("{}, and ", stop.what) } else { String::new() };
    let refuse = |what: &str| Err(damaged(at, end, format!("{why}{what}")));
    if let Some((offset, number)) = region.first_batch.filter(|(offset, _)| *offset > at.offset) {
        let number = number.map_or_else(|| "another batch".to_owned(), |number| format!("batch {number}"));
        return refuse(&format!("{number} follows at offset {offset}"));
    }
    let extent = match BatchHeader::decode(reader.window(at.segment, size, at.offset, BLOCK_LEN)?) {
        Ok(header) => {
            let misfits: Vec<String> =
                continuations.iter().filter_map(|continuation| misfit(&header, scan.manifest.store, end, *continuation)).collect();
            match misfits.last() {
                Some(what) if misfits.len() == continuations.len() => return refuse(what),
                _ => to_u64(header.extent()),
            }
        }
        Err(bad) if is_whole(bad) => {
            return unsupported(at, bad).map_or_else(|| refuse(&describe(bad)), Err);
        }
        // No readable header: up to the end of the last written block.
        Err(_) => (last_written / BLOCK).saturating_add(1).saturating_mul(BLOCK).saturating_sub(at.offset),
    };
    let last = at.offset.saturating_add(extent);
    if extent > to_u64(MAX_BATCH) || last > size || last_written >= last {
        return refuse("more was written than one batch");
    }
    if region.first_zero.is_none_or(|zero| zero >= last) {
        return refuse("no sector of it was left unwritten, as a crash would have left one");
    }
    Ok(Some(Torn { position: at, file: at.file(), batch_number: end.batch_number.saturating_add(1), bytes: extent, more: 0 }))
}
