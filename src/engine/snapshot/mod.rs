//! Copies a store, also beside a running daemon, to a directory that a start accepts.
//!
//! Order: the directory; the marker `SNAPSHOT`, so that a partial copy is never taken for the store itself; the
//! checkpoints; the segments, the last one up to its last sealed batch; all of it synced, read back from the device and
//! replayed; and only then the manifest, which makes it a store. The key file is not copied: the snapshot alone reveals
//! no PINs.
//! Left out: the marker's bytes (`marker.rs`), and the first start from a snapshot (`open.rs`).

pub(super) mod marker;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::checkpoint::{self, Held};
use super::copy::copy;
use super::error::StoreError;
use super::replay::Replay;
use super::store_dir::{LOCK, StoreEnv, io_error, make_dir, take_lock};
use crate::engine::inspect::judge;
use crate::engine::progress::LogWatch;
use crate::engine::snapshot::marker::{Marker, SNAPSHOT};
use crate::env::{Disk, File, ReadOnly};
use crate::model::types::{Chain, Lsn, StoreId};
use crate::wal::{self, Anchor, Hold, Inspected, LogEnd, SegmentScan, Writer};

/// How often to retry opening a segment that is just being compressed.
const LOOKS: usize = 4;

/// How often to look for a daemon's seal, and the pause between two looks.
const SEAL_LOOKS: usize = 25;
const SEAL_LOOK: Duration = Duration::from_millis(20);

/// The result of a snapshot, written and verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The store that was copied.
    pub store: StoreId,
    /// Its last entry.
    pub lsn: Lsn,
    /// The chain head after it.
    pub chain: Chain,
    /// How many segments it has.
    pub segments: u64,
    /// How many checkpoints it has.
    pub checkpoints: usize,
    /// The length of its files in bytes.
    pub bytes: u64,
}

/// Copies the store in `dir` to `target`, which must be empty or missing. Beside a running daemon the copy holds
/// everything that was answered before the call. Nothing in `dir` is changed, and no request waits for it.
///
/// # Errors
/// [`StoreError`]; the partial copy is removed, if possible, and is not a store.
pub fn snapshot(env: &StoreEnv, dir: &Path, target: &Path) -> Result<Snapshot, StoreError> {
    let env = &env.beside(dir)?;
    judge::look_for_store(env, dir)?;
    // Opened before the log is read: so the log goes on beyond each of them, and none can vanish.
    let source: Arc<dyn Disk> = match env.holder(dir)? {
        Some(_) => Arc::new(Hold::new(Arc::clone(&env.disk), dir)?),
        None => {
            judge::judge(env, &ReadOnly(&*env.disk), dir)?;
            Arc::clone(&env.disk)
        }
    };
    let source = &*source;
    let survey = wal::survey(source, dir, Writer::Running)?;
    let held = checkpoint::hold(source, dir, &survey)?;
    let log = sealed(env, source, dir, &survey, held.first().map(Held::anchor).as_ref())?;
    let marker = Marker { store: log.store, end: log.end };
    make_dir(env, target)?;
    let _lock = take_lock(env, target)?;
    refuse_content(env, target)?;
    let first = log.segments.first().map_or(1, |stored| stored.sequence);
    let made = Copying { env, source, dir, target, marker, first }.make(held);
    if made.is_err() {
        discard(env, target);
    }
    made
}

/// Reads the store's log up to the end of the snapshot. Beside a daemon, that is the last seal, once it covers every
/// answer sent before this call: a daemon seals 100 ms after its last answer. Without room for a seal, the last whole
/// batch counts too.
fn sealed(env: &StoreEnv, source: &dyn Disk, dir: &Path, survey: &SegmentScan, from: Option<&Anchor>) -> Result<Inspected, StoreError> {
    let mut answered = None;
    let mut looks = 0;
    loop {
        looks += 1;
        let writer = if env.holder(dir)?.is_some() { Writer::Running } else { Writer::None };
        let mut told = LogWatch::new(&env.watch, survey.extent(from));
        let (known, _) = judge::known_ends(source, dir, survey)?;
        let log = wal::inspect(source, dir, writer, from, &known, &mut |seen| {
            told.batch(&seen.batch);
            Ok(())
        })?;
        let wanted = *answered.get_or_insert(log.good_end.batch_number);
        if log.end.batch_number >= wanted {
            return Ok(log);
        }
        if looks >= SEAL_LOOKS {
            return Ok(Inspected { end: log.good_end, ..log });
        }
        std::thread::sleep(SEAL_LOOK);
    }
}

