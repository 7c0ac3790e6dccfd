//! Packs a finished segment: temporary, synced, read back against the segment, renamed, directory synced; only then
//! does the segment itself go.
//!
//! Whatever fails on the way, the segment is still there. Left out: what a packed one looks like (`compressed.rs`), and
//! which segments are packed when (`engine/`).

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

/// How hard zstd tries: its own default. Padding and zeros vanish at any level.
const LEVEL: i32 = 3;

/// What packing a segment brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shrunk {
    /// The segment's size in bytes.
    pub from: u64,
    /// What it takes now.
    pub to: u64,
}

/// Packs a segment that the log has moved on from. None if that was done before, or if `cancelled` was set meanwhile.
///
/// # Errors
/// What the system says; [`WalError::Damaged`] for a segment whose header does not fit it, and for a packed one that
/// does not read back. The segment stays then.
pub fn pack(disk: &dyn Disk, dir: &Path, store: StoreId, sequence: u64, cancelled: &AtomicBool) -> Result<Option<Shrunk>, WalError> {
    let (plain, name) = (file_name(sequence), compressed_name(sequence));
    let (path, temporary) = (dir.join(&plain), format!("{name}.tmp"));
    let segment = match disk.open_read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(WalError::io("open", plain.as_str()))?,
    };
    // What the device has is what is kept.
    segment.evict().map_err(WalError::io("evict", plain.as_str()))?;
    let size = check_header(segment.as_ref(), &plain, store, sequence)?;
    let leftover = dir.join(&temporary);
    if disk.exists(&leftover).map_err(WalError::io("look for", temporary.as_str()))? {
        disk.remove(&leftover).map_err(WalError::io("remove", temporary.as_str()))?;
    }
    let attempt = Attempt { disk, dir, segment: segment.as_ref(), plain: &plain, temporary: &temporary, size, cancelled };
    let written = attempt.write(store, sequence);
    // Nobody reads it here any more.
    drop(segment);
    match written {
        Ok(Some(length)) => {
            let packed = dir.join(&name);
            // Compressed once before, and the segment outlived it: the segment is what counts, and it is still there.
            if disk.exists(&packed).map_err(WalError::io("look for", name.as_str()))? {
                disk.remove(&packed).map_err(WalError::io("remove", name.as_str()))?;
            }
            disk.rename_new(&leftover, &packed).map_err(WalError::io("rename", temporary.as_str()))?;
            disk.sync_dir(dir).map_err(WalError::io("sync the directory of", name))?;
            match disk.remove(&path) {
                // Dropped meanwhile, with everything before it.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                removed => removed.map_err(WalError::io("remove", plain))?,
            }
            Ok(Some(Shrunk { from: size, to: length }))
        }
        other => {
            // Gives the space back, as far as that works: the next start removes what is left.
            let _ = disk.remove(&leftover);
            other.map(|_| None)
        }
    }
}

/// The segments up to `last` that are not packed, oldest first.
///
/// # Errors
/// What the system says.
pub fn unpacked(disk: &dyn Disk, dir: &Path, last: u64) -> Result<Vec<u64>, WalError> {
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

/// Takes some bytes of a segment, and where they stand in it.
type Visit<'a> = dyn FnMut(&[u8], u64) -> Result<(), WalError> + 'a;

/// One attempt, under its temporary name.
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
    /// Writes the packed file, makes it durable and reads it back; its length, or none if cancelled.
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
        let packed = Compressed::open(file, self.temporary)?;
        let mut again = vec![0; FRAME];
        let is_same = self.each_chunk(&mut |bytes, offset| {
            let again = held(again.get_mut(..bytes.len()), "a chunk is no longer than a frame");
            packed.read_exact_at(again, offset).map_err(|source| WalError::read(self.temporary, offset, source))?;
            if again == bytes { Ok(()) } else { Err(damaged(self.temporary, offset, "it does not read back")) }
        })?;
        Ok(is_same.then_some(at))
    }

    /// Reads the segment, so many bytes at a time as make a frame; whether it came to the end.
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
