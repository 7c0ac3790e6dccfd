//! The checkpoints of a store during a copy, and those in the copy.
//!
//! Left out: the rest of a snapshot (`snapshot/mod.rs`).

use std::path::Path;

use super::file;
use super::header::Header;
use super::start::{known, list};
use crate::engine::copy::copy;
use crate::engine::error::StoreError;
use crate::engine::progress::ProgressSink;
use crate::engine::store_dir::io_error;
use crate::env::{Disk, File, ReadOnly};
use crate::wal::{Anchor, Known, SegmentScan};

/// An open checkpoint file: it can be copied even after the store has removed it.
pub(in crate::engine) struct Held {
    header: Header,
    file: Box<dyn File>,
}

impl Held {
    /// The place in the log that it vouches for.
    pub(in crate::engine) const fn anchor(&self) -> Anchor {
        self.header.anchor
    }

    /// Copies the file and syncs it; the directory is not synced. Returns its length in bytes.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub(in crate::engine) fn copy_to(&self, disk: &dyn Disk, from: &Path, target: &Path) -> Result<u64, StoreError> {
        let name = file::name(self.header.lsn());
        let from = from.join(&name);
        let length = self.file.len().map_err(io_error("measure", &from))?;
        copy(disk, self.file.as_ref(), &from, &target.join(name), length, length)?;
        Ok(length)
    }
}

/// Opens every checkpoint of a store whose header is sound, newest first. Changes nothing.
///
/// # Errors
/// [`StoreError::Io`] if the directory cannot be listed.
pub(in crate::engine) fn hold(disk: &dyn Disk, dir: &Path, survey: &SegmentScan) -> Result<Vec<Held>, StoreError> {
    let disk = ReadOnly(disk);
    let mut held = Vec::new();
    for lsn in list(&disk, dir).map_err(io_error("list", dir))? {
        // A file that a daemon has just removed is not needed.
        let Ok(file) = disk.open_read(&dir.join(file::name(lsn))) else { continue };
        let Ok(header) = file::read_header(&disk, dir, lsn, survey.store()) else { continue };
        if !survey.is_void(&header.anchor) {
            held.push(Held { header, file });
        }
    }
    Ok(held)
}

/// Reads every checkpoint of a copy from the device. Removes, with a warning in the log, each that does not verify: a
/// start would skip it. Returns the ends of the log that the others vouch for, newest first.
///
/// # Errors
/// [`StoreError::Io`].
pub(in crate::engine) fn keep_sound(
    disk: &dyn Disk,
    dir: &Path,
    survey: &SegmentScan,
    watch: &dyn ProgressSink,
) -> Result<Vec<Known>, StoreError> {
    let mut sound = Vec::new();
    for lsn in list(disk, dir).map_err(io_error("list", dir))? {
        let read =
            file::read_header(disk, dir, lsn, survey.store()).and_then(|header| file::load(disk, dir, &header, watch).map(|_| header));
        match read {
            Ok(header) => sound.push(known(header.anchor)),
            Err(why) => {
                let path = dir.join(file::name(lsn));
                log::warn!("the checkpoint {} is left out: {why}", file::name(lsn));
                disk.remove(&path).map_err(io_error("remove", &path))?;
            }
        }
    }
    Ok(sound)
}
