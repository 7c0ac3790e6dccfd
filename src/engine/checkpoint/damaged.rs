//! Damaged checkpoint files, and the names under which they are put aside.
//!
//! Left out: whether the store is sound without them, and renaming (`repair/mend.rs`). Files of other versions and
//! stores are not damaged.

use std::io::ErrorKind;
use std::path::Path;

use super::file;
use super::start::{Unusable, list};
use crate::bank::ImageError;
use crate::engine::error::StoreError;
use crate::engine::progress::ProgressSink;
use crate::engine::store_dir::io_error;
use crate::env::Disk;
use crate::model::types::StoreId;

/// A damaged checkpoint file.
#[derive(Clone, Debug)]
pub(in crate::engine) struct DamagedFile {
    /// Its name in the store's directory.
    pub(in crate::engine) name: String,
    /// An unused name there.
    pub(in crate::engine) aside: String,
    /// What is wrong with it.
    pub(in crate::engine) why: String,
}

/// Reads every checkpoint file from the device; returns the damaged ones, newest first. Changes nothing.
///
/// # Errors
/// [`StoreError::Io`]: a file that cannot be read may be sound.
pub(in crate::engine) fn find_damaged(
    disk: &dyn Disk,
    dir: &Path,
    store: StoreId,
    watch: &dyn ProgressSink,
) -> Result<Vec<DamagedFile>, StoreError> {
    let mut found = Vec::new();
    for lsn in list(disk, dir).map_err(io_error("list", dir))? {
        let name = file::name(lsn);
        let read = file::read_header(disk, dir, lsn, store).and_then(|header| file::load(disk, dir, &header, watch));
        let why = match read {
            Ok(_) | Err(Unusable::Version(_) | Unusable::Foreign(_) | Unusable::Image(ImageError::Version(_))) => continue,
            Err(Unusable::Io(source) | Unusable::Image(ImageError::Io(source))) => match source.kind() {
                // Not a regular file, so not a checkpoint, and not for a repair to move.
                ErrorKind::InvalidData => continue,
                ErrorKind::UnexpectedEof => "it ends before its image".to_owned(),
                _ => return Err(io_error("read", &dir.join(name))(source)),
            },
            Err(why @ (Unusable::Damaged(_) | Unusable::Image(_))) => why.to_string(),
        };
        let aside = free_name(disk, dir, &name)?;
        found.push(DamagedFile { name, aside, why });
    }
    Ok(found)
}

/// The first unused name of `NAME.damaged-1`, `NAME.damaged-2` ...
fn free_name(disk: &dyn Disk, dir: &Path, name: &str) -> Result<String, StoreError> {
    let mut number = 0_u32;
    loop {
        number = number.saturating_add(1);
        let aside = format!("{name}.damaged-{number}");
        let path = dir.join(&aside);
        if !disk.exists(&path).map_err(io_error("look for", &path))? {
            return Ok(aside);
        }
    }
}
