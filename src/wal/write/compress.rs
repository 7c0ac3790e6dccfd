//! Compresses a finished segment: writes a temporary file, syncs it, compares it with the original, renames it, syncs the
//! directory, and only then removes the original.
//!
//! After any failure the original still exists. Left out: the format (`compressed.rs`), and when which segments are
//! compressed (`engine/`).

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::env::{Disk, File};
use crate::model::invariant::{held, to_len, to_u64};
use crate::model::types::StoreId;
use crate::wal::WalError;
use crate::wal::format::bytes::BLOCK_LEN;
use crate::wal::format::compressed::{Compressed, FRAME, Frame, compressed_name, header, header_len};
use crate::wal::format::segment::{SegmentHeader, file_name, sequence_of};

/// The zstd compression level: its default. Padding and zeros compress well at any level.
const LEVEL: i32 = 3;

/// The result of compressing a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shrunk {
    /// The segment's size in bytes.
    pub from: u64,
    /// The size of the compressed file in bytes.
    pub to: u64,
}

/// Compresses a finished segment. Returns `None` if it is compressed already, or if `cancelled` was set meanwhile.
///
/// # Errors
/// [`WalError::Io`]; [`WalError::Damaged`] for a segment whose header does not match it, and for a compressed file that
/// does not read back. The original is kept.
pub fn compress(disk: &dyn Disk, dir: &Path, store: StoreId, sequence: u64, cancelled: &AtomicBool) -> Result<Option<Shrunk>, WalError> {
    let (plain, name) = (file_name(sequence), compressed_name(sequence));
    let (path, temporary) = (dir.join(&plain), format!("{name}.tmp"));
    let segment = match disk.open_read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(WalError::io("open", plain.as_str()))?,
    };
    // Read from the device, not from the page cache.
    segment.evict().map_err(WalError::io("evict", plain.as_str()))?;
    let size = check_header(segment.as_ref(), &plain, store, sequence)?;
    let leftover = dir.join(&temporary);
    if disk.exists(&leftover).map_err(WalError::io("look for", temporary.as_str()))? {
        disk.remove(&leftover).map_err(WalError::io("remove", temporary.as_str()))?;
    }
    let attempt = Attempt { disk, dir, segment: segment.as_ref(), plain: &plain, temporary: &temporary, size, cancelled };
    let written = attempt.write(store, sequence);
    // Close the original before it is removed.
    drop(segment);
    match written {
        Ok(Some(length)) => {
            let compressed = dir.join(&name);
            // Left by an earlier run that did not remove the original. The original still exists and is authoritative.
            if disk.exists(&compressed).map_err(WalError::io("look for", name.as_str()))? {
                disk.remove(&compressed).map_err(WalError::io("remove", name.as_str()))?;
            }
            disk.rename_new(&leftover, &compressed).map_err(WalError::io("rename", temporary.as_str()))?;
            disk.sync_dir(dir).map_err(WalError::io("sync the directory of", name))?;
            match disk.remove(&path) {
                // Dropped meanwhile, with all segments before it.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                removed => removed.map_err(WalError::io("remove", plain))?,
            }
            Ok(Some(Shrunk { from: size, to: length }))
        }
        other => {
            // Best effort: the next start removes what is left.
            let _ = disk.remove(&leftover);
            other.map(|_| None)
        }
    }
}

/// The segments up to `last` that are not compressed, oldest first.
///
/// # Errors
/// [`WalError::Io`].
pub fn uncompressed(disk: &dyn Disk, dir: &Path, last: u64) -> Result<Vec<u64>, WalError> {
    let names = disk.list(dir).map_err(WalError::io("list", dir.display().to_string()))?;
    let mut found: Vec<u64> = names.iter().filter_map(|name| sequence_of(name)).filter(|sequence| *sequence <= last).collect();
    found.sort_unstable();
    Ok(found)
}

fn check_header(segment: &dyn File, name: &str, store: StoreId, sequence: u64) -> Result<u64, WalError> {
    let length = segment.len().map_err(WalError::io("measure", name))?;
    let mut block = [0; BLOCK_LEN];
    segment.read_exact_at(&mut block, 0).map_err(WalError::io("read", name))?;
    match SegmentHeader::decode(&block) {
        Ok(header) if header == (SegmentHeader { store, sequence, size: length }) => Ok(length),
        _ => Err(damaged(name, 0, "its header does not fit it")),
    }
}

/// Callback for a chunk of a segment and its offset.
type Visit<'a> = dyn FnMut(&[u8], u64) -> Result<(), WalError> + 'a;

/// One compression attempt, under a temporary name.
struct Attempt<'a> {
    disk: &'a dyn Disk,
    dir: &'a Path,
    segment: &'a dyn File,
    plain: &'a str,
    temporary: &'a str,
    size: u64,
    cancelled: &'a AtomicBool,
}

impl Attempt<'_> {
    /// Writes the compressed file, makes it durable and compares it with the original. Returns its length; `None` if cancelled.
    fn write(&self, store: StoreId, sequence: u64) -> Result<Option<u64>, WalError> {
        let io = |call| WalError::io(call, self.temporary);
        let file = self.disk.create(&self.dir.join(self.temporary)).map_err(io("create"))?;
        let mut at = to_u64(header_len(self.size));
        let mut frames = Vec::new();
        let mut squeeze = zstd::bulk::Compressor::new(LEVEL).map_err(io("compress into"))?;
        let is_done = self.each_chunk(&mut |bytes, _| {
            let frame = squeeze.compress(bytes).map_err(WalError::io("compress into", self.temporary))?;
            file.write_all_at(&frame, at).map_err(WalError::io("write", self.temporary))?;
            at = at.saturating_add(to_u64(frame.len()));
            frames.push(Frame {
                length: held(u32::try_from(frame.len()).ok(), "a frame is shorter than 4 GiB"),
                crc: crc32fast::hash(&frame),
            });
            Ok(())
        })?;
        if !is_done {
            return Ok(None);
        }
        file.write_all_at(&header(store, sequence, self.size, &frames), 0).map_err(io("write"))?;
        file.sync().map_err(io("sync"))?;
        file.evict().map_err(io("evict"))?;
        let compressed = Compressed::open(file, self.temporary)?;
        let mut again = vec![0; FRAME];
        let is_same = self.each_chunk(&mut |bytes, offset| {
            let again = held(again.get_mut(..bytes.len()), "a chunk is no longer than a frame");
            compressed.read_exact_at(again, offset).map_err(|source| WalError::read(self.temporary, offset, source))?;
            if again == bytes { Ok(()) } else { Err(damaged(self.temporary, offset, "it does not read back")) }
        })?;
        Ok(is_same.then_some(at))
    }

    /// Reads the segment one frame's worth at a time. Returns false if cancelled.
    fn each_chunk(&self, visit: &mut Visit<'_>) -> Result<bool, WalError> {
        let mut buffer = vec![0; FRAME];
        let mut offset = 0;
        while offset < self.size {
            if self.cancelled.load(Ordering::Relaxed) {
                return Ok(false);
            }
            let length = FRAME.min(to_len(self.size.saturating_sub(offset)));
            let bytes = held(buffer.get_mut(..length), "a chunk is no longer than a frame");
            self.segment.read_exact_at(bytes, offset).map_err(WalError::io("read", self.plain))?;
            visit(bytes, offset)?;
            offset = offset.saturating_add(to_u64(length));
        }
        Ok(true)
    }
}

fn damaged(file: &str, offset: u64, what: &str) -> WalError {
    WalError::Damaged { file: file.to_owned(), offset, last_good: None, what: what.to_owned() }
}
