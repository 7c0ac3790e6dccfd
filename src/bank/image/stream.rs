//! Streams for writing and reading an image: a buffer, a running digest, and little-endian fields.
//!
//! At most one buffer of an image is in memory. Left out: the meaning of the fields (`image/mod.rs`, `sessions.rs`).

use std::io::{self, Read, Write};

use sha2::{Digest, Sha256};

use crate::model::amount::Amount;
use crate::model::entry::Tag;
use crate::model::types::{AccountId, Owner, TellerId, is_valid_name};

/// The bytes per write and read.
const CHUNK: usize = 256 << 10;

/// The length and the digest of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageDigest {
    /// The length in bytes.
    pub length: u64,
    /// The SHA-256 of all bytes.
    pub sha256: [u8; 32],
}

/// Why an image was rejected.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// It could not be read.
    #[error("the image could not be read: {0}")]
    Io(io::Error),
    /// It has an unsupported version.
    #[error("an image of version {0}, which this program does not know")]
    Version(u16),
    /// It is not the image of any bank.
    #[error("the image is damaged before byte {offset}: {what}")]
    Damaged {
        /// The number of bytes read.
        offset: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// The image as a whole is invalid: a wrong digest, or parts that contradict each other.
    #[error("the image is damaged: {what}")]
    Whole {
        /// What is wrong.
        what: &'static str,
    },
}

impl ImageError {
    pub(super) const fn whole(what: &'static str) -> Self {
        Self::Whole { what }
    }
}

/// Writes an image.
pub(super) struct ImageWriter<'a> {
    out: &'a mut dyn Write,
    buffer: Vec<u8>,
    hasher: Sha256,
    length: u64,
}

impl<'a> ImageWriter<'a> {
    pub(super) fn new(out: &'a mut dyn Write) -> Self {
        Self { out, buffer: Vec::with_capacity(CHUNK), hasher: Sha256::new(), length: 0 }
    }

    /// Appends a few fields. `bytes` must be much smaller than the buffer.
    pub(super) fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.buffer.len().saturating_add(bytes.len()) > CHUNK {
            self.flush()?;
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    pub(super) fn u16(&mut self, value: u16) -> io::Result<()> {
        self.put(&value.to_le_bytes())
    }

    pub(super) fn u32(&mut self, value: u32) -> io::Result<()> {
        self.put(&value.to_le_bytes())
    }

    pub(super) fn u64(&mut self, value: u64) -> io::Result<()> {
        self.put(&value.to_le_bytes())
    }

    /// Writes the number of elements that follow. The bank's tables have 32-bit indexes.
    pub(super) fn count(&mut self, count: usize) -> io::Result<()> {
        self.u32(u32::try_from(count).map_err(|_| io::ErrorKind::InvalidInput)?)
    }

    pub(super) fn tag(&mut self, tag: &Tag) -> io::Result<()> {
        self.u32(tag.key_id)?;
        self.put(&tag.salt)?;
        self.put(&tag.tag)
    }

    pub(super) fn name(&mut self, name: &str) -> io::Result<()> {
        assert!(is_valid_name(name), "names have at most 64 bytes");
        self.put(&[u8::try_from(name.len()).unwrap_or(u8::MAX)])?;
        self.put(name.as_bytes())
    }

    pub(super) fn owner(&mut self, owner: Owner) -> io::Result<()> {
        let (kind, id) = match owner {
            Owner::Nobody => (0, 0),
            Owner::Customer(AccountId(id)) => (1, id),
            Owner::Teller(TellerId(id)) => (2, id),
            Owner::Operator(uid) => (3, uid),
        };
        self.put(&[kind])?;
        self.u32(id)
    }

    pub(super) fn finish(mut self) -> io::Result<ImageDigest> {
        self.flush()?;
        Ok(ImageDigest { length: self.length, sha256: self.hasher.finalize().into() })
    }

    fn flush(&mut self) -> io::Result<()> {
        self.hasher.update(&self.buffer);
        self.out.write_all(&self.buffer)?;
        self.length = self.length.saturating_add(length(&self.buffer));
        self.buffer.clear();
        Ok(())
    }
}

/// Reads an image of a known length and digest.
///
/// Invariant: `unread` bytes of the image are not in the buffer yet; the buffered bytes from `at` on are not consumed yet.
pub(super) struct ImageReader<'a> {
    input: &'a mut dyn Read,
    expected: ImageDigest,
    buffer: Vec<u8>,
    at: usize,
    unread: u64,
    hasher: Sha256,
}

impl<'a> ImageReader<'a> {
    pub(super) fn new(input: &'a mut dyn Read, expected: &ImageDigest) -> Self {
        Self { input, expected: *expected, buffer: Vec::new(), at: 0, unread: expected.length, hasher: Sha256::new() }
    }

