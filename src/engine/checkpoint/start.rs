//! Lists checkpoints, and chooses the one that a start begins with.
//!
//! Left out: the log behind it (`wal/`), and reading a file (`file.rs`).

use std::io;
use std::path::Path;

use super::file;
use crate::bank::{Bank, ImageError};
use crate::engine::error::StoreError;
use crate::engine::progress::ProgressSink;
use crate::engine::store_dir::io_error;
use crate::env::Disk;
use crate::model::types::{Lsn, StoreId};
use crate::wal::{Anchor, Known, SegmentScan};

/// The base of a start: the bank of the newest sound checkpoint, or an empty one.
#[derive(Default)]
pub(in crate::engine) struct Start {
    /// The bank.
    pub(in crate::engine) bank: Bank,
    /// Its position in the log; none at the beginning.
    pub(in crate::engine) anchor: Option<Anchor>,
    /// The length of its image in bytes; 0 at the beginning.
    pub(in crate::engine) image_bytes: u64,
}

/// Why a checkpoint cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unusable {
    /// It cannot be read.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It is damaged.
    #[error("it is damaged: {0}")]
    Damaged(&'static str),
    /// Its image is damaged.
    #[error("{0}")]
    Image(#[from] ImageError),
    /// It is sound, but of another version.
    #[error("it is of {0}, which this program does not know")]
    Version(String),
    /// Another store's.
    #[error("it belongs to another store, {0}")]
    Foreign(StoreId),
}

/// Finds and reads the newest usable checkpoint. Writes nothing.
///
/// # Errors
/// [`StoreError::Io`] if the directory cannot be listed.
pub(in crate::engine) fn newest(disk: &dyn Disk, dir: &Path, survey: &SegmentScan, watch: &dyn ProgressSink) -> Result<Start, StoreError> {
    let mut start = Start::default();
    for lsn in list(disk, dir).map_err(io_error("list", dir))? {
        let name = file::name(lsn);
        let header = match file::read_header(disk, dir, lsn, survey.store()) {
            Ok(header) => header,
            Err(why) => {
                log::warn!("the checkpoint {name} is passed over: {why}");
                continue;
            }
        };
        if survey.is_void(&header.anchor) {
            log::warn!("the checkpoint {name} is passed over: a repair dropped what it ends with");
        }
        if start.anchor.is_some() || survey.is_void(&header.anchor) {
            continue;
        }
        log::info!("reading the checkpoint {name}, {} bytes", header.image.length);
        match file::load(disk, dir, &header, watch) {
            Ok(bank) => {
                start.bank = bank;
                start.anchor = Some(header.anchor);
                start.image_bytes = header.image.length;
            }
            Err(why) => log::warn!("the checkpoint {name} is passed over: {why}"),
        }
    }
    Ok(start)
}

/// The ends of the log that checkpoints vouch for, by their headers; their images may be damaged.
///
/// # Errors
/// [`StoreError::Io`] if the directory cannot be listed.
pub(in crate::engine) fn known_ends(disk: &dyn Disk, dir: &Path, survey: &SegmentScan) -> Result<Vec<Known>, StoreError> {
    let all = list(disk, dir).map_err(io_error("list", dir))?;
    Ok(all
        .into_iter()
        .filter_map(|lsn| file::read_header(disk, dir, lsn, survey.store()).ok())
        .map(|header| known(header.anchor))
        .collect())
}

/// Tries every possible base of a read: each usable checkpoint, newest first, and then the log's beginning if it is
/// still there. The next one is loaded only if `try_one` refused those before it.
///
/// # Errors
/// [`StoreError::Io`] if the directory cannot be listed.
pub(in crate::engine) fn each_start<T>(
    disk: &dyn Disk,
    dir: &Path,
    survey: &SegmentScan,
    watch: &dyn ProgressSink,
    try_one: &mut dyn FnMut(Start) -> Option<T>,
) -> Result<Option<T>, StoreError> {
    for lsn in list(disk, dir).map_err(io_error("list", dir))? {
        let Ok(header) = file::read_header(disk, dir, lsn, survey.store()) else { continue };
        if survey.is_void(&header.anchor) {
            continue;
        }
        if let Ok(bank) = file::load(disk, dir, &header, watch)
            && let Some(found) = try_one(Start { bank, anchor: Some(header.anchor), image_bytes: header.image.length })
        {
            return Ok(Some(found));
        }
    }
    Ok(if survey.is_cut() { None } else { try_one(Start::default()) })
}

/// The base of a read of the whole history: an empty bank, or, if the log's first segments were dropped, the oldest
/// usable checkpoint.
///
/// # Errors
/// [`StoreError::Io`]; [`StoreError::Damaged`] if there is none.
pub(in crate::engine) fn oldest(disk: &dyn Disk, dir: &Path, survey: &SegmentScan, watch: &dyn ProgressSink) -> Result<Start, StoreError> {
    if !survey.is_cut() {
        return Ok(Start::default());
    }
    for lsn in list(disk, dir).map_err(io_error("list", dir))?.into_iter().rev() {
        let Ok(header) = file::read_header(disk, dir, lsn, survey.store()) else { continue };
        let is_in_log = header.anchor.end.position.segment >= survey.first() && !survey.is_void(&header.anchor);
        if is_in_log && let Ok(bank) = file::load(disk, dir, &header, watch) {
            return Ok(Start { bank, anchor: Some(header.anchor), image_bytes: header.image.length });
        }
    }
    Err(StoreError::Damaged("the log's first segments were dropped, and there is no sound checkpoint to go on from".to_owned()))
}

/// The end of the log that a checkpoint vouches for.
pub(super) const fn known(anchor: Anchor) -> Known {
    Known { by: "a checkpoint", anchor }
}

/// The entries that have a checkpoint file, newest first; the files are not read.
pub(super) fn list(disk: &dyn Disk, dir: &Path) -> io::Result<Vec<Lsn>> {
    let mut found: Vec<Lsn> = disk.list(dir)?.iter().filter_map(|name| file::lsn_of(name)).collect();
    found.sort_unstable_by(|one, other| other.cmp(one));
    Ok(found)
}
