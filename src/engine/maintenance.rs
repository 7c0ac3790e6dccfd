//! Maintenance of finished segments: compression, and, if the operator wants that, dropping those that both checkpoints
//! cover.
//!
//! A failure is logged and retried later: the log itself is not affected.
//! Left out: compressing one segment (`wal/`), and when it is done (`checkpoint/thread.rs`).

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::engine::checkpoint::{CheckpointError, Made};
use crate::engine::{Engine, OrderedLog};
use crate::env::Disk;
use crate::model::types::StoreId;
use crate::wal::{self, Finished, WalError};

/// How a store keeps its finished segments. No outcome depends on it, so it is not in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keeping {
    /// They are compressed.
    pub compresses: bool,
    /// Segments wholly below the older of the two checkpoints are dropped: the audit trail then begins there.
    pub drops: bool,
}

impl Default for Keeping {
    /// Everything is kept, compressed.
    fn default() -> Self {
        Self { compresses: true, drops: false }
    }
}

/// The maintenance of one store. Clones share their state.
#[derive(Clone)]
pub(super) struct Upkeep {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    store: StoreId,
    keeping: Keeping,
    /// The first segment that a checkpoint still needs; 0 while it is unknown.
    needed_from: Arc<AtomicU64>,
}

impl Upkeep {
    pub(super) fn new(disk: Arc<dyn Disk>, dir: PathBuf, store: StoreId, keeping: Keeping) -> Self {
        Self { disk, dir, store, keeping, needed_from: Arc::default() }
    }

    /// Compresses every finished segment; returns how many it compressed.
    ///
    /// # Errors
    /// As [`wal::compress`]. Segments that were compressed before the error stay so.
    pub(super) fn compress(&self, finished: &Finished, cancelled: &AtomicBool) -> Result<u64, WalError> {
        let mut compressed = 0;
        if !self.keeping.compresses {
            return Ok(compressed);
        }
        let all = wal::uncompressed(&*self.disk, &self.dir, finished.end.position.segment)?;
        for sequence in all.into_iter().filter(|sequence| *sequence >= self.droppable_below()) {
            if let Some(shrunk) = wal::compress(&*self.disk, &self.dir, self.store, sequence, cancelled)? {
                compressed += 1;
                log::info!("compressed {}: {} bytes to {}", wal::file_name(sequence), shrunk.from, shrunk.to);
            }
        }
        Ok(compressed)
    }

    /// Notes that no checkpoint needs the segments before this one.
    pub(super) fn needs_from(&self, segment: u64) {
        self.needed_from.store(segment, Ordering::Relaxed);
    }

    /// Removes the files of the segments before `first`, which the manifest has stopped naming.
    pub(super) fn remove_dropped(&self, first: u64) {
        wal::remove_dropped(&*self.disk, &self.dir, first);
    }

    /// The segment before which all may be dropped; 0 for none.
    pub(super) fn droppable_below(&self) -> u64 {
        if self.keeping.drops { self.needed_from.load(Ordering::Relaxed) } else { 0 }
    }
}

impl<L: OrderedLog> Engine<L> {
    /// Makes a checkpoint of the finished segments now, and waits for it; none if there is one already. A daemon does
    /// so in the background; this is for a caller that drives the engine alone.
    ///
    /// # Errors
    /// [`CheckpointError`]. After [`CheckpointError::Damaged`], end.
    pub fn checkpoint_now(&self) -> Result<Option<Made>, CheckpointError> {
        self.checkpoints.make_now()
    }

    /// Compresses the finished segments now; returns how many it compressed. A daemon does so in the background; this
    /// is for a caller that drives the engine alone.
    ///
    /// # Errors
    /// [`CheckpointError`]; the segments are then still there.
    pub fn pack_now(&self) -> Result<u64, CheckpointError> {
        self.checkpoints.pack_now()
    }
}
