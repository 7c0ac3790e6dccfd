//! The ordered log behind the engine, as a trait: append a batch; learn that it is durable, or that this daemon no longer
//! leads; read from a position. [`LocalLog`] is the log of one machine.
//!
//! A batch grows in the local log, which every daemon writes. The order of batches is what an implementation decides: the
//! local log decides it alone, since the store's lock keeps every other daemon away. A log on several machines decides it
//! together with the others, and may find that another daemon has taken over.
//! Completion-based: a commit is begun, and later finished. No async runtime, and no cost: the engine is compiled for its log.
//! Left out: the bytes and the disk (`wal/`), the open batch's entries (`batch_entries.rs`).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::engine::{Engine, Fatal};
use crate::env::Disk;
use crate::model::types::BankTime;
use crate::wal::{self, Anchor, InFlight, Inspected, Log, Seen, Writer};

/// The result of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a deposed daemon must answer no request of the batch"]
pub enum Standing {
    /// The batch is durable, at the position that its header names.
    Leads,
    /// Another daemon appends now. Whether the batch is part of the log is not known here.
    Deposed,
}

/// Callback for each batch that is read, in order. An error counts as damage at that batch.
pub type ReadBatch<'a> = dyn FnMut(&Seen<'_>) -> Result<(), String> + 'a;

/// A log of batches in one order, with one daemon that appends at a time.
///
/// Contract: a batch is appended whole or not at all; at most one commit is in flight; after [`Standing::Leads`] the batch and
/// all before it survive every crash that the log is built to survive; after [`Standing::Deposed`] or an error nothing is
/// appended any more.
pub trait OrderedLog {
    /// A commit that was begun.
    type InFlight;

    /// The commit of a batch without entries, which writes nothing.
    const NOTHING: Self::InFlight;

    /// The log on this machine, in which the open batch grows.
    fn local(&self) -> &Log;

    /// The same, to put entries into the open batch.
    fn local_mut(&mut self) -> &mut Log;

    /// Begins to append the open batch; its entries may be applied, and no answer may leave. `outcome_digest` is the bank's
    /// after the batch before.
    ///
    /// # Errors
    /// [`Fatal`]: the state of the log is unknown.
    fn begin_commit(&mut self, bank_time: BankTime, outcome_digest: u64) -> Result<Self::InFlight, Fatal>;

    /// Waits until the batch is durable, or it is known that this daemon no longer leads.
    ///
    /// # Errors
    /// As [`OrderedLog::begin_commit`].
    fn finish_commit(&mut self, commit: Self::InFlight) -> Result<Standing, Fatal>;

    /// Reads every batch behind `from`, or from the beginning, up to the last that is proven durable. Changes nothing.
    ///
    /// # Errors
    /// [`Fatal::Log`], also for damage; an error of `visit` counts as damage.
    fn read_from(&self, from: Option<&Anchor>, visit: &mut ReadBatch<'_>) -> Result<Inspected, Fatal>;
}

/// The log of one machine: it always leads, since it holds the store's lock.
pub struct LocalLog {
    log: Log,
    disk: Arc<dyn Disk>,
    dir: PathBuf,
}

impl LocalLog {
    /// The log that is open in `dir` of `disk`.
    pub(super) fn new(log: Log, disk: Arc<dyn Disk>, dir: &Path) -> Self {
        Self { log, disk, dir: dir.to_owned() }
    }
}

impl OrderedLog for LocalLog {
    type InFlight = InFlight;

    const NOTHING: InFlight = InFlight::DURABLE;

    #[inline]
    fn local(&self) -> &Log {
        &self.log
    }

    #[inline]
    fn local_mut(&mut self) -> &mut Log {
        &mut self.log
    }

    #[inline]
    fn begin_commit(&mut self, bank_time: BankTime, outcome_digest: u64) -> Result<InFlight, Fatal> {
        Ok(self.log.begin_commit(bank_time, outcome_digest)?)
    }

    #[inline]
    fn finish_commit(&mut self, commit: InFlight) -> Result<Standing, Fatal> {
        self.log.finish_commit(commit)?;
        Ok(Standing::Leads)
    }

    fn read_from(&self, from: Option<&Anchor>, visit: &mut ReadBatch<'_>) -> Result<Inspected, Fatal> {
        Ok(wal::inspect(&*self.disk, &self.dir, Writer::Running, from, &[], visit)?)
    }
}

impl<L: OrderedLog> Engine<L> {
    /// The log, to read from.
    #[must_use]
    pub const fn log(&self) -> &L {
        &self.log
    }

    /// The same engine over the log that `wrap` makes of this one.
    pub fn over<M: OrderedLog>(self, wrap: impl FnOnce(L) -> M) -> Engine<M> {
        let Self { bank, log, key, clock, store, entropy, batch, batch_time, staged, start, checkpoints, statements, held_dir, _lock } =
            self;
        let log = wrap(log);
        Engine { bank, log, key, clock, store, entropy, batch, batch_time, staged, start, checkpoints, statements, held_dir, _lock }
    }
}
