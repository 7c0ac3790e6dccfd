//! The rows of the index: for each account, session or other key, the entries that concern it, and their net effect.
//!
//! ```text
//! row:    4 CRC-32 of the rest; then slices, in the order of their keys
//! slice:  v key minus the key before (of the row, for the first)    v number of postings, n    z net effect
//!         v length of the postings in bytes; then n postings
//! posting: v (LSN minus the LSN before) x 2 + 1 if refused; 1 code of the outcome if refused
//! v: a varint of 7 bits a byte, the lowest first;  z: the same, of a zigzag number
//! ```
//! The LSN before the first posting of a slice is the first LSN of the part. A key with many postings has several slices, in
//! rows one after the other.
//! Left out: where rows are stored (`part.rs`), and what a net effect means (`tail.rs`).

use crate::model::bytes::Take;
use crate::model::invariant::to_u64;
use crate::model::types::{AccountId, Lsn};

/// The aim for the length of a row, in bytes: one page of the store below.
pub(super) const ROW: usize = 3800;
/// The most postings in one slice.
pub(super) const SLICE: usize = 1024;

/// What a posting concerns. The order is that of the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key(pub(super) u64);

impl Key {
    /// Entries that concern no account and no single session: starts, lineages, revocations of tellers.
    pub(super) const CONTROL: Self = Self(0);

    /// The movements of an account.
    pub(super) const fn account(AccountId(id): AccountId) -> Self {
        Self(1 << 60 | widen(id))
    }

    /// Whether it is that of an account.
    pub(super) const fn is_account(self) -> bool {
        self.0 >> 60 == 1
    }

    /// The entries of the session that this entry opened.
    pub(super) const fn session(opened: Lsn) -> Self {
        Self(2 << 60 | opened.0)
    }
}

const fn widen(id: u32) -> u64 {
    let [a, b, c, d] = id.to_le_bytes();
    u64::from_le_bytes([a, b, c, d, 0, 0, 0, 0])
}

/// One entry that concerns a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Posting {
    /// The entry.
    pub(super) lsn: Lsn,
    /// The code of its outcome; 0 if it was done.
    pub(super) outcome: u8,
}

/// Consecutive postings of one key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Slice {
    /// The net effect of its postings.
    pub(super) net: i64,
    /// The postings, in order of their LSN; at least one.
    pub(super) postings: Vec<Posting>,
}

/// Where a row stands in its part: its first key, and the LSN of the first posting of it.
pub(super) type RowKey = (u64, u64);

/// Makes rows of slices that come in the order of their keys and LSNs.
pub(super) struct RowWriter {
    first: Lsn,
    row: Option<RowKey>,
    last_key: u64,
    bytes: Vec<u8>,
    postings: Vec<u8>,
}

impl RowWriter {
    /// For a part that begins at `first`.
    pub(super) fn new(first: Lsn) -> Self {
        Self { first, row: None, last_key: 0, bytes: Vec::with_capacity(2 * ROW), postings: Vec::new() }
    }

    /// Adds a slice. Calls `put` with each row that is full.
    pub(super) fn slice<E>(&mut self, key: Key, slice: &Slice, put: &mut impl FnMut(RowKey, &[u8]) -> Result<(), E>) -> Result<(), E> {
        let Some(first) = slice.postings.first() else { return Ok(()) };
        self.postings.clear();
        let mut last = self.first;
        for posting in &slice.postings {
            let delta = posting.lsn.0.saturating_sub(last.0);
            put_varint(delta << 1 | u64::from(posting.outcome != 0), &mut self.postings);
            if posting.outcome != 0 {
                self.postings.push(posting.outcome);
            }
            last = posting.lsn;
        }
        if self.bytes.len() + self.postings.len() > ROW {
            self.finish(put)?;
        }
        if self.row.is_none() {
            self.row = Some((key.0, first.lsn.0));
            self.last_key = key.0;
            self.bytes.extend_from_slice(&[0; 4]);
        }
        put_varint(key.0.saturating_sub(self.last_key), &mut self.bytes);
        put_varint(to_u64(slice.postings.len()), &mut self.bytes);
        put_varint(zigzag(slice.net), &mut self.bytes);
        put_varint(to_u64(self.postings.len()), &mut self.bytes);
        self.bytes.extend_from_slice(&self.postings);
        self.last_key = key.0;
        Ok(())
    }

    /// Puts the last row.
    pub(super) fn finish<E>(&mut self, put: &mut impl FnMut(RowKey, &[u8]) -> Result<(), E>) -> Result<(), E> {
        let Some(row) = self.row.take() else { return Ok(()) };
        let crc = self.bytes.get(4..).map_or(0, crc32fast::hash);
        if let Some(slot) = self.bytes.get_mut(..4) {
            slot.copy_from_slice(&crc.to_le_bytes());
        }
        let put = put(row, &self.bytes);
        self.bytes.clear();
        put
    }
}

/// The slices of a row, in order. `None` for a slice that is not whole: the row is damaged.
pub(super) struct RowReader<'a> {
    first: Lsn,
    rest: Take<'a>,
    key: u64,
}

/// A slice in a row, with postings that are not decoded yet.
pub(super) struct Packed<'a> {
    /// The key.
    pub(super) key: Key,
    /// As in [`Slice`].
    pub(super) net: i64,
    /// The number of postings.
    pub(super) count: u64,
    first: Lsn,
    bytes: &'a [u8],
}

