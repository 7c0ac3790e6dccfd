//! A store's history for whoever only looks: every batch, or every entry with its outcome, in order.
//!
//! No lock is taken and nothing is written, so it works beside a running daemon, as far as the last sealed batch.
//! Left out: what is made of it (`verify.rs`, `explain.rs`, `cli/`).

use std::path::Path;

use super::checkpoint::{self, Start};
use super::error::StoreError;
use super::replay::Replay;
use super::store::Env;
use super::watch::LogWatch;
use crate::bank::{Applied, Bank};
use crate::entry::Entry;
use crate::env::ReadOnly;
use crate::types::Lsn;
use crate::wal::{self, Anchor, BatchHeader, Extent, Inspected, Position, Seen, Survey, WalError, Writer, inspect};

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
/// [`StoreError::NoStore`], [`StoreError::Damaged`], or as the system says.
pub fn look(env: &Env, dir: &Path, visit: &mut dyn FnMut(&Bank, &Seen<'_>) -> Result<(), String>) -> Result<History, StoreError> {
    let env = &env.beside(dir)?;
    let (start, extent) = beginning(env, dir)?;
    read(env, dir, start.anchor.as_ref(), extent, &mut |writer, seen| {
        if History::counts(writer, seen.is_sealed) { visit(&start.bank, seen) } else { Ok(()) }
    })
}

/// Replays everything and shows every entry, also those of a last batch that is not sealed; gives the bank at the
/// end of what counts.
///
/// # Errors
/// As [`look`]; [`StoreError::Damaged`] also where the bank contradicts the log.
pub fn replay(env: &Env, dir: &Path, visit: &mut dyn FnMut(&Moment<'_>)) -> Result<(History, Bank), StoreError> {
    let env = &env.beside(dir)?;
    let (mut start, extent) = beginning(env, dir)?;
    let mut state = Replay::new(std::mem::take(&mut start.bank));
    let mut counted = None;
    let history = read(env, dir, start.anchor.as_ref(), extent, &mut |writer, seen| {
        let (batch, is_sealed) = (&seen.batch, seen.is_sealed);
        let counts = History::counts(writer, is_sealed);
        if !counts {
            counted = Some(state.bank.clone());
        }
        state.batch_with(batch, |lsn, entry, applied, bank| {
            visit(&Moment { batch: batch.header, position: batch.position, is_sealed, counts, lsn, entry, applied, bank });
        })
    })?;
    state.bank.check_conservation().map_err(|error| StoreError::Damaged(format!("the log adds up to a bank that does not: {error}")))?;
    Ok((history, counted.unwrap_or(state.bank)))
}

/// The first look at the files, also beside a daemon that is changing them. Writes, syncs and evicts nothing.
///
/// # Errors
/// As [`look`].
pub(super) fn survey(env: &Env, dir: &Path) -> Result<Survey, StoreError> {
    let (_, writer) = writer(env, dir)?;
    Ok(wal::survey(&ReadOnly(&*env.disk), dir, writer)?)
}

/// Reads the log after `from`, or from the beginning, without replaying it. `extent` is what there is to read.
///
/// # Errors
/// As [`look`].
pub(super) fn read(
    env: &Env,
    dir: &Path,
    from: Option<&Anchor>,
    extent: Extent,
    visit: &mut dyn FnMut(Writer, &Seen<'_>) -> Result<(), String>,
) -> Result<History, StoreError> {
    let (before, writer) = writer(env, dir)?;
    let first = from.map_or(Lsn(0), |anchor| Lsn(anchor.end.next_lsn.0.saturating_sub(1)));
    let mut told = LogWatch::new(&env.watch, extent);
    let mut see = |seen: &Seen<'_>| {
        told.batch(&seen.batch);
        visit(writer, seen)
    };
    match inspect(&*env.disk, dir, writer, from, &mut see) {
        Ok(log) => Ok(History { log, holder: before, from: first }),
        Err(WalError::NoStore { .. }) => Err(StoreError::NoStore { dir: dir.to_owned() }),
        Err(error) => match (before, self::writer(env, dir)?.0) {
            // It was judged as stopped, and is not: a moving tail is no damage.
            (None, Some(holder)) => {
                Err(StoreError::InUse { dir: dir.to_owned(), holder: format!("{holder}, since just now; run it again") })
            }
            _ => Err(error.into()),
        },
    }
}

/// Who has the lock, as he says himself, and what follows for whoever reads.
fn writer(env: &Env, dir: &Path) -> Result<(Option<String>, Writer), StoreError> {
    let holder = env.holder(dir)?;
    let writer = if holder.is_some() { Writer::Running } else { Writer::None };
    Ok((holder, writer))
}

/// What the reading begins with, and what there is to read.
fn beginning(env: &Env, dir: &Path) -> Result<(Start, Extent), StoreError> {
    match survey(env, dir) {
        Ok(survey) => {
            let start = checkpoint::oldest(&ReadOnly(&*env.disk), dir, &survey, &*env.watch)?;
            let extent = survey.extent(start.anchor.as_ref());
            Ok((start, extent))
        }
        // Whatever is wrong is told by the reading itself.
        Err(_) => Ok((Start::default(), Extent::default())),
    }
}
