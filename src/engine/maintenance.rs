//! What becomes of the segments that the log has moved on from: packed, and, if the operator wants that, dropped once both
//! checkpoints have what is in them.
//!
//! Whatever fails here is told and tried again later: the log itself is not concerned.
//! Left out: packing one (`wal/`), and when it is done (`checkpoint/thread.rs`).

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::env::Disk;
use crate::model::types::StoreId;
use crate::wal::{self, Finished, WalError};

/// How a store keeps the segments that its log has moved on from. No outcome depends on it, so it is not in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keeping {
    /// They are packed.
    pub packs: bool,
    /// Those that lie wholly below the older of the two checkpoints are dropped: the audit trail then begins there.
    pub drops: bool,
}

impl Default for Keeping {
    /// Everything is kept, packed.
    fn default() -> Self {
        Self { packs: true, drops: false }
    }
}

/// The one who does it. Clones share what they know.
#[derive(Clone)]
pub(super) struct Upkeep {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    store: StoreId,
    keeping: Keeping,
    /// The first segment that a checkpoint still needs; 0 while that is not known.
    needed_from: Arc<AtomicU64>,
}

impl Upkeep {
    pub(super) fn new(disk: Arc<dyn Disk>, dir: PathBuf, store: StoreId, keeping: Keeping) -> Self {
        Self { disk, dir, store, keeping, needed_from: Arc::default() }
    }

    /// Packs every segment up to the one that the log has finished last, and tells how many that were.
    ///
    /// # Errors
    /// As [`wal::compress`]. What was packed until then stays so.
    pub(super) fn pack(&self, finished: &Finished, cancelled: &AtomicBool) -> Result<u64, WalError> {
        let mut packed = 0;
        if !self.keeping.packs {
            return Ok(packed);
        }
        let all = wal::uncompressed(&*self.disk, &self.dir, finished.end.position.segment)?;
        for sequence in all.into_iter().filter(|sequence| *sequence >= self.droppable_below()) {
            if let Some(shrunk) = wal::compress(&*self.disk, &self.dir, self.store, sequence, cancelled)? {
                packed += 1;
                log::info!("packed {}: {} bytes in {}", wal::file_name(sequence), shrunk.from, shrunk.to);
            }
        }
        Ok(packed)
    }

    /// Takes note that no checkpoint needs what lies before that segment.
    pub(super) fn needs_from(&self, segment: u64) {
        self.needed_from.store(segment, Ordering::Relaxed);
    }

    /// Removes the files of the segments before `first`, which the manifest has stopped naming.
    pub(super) fn remove_dropped(&self, first: u64) {
        wal::remove_dropped(&*self.disk, &self.dir, first);
    }

    /// Before which segment everything may be dropped; 0 for nothing.
    pub(super) fn droppable_below(&self) -> u64 {
        if self.keeping.drops { self.needed_from.load(Ordering::Relaxed) } else { 0 }
    }
}
