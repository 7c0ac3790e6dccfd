//! A compressed segment: the bytes of a finished segment in zstd frames, behind an index that `zstd -d` skips.
//!
//! ```text
//! 0   4  0x184D2A5B: a skippable frame        4   4 its length, H - 8
//! 8   8  magic "BKDPACKD"                     16  4 CRC-32 of bytes 20..H
//! 20  2  format version, 2 zero               24 16 store id
//! 40  8  sequence number of the segment       48  8 its uncompressed size in bytes
//! 56  4  number of frames, n                  60  4 uncompressed size of each frame, 262,144; the last holds the rest
//! 64 8n  of each frame: its length, 4; its CRC-32, 4
//! H = 64 + 8n: the frames without gaps, to the end of the file
//! ```
//! A reader sees the uncompressed bytes. Left out: writing compressed segments (`compress.rs`).

use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use crate::env::{Disk, File};
use crate::model::bytes::{Put, Take};
use crate::model::invariant::{held, to_len, to_u64};
use crate::model::types::StoreId;
use crate::wal::format::segment::{MAX_SIZE, MIN_SIZE, file_name, sequence_of};
use crate::wal::{FORMAT_VERSION, WalError};

/// The uncompressed size of each frame but the last, in bytes.
pub(in crate::wal) const FRAME: usize = 256 << 10;
const MAGIC: &[u8; 8] = b"BKDPACKD";
/// One of the sixteen magic numbers of zstd's skippable frames.
const SKIPPABLE: u32 = 0x184D_2A5B;
/// The length of the header without the index.
const FIXED: usize = 64;
/// The largest frame in bytes: incompressible contents plus zstd's overhead.
const MAX_FRAME: usize = FRAME + 1024;

/// A compressed segment's file name.
#[must_use]
pub fn compressed_name(sequence: u64) -> String {
    format!("{}.zst", file_name(sequence))
}

/// The sequence number of a segment's file name, compressed or not; `None` for other names.
pub(in crate::wal) fn sequence_of_any(name: &str) -> Option<u64> {
    sequence_of(name.strip_suffix(".zst").unwrap_or(name))
}

/// A segment opened for reading, compressed or not.
pub(in crate::wal) struct Opened {
    /// Its file name.
    pub(in crate::wal) name: String,
    /// Its uncompressed contents.
    pub(in crate::wal) file: Box<dyn File>,
    /// The size of its file in bytes, if it is compressed.
    pub(in crate::wal) compressed: Option<u64>,
}

/// Opens a segment, compressed or not. Where both files exist, compression has not yet removed the original, and the
/// original is used.
///
/// # Errors
/// [`WalError::Io`]; [`WalError::Damaged`] for an incomplete compressed file.
pub(in crate::wal) fn open_segment(disk: &dyn Disk, dir: &Path, sequence: u64) -> Result<Opened, WalError> {
    let plain = file_name(sequence);
    match disk.open_read(&dir.join(&plain)) {
        Ok(file) => return Ok(Opened { name: plain, file, compressed: None }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(WalError::open(&plain, error)),
    }
    let name = compressed_name(sequence);
    match disk.open_read(&dir.join(&name)) {
        Ok(file) => {
            let compressed = Compressed::open(file, &name)?;
            if compressed.sequence != sequence {
                return Err(damaged(&name, 40, format!("it says that it is segment {}", compressed.sequence)));
            }
            let length = compressed.length;
            Ok(Opened { name, file: Box::new(compressed), compressed: Some(length) })
        }
        // Both are missing: report the original name.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(WalError::open(&plain, error)),
        Err(error) => Err(WalError::open(&name, error)),
    }
}

/// The name of the file that stores a segment.
///
/// # Errors
/// As for [`open_decompressed`].
pub fn kept_in(disk: &dyn Disk, dir: &Path, sequence: u64) -> Result<String, WalError> {
    Ok(open_segment(disk, dir, sequence)?.name)
}

/// Opens a segment for reading. Offsets and length are those of the uncompressed segment.
///
/// # Errors
/// [`WalError::Io`]; [`WalError::Damaged`] for an incomplete compressed file.
pub fn open_decompressed(disk: &dyn Disk, dir: &Path, sequence: u64) -> Result<Box<dyn File>, WalError> {
    Ok(open_segment(disk, dir, sequence)?.file)
}

/// The index entry of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::wal) struct Frame {
    /// Its length in bytes.
    pub(in crate::wal) length: u32,
    /// The CRC-32 of its bytes.
    pub(in crate::wal) crc: u32,
}

