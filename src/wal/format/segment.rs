//! The header and the file name of a segment: one file of the log, of fixed size, filled with zeros before use.
//!
//! ```text
//! 0   8  magic "BKDSEGMT"            12  2 format version, 2 zero
//! 8   4  CRC-32 of bytes 12..4096    16 16 store id
//! 32  8  sequence number, from 1     40  8 size of the file in bytes, this block included
//! 48 ..  0xFF to 4096; batches follow
//! ```
//! Left out: durable creation of segments (`segment_writer.rs`), and reading their batches (`reader.rs`).

use crate::model::bytes::{Put, open_crc, seal_crc};
use crate::model::types::StoreId;
use crate::wal::FORMAT_VERSION;
use crate::wal::format::bytes::{BLOCK, BLOCK_LEN};

const MAGIC: &[u8; 8] = b"BKDSEGMT";
/// The smallest size of a segment in bytes.
pub(in crate::wal) const MIN_SIZE: u64 = 64 << 10;
/// The largest size of a segment in bytes.
pub(in crate::wal) const MAX_SIZE: u64 = 1 << 30;

/// The contents of a segment's first block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::wal) struct SegmentHeader {
    /// The store's id.
    pub(in crate::wal) store: StoreId,
    /// The sequence number, from which the file name is derived.
    pub(in crate::wal) sequence: u64,
    /// The file's length in bytes.
    pub(in crate::wal) size: u64,
}

impl SegmentHeader {
    /// Encodes the first block of the file.
    pub(in crate::wal) fn encode(&self) -> [u8; BLOCK_LEN] {
        let mut block = [0xFF; BLOCK_LEN];
        let mut put = Put(&mut block);
        put.bytes(MAGIC);
        put.u32(0);
        put.u16(FORMAT_VERSION);
        put.u16(0);
        put.bytes(&self.store.0);
        put.u64(self.sequence);
        put.u64(self.size);
        seal_crc(&mut block);
        block
    }

    /// Decodes the first block of a file.
    ///
    /// # Errors
    /// The format version, if the block is intact but has another version; otherwise `None`.
    pub(in crate::wal) fn decode(block: &[u8]) -> Result<Self, Option<u16>> {
        let mut take = open_crc(block, MAGIC).ok_or(None)?;
        let format = take.u16().ok_or(None)?;
        if format != FORMAT_VERSION {
            return Err(Some(format));
        }
        let mut fields = || {
            let zero = take.u16()?;
            let store = StoreId(take.array()?);
            let header = Self { store, sequence: take.u64()?, size: take.u64()? };
            let size_is_legal = (MIN_SIZE..=MAX_SIZE).contains(&header.size) && header.size.is_multiple_of(BLOCK);
            (zero == 0 && size_is_legal && take.0.iter().all(|byte| *byte == 0xFF)).then_some(header)
        };
        fields().ok_or(None)
    }
}

/// A segment's file name: ten digits and `.seg`.
#[must_use]
pub fn file_name(sequence: u64) -> String {
    format!("{sequence:010}.seg")
}

/// The sequence number of an uncompressed segment's file name; `None` for other names.
pub(in crate::wal) fn sequence_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".seg")?;
    let is_plain = digits.len() >= 10 && digits.bytes().all(|byte| byte.is_ascii_digit());
    let sequence = digits.parse().ok().filter(|sequence| *sequence > 0)?;
    (is_plain && file_name(sequence) == name).then_some(sequence)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_of_the_header_counts() {
        let header = SegmentHeader { store: StoreId([7; 16]), sequence: 3, size: 1 << 20 };
        let mut block = header.encode();
        assert_eq!(SegmentHeader::decode(&block), Ok(header));
        for at in 0..block.len() {
            block[at] ^= 0x10;
            assert_eq!(SegmentHeader::decode(&block), Err(None), "byte {at}");
            block[at] ^= 0x10;
        }
    }

    #[test]
    fn another_version_is_not_damage() {
        let mut block = SegmentHeader { store: StoreId([7; 16]), sequence: 3, size: 1 << 20 }.encode();
        block[12] = 9;
        seal_crc(&mut block);
        assert_eq!(SegmentHeader::decode(&block), Err(Some(9)));
    }

    #[test]
    fn names_read_back_and_others_do_not() {
        assert_eq!(file_name(42), "0000000042.seg");
        assert_eq!(sequence_of("0000000042.seg"), Some(42));
        assert_eq!(sequence_of(&file_name(12_345_678_901)), Some(12_345_678_901));
        for name in ["0000000000.seg", "42.seg", "0000000042.seg.tmp", "00000000042.seg", "+000000042.seg", "MANIFEST", ""] {
            assert_eq!(sequence_of(name), None, "{name}");
        }
    }
}
