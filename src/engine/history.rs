//! A store's history for whoever only looks: every batch, or every entry with its outcome, in order.
//!
//! No lock is taken and nothing is written, so it works beside a running daemon, as far as the last sealed batch.
//! Left out: what is made of it (`verify.rs`, `explain.rs`, `cli/`).

use std::path::Path;

use super::error::StoreError;
use super::replay::Replay;
use super::store::{Env, LOCK, io_error};
use super::watch::LogWatch;
use crate::bank::{Applied, Bank};
use crate::entry::Entry;
use crate::env::ReadOnly;
use crate::types::Lsn;
use crate::wal::{BatchHeader, Inspected, Position, Seen, Survey, WalError, Writer, inspect};

/// What was read.
#[derive(Clone, Debug)]
pub struct History {
    /// The log.
    pub log: Inspected,
    /// Who has the store's lock, as it says itself; the log was then read beside a running daemon.
    pub holder: Option<String>,
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

/// Shows every batch that counts: all of a stopped store, the sealed ones beside a running daemon.
///
/// # Errors
/// [`StoreError::NoStore`], [`StoreError::Damaged`], or as the system says.
pub fn look(env: &Env, dir: &Path, visit: &mut dyn FnMut(&Seen<'_>) -> Result<(), String>) -> Result<History, StoreError> {
    read(env, dir, &mut |writer, seen| if History::counts(writer, seen.is_sealed) { visit(seen) } else { Ok(()) })
}

/// Replays everything and shows every entry, also those of a last batch that is not sealed; gives the bank at the
/// end of what counts.
///
/// # Errors
/// As [`look`]; [`StoreError::Damaged`] also where the bank contradicts the log.
pub fn replay(env: &Env, dir: &Path, visit: &mut dyn FnMut(&Moment<'_>)) -> Result<(History, Bank), StoreError> {
    let mut state = Replay::new(Bank::new());
    let mut counted = None;
    let history = read(env, dir, &mut |writer, seen| {
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

fn read(env: &Env, dir: &Path, visit: &mut dyn FnMut(Writer, &Seen<'_>) -> Result<(), String>) -> Result<History, StoreError> {
    let lock = dir.join(LOCK);
    let holder = || env.disk.holder(&lock).map_err(io_error("look at the lock", &lock));
    let before = holder()?;
    let writer = if before.is_some() { Writer::Running } else { Writer::None };
    // A look ahead, so that there is a whole to be a part of; what is wrong with it is told by the reading itself.
    let extent = Survey::read(&ReadOnly(&*env.disk), dir).map(|survey| survey.extent(None)).unwrap_or_default();
    let mut told = LogWatch::new(&env.watch, extent);
    let mut see = |seen: &Seen<'_>| {
        told.batch(&seen.batch);
        visit(writer, seen)
    };
    match inspect(&*env.disk, dir, writer, &mut see) {
        Ok(log) => Ok(History { log, holder: before }),
        Err(WalError::NoStore { .. }) => Err(StoreError::NoStore { dir: dir.to_owned() }),
        Err(error) => match (before, holder()?) {
            // It was judged as stopped, and is not: a moving tail is no damage.
            (None, Some(holder)) => {
                Err(StoreError::InUse { dir: dir.to_owned(), holder: format!("{holder}, since just now; run it again") })
            }
            _ => Err(error.into()),
        },
    }
}