/// The header length in bytes for a segment of `size` bytes.
pub(in crate::wal) fn header_len(size: u64) -> usize {
    FIXED.saturating_add(frames_of(size).saturating_mul(8))
}

/// Encodes the header of a compressed segment.
pub(in crate::wal) fn header(store: StoreId, sequence: u64, size: u64, frames: &[Frame]) -> Vec<u8> {
    let mut header = vec![0; header_len(size)];
    let field = |length: usize| held(u32::try_from(length).ok(), "the header of a compressed segment is shorter than 4 GiB");
    let rest = field(header.len().saturating_sub(8));
    let mut put = Put(&mut header);
    put.u32(SKIPPABLE);
    put.u32(rest);
    put.bytes(MAGIC);
    put.u32(0);
    put.u16(FORMAT_VERSION);
    put.u16(0);
    put.bytes(&store.0);
    put.u64(sequence);
    put.u64(size);
    put.u32(field(frames.len()));
    put.u32(field(FRAME));
    for frame in frames {
        put.u32(frame.length);
        put.u32(frame.crc);
    }
    assert!(put.0.is_empty(), "as many frames as the size says");
    let crc = header.get(20..).map_or(0, crc32fast::hash);
    if let Some(slot) = header.get_mut(16..20) {
        slot.copy_from_slice(&crc.to_le_bytes());
    }
    header
}

/// A compressed segment, opened for reading. Its offsets and its length are those of the uncompressed segment.
pub(in crate::wal) struct Compressed {
    file: Box<dyn File>,
    sequence: u64,
    size: u64,
    /// The length of the file.
    length: u64,
    /// The offset of each frame in the file, and its index entry.
    frames: Vec<(u64, Frame)>,
    last: Mutex<Decompressed>,
}

/// A cache of the frame read last: sequential reads often continue within a frame.
#[derive(Default)]
struct Decompressed {
    index: Option<usize>,
    bytes: Vec<u8>,
    frame: Vec<u8>,
}

impl Compressed {
    /// Reads the header and the index. Error messages contain `name`.
    ///
    /// # Errors
    /// [`WalError::Damaged`], [`WalError::Unsupported`], [`WalError::Io`].
    pub(in crate::wal) fn open(file: Box<dyn File>, name: &str) -> Result<Self, WalError> {
        let io = |call| WalError::io(call, name);
        let length = file.len().map_err(io("measure"))?;
        let mut fixed = [0; FIXED];
        if length < to_u64(FIXED) {
            return Err(damaged(name, 0, "it is shorter than a header".to_owned()));
        }
        file.read_exact_at(&mut fixed, 0).map_err(io("read"))?;
        let mut take = Take(&fixed);
        let (mark, rest) = (take.u32(), take.u32().map_or(0, u64::from));
        let is_ours = mark == Some(SKIPPABLE) && take.array() == Some(*MAGIC);
        let most = to_u64(header_len(MAX_SIZE));
        if !is_ours || !(to_u64(FIXED)..=most.min(length)).contains(&rest.saturating_add(8)) {
            return Err(damaged(name, 0, "its header is not whole".to_owned()));
        }
        let mut header = vec![0; to_len(rest.saturating_add(8))];
        file.read_exact_at(&mut header, 0).map_err(io("read"))?;
        let mut take = Take(held(header.get(16..), "the length of the header was checked"));
        if take.u32() != Some(crc32fast::hash(take.0)) {
            return Err(damaged(name, 0, "its header is not whole".to_owned()));
        }
        let version = take.u16();
        let nonsense = || damaged(name, 20, "its header has values that no compressed segment has".to_owned());
        let version = version.ok_or_else(nonsense)?;
        if version != FORMAT_VERSION {
            return Err(WalError::Unsupported { file: name.to_owned(), what: format!("format version {version}") });
        }
        let (sequence, size, frames) = fields(take).ok_or_else(nonsense)?;
        let mut at = to_u64(header.len());
        let frames = frames.into_iter().map(|frame| {
            let begin = at;
            at = at.saturating_add(u64::from(frame.length));
            (begin, frame)
        });
        let frames = frames.collect();
        if at != length {
            return Err(damaged(name, 0, format!("it is {length} bytes long, and its frames take {at}")));
        }
        Ok(Self { file, sequence, size, length, frames, last: Mutex::new(Decompressed::default()) })
    }