    /// The number of bytes consumed.
    pub(super) fn offset(&self) -> u64 {
        self.expected.length.saturating_sub(self.rest())
    }

    /// The error for invalid contents that were just read.
    pub(super) fn bad(&self, what: &'static str) -> ImageError {
        ImageError::Damaged { offset: self.offset(), what }
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], ImageError> {
        let found = self.bytes(N)?.first_chunk::<N>().copied();
        found.ok_or(ImageError::whole("it ends too early"))
    }

    pub(super) fn u8(&mut self) -> Result<u8, ImageError> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(super) fn u16(&mut self) -> Result<u16, ImageError> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, ImageError> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, ImageError> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn flag(&mut self) -> Result<bool, ImageError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(self.bad("a flag that is neither 0 nor 1")),
        }
    }

    /// Reads the number of elements that follow, each of at least `least` bytes. Rejects more than the image's rest can hold.
    pub(super) fn count(&mut self, least: u64) -> Result<u32, ImageError> {
        let count = self.u32()?;
        self.check_room(u64::from(count), least)?;
        Ok(count)
    }

    /// Checks that the rest of the image can hold `count` elements of at least `least` bytes.
    pub(super) fn check_room(&self, count: u64, least: u64) -> Result<(), ImageError> {
        let fits = count.checked_mul(least).is_some_and(|bytes| bytes <= self.rest());
        if fits { Ok(()) } else { Err(self.bad("a count beyond the image's end")) }
    }

    pub(super) fn amount(&mut self) -> Result<Amount, ImageError> {
        let units = self.u64()?;
        Amount::new(units).ok_or_else(|| self.bad("an amount beyond 2^63 - 1"))
    }

    pub(super) fn tag(&mut self) -> Result<Tag, ImageError> {
        Ok(Tag { key_id: self.u32()?, salt: self.array()?, tag: self.array()? })
    }

    pub(super) fn name(&mut self) -> Result<&str, ImageError> {
        let length = self.u8()?;
        let offset = self.offset();
        let bytes = self.bytes(usize::from(length))?;
        let name = std::str::from_utf8(bytes).ok().filter(|name| is_valid_name(name));
        name.ok_or(ImageError::Damaged { offset, what: "a name that is none" })
    }

    /// Reads an owner: a customer or a teller. An image has no others.
    pub(super) fn owner(&mut self) -> Result<Owner, ImageError> {
        match (self.u8()?, self.u32()?) {
            (1, id) => Ok(Owner::Customer(AccountId(id))),
            (2, id) => Ok(Owner::Teller(TellerId(id))),
            _ => Err(self.bad("an owner that is neither customer nor teller")),
        }
    }

    /// Checks that the image is fully consumed and that its digest is right.
    pub(super) fn finish(self) -> Result<(), ImageError> {
        if self.rest() > 0 {
            return Err(self.bad("bytes behind the end"));
        }
        let sha256: [u8; 32] = self.hasher.finalize().into();
        if sha256 == self.expected.sha256 { Ok(()) } else { Err(ImageError::whole("its digest does not hold")) }
    }

    /// The number of bytes not yet consumed.
    fn rest(&self) -> u64 {
        let held = self.buffer.get(self.at..).map_or(0, length);
        self.unread.saturating_add(held)
    }

    /// Consumes the next `count` bytes: a few fields or a name.
    fn bytes(&mut self, count: usize) -> Result<&[u8], ImageError> {
        assert!(count <= CHUNK);
        if self.at.saturating_add(count) > self.buffer.len() {
            self.fill()?;
        }
        let from = self.at;
        let to = from.saturating_add(count);
        if to > self.buffer.len() {
            return Err(self.bad("it ends too early"));
        }
        self.at = to;
        self.buffer.get(from..to).ok_or(ImageError::whole("it ends too early"))
    }

    /// Moves the unconsumed bytes to the front of the buffer, and reads more behind them.
    fn fill(&mut self) -> Result<(), ImageError> {
        self.buffer.drain(..self.at);
        self.at = 0;
        let kept = self.buffer.len();
        let more = CHUNK.min(usize::try_from(self.unread).unwrap_or(usize::MAX));
        self.buffer.resize(kept.saturating_add(more), 0);
        let target = self.buffer.get_mut(kept..).unwrap_or_default();
        self.input.read_exact(target).map_err(ImageError::Io)?;
        self.hasher.update(&*target);
        self.unread = self.unread.saturating_sub(length(target));
        Ok(())
    }
}

/// The length of a slice as a `u64`: lossless on all supported platforms.
fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}
