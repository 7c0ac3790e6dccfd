//! Fixed little-endian fields: the one cursor that writes them, the one that reads them, and headers with a checksum.
//!
//! Left out: what the fields mean (each format's own file), and values that bincode encodes (`codec.rs`).

use crate::model::invariant::held;

/// Writes fields one after the other. What does not fit ends the process: a layout longer than its block is a bug.
pub struct Put<'a>(pub &'a mut [u8]);

impl Put<'_> {
    /// Writes bytes as they are.
    #[inline]
    pub fn bytes(&mut self, bytes: &[u8]) {
        let (head, rest) = held(std::mem::take(&mut self.0).split_at_mut_checked(bytes.len()), "a layout fits its block");
        head.copy_from_slice(bytes);
        self.0 = rest;
    }

    /// Writes two bytes, little-endian.
    #[inline]
    pub fn u16(&mut self, value: u16) {
        self.bytes(&value.to_le_bytes());
    }

    /// Writes four bytes, little-endian.
    #[inline]
    pub fn u32(&mut self, value: u32) {
        self.bytes(&value.to_le_bytes());
    }

    /// Writes eight bytes, little-endian.
    #[inline]
    pub fn u64(&mut self, value: u64) {
        self.bytes(&value.to_le_bytes());
    }
}

/// Reads fields one after the other; `None` past the end, where the cursor stays.
#[derive(Clone, Copy, Debug)]
pub struct Take<'a>(pub &'a [u8]);

impl<'a> Take<'a> {
    /// The next `count` bytes.
    #[inline]
    pub fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(head)
    }

    /// The next `N` bytes.
    #[inline]
    pub fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    /// The next byte.
    #[inline]
    pub fn u8(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    /// The next two bytes, little-endian.
    #[inline]
    pub fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    /// The next four bytes, little-endian.
    #[inline]
    pub fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    /// The next eight bytes, little-endian.
    #[inline]
    pub fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }
}

/// Puts the CRC-32 of everything after itself at byte 8: so every header of the log starts, magic first.
pub fn seal_crc(block: &mut [u8]) {
    let rule = "a header has room for its magic and its CRC";
    let crc = crc32fast::hash(held(block.get(12..), rule));
    held(block.get_mut(8..12), rule).copy_from_slice(&crc.to_le_bytes());
}

/// The cursor at byte 12 of a header that starts with `magic` and whose CRC at byte 8 holds.
pub fn open_crc<'a>(block: &'a [u8], magic: &[u8; 8]) -> Option<Take<'a>> {
    let mut take = Take(block);
    let found = take.array::<8>()?;
    let crc = take.u32()?;
    (found == *magic && crc == crc32fast::hash(take.0)).then_some(take)
}

#[cfg(test)]
mod tests {
    use super::*;

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