    /// Decompresses a frame into `last`, unless it is there already.
    fn decompress(&self, index: usize, last: &mut Decompressed) -> io::Result<()> {
        if last.index == Some(index) {
            return Ok(());
        }
        last.index = None;
        let invalid = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
        let (at, frame) = *self.frames.get(index).ok_or(io::ErrorKind::UnexpectedEof)?;
        last.frame.resize(to_len(u64::from(frame.length)), 0);
        self.file.read_exact_at(&mut last.frame, at)?;
        if crc32fast::hash(&last.frame) != frame.crc {
            return Err(invalid(format!("the compressed frame at offset {at} was changed")));
        }
        let length = FRAME.min(to_len(self.size.saturating_sub(to_u64(index.saturating_mul(FRAME)))));
        last.bytes.resize(length, 0);
        match zstd::bulk::decompress_to_buffer(&last.frame, &mut last.bytes) {
            Ok(count) if count == length => {}
            Ok(count) => return Err(invalid(format!("the compressed frame at offset {at} holds {count} bytes instead of {length}"))),
            Err(error) => return Err(invalid(format!("the compressed frame at offset {at} cannot be decompressed: {error}"))),
        }
        last.index = Some(index);
        Ok(())
    }
}

impl File for Compressed {
    fn len(&self) -> io::Result<u64> {
        Ok(self.size)
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut rest, mut at) = (buf, to_len(offset));
        while !rest.is_empty() {
            self.decompress(at / FRAME, &mut last)?;
            let found = last.bytes.get(at % FRAME..).ok_or(io::ErrorKind::UnexpectedEof)?;
            let count = found.len().min(rest.len());
            let (Some(found), Some((head, tail))) = (found.get(..count), rest.split_at_mut_checked(count)) else { break };
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            head.copy_from_slice(found);
            rest = tail;
            at = at.saturating_add(count);
        }
        Ok(())
    }

    fn write_all_at(&self, _: &[u8], _: u64) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }

    fn evict(&self) -> io::Result<()> {
        self.file.evict()
    }

    fn set_len(&self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }
}

/// Decodes sequence number, size and frames. The store id is not checked here: the segment header inside has it, too.
fn fields(mut take: Take<'_>) -> Option<(u64, u64, Vec<Frame>)> {
    let zero = take.u16()?;
    take.bytes(16)?;
    let (sequence, size) = (take.u64()?, take.u64()?);
    let (count, decompressed) = (to_len(u64::from(take.u32()?)), to_len(u64::from(take.u32()?)));
    let is_legal = zero == 0 && sequence > 0 && (MIN_SIZE..=MAX_SIZE).contains(&size) && decompressed == FRAME;
    if !is_legal || count != frames_of(size) || take.0.len() != count.saturating_mul(8) {
        return None;
    }
    let mut frames = Vec::with_capacity(count);
    while let (Some(length), Some(crc)) = (take.u32(), take.u32()) {
        if to_len(u64::from(length)) > MAX_FRAME {
            return None;
        }
        frames.push(Frame { length, crc });
    }
    Some((sequence, size, frames))
}

fn frames_of(size: u64) -> usize {
    to_len(size).div_ceil(FRAME)
}

fn damaged(name: &str, offset: u64, what: String) -> WalError {
    WalError::Damaged { file: name.to_owned(), offset, last_good: None, what }
}
