//! Little-endian fields: a write cursor, a read cursor, block arithmetic, zero tests, header checksums.
//!
//! Left out: what the fields mean (`batch.rs`, `segment.rs`, `manifest.rs`).

use crate::model::invariant::held;

/// The block size in bytes. Every structure of the log starts at a multiple of it.
pub(in crate::wal) const BLOCK: u64 = 4096;
/// [`BLOCK`] as a `usize`.
pub(in crate::wal) const BLOCK_LEN: usize = 4096;
/// The sector size in bytes: the unit that a disk writes atomically.
pub(in crate::wal) const SECTOR: usize = 512;

/// A sector that was never written.
static ZERO_SECTOR: [u8; SECTOR] = [0; SECTOR];

/// Whether every byte is zero. Compares whole sectors, so that memory bandwidth is the limit.
pub(in crate::wal) fn is_zero(bytes: &[u8]) -> bool {
    let mut sectors = bytes.chunks_exact(SECTOR);
    sectors.all(|sector| sector == ZERO_SECTOR) && sectors.remainder().iter().all(|byte| *byte == 0)
}

/// `length` rounded up to whole blocks. Lengths in the log are far below 2^63, so it never saturates.
pub(in crate::wal) const fn round_up(length: usize) -> usize {
    length.div_ceil(BLOCK_LEN).saturating_mul(BLOCK_LEN)
}

/// Writes fields in sequence. Panics if a field does not fit: a layout longer than its block is a bug.
pub(in crate::wal) struct Put<'a>(pub(in crate::wal) &'a mut [u8]);

impl Put<'_> {
    pub(in crate::wal) fn bytes(&mut self, bytes: &[u8]) {
        let (head, rest) = held(std::mem::take(&mut self.0).split_at_mut_checked(bytes.len()), "a layout fits its block");
        head.copy_from_slice(bytes);
        self.0 = rest;
    }

    pub(in crate::wal) fn u16(&mut self, value: u16) {
        self.bytes(&value.to_le_bytes());
    }

    pub(in crate::wal) fn u32(&mut self, value: u32) {
        self.bytes(&value.to_le_bytes());
    }

    pub(in crate::wal) fn u64(&mut self, value: u64) {
        self.bytes(&value.to_le_bytes());
    }
}

/// Reads fields in sequence. Returns `None` past the end.
#[derive(Clone, Copy)]
pub(in crate::wal) struct Take<'a>(pub(in crate::wal) &'a [u8]);

impl<'a> Take<'a> {
    pub(in crate::wal) fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(head)
    }

    pub(in crate::wal) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    pub(in crate::wal) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(in crate::wal) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(in crate::wal) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }
}

/// Writes at byte 8 the CRC-32 of everything behind it. Headers of manifest, segment and batch begin with magic and CRC.
pub(in crate::wal) fn seal_crc(block: &mut [u8]) {
    let rule = "a header has room for its magic and its CRC";
    let crc = crc32fast::hash(held(block.get(12..), rule));
    held(block.get_mut(8..12), rule).copy_from_slice(&crc.to_le_bytes());
}

/// Checks that a header starts with `magic` and that its CRC at byte 8 is right. Returns a cursor at byte 12.
pub(in crate::wal) fn open_crc<'a>(block: &'a [u8], magic: &[u8; 8]) -> Option<Take<'a>> {
    let mut take = Take(block);
    let found = take.array::<8>()?;
    let crc = take.u32()?;
    (found == *magic && crc == crc32fast::hash(take.0)).then_some(take)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bit_anywhere_is_not_zero() {
        let mut bytes = vec![0; 2 * SECTOR + 3];
        assert!(is_zero(&bytes) && is_zero(&[]));
        for at in 0..bytes.len() {
            bytes[at] = 1;
            assert!(!is_zero(&bytes), "byte {at}");
            bytes[at] = 0;
        }
    }

    #[test]
    #[should_panic(expected = "a layout fits its block")]
    fn a_field_beyond_the_block_ends_the_process() {
        let mut block = [0; 9];
        let mut put = Put(&mut block);
        put.u64(1);
        put.u16(2);
    }

    #[test]
    #[should_panic(expected = "a header has room")]
    fn a_header_without_room_for_its_crc_ends_the_process() {
        seal_crc(&mut [0; 11]);
    }

    #[test]
    fn headers_with_a_changed_byte_do_not_open() {
        let mut block = [7; 64];
        block[..8].copy_from_slice(b"ABCDEFGH");
        seal_crc(&mut block);
        assert!(open_crc(&block, b"ABCDEFGH").is_some_and(|take| take.0.len() == 52));
        for at in 0..block.len() {
            block[at] ^= 1;
            assert!(open_crc(&block, b"ABCDEFGH").is_none(), "byte {at}");
            block[at] ^= 1;
        }
    }
}
