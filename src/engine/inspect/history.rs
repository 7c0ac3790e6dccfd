//! A store's history for read-only tools: every batch, or every entry with its outcome, in order.
//!
//! It takes no lock and writes nothing, so it works beside a running daemon, up to the last sealed batch.
//! Left out: the tools (`verify.rs`, `explain.rs`, `cli/`).

use std::path::Path;
use std::sync::Arc;

use crate::bank::{Applied, Bank};
use crate::engine::checkpoint::{self, Start};
use crate::engine::error::StoreError;
use crate::engine::inspect::judge;
use crate::engine::progress::LogWatch;
use crate::engine::replay::Replay;
use crate::engine::store_dir::StoreEnv;
use crate::env::{Disk, ReadOnly};
use crate::model::entry::Entry;
use crate::model::types::Lsn;
use crate::wal::inspect;
use crate::wal::{self, BatchHeader, Hold, Inspected, Position, Seen, SegmentScan, Writer};

/// The result of a read.
#[derive(Clone, Debug)]
pub struct History {
    /// The log.
    pub log: Inspected,
    /// The holder of the store's lock, by its own description; the log was then read beside a running daemon.
    pub holder: Option<String>,
    /// The last entry of the checkpoint that the read began with, if earlier segments were dropped; otherwise 0.
    pub from: Lsn,
}

/// One entry, just after it was applied.
#[derive(Clone, Copy, Debug)]
pub struct Moment<'a> {
    /// Its batch.
    pub batch: &'a BatchHeader,
    /// The position of the batch.
    pub position: Position,
    /// Whether a later batch proves it durable.
    pub is_sealed: bool,
    /// Whether it counts: always on a stopped store; beside a running daemon, once it is sealed.
    pub counts: bool,
    /// The entry's number.
    pub lsn: Lsn,
    /// The entry.
    pub entry: &'a Entry,
    /// Its outcome.
    pub applied: &'a Applied,
    /// The bank right after it.
    pub bank: &'a Bank,
}

impl History {
    /// Whether a batch counts: beside a running daemon, only if it is sealed.
    const fn counts(writer: Writer, is_sealed: bool) -> bool {
        is_sealed || matches!(writer, Writer::None)
    }
}

