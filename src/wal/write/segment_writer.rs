//! Creates segments durably and in order: writes a temporary file full of zeros, syncs and renames it, syncs the directory,
//! and records the segment in the manifest. Only then may the segment be used.
//!
//! Left out: when a segment is created, and by which thread (`segment_pool.rs`).

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::env::{Disk, File};
use crate::model::invariant::{to_len, to_u64};
use crate::model::types::StoreId;
use crate::wal::WalError;
use crate::wal::format::bytes::BLOCK;
use crate::wal::format::compressed::sequence_of_any;
use crate::wal::format::manifest;
use crate::wal::format::manifest::{KnownEnd, Manifest};
use crate::wal::format::segment::{SegmentHeader, file_name};
use crate::wal::log_end::LogEnd;
use crate::wal::read::segment_scan::refuse_batches_above;

/// The number of zero bytes per write.
const CHUNK: usize = 256 << 10;
/// The pause between two chunks when a segment is created ahead of need, so that commits are not delayed. A segment of
/// 64 MiB is still created faster than the log fills one.
const REST: Duration = Duration::from_micros(200);

/// A segment that batches may be written to: its file is durable, and the manifest, if there is one yet, names it.
pub(in crate::wal) struct Segment {
    /// Its sequence number.
    pub(in crate::wal) sequence: u64,
    /// Its length in bytes.
    pub(in crate::wal) size: u64,
    /// The open file.
    pub(in crate::wal) file: Box<dyn File>,
}

impl Segment {
    /// The bytes of batches that an empty segment holds.
    pub(in crate::wal) const fn capacity(&self) -> u64 {
        self.size.saturating_sub(BLOCK)
    }
}

/// The result of an attempt to create a segment.
pub(in crate::wal) enum Made {
    /// The segment was created.
    Segment(Segment),
    /// The disk, a quota or the table of file descriptors is full. Another attempt is safe.
    NoSpace(WalError),
    /// The log is being dropped.
    Cancelled,
}

/// Creates the segments of a store and writes its manifest.
pub(in crate::wal) struct SegmentWriter {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    store: StoreId,
    /// The highest segment created. Equal to the manifest's value once there is a manifest.
    highest: u64,
    /// A segment that is renamed, but whose directory sync could not be started yet.
    unsynced: Option<Segment>,
    /// The last attempt found no space.
    lacks_room: bool,
    /// `None` until the store is published.
    manifest: Option<(Manifest, Box<dyn File>)>,
    /// A chunk of zeros plus one block, so that a block-aligned chunk fits.
    zeros: Vec<u8>,
    /// Set while a caller waits for a segment, and for inline creation: then there are no pauses.
    pub(in crate::wal) hurried: Arc<AtomicBool>,
    /// Set when no segment is needed any more.
    pub(in crate::wal) cancelled: Arc<AtomicBool>,
}

impl SegmentWriter {
    /// For a store in creation, in a directory that holds no log.
    pub(in crate::wal) fn create(disk: Arc<dyn Disk>, dir: &Path, store: StoreId) -> Result<Self, WalError> {
        let names = disk.list(dir).map_err(WalError::io("list", dir.display().to_string()))?;
        if names.iter().any(|name| name == manifest::NAME || sequence_of_any(name).is_some()) {
            return Err(WalError::Misuse("a new log in a directory that holds one"));
        }
        Ok(Self::new(disk, dir, store, 0))
    }

    /// For a recovered store.
    pub(in crate::wal) fn resume(disk: Arc<dyn Disk>, dir: &Path, manifest: Manifest) -> Result<Self, WalError> {
        let file = disk.open(&dir.join(manifest::NAME)).map_err(WalError::io("open", manifest::NAME))?;
        let mut writer = Self::new(disk, dir, manifest.store, manifest.highest);
        writer.manifest = Some((manifest, file));
        if let Some(KnownEnd { end, is_last: true }) = manifest.known {
            // Batches may follow the known end from now on.
            writer.record_end(&end, false)?;
        }
        Ok(writer)
    }

    /// Records in the manifest a log end that is durable; `is_last` if the log is closed there.
    pub(in crate::wal) fn record_end(&mut self, end: &LogEnd, is_last: bool) -> Result<(), WalError> {
        match &mut self.manifest {
            Some((manifest, file)) => manifest.record_end(file.as_ref(), KnownEnd { end: *end, is_last }),
            None => Err(WalError::Misuse("to record the end of a log that was never published")),
        }
    }

    fn new(disk: Arc<dyn Disk>, dir: &Path, store: StoreId, highest: u64) -> Self {
        let cancelled = Arc::new(AtomicBool::new(false));
        let zeros = vec![0; CHUNK + to_len(BLOCK)];
        let hurried = Arc::new(AtomicBool::new(true));
        Self { disk, dir: dir.to_owned(), store, highest, unsynced: None, lacks_room: false, manifest: None, zeros, hurried, cancelled }
    }

