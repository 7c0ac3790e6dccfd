//! Makes segments, durably and in order: temporary, zero-written whole, synced, renamed, directory synced, and then
//! named in the manifest. Only after that may a segment be used.
//!
//! Left out: when one is made, and by which thread (`segment_pool.rs`).

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
use crate::wal::read::recover::LogEnd;
use crate::wal::read::segment_scan::refuse_batches_above;

/// How many bytes are zero-written at a time.
const CHUNK: usize = 256 << 10;
/// How long a thread that makes segments ahead of need rests between two chunks, so that commits come through. A
/// segment of 64 MiB then takes less time than the log needs to fill one.
const REST: Duration = Duration::from_micros(200);

/// A segment that may be written: it exists, and the manifest of a published store names it.
pub(in crate::wal) struct Segment {
    /// Its sequence number.
    pub(in crate::wal) sequence: u64,
    /// Its length in bytes.
    pub(in crate::wal) size: u64,
    /// The open file.
    pub(in crate::wal) file: Box<dyn File>,
}

impl Segment {
    /// The bytes that an empty one holds.
    pub(in crate::wal) const fn capacity(&self) -> u64 {
        self.size.saturating_sub(BLOCK)
    }
}

/// What came of making a segment.
pub(in crate::wal) enum Made {
    /// It is there.
    Segment(Segment),
    /// The disk, a quota or the table of descriptors is full; nothing that counts was changed, and another attempt is sound.
    NoSpace(WalError),
    /// The log is going away.
    Cancelled,
}

/// The one who makes the segments of a store, and writes its manifest.
pub(in crate::wal) struct SegmentWriter {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    store: StoreId,
    /// The highest segment made. Equal to the manifest's as soon as there is one.
    highest: u64,
    /// It has its name, and the directory's sync could not be begun yet.
    unsynced: Option<Segment>,
    /// The last attempt found no room.
    lacks_room: bool,
    /// None until the store is published.
    manifest: Option<(Manifest, Box<dyn File>)>,
    /// More than a chunk of zeros, so that one can begin at a block's boundary.
    zeros: Vec<u8>,
    /// Set when somebody waits for a segment, or makes it himself: no rest then.
    pub(in crate::wal) hurried: Arc<AtomicBool>,
    /// Set when nobody wants a segment any more.
    pub(in crate::wal) cancelled: Arc<AtomicBool>,
}

impl SegmentWriter {
    /// For a store that is being created, in a directory that holds no log.
    pub(in crate::wal) fn create(disk: Arc<dyn Disk>, dir: &Path, store: StoreId) -> Result<Self, WalError> {
        let names = disk.list(dir).map_err(WalError::io("list", dir.display().to_string()))?;
        if names.iter().any(|name| name == manifest::NAME || sequence_of_any(name).is_some()) {
            return Err(WalError::Misuse("a new log in a directory that holds one"));
        }
        Ok(Self::new(disk, dir, store, 0))
    }

    /// For a store that was recovered.
    pub(in crate::wal) fn resume(disk: Arc<dyn Disk>, dir: &Path, manifest: Manifest) -> Result<Self, WalError> {
        let file = disk.open(&dir.join(manifest::NAME)).map_err(WalError::io("open", manifest::NAME))?;
        let mut maker = Self::new(disk, dir, manifest.store, manifest.highest);
        maker.manifest = Some((manifest, file));
        if let Some(KnownEnd { end, is_last: true }) = manifest.known {
            // Batches may follow from now on.
            maker.record_end(&end, false)?;
        }
        Ok(maker)
    }

    /// Names in the manifest an end that the log certainly reached; `is_last` if it was closed there.
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

    /// Makes the next segment, of `size` bytes.
    ///
    /// # Errors
    /// Whatever the system says, except "no space" and "no descriptor" before the segment has its name. Fatal: end the
    /// process.
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
            // No descriptor: no sync was begun, and so none has failed.
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

    /// Whether the file system itself says that so many bytes cannot fit, so that no attempt has to find out by writing them.
    fn is_hopeless(&self, size: u64) -> bool {
        matches!(self.disk.free_space(&self.dir), Ok(Some(free)) if free < size)
    }