/// Shows every batch that counts: all of a stopped store, the sealed ones beside a running daemon. `visit` also
/// receives the bank that the read began with: an empty one, or a checkpoint's if the log's first segments were
/// dropped.
///
/// # Errors
/// As [`crate::engine::open`], but for lock and key: a stopped store is judged by the same code.
/// [`StoreError::Damaged`] also for damage before the checkpoint, which no start reads.
pub fn look(env: &StoreEnv, dir: &Path, visit: &mut dyn FnMut(&Bank, &Seen<'_>) -> Result<(), String>) -> Result<History, StoreError> {
    let mut first = None;
    let (history, _) = read(env, dir, &mut |writer, seen, state| {
        let bank = first.get_or_insert_with(|| state.bank.clone());
        let counts = History::counts(writer, seen.is_sealed);
        state.batch(&seen.batch)?;
        if counts { visit(bank, seen) } else { Ok(()) }
    })?;
    Ok(history)
}

/// Replays everything and shows every entry, also those of a last batch that is not sealed. Returns the bank at the end
/// of what counts.
///
/// # Errors
/// As [`look`].
pub fn replay(env: &StoreEnv, dir: &Path, visit: &mut dyn FnMut(&Moment<'_>)) -> Result<(History, Bank), StoreError> {
    let mut counted = None;
    let (history, bank) = read(env, dir, &mut |writer, seen, state| {
        let (batch, is_sealed) = (&seen.batch, seen.is_sealed);
        let counts = History::counts(writer, is_sealed);
        if !counts {
            counted = Some(state.bank.clone());
        }
        state.batch_with(batch, |lsn, entry, applied, bank| {
            visit(&Moment { batch: batch.header, position: batch.position, is_sealed, counts, lsn, entry, applied, bank });
        })
    })?;
    Ok((history, counted.unwrap_or(bank)))
}

/// Replays one batch, and shows it.
type Show<'a> = dyn FnMut(Writer, &Seen<'_>, &mut Replay) -> Result<(), String> + 'a;

/// Judges the store as a start does, and then reads the whole log that is there. Writes, syncs and evicts nothing.
fn read(env: &StoreEnv, dir: &Path, show: &mut Show<'_>) -> Result<(History, Bank), StoreError> {
    let env = &env.beside(dir)?;
    judge::look_for_store(env, dir)?;
    let holder = env.holder(dir)?;
    let found = match &holder {
        Some(_) => {
            Hold::new(Arc::clone(&env.disk), dir).map_err(StoreError::from).and_then(|hold| all(env, &hold, dir, Writer::Running, show))
        }
        None => {
            let disk = ReadOnly(&*env.disk);
            start_verdict(env, &disk, dir).and_then(|from| {
                all(env, &disk, dir, Writer::None, show).map_err(|error| match (error, from) {
                    (StoreError::Damaged(what), Some(from)) => StoreError::Damaged(before_checkpoint(&what, from)),
                    (error, _) => error,
                })
            })
        }
    };
    match (found, &holder) {
        (Ok((log, from, bank)), _) => Ok((History { log, holder, from }, bank)),
        (Err(error), None) => match env.holder(dir)? {
            // The store was judged as stopped, but a daemon has started: a moving tail is not damage.
            Some(holder) => Err(StoreError::InUse { dir: dir.to_owned(), holder: format!("{holder}, since just now; run it again") }),
            None => Err(error),
        },
        (Err(error), Some(_)) => Err(error),
    }
}

/// Judges a stopped store as a start does. Returns the entry up to which a start does not read the log; none if it
/// reads everything: then [`all`] judges it.
fn start_verdict(env: &StoreEnv, disk: &dyn Disk, dir: &Path) -> Result<Option<Lsn>, StoreError> {
    let survey = SegmentScan::read(disk, dir)?;
    if !survey.is_cut() && checkpoint::known_ends(disk, dir, &survey)?.is_empty() {
        return Ok(None);
    }
    Ok(Some(judge::lsn_before(judge::judge(env, disk, dir)?.from.as_ref())).filter(|from| from.0 > 0))
}

/// Verifies all of a stopped store's log, from the first entry that is there.
pub(in crate::engine) fn check_history(env: &StoreEnv, dir: &Path) -> Result<(), StoreError> {
    all(env, &ReadOnly(&*env.disk), dir, Writer::None, &mut |_, seen, state| state.batch(&seen.batch)).map(drop)
}

/// The error for damage that no start meets, with what to do.
pub(in crate::engine) fn before_checkpoint(what: &str, from: Lsn) -> String {
    format!(
        "{what}; that is history: a start goes on from the checkpoint at entry {from} and does not read it, so no balance and no answer is concerned; put the named file back from a snapshot or backup of this store, whose segments are the same to the byte"
    )
}

/// Reads the whole log; if its first segments were dropped, from the oldest checkpoint on.
fn all(env: &StoreEnv, disk: &dyn Disk, dir: &Path, writer: Writer, show: &mut Show<'_>) -> Result<(Inspected, Lsn, Bank), StoreError> {
    let survey = wal::survey(disk, dir, writer)?;
    let (known, _) = judge::known_ends(disk, dir, &survey)?;
    let Start { bank, anchor, .. } = checkpoint::oldest(disk, dir, &survey, &*env.watch)?;
    let mut state = Replay::new(bank);
    let mut told = LogWatch::new(&env.watch, survey.extent(anchor.as_ref()));
    let log = inspect(disk, dir, writer, anchor.as_ref(), &known, &mut |seen| {
        told.batch(&seen.batch);
        show(writer, seen, &mut state)
    })?;
    drop(told);
    Ok((log, judge::lsn_before(anchor.as_ref()), state.finish().map_err(StoreError::Damaged)?))
}
