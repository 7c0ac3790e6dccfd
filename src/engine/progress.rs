//! Progress callback of recovery, verify and other long reads of a log or a checkpoint.
//!
//! Left out: displaying it (`cli/`).

use std::sync::Arc;

use crate::wal::{Batch, Extent, Position};

/// The kind of data that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// The bank's image in a checkpoint.
    Checkpoint,
    /// The log: all of it, or the part behind the checkpoint.
    Log,
}

/// The progress of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The kind of data.
    pub reading: Reading,
    /// The bytes that are read.
    pub bytes: u64,
    /// The bytes in all; 0 if unknown.
    pub of: u64,
    /// The entries in the bytes that are read; 0 for a checkpoint.
    pub entries: u64,
}

/// Receives the progress of a read after each batch, some hundred thousand times a second: it must be quick.
pub trait ProgressSink: Send + Sync {
    /// Receives the progress.
    fn see(&self, progress: Progress);

    /// The read has ended, with success or an error.
    fn end(&self) {}
}

/// Ignores the progress.
pub struct NoProgress;

impl ProgressSink for NoProgress {
    fn see(&self, _: Progress) {}
}

/// Reports each batch of a log, and the end when it is dropped.
pub(super) struct LogWatch {
    watch: Arc<dyn ProgressSink>,
    extent: Extent,
    entries: u64,
}

impl LogWatch {
    pub(super) fn new(watch: &Arc<dyn ProgressSink>, extent: Extent) -> Self {
        Self { watch: Arc::clone(watch), extent, entries: 0 }
    }

    /// Reports the next batch.
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