impl<'a> RowReader<'a> {
    /// Checks the checksum of a row. `first` is that of its part.
    pub(super) fn new(row: RowKey, bytes: &'a [u8], first: Lsn) -> Option<Self> {
        let mut rest = Take(bytes);
        let crc = rest.u32()?;
        (crc == crc32fast::hash(rest.0)).then_some(Self { first, rest, key: row.0 })
    }

    /// The next slice: `None` at the end, `Some(None)` if it is not whole.
    pub(super) fn next(&mut self) -> Option<Option<Packed<'a>>> {
        if self.rest.0.is_empty() { None } else { Some(self.take()) }
    }

    fn take(&mut self) -> Option<Packed<'a>> {
        self.key = self.key.checked_add(varint(&mut self.rest)?)?;
        let count = varint(&mut self.rest)?;
        let net = unzigzag(varint(&mut self.rest)?);
        let length = usize::try_from(varint(&mut self.rest)?).ok()?;
        Some(Packed { key: Key(self.key), net, count, first: self.first, bytes: self.rest.bytes(length)? })
    }
}

impl Packed<'_> {
    /// Decodes the postings; `None` if they are not whole.
    pub(super) fn unpack(&self) -> Option<Slice> {
        let mut postings = Vec::new();
        let (mut rest, mut last) = (Take(self.bytes), self.first);
        while !rest.0.is_empty() {
            let word = varint(&mut rest)?;
            last = Lsn(last.0.checked_add(word >> 1)?);
            let outcome = if word & 1 == 1 { rest.u8()? } else { 0 };
            postings.push(Posting { lsn: last, outcome });
        }
        (to_u64(postings.len()) == self.count && self.count > 0).then_some(Slice { net: self.net, postings })
    }
}

fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    loop {
        let [low, ..] = (value & 0x7F).to_le_bytes();
        value >>= 7;
        if value == 0 {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}

fn varint(take: &mut Take<'_>) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = take.u8()?;
        value |= u64::from(byte & 0x7F).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

const fn zigzag(value: i64) -> u64 {
    (value.wrapping_shl(1) ^ (value >> 63)).cast_unsigned()
}

const fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    type Rows = Vec<(RowKey, Vec<u8>)>;

    fn written(first: u64, slices: &[(Key, Slice)]) -> Rows {
        let (mut rows, mut writer) = (Rows::new(), RowWriter::new(Lsn(first)));
        let mut put = |row, bytes: &[u8]| {
            rows.push((row, bytes.to_vec()));
            Ok::<(), ()>(())
        };
        slices.iter().for_each(|(key, slice)| writer.slice(*key, slice, &mut put).unwrap());
        writer.finish(&mut put).unwrap();
        rows
    }

    fn read(first: u64, rows: &Rows) -> Option<Vec<(Key, Slice)>> {
        let mut all = Vec::new();
        for (row, bytes) in rows {
            let mut reader = RowReader::new(*row, bytes, Lsn(first))?;
            while let Some(packed) = reader.next() {
                let packed = packed?;
                all.push((packed.key, packed.unpack()?));
            }
        }
        Some(all)
    }

    fn slices() -> Vec<(Key, Slice)> {
        let posting = |lsn, outcome| Posting { lsn: Lsn(lsn), outcome };
        let slice = |net, postings: &[Posting]| Slice { net, postings: postings.to_vec() };
        let long = Slice { net: 1, postings: (0..1024).map(|place| posting(5_000 + place * 300, 0)).collect() };
        vec![
            (Key::CONTROL, slice(0, &[posting(1, 0)])),
            (Key::account(AccountId(7)), slice(-1, &[posting(1, 0), posting(2, 3), posting(1 << 40, 0)])),
            (Key::account(AccountId(7)), long.clone()),
            (Key::account(AccountId(7)), long),
            (Key::account(AccountId(u32::MAX)), slice(i64::MAX, &[posting(9, 0)])),
            (Key::session(Lsn(3)), slice(i64::MIN, &[posting(4, 0), posting(4, 0)])),
        ]
    }

    #[test]
    fn slices_are_read_as_they_were_written() {
        let rows = written(1, &slices());
        assert!(rows.len() > 1 && rows.iter().all(|(_, bytes)| bytes.len() < 2 * ROW), "{:?}", rows.len());
        assert!(rows.is_sorted_by_key(|(row, _)| *row));
        assert_eq!(read(1, &rows).unwrap(), slices());
    }

    #[test]
    fn a_row_is_as_its_page_says() {
        let posting = |lsn, outcome| Posting { lsn: Lsn(lsn), outcome };
        let slice = Slice { net: -2, postings: vec![posting(105, 0), posting(300, 1)] };
        let rows = written(100, &[(Key::account(AccountId(5)), slice)]);
        let (row, bytes) = &rows[0];
        assert_eq!((rows.len(), *row), (1, (1 << 60 | 5, 105)));
        assert_eq!(bytes[4..], [0, 2, 3, 4, 10, 0x87, 3, 1], "key, count, net, length, 5 x 2, 195 x 2 + 1, the outcome");
    }

    #[test]
    fn a_damaged_row_is_refused() {
        let rows = written(1, &slices()[..2]);
        for place in 0..rows[0].1.len() {
            let mut damaged = rows.clone();
            damaged[0].1[place] ^= 1;
            assert_eq!(read(1, &damaged), None, "byte {place}");
        }
        for length in 0..rows[0].1.len() {
            assert_eq!(read(1, &vec![(rows[0].0, rows[0].1[..length].to_vec())]), None, "{length} bytes");
        }
    }
}