    /// Writes the manifest that makes the store exist, with every segment made so far.
    pub(in crate::wal) fn publish(&mut self) -> Result<(), WalError> {
        if self.manifest.is_some() {
            return Err(WalError::Misuse("a log published twice"));
        }
        let manifest = Manifest::create(self.disk.as_ref(), &self.dir, self.store, (1, self.highest), None)?;
        let file = self.disk.open(&self.dir.join(manifest::NAME)).map_err(WalError::io("open", manifest::NAME))?;
        self.manifest = Some((manifest, file));
        Ok(())
    }

    /// The manifest stops naming the segments before `first`, durably. Their files are for [`remove_dropped`].
    pub(in crate::wal) fn retain(&mut self, first: u64) -> Result<(), WalError> {
        let Some((manifest, file)) = &mut self.manifest else {
            return Err(WalError::Misuse("to drop segments of a log that was never published"));
        };
        if first > manifest.first_retained && first <= manifest.highest {
            manifest.advance(file.as_ref(), first, manifest.highest)?;
        }
        Ok(())
    }

    /// Writes and names the file; `None` if cancelled half-way.
    fn fill(&self, name: &str, temporary: &str, header: SegmentHeader) -> Result<Option<Box<dyn File>>, WalError> {
        let path = self.dir.join(temporary);
        // A leftover of an attempt that found no space: written on afresh, never continued.
        if self.disk.exists(&path).map_err(WalError::io("look for", temporary))? {
            self.disk.remove(&path).map_err(WalError::io("remove", temporary))?;
        }
        let file = self.disk.create(&path).map_err(WalError::io("create", temporary))?;
        file.write_all_at(&header.encode(), 0).map_err(WalError::io("write", temporary))?;
        // Past the page cache, so that no commit waits for these to be written back.
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

    /// Gives the space of an unfinished segment back, as far as that works: the next start removes what is left.
    fn abandon(&self, temporary: &str) {
        let _ = self.disk.remove(&self.dir.join(temporary));
    }
}

/// Removes the segments above those that the manifest names, which a start that did not get far has made: the names are
/// needed.
///
/// # Errors
/// [`WalError::Damaged`] if there is a batch in one of them: then it is kept. What the system says.
pub(in crate::wal) fn remove_unnamed(disk: &dyn Disk, dir: &Path, manifest: &Manifest) -> Result<(), WalError> {
    for name in disk.list(dir).map_err(WalError::io("list", dir.display().to_string()))? {
        if let Some(sequence) = sequence_of_any(&name).filter(|sequence| *sequence > manifest.highest) {
            refuse_batches_above(disk, dir, sequence, manifest)?;
            disk.remove(&dir.join(&name)).map_err(WalError::io("remove", name))?;
        }
    }
    Ok(())
}

/// Removes the temporaries of an earlier life. Nothing depends on them, so a crash before this is durable is no harm.
pub(in crate::wal) fn remove_temporaries(disk: &dyn Disk, dir: &Path) -> Result<(), WalError> {
    for name in disk.list(dir).map_err(WalError::io("list", dir.display().to_string()))? {
        if name.ends_with(".tmp") {
            disk.remove(&dir.join(&name)).map_err(WalError::io("remove", name))?;
        }
    }
    Ok(())
}

/// Writes the manifest of a copied log, whose segments are there, synced and named durably, and which ends with `end`: from
/// then on it is a store.
///
/// # Errors
/// What the system says.
pub fn publish_copy(disk: &dyn Disk, dir: &Path, store: StoreId, first: u64, end: &LogEnd) -> Result<(), WalError> {
    let known = Some(KnownEnd { end: *end, is_last: true });
    Manifest::create(disk, dir, store, (first, end.position.segment), known).map(|_| ())
}

/// Removes what is left of the segments before `first_retained`, which the manifest must no longer name, as far as that
/// works: nothing depends on it, and the next call, or the next start, goes on.
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

/// Removes the segments and temporaries of a log that was never published, so that its creation can begin afresh.
/// The caller knows, by its own marker, that they are that.
///
/// # Errors
/// [`WalError::Misuse`] if there is a manifest: then it is a store, and nothing is removed.
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
