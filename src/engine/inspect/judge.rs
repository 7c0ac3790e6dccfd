//! Judges a store: whether a start accepts it, and why not. The daemon and every tool use this code.
//!
//! In order: the directory; the manifest and the segments; the newest usable checkpoint; the snapshot's marker; the log
//! behind the checkpoint, replayed, with the verdict on its tail; every end that checkpoints, the marker and the
//! manifest vouch for; conservation of money. Nothing is written.
//! Left out: the lock and the key (`open.rs`), and the log before the checkpoint, which no start reads (`history.rs`).

use std::path::Path;
use std::time::Duration;

use crate::bank::Bank;
use crate::engine::checkpoint::{self, Start};
use crate::engine::error::StoreError;
use crate::engine::progress::LogWatch;
use crate::engine::replay::Replay;
use crate::engine::snapshot::marker::{Marker, SNAPSHOT};
use crate::engine::statements::Notes;
use crate::engine::store_dir::{CREATING, StoreEnv, io_error};
use crate::env::Disk;
use crate::model::types::Lsn;
use crate::wal::{self, Anchor, Known, Recovered, SegmentScan};

/// A directory with a store in it, sound or not.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine) struct Present {
    /// The store's creation ended between the manifest and the removal of the marker.
    pub(in crate::engine) is_creating: bool,
}

/// A store that a start accepts.
pub(in crate::engine) struct Judged {
    /// The bank at its end.
    pub(in crate::engine) bank: Bank,
    /// The outcomes of the entries that were read and not done.
    pub(in crate::engine) notes: Notes,
    /// Its log.
    pub(in crate::engine) recovered: Recovered,
    /// The snapshot's marker, if it was never started.
    pub(in crate::engine) snapshot: Option<Marker>,
    /// Where the read began; none at the log's beginning.
    pub(in crate::engine) from: Option<Anchor>,
    /// The length in bytes of the image that it began with.
    pub(in crate::engine) image_bytes: u64,
    /// One line: what was read, how fast, and what was dropped.
    pub(in crate::engine) summary: String,
}

/// Checks whether there is a store in `dir` at all.
///
/// # Errors
/// [`StoreError::NoStore`], [`StoreError::LooseMode`], [`StoreError::Unfinished`]; [`StoreError::Damaged`] for segments
/// without a manifest; [`StoreError::Io`].
pub(in crate::engine) fn look_for_store(env: &StoreEnv, dir: &Path) -> Result<Present, StoreError> {
    let no_store = || StoreError::NoStore { dir: dir.to_owned() };
    if !env.disk.exists(dir).map_err(io_error("look for", dir))? {
        return Err(no_store());
    }
    let mode = env.disk.mode(dir).map_err(io_error("look at", dir))?;
    if mode & 0o077 != 0 {
        return Err(StoreError::LooseMode { path: dir.to_owned(), mode });
    }
    let names = env.disk.list(dir).map_err(io_error("list", dir))?;
    let has = |wanted: &str| names.iter().any(|name| name == wanted);
    let is_creating = has(CREATING);
    if has(wal::MANIFEST) {
        return Ok(Present { is_creating });
    }
    if has(SNAPSHOT) {
        return Err(StoreError::Unfinished { dir: dir.to_owned() });
    }
    if is_creating || !names.iter().any(|name| wal::is_segment(name)) {
        return Err(no_store());
    }
    Err(StoreError::Damaged(format!("{} is missing, but there are segments", wal::MANIFEST)))
}

/// Every end that the log must go through, by checkpoints and the snapshot's marker. The log itself checks the
/// manifest's.
///
/// # Errors
/// [`StoreError::Damaged`] for a damaged marker of a snapshot; [`StoreError::Io`].
pub(in crate::engine) fn known_ends(disk: &dyn Disk, dir: &Path, survey: &SegmentScan) -> Result<(Vec<Known>, Option<Marker>), StoreError> {
    let mut known = checkpoint::known_ends(disk, dir, survey)?;
    let marker = Marker::read(disk, dir)?;
    if let Some(marker) = &marker {
        known.push(marker.known(survey.store())?);
    }
    Ok((known, marker))
}

/// Judges the store in `dir`, to which no process writes, as `disk` shows it; for a start that is the device.
///
/// # Errors
/// [`StoreError::Damaged`], [`StoreError::Unsupported`], [`StoreError::Io`].
pub(in crate::engine) fn judge(env: &StoreEnv, disk: &dyn Disk, dir: &Path) -> Result<Judged, StoreError> {
    let survey = SegmentScan::read(disk, dir)?;
    let start = checkpoint::newest(disk, dir, &survey, &*env.watch)?;
    judge_from(env, disk, dir, survey, start)
}

fn judge_from(env: &StoreEnv, disk: &dyn Disk, dir: &Path, survey: SegmentScan, start: Start) -> Result<Judged, StoreError> {
    let (known, snapshot) = known_ends(disk, dir, &survey)?;
    let Start { bank, anchor: from, image_bytes } = start;
    let first = bank.applied();
    let (began, mut replay) = (env.clock.monotonic(), Replay::new(bank));
    let mut told = LogWatch::new(&env.watch, survey.extent(from.as_ref()));
    let recovered = survey.recover(disk, dir, from.as_ref(), &known, &mut |batch| {
        told.batch(batch);
        replay.batch(batch)
    })?;
    let took: Duration = env.clock.monotonic().saturating_sub(began);
    drop(told);
    let summary = replay.summary(&recovered, first.0, took);
    let notes = std::mem::take(&mut replay.notes);
    let bank = replay.finish().map_err(StoreError::Damaged)?;
    Ok(Judged { bank, notes, recovered, snapshot, from, image_bytes, summary })
}

/// The last entry before a position; 0 at the log's beginning.
pub(in crate::engine) fn lsn_before(from: Option<&Anchor>) -> Lsn {
    from.map_or(Lsn(0), |anchor| Lsn(anchor.end.next_lsn.0.saturating_sub(1)))
}