/// A copy that is being made.
struct Copying<'a> {
    env: &'a StoreEnv,
    /// The disk of the store.
    source: &'a dyn Disk,
    dir: &'a Path,
    target: &'a Path,
    marker: Marker,
    /// The first segment.
    first: u64,
}

impl Copying<'_> {
    fn make(&self, held: Vec<Held>) -> Result<Snapshot, StoreError> {
        let (disk, target) = (&*self.env.disk, self.target);
        let sync = || disk.sync_dir(target).map_err(io_error("sync", target));
        let LogEnd { position, chain, .. } = self.marker.end;
        self.marker.write(disk, target)?;
        sync()?;
        let mut bytes = 0;
        for checkpoint in held {
            bytes += checkpoint.copy_to(disk, self.dir, target)?;
        }
        for sequence in self.first..=position.segment {
            bytes += self.segment(sequence)?;
        }
        sync()?;
        let checkpoints = self.verify()?;
        wal::publish_copy(disk, target, self.marker.store, self.first, &self.marker.end)?;
        let segments = position.segment.saturating_sub(self.first).saturating_add(1);
        Ok(Snapshot { store: self.marker.store, lsn: self.marker.lsn(), chain, segments, checkpoints, bytes })
    }

    /// Copies a segment, compressed or not, as it is stored; the last one uncompressed, without the bytes behind the
    /// end.
    fn segment(&self, sequence: u64) -> Result<u64, StoreError> {
        let disk = &*self.env.disk;
        let end = self.marker.end.position;
        let (name, source) = if sequence == end.segment {
            (wal::file_name(sequence), wal::open_decompressed(self.source, self.dir, sequence)?)
        } else {
            self.open_as_kept(sequence)?
        };
        let from = self.dir.join(&name);
        let length = source.len().map_err(io_error("measure", &from))?;
        let count = if sequence == end.segment { end.offset } else { length };
        copy(disk, source.as_ref(), &from, &self.target.join(name), count, length)?;
        Ok(length)
    }

    /// Opens a segment's file, compressed or not; returns its name.
    fn open_as_kept(&self, sequence: u64) -> Result<(String, Box<dyn File>), StoreError> {
        let disk = self.source;
        let mut looks = 0;
        loop {
            looks += 1;
            let name = wal::kept_in(disk, self.dir, sequence)?;
            let from = self.dir.join(&name);
            match disk.open_read(&from) {
                Ok(file) => return Ok((name, file)),
                // It was compressed just now: look again.
                Err(error) if error.kind() == io::ErrorKind::NotFound && looks < LOOKS => {}
                Err(error) => return Err(io_error("open", &from)(error)),
            }
        }
    }

    /// Replays the copy from the device; returns how many checkpoints it has.
    fn verify(&self) -> Result<usize, StoreError> {
        let (disk, target) = (&*self.env.disk, self.target);
        let survey = SegmentScan::part(disk, target, self.marker.store, self.first, self.marker.end.position.segment)?;
        let known = checkpoint::keep_sound(disk, target, &survey, &*self.env.watch)?;
        let start = checkpoint::oldest(disk, target, &survey, &*self.env.watch)?;
        let mut replay = Replay::new(start.bank);
        let mut told = LogWatch::new(&self.env.watch, survey.extent(start.anchor.as_ref()));
        let recovered = survey.recover(disk, target, start.anchor.as_ref(), &known, &mut |batch| {
            told.batch(batch);
            replay.batch(batch)
        })?;
        if recovered.end != self.marker.end {
            let what = format!("the copy ends with batch {} instead of {}", recovered.end.batch_number, self.marker.end.batch_number);
            return Err(StoreError::Damaged(what));
        }
        replay.finish().map_err(StoreError::Damaged)?;
        Ok(known.len())
    }
}

/// Refuses a directory with any file but the lock that was just taken.
fn refuse_content(env: &StoreEnv, target: &Path) -> Result<(), StoreError> {
    let names = env.disk.list(target).map_err(io_error("list", target))?;
    match names.into_iter().find(|name| name != LOCK) {
        Some(found) => Err(StoreError::NotEmpty { dir: target.to_owned(), found }),
        None => Ok(()),
    }
}

/// Removes the files of a failed copy; the marker last.
fn discard(env: &StoreEnv, target: &Path) {
    let Ok(names) = env.disk.list(target) else { return };
    for name in names.iter().filter(|name| *name != SNAPSHOT) {
        let _ = env.disk.remove(&target.join(name));
    }
    let _ = env.disk.remove(&target.join(SNAPSHOT));
}
