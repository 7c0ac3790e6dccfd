//! Brings postings up to the end of the log: from the notes of the running engine, or by a replay of the log.
//!
//! Left out: when (`thread.rs`).

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use super::error::IndexError;
use super::notes::Notes;
use super::part::{Extent, Part};
use super::tail::Tail;
use crate::engine::checkpoint::{self, Start};
use crate::engine::progress::NoProgress;
use crate::engine::replay::Replay;
use crate::env::{Disk, ReadOnly};
use crate::model::entry::Entry;
use crate::model::types::{AccountId, Lsn, StoreId};
use crate::wal::{Anchor, LogEnd, SegmentScan};

/// The entries of one part before parts are joined.
pub(super) const PART: u64 = 1 << 16;

/// A store, for reading its log and for writing its index.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    /// The disk.
    pub(super) disk: &'a dyn Disk,
    /// The store's directory.
    pub(super) dir: &'a Path,
    /// The store's id.
    pub(super) store: StoreId,
}

impl Place<'_> {
    /// The segments from an anchor to an end of the log that is in use.
    fn scan(&self, from: Option<&Anchor>, to: &LogEnd) -> Result<SegmentScan, IndexError> {
        let first = from.map_or(1, |anchor| anchor.end.position.segment);
        Ok(SegmentScan::part(&ReadOnly(self.disk), self.dir, self.store, first, to.position.segment)?)
    }

    /// Whether the log that ends at `to` still goes through the end of a part.
    pub(super) fn confirms(&self, extent: &Extent, to: &LogEnd) -> Result<bool, IndexError> {
        let anchor = &extent.anchor;
        if anchor.end.batch_number > to.batch_number || anchor.end.position > to.position {
            return Ok(false);
        }
        let scan = self.scan(Some(anchor), to)?;
        if scan.is_void(anchor) {
            return Ok(false);
        }
        match scan.replay_to(&ReadOnly(self.disk), self.dir, Some(anchor), &anchor.end, &mut |_| Ok(())) {
            Ok(_) => Ok(true),
            Err(crate::wal::WalError::Damaged { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Adds the entries of the log up to `to`, which is durable; `notes` has the outcomes of all that were not done.
    ///
    /// # Errors
    /// [`IndexError`]; the tail is then to be dropped.
    pub(super) fn follow(&self, tail: &mut Tail, from: Option<Anchor>, to: &LogEnd, notes: &Notes) -> Result<(), IndexError> {
        let from = tail.anchor.or(from);
        let done = from.map_or(0, |anchor| anchor.end.batch_number);
        if done >= to.batch_number {
            return Ok(());
        }
        let anchor = self.scan(from.as_ref(), to)?.replay_to(&ReadOnly(self.disk), self.dir, from.as_ref(), to, &mut |batch| {
            tail.batch(batch.header, batch.position);
            for record in batch.records() {
                let mut lsn = record.first;
                for entry in Entry::all(record.bytes, record.count) {
                    let entry = entry.map_err(|error| format!("entry {lsn}: {error}"))?;
                    tail.entry(lsn, &entry, notes.code(lsn));
                    lsn = lsn.next();
                }
            }
            Ok(())
        })?;
        tail.anchor = Some(anchor);
        Ok(())
    }

    /// Makes the parts from the end of the last one up to `to` by a replay, and hands each to `put`.
    ///
    /// # Errors
    /// [`IndexError`]; the parts before it are good.
    pub(super) fn build(
        &self,
        last: Option<&Extent>,
        to: &LogEnd,
        cancelled: &AtomicBool,
        put: &mut dyn FnMut(Part),
    ) -> Result<(), IndexError> {
        let whole = SegmentScan::read(&ReadOnly(self.disk), self.dir)?;
        let begin = last.map_or(Lsn(1), Extent::next);
        let fits = |start: Start| Some(start).filter(|start| last.is_some() && start.bank.applied() < begin);
        let replay_error = |error: crate::engine::StoreError| IndexError::Replay(error.to_string());
        let start =
            match checkpoint::each_start(self.disk, self.dir, &whole, &NoProgress, &mut |start| fits(start)).map_err(replay_error)? {
                Some(start) => start,
                None => checkpoint::oldest(self.disk, self.dir, &whole, &NoProgress).map_err(replay_error)?,
            };
        let Start { bank, anchor: from, .. } = start;
        let first = begin.max(bank.applied().next());
        if first > begin && last.is_some() {
            return Err(IndexError::Damaged(format!("the log no longer holds entry {begin}, which comes next")));
        }
        let mut tail = Tail::new(first, if first > begin { bank.account_count() } else { last.map_or(0, |last| last.accounts) });
        if first > begin || (last.is_none() && from.is_some()) {
            for id in 0..bank.account_count() {
                if let Some(view) = bank.account(AccountId(id)) {
                    tail.base(AccountId(id), view.balance);
                }
            }
        }
        let mut replay = Replay::new(bank);
        let mut anchor = from;
        while anchor.is_none_or(|anchor| anchor.end.batch_number < to.batch_number) {
            let scan = self.scan(anchor.as_ref(), to)?;
            let mut stopped = None;
            // An error ends the read after a whole part; the batch that it came with is read again.
            let read = scan.replay_to(&ReadOnly(self.disk), self.dir, anchor.as_ref(), to, &mut |batch| {
                if cancelled.load(Ordering::Relaxed) {
                    return Err("the store is being closed".to_owned());
                }
                if tail.entries() >= PART {
                    stopped = Some(());
                    return Err(String::new());
                }
                if batch.header.first_lsn >= first {
                    tail.batch(batch.header, batch.position);
                }
                let mut notes = Notes::default();
                replay.batch_with(batch, |lsn, entry, applied, _| {
                    if lsn >= first {
                        notes.see(lsn, applied);
                        tail.entry(lsn, entry, notes.code(lsn));
                    }
                })?;
                tail.anchor = Some(Anchor { last_batch: batch.position, end: end_of(batch) });
                Ok(())
            });
            match read {
                Ok(end) => {
                    tail.anchor = Some(end);
                    anchor = Some(end);
                }
                Err(_) if cancelled.load(Ordering::Relaxed) => return Err(IndexError::Cancelled),
                Err(_) if stopped.is_some() => anchor = tail.anchor,
                Err(error) => return Err(error.into()),
            }
            let next = Tail::new(tail.next(), tail.accounts);
            if let Some(part) = std::mem::replace(&mut tail, next).write(self.disk, self.dir, self.store)? {
                put(part);
            }
            tail.anchor = anchor;
        }
        Ok(())
    }
}

/// The end of the log behind a batch.
fn end_of(batch: &crate::wal::Batch<'_>) -> LogEnd {
    let header = batch.header;
    let mut position = batch.position;
    position.offset = position.offset.saturating_add(header.bytes());
    LogEnd {
        position,
        batch_number: header.number,
        chain: header.chain_after,
        next_lsn: Lsn(header.first_lsn.0.saturating_add(u64::from(header.count))),
        bank_time: header.bank_time,
        incarnation: header.incarnation,
    }
}
