//! A store's history for whoever only looks: every batch, or every entry with its outcome, in order.
//!
//! No lock is taken and nothing is written, so it works beside a running daemon, as far as the last sealed batch.
//! Left out: what is made of it (`verify.rs`, `explain.rs`, `cli/`).

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

/// What was read.
#[derive(Clone, Debug)]
pub struct History {
    /// The log.
    pub log: Inspected,
    /// Who has the store's lock, as it says itself; the log was then read beside a running daemon.
    pub holder: Option<String>,
    /// The last entry of the checkpoint that the reading began with, where what came before was dropped; otherwise 0.
    pub from: Lsn,
}

/// One entry, at the moment when it was applied.
#[derive(Clone, Copy, Debug)]
pub struct Moment<'a> {
    /// The batch that it came in.
    pub batch: &'a BatchHeader,
    /// Where the batch stands.
    pub position: Position,
    /// Whether a later batch proves it durable.
    pub is_sealed: bool,
    /// Whether it counts already: on a stopped store always, beside a running daemon once it is sealed.
    pub counts: bool,
    /// The entry's number.
    pub lsn: Lsn,
    /// The entry.
    pub entry: &'a Entry,
    /// What became of it.
    pub applied: &'a Applied,
    /// The bank right after it.
    pub bank: &'a Bank,
}

impl History {
    /// Whether a batch counts that was seen as sealed or not: beside a daemon only if it is.
    const fn counts(writer: Writer, is_sealed: bool) -> bool {
        is_sealed || matches!(writer, Writer::None)
    }
}

/// Shows every batch that counts: all of a stopped store, the sealed ones beside a running daemon. With each goes the bank
/// that the reading began with: an empty one, or a checkpoint's where the log's first segments were dropped.
///
/// # Errors
/// As [`crate::engine::open`], but for lock and key: a stopped store is judged by the same code. [`StoreError::Damaged`] also
/// where a start would not look: before the checkpoint that it begins with.
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

/// Replays everything and shows every entry, also those of a last batch that is not sealed; gives the bank at the
/// end of what counts.
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

/// Replays one batch, and does with it what is to be done.
type Show<'a> = dyn FnMut(Writer, &Seen<'_>, &mut Replay) -> Result<(), String> + 'a;

/// Judges the store as a start does, and then reads all of its log that is there. Writes, syncs and evicts nothing.
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
            // It was judged as stopped, and is not: a moving tail is no damage.
            Some(holder) => Err(StoreError::InUse { dir: dir.to_owned(), holder: format!("{holder}, since just now; run it again") }),
            None => Err(error),
        },
        (Err(error), Some(_)) => Err(error),
    }
}

/// What a start says to a stopped store: the entry up to which it does not read the log, if there is one. Where a start
/// reads everything, nothing is judged here: [`all`] does so.
fn start_verdict(env: &StoreEnv, disk: &dyn Disk, dir: &Path) -> Result<Option<Lsn>, StoreError> {
    let survey = SegmentScan::read(disk, dir)?;
    if !survey.is_cut() && checkpoint::known_ends(disk, dir, &survey)?.is_empty() {
        return Ok(None);
    }
    Ok(Some(judge::lsn_before(judge::judge(env, disk, dir)?.from.as_ref())).filter(|from| from.0 > 0))
}

/// Whether all of a stopped store's log holds, from its first entry that is there.
pub(in crate::engine) fn check_history(env: &StoreEnv, dir: &Path) -> Result<(), StoreError> {
    all(env, &ReadOnly(&*env.disk), dir, Writer::None, &mut |_, seen, state| state.batch(&seen.batch)).map(drop)
}

/// Damage that no start meets, and what to do about it.
pub(in crate::engine) fn before_checkpoint(what: &str, from: Lsn) -> String {
    format!(
        "{what}; that is history: a start goes on from the checkpoint at entry {from} and does not read it, so no balance and no answer is concerned; put the named file back from a snapshot or backup of this store, whose segments are the same to the byte"
    )
}

/// Reads the whole log: where its first segments were dropped, from the oldest checkpoint on.
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
