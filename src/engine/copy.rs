//! Copies a file's bytes durably, for repairs and snapshots.
//!
//! Left out: choosing the files, and checking the copy (`repair/mod.rs`, `snapshot/mod.rs`).

use std::path::Path;

use super::error::StoreError;
use super::store_dir::io_error;
use crate::env::{Disk, File};
use crate::model::invariant::to_len;

/// The size of one read and write, in bytes.
pub(super) const CHUNK: u64 = 1 << 20;

/// Writes the first `count` bytes of `source` to a new file of `length` bytes, filled with zeros, and syncs it. Later
/// reads of the copy go to the device. `from` is the source's name, for messages. The caller syncs the directory.
///
/// # Errors
/// [`StoreError::Io`]; the partial copy stays.
pub(super) fn copy(
    disk: &dyn Disk,
    source: &dyn File,
    from: &Path,
    to: &Path,
    count: u64,
    length: u64,
) -> Result<Box<dyn File>, StoreError> {
    let target = disk.create(to).map_err(io_error("create", to))?;
    let mut buffer = Vec::new();
    let mut offset = 0;
    while offset < length {
        let end = offset.saturating_add(CHUNK).min(length);
        let copied = count.clamp(offset, end);
        buffer.resize(to_len(end - offset), 0);
        let (head, rest) = buffer.split_at_mut(to_len(copied - offset));
        source.read_exact_at(head, offset).map_err(io_error("read", from))?;
        rest.fill(0);
        target.write_all_at(&buffer, offset).map_err(io_error("write", to))?;
        offset = end;
    }
    target.sync().map_err(io_error("sync", to))?;
    target.evict().map_err(io_error("evict", to))?;
    Ok(target)
}