    /// Creates the next segment, of `size` bytes.
    ///
    /// # Errors
    /// [`WalError::Io`], except for lack of space or descriptors, which is [`Made::NoSpace`] until the directory sync has
    /// started. Fatal: end the process.
    pub(in crate::wal) fn make(&mut self, size: u64) -> Result<Made, WalError> {
        let made = self.attempt(size)?;
        match &made {
            Made::NoSpace(error) if !self.lacks_room => {
                self.lacks_room = true;
                log::warn!(
                    "no room for another segment ({error}): once the last one is used up, money and logins are refused until there is room"
                );
            }
            Made::Segment(segment) if self.lacks_room => {
                self.lacks_room = false;
                log::warn!("there is room for the log again: {} is made, and money and logins are taken", file_name(segment.sequence));
            }
            Made::Segment(_) | Made::NoSpace(_) | Made::Cancelled => {}
        }
        Ok(made)
    }

    fn attempt(&mut self, size: u64) -> Result<Made, WalError> {
        let sequence = self.highest + 1;
        let name = file_name(sequence);
        let segment = match self.unsynced.take() {
            Some(segment) => segment,
            None => {
                if self.lacks_room && self.is_hopeless(size) {
                    return Ok(Made::NoSpace(WalError::io("create", name)(io::ErrorKind::StorageFull.into())));
                }
                let temporary = format!("{name}.tmp");
                match self.fill(&name, &temporary, SegmentHeader { store: self.store, sequence, size }) {
                    Ok(Some(file)) => Segment { sequence, size, file },
                    Ok(None) => {
                        self.abandon(&temporary);
                        return Ok(Made::Cancelled);
                    }
                    Err(error) if error.is_no_space() => {
                        self.abandon(&temporary);
                        return Ok(Made::NoSpace(error));
                    }
                    Err(error) => return Err(error),
                }
            }
        };
        if let Err(error) = self.disk.sync_dir(&self.dir).map_err(WalError::io("sync the directory of", name.as_str())) {
            // Without a descriptor no sync was started, and so none has failed.
            return if error.is_out_of_descriptors() {
                self.unsynced = Some(segment);
                Ok(Made::NoSpace(error))
            } else {
                Err(error)
            };
        }
        if let Some((manifest, file)) = &mut self.manifest {
            manifest.advance(file.as_ref(), manifest.first_retained, sequence)?;
        }
        self.highest = sequence;
        Ok(Made::Segment(segment))
    }

    /// Whether the file system reports less than `size` bytes free, so that an attempt is pointless.
    fn is_hopeless(&self, size: u64) -> bool {
        matches!(self.disk.free_space(&self.dir), Ok(Some(free)) if free < size)
    }

    /// Writes the first manifest, with every segment created so far. From then on the store exists.
    pub(in crate::wal) fn publish(&mut self) -> Result<(), WalError> {
        if self.manifest.is_some() {
            return Err(WalError::Misuse("a log published twice"));
        }
        let manifest = Manifest::create(self.disk.as_ref(), &self.dir, self.store, (1, self.highest), None)?;
        let file = self.disk.open(&self.dir.join(manifest::NAME)).map_err(WalError::io("open", manifest::NAME))?;
        self.manifest = Some((manifest, file));
        Ok(())
    }

    /// Removes the segments before `first` from the manifest, durably. [`remove_dropped`] removes their files.
    pub(in crate::wal) fn retain(&mut self, first: u64) -> Result<(), WalError> {
        let Some((manifest, file)) = &mut self.manifest else {
            return Err(WalError::Misuse("to drop segments of a log that was never published"));
        };
        if first > manifest.first_retained && first <= manifest.highest {
            manifest.advance(file.as_ref(), first, manifest.highest)?;
        }
        Ok(())
    }

