//! A record: one entry, or several entries that share a head, with one length and one checksum.
//!
//! ```text
//! 0 2  length of the bytes behind the checksum    2 2  number of entries minus one (format version 1: zero)
//! 4 4  their CRC-32                               8 .. the bytes
//! ```
//! Left out: batches (`batch.rs`), how entries share bytes (`entry/joined.rs`), and which entries share them (`engine/`).

use crate::model::bytes::{Put, Take};
use crate::model::invariant::held;
use crate::model::types::Lsn;
use crate::wal::{MAX_ENTRY, MAX_RECORD};

/// The length of a record's head in bytes.
pub(in crate::wal) const HEAD: usize = 8;

/// A record of a verified batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// The LSN of its first entry. The LSNs of the others follow without gaps.
    pub first: Lsn,
    /// The number of entries, at least 1.
    pub count: u32,
    /// The encoded entries.
    pub bytes: &'a [u8],
}

/// Why bytes are not a valid record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::wal) enum BadRecord {
    /// It extends past the payload.
    Short,
    /// Its length or its number of entries is out of range.
    Impossible,
    /// Its checksum is wrong.
    Checksum,
}

/// Takes one record from the front of `rest`. After an error the position of `rest` is unspecified.
#[inline]
pub(in crate::wal) fn take<'a>(rest: &mut Take<'a>, first: Lsn) -> Result<Record<'a>, BadRecord> {
    let head = (rest.u16(), rest.u16(), rest.u32());
    let (Some(length), Some(further), Some(crc)) = head else { return Err(BadRecord::Short) };
    let bytes = rest.bytes(usize::from(length)).ok_or(BadRecord::Short)?;
    let most = if further == 0 { MAX_ENTRY } else { MAX_RECORD };
    // Each further entry takes at least one byte.
    if bytes.is_empty() || bytes.len() > most || usize::from(further) >= bytes.len() {
        return Err(BadRecord::Impossible);
    }
    if crc32fast::hash(bytes) != crc {
        return Err(BadRecord::Checksum);
    }
    Ok(Record { first, count: u32::from(further) + 1, bytes })
}

/// Writes the head of `record`, which is a complete record with `further` entries behind the first. The caller has checked
/// its length.
pub(in crate::wal) fn put_head(record: &mut [u8], further: u16) {
    let (head, bytes) = held(record.split_first_chunk_mut::<HEAD>(), "a record begins with its head");
    let mut put = Put(head);
    put.u16(held(u16::try_from(bytes.len()).ok(), "a record is no longer than its length field says"));
    put.u16(further);
    put.u32(crc32fast::hash(bytes));
}

/// The records of a verified payload, in order. Copies nothing and checks nothing again.
pub(in crate::wal) struct Records<'a> {
    pub(in crate::wal) rest: Take<'a>,
    pub(in crate::wal) next: Lsn,
}

impl<'a> Iterator for Records<'a> {
    type Item = Record<'a>;

    fn next(&mut self) -> Option<Record<'a>> {
        let (length, further, _) = (self.rest.u16()?, self.rest.u16()?, self.rest.u32()?);
        let bytes = self.rest.bytes(usize::from(length))?;
        let (first, count) = (self.next, u32::from(further) + 1);
        self.next = Lsn(first.0.saturating_add(u64::from(count)));
        Some(Record { first, count, bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "a record is no longer than its length field says")]
    fn a_record_longer_than_its_length_field_ends_the_process() {
        put_head(&mut vec![1; HEAD + usize::from(u16::MAX) + 1], 0);
    }

    #[test]
    #[should_panic(expected = "a record begins with its head")]
    fn a_record_without_a_head_ends_the_process() {
        put_head(&mut [1; HEAD - 1], 0);
    }

    fn record(bytes: &[u8], further: u16) -> Vec<u8> {
        let mut record = vec![0; HEAD];
        record.extend_from_slice(bytes);
        put_head(&mut record, further);
        record
    }

    #[test]
    fn what_is_put_is_taken() {
        for (length, further) in [(1, 0), (MAX_ENTRY, 0), (2, 1), (MAX_RECORD, 1), (MAX_RECORD, 127)] {
            let bytes = vec![7; length];
            let mut both = record(&bytes, further);
            both.push(9);
            let mut rest = Take(&both);
            let count = u32::from(further) + 1;
            assert_eq!(take(&mut rest, Lsn(3)), Ok(Record { first: Lsn(3), count, bytes: &bytes }));
            assert_eq!(rest.0, [9]);
            let mut records = Records { rest: Take(both.get(..HEAD + length).unwrap_or_default()), next: Lsn(3) };
            assert_eq!(records.next(), Some(Record { first: Lsn(3), count, bytes: &bytes }));
            assert_eq!((records.next(), records.next), (None, Lsn(3 + u64::from(count))));
        }
    }

    #[test]
    fn impossible_records_are_refused() {
        for (length, further) in [(0, 0), (MAX_ENTRY + 1, 0), (0, 1), (1, 1), (MAX_RECORD + 1, 1), (100, u16::MAX)] {
            assert_eq!(take(&mut Take(&record(&vec![7; length], further)), Lsn(1)), Err(BadRecord::Impossible), "{length}, {further}");
        }
        let good = record(b"abc", 1);
        for cut in 0..good.len() {
            assert_eq!(take(&mut Take(good.get(..cut).unwrap_or_default()), Lsn(1)), Err(BadRecord::Short));
        }
        let mut bad = good;
        if let Some(last) = bad.last_mut() {
            *last ^= 1;
        }
        assert_eq!(take(&mut Take(&bad), Lsn(1)), Err(BadRecord::Checksum));
    }
}
