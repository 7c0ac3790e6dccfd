//! Whom a long reading tells how far it is: a start, a verification, whatever reads a whole log or a checkpoint.
//!
//! Left out: whether anybody is shown anything, and how (`cli/`).

use std::sync::Arc;

use crate::wal::{Batch, Extent, Position};

/// What is being read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// The bank's image in a checkpoint.
    Checkpoint,
    /// The log: all of it, or what stands behind the checkpoint.
    Log,
}

/// How far a reading is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Of what.
    pub reading: Reading,
    /// The bytes that have been gone through.
    pub bytes: u64,
    /// All of them; 0 if that is not known.
    pub of: u64,
    /// The entries that stood in them; 0 for a checkpoint.
    pub entries: u64,
}

/// Is told how far a reading is, batch by batch: some hundred thousand times a second, so it must be quick about it.
pub trait ProgressSink: Send + Sync {
    /// It has come this far.
    fn see(&self, progress: Progress);

    /// The reading is over, at its end or for an error.
    fn end(&self) {}
}

/// Nobody who wants to know.
pub struct NoProgress;

impl ProgressSink for NoProgress {
    fn see(&self, _: Progress) {}
}

/// Tells of each batch of a log, and of the end when it is dropped.
pub(super) struct LogWatch {
    watch: Arc<dyn ProgressSink>,
    extent: Extent,
    entries: u64,
}

impl LogWatch {
    pub(super) fn new(watch: &Arc<dyn ProgressSink>, extent: Extent) -> Self {
        Self { watch: Arc::clone(watch), extent, entries: 0 }
    }

    /// The next batch was read.
    pub(super) fn batch(&mut self, batch: &Batch<'_>) {
        let Position { segment, offset } = batch.position;
        let end = Position { segment, offset: offset.saturating_add(batch.header.bytes()) };
        self.entries = self.entries.saturating_add(u64::from(batch.header.count));
        let (bytes, of) = (self.extent.up_to(end), self.extent.total());
        self.watch.see(Progress { reading: Reading::Log, bytes, of, entries: self.entries });
    }
}

impl Drop for LogWatch {
    fn drop(&mut self) {
        self.watch.end();
    }
}