    /// Writes, syncs and renames the file. Returns `None` if cancelled.
    fn fill(&self, name: &str, temporary: &str, header: SegmentHeader) -> Result<Option<Box<dyn File>>, WalError> {
        let path = self.dir.join(temporary);
        // A leftover of an attempt that found no space is replaced, never continued.
        if self.disk.exists(&path).map_err(WalError::io("look for", temporary))? {
            self.disk.remove(&path).map_err(WalError::io("remove", temporary))?;
        }
        let file = self.disk.create(&path).map_err(WalError::io("create", temporary))?;
        file.write_all_at(&header.encode(), 0).map_err(WalError::io("write", temporary))?;
        // Direct I/O, so that no commit waits for the writeback of zeros.
        let io = || WalError::io("set the flags of", temporary);
        let is_direct = file.set_direct(true).map_err(io())?;
        let aligned = self.zeros.as_ptr().align_offset(to_len(BLOCK));
        let zeros = self.zeros.get(aligned..).and_then(|zeros| zeros.get(..CHUNK));
        let zeros = zeros.ok_or(WalError::Misuse("to write fewer zeros than a chunk"))?;
        let mut offset = BLOCK;
        while offset < header.size {
            if self.cancelled.load(Ordering::Relaxed) {
                return Ok(None);
            }
            let chunk = zeros.get(..to_len(header.size - offset)).unwrap_or(zeros);
            file.write_all_at(chunk, offset).map_err(WalError::io("write", temporary))?;
            offset = offset.saturating_add(to_u64(chunk.len()));
            if !self.hurried.load(Ordering::Relaxed) {
                std::thread::sleep(REST);
            }
        }
        if is_direct {
            file.set_direct(false).map_err(io())?;
        }
        file.sync().map_err(WalError::io("sync", temporary))?;
        self.disk.rename_new(&path, &self.dir.join(name)).map_err(WalError::io("rename", temporary))?;
        Ok(Some(file))
    }

    /// Removes an unfinished segment. Best effort: the next start removes what is left.
    fn abandon(&self, temporary: &str) {
        let _ = self.disk.remove(&self.dir.join(temporary));
    }
}

/// Removes segments above the manifest's range, left by a start that was interrupted, because their names are needed.
///
/// # Errors
/// [`WalError::Damaged`] if one of them contains a batch: it is kept. [`WalError::Io`].
pub(in crate::wal) fn remove_unnamed(disk: &dyn Disk, dir: &Path, manifest: &Manifest) -> Result<(), WalError> {
    for name in disk.list(dir).map_err(WalError::io("list", dir.display().to_string()))? {
        if let Some(sequence) = sequence_of_any(&name).filter(|sequence| *sequence > manifest.highest) {
            refuse_batches_above(disk, dir, sequence, manifest)?;
            disk.remove(&dir.join(&name)).map_err(WalError::io("remove", name))?;
        }
    }
    Ok(())
}

/// Removes the temporary files of earlier runs. Nothing depends on them, so the removal need not be durable.
pub(in crate::wal) fn remove_temporaries(disk: &dyn Disk, dir: &Path) -> Result<(), WalError> {
    for name in disk.list(dir).map_err(WalError::io("list", dir.display().to_string()))? {
        if name.ends_with(".tmp") {
            disk.remove(&dir.join(&name)).map_err(WalError::io("remove", name))?;
        }
    }
    Ok(())
}

/// Writes the manifest of a copied log that ends with `end`. The caller has made its segments durable. From then on the
/// directory holds a store.
///
/// # Errors
/// [`WalError::Io`].
pub fn publish_copy(disk: &dyn Disk, dir: &Path, store: StoreId, first: u64, end: &LogEnd) -> Result<(), WalError> {
    let known = Some(KnownEnd { end: *end, is_last: true });
    Manifest::create(disk, dir, store, (first, end.position.segment), known).map(|_| ())
}

/// Removes the files of segments before `first_retained`, which the manifest must not name any more. Best effort: nothing
/// depends on it, and the next call or the next start tries again.
pub fn remove_dropped(disk: &dyn Disk, dir: &Path, first_retained: u64) {
    let removed = disk.list(dir).and_then(|names| {
        names
            .iter()
            .filter(|name| sequence_of_any(name).is_some_and(|sequence| sequence < first_retained))
            .try_for_each(|name| disk.remove(&dir.join(name)))
    });
    if let Err(error) = removed {
        log::warn!("dropped segments stay behind for now: {error}");
    }
}

/// Removes the segments and temporary files of a log that was never published, so that creation can restart. The caller has
/// a marker that proves the creation unfinished.
///
/// # Errors
/// [`WalError::Misuse`] if there is a manifest: then it is a store, and nothing is removed. [`WalError::Io`].
pub fn discard_unpublished(disk: &dyn Disk, dir: &Path) -> Result<(), WalError> {
    if disk.exists(&dir.join(manifest::NAME)).map_err(WalError::io("look for", manifest::NAME))? {
        return Err(WalError::Misuse("to discard a log that was published"));
    }
    remove_temporaries(disk, dir)?;
    for name in disk.list(dir).map_err(WalError::io("list", dir.display().to_string()))? {
        if sequence_of_any(&name).is_some() {
            disk.remove(&dir.join(&name)).map_err(WalError::io("remove", name))?;
        }
    }
    disk.sync_dir(dir).map_err(WalError::io("sync", dir.display().to_string()))
}
