//! The journal's bytes: a header, then checksummed records; and how a torn tail is told from damage.
//!
//! The layout is written down for strangers in `docs/journal-format.md`.
//! Left out: what a record says (`journal_record.rs`), the file (`journal.rs`), what it adds up to (`journal_book.rs`).

use super::journal_record::{self, Record};

/// The bytes of the header.
pub(super) const HEADER: usize = 24;
/// The longest record in bytes, frame included; every write behind the header is one record.
pub(super) const MAX_RECORD: usize = 512;

const MAGIC: [u8; 8] = *b"bankdjnl";
const VERSION: u32 = 1;
/// Before a record's payload: its length, the length's complement, the checksum.
const FRAME: usize = 8;
/// The last byte of every record. No record ends in zero, so zero at the end is space that was never written.
const END: u8 = 0xFF;
/// What a disk writes as a whole.
const SECTOR: usize = 512;

/// What a journal file holds.
#[derive(Debug)]
pub(super) struct Scan {
    /// Counts the rewritings of the file.
    pub(super) generation: u64,
    /// Its records, in order.
    pub(super) records: Vec<Record>,
    /// Where the last whole record ends. What follows is a torn tail: an append that a crash left half-written.
    pub(super) end: usize,
}

/// Bytes that no crash of a client leaves behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum FormatError {
    #[error("it is no bankd journal")]
    NoJournal,
    #[error("it is a journal of version {0}, which this program does not read")]
    Version(u32),
    #[error("the record at byte {0} is damaged")]
    Damaged(usize),
}

/// The header of a file's `generation`-th writing.
pub(super) fn header(generation: u64) -> [u8; HEADER] {
    let mut out = [0; HEADER];
    let fields = MAGIC.into_iter().chain(VERSION.to_le_bytes()).chain(generation.to_le_bytes());
    out.iter_mut().zip(fields).for_each(|(to, from)| *to = from);
    if let Some((covered, sum)) = out.split_last_chunk_mut::<4>() {
        *sum = crc32fast::hash(covered).to_le_bytes();
    }
    out
}

/// Reads a header's generation.
///
/// # Errors
/// [`FormatError`] for anything but a whole header of this version.
pub(super) fn read_header(bytes: &[u8]) -> Result<u64, FormatError> {
    let header = bytes.first_chunk::<HEADER>().ok_or(FormatError::NoJournal)?;
    let (covered, sum) = header.split_last_chunk::<4>().ok_or(FormatError::NoJournal)?;
    let (magic, rest) = covered.split_first_chunk::<8>().ok_or(FormatError::NoJournal)?;
    let (version, rest) = rest.split_first_chunk::<4>().ok_or(FormatError::NoJournal)?;
    let generation = rest.first_chunk::<8>().ok_or(FormatError::NoJournal)?;
    if *magic != MAGIC || crc32fast::hash(covered).to_le_bytes() != *sum {
        return Err(FormatError::NoJournal);
    }
    match u32::from_le_bytes(*version) {
        VERSION => Ok(u64::from_le_bytes(*generation)),
        other => Err(FormatError::Version(other)),
    }
}

/// Reads a whole file.
///
/// # Errors
/// [`FormatError`] for all that is neither whole records nor a torn tail behind them.
pub(super) fn scan(bytes: &[u8]) -> Result<Scan, FormatError> {
    let generation = read_header(bytes)?;
    let (mut records, mut end) = (Vec::new(), HEADER);
    while let Some(rest) = bytes.get(end..).filter(|rest| !rest.is_empty()) {
        match front(rest) {
            Front::Whole(record, length) => {
                records.push(record);
                end += length;
            }
            Front::CutShort => break,
            Front::Bad if is_unwritten_space(rest, end) => break,
            Front::Bad => return Err(FormatError::Damaged(end)),
        }
    }
    Ok(Scan { generation, records, end })
}

/// Appends a record's bytes, at most [`MAX_RECORD`], or nothing if a field is beyond its limit.
///
/// Returns whether it was appended.
pub(super) fn put(record: &Record, out: &mut Vec<u8>) -> bool {
    let start = out.len();
    out.extend_from_slice(&[0; FRAME]);
    let fits = journal_record::put(record, out).is_some();
    out.push(END);
    if !fits || out.len() - start > MAX_RECORD {
        out.truncate(start);
        return false;
    }
    if let Some((frame, payload)) = out.get_mut(start..).and_then(|record| record.split_first_chunk_mut::<FRAME>()) {
        // At most MAX_RECORD, so it fits.
        let length = u16::try_from(payload.len()).unwrap_or(0);
        let ([l0, l1], [n0, n1]) = (length.to_le_bytes(), (!length).to_le_bytes());
        let [c0, c1, c2, c3] = crc32fast::hash(payload).to_le_bytes();
        *frame = [l0, l1, n0, n1, c0, c1, c2, c3];
    }
    true
}

enum Front {
    Whole(Record, usize),
    /// The file ends inside it.
    CutShort,
    Bad,
}

fn front(rest: &[u8]) -> Front {
    let Some(([l0, l1, n0, n1, c0, c1, c2, c3], behind)) = rest.split_first_chunk::<FRAME>() else {
        return Front::CutShort;
    };
    let length = u16::from_le_bytes([*l0, *l1]);
    if length != !u16::from_le_bytes([*n0, *n1]) || usize::from(length) + FRAME > MAX_RECORD {
        return Front::Bad;
    }
    let Some(payload) = behind.get(..usize::from(length)) else { return Front::CutShort };
    if crc32fast::hash(payload).to_le_bytes() != [*c0, *c1, *c2, *c3] {
        return Front::Bad;
    }
    match payload.split_last() {
        Some((&END, fields)) => journal_record::read(fields).map_or(Front::Bad, |record| Front::Whole(record, FRAME + usize::from(length))),
        _ => Front::Bad,
    }
}

/// Whether the file's last append got its length, but not all of its sectors: they read as zero up to the end.
fn is_unwritten_space(rest: &[u8], offset: usize) -> bool {
    let to_boundary = (SECTOR - offset % SECTOR) % SECTOR;
    let sectors = (to_boundary..rest.len()).step_by(SECTOR).chain([0]);
    rest.len() <= MAX_RECORD && sectors.into_iter().any(|from| rest.get(from..).is_some_and(|s| !s.is_empty() && s.iter().all(|b| *b == 0)))
}

#[cfg(test)]
mod tests {
    use super::super::journal_record::samples::{id, intent, settled};
    use super::super::journal_record::{ClosedReason, Intent};
    use super::*;

    fn file() -> Vec<u8> {
        let mut out = header(1).to_vec();
        assert!(put(&Record::Intent(intent(1)), &mut out));
        assert!(put(&Record::Reply(id(1), settled()), &mut out));
        assert!(put(&Record::Intent(intent(2)), &mut out));
        assert!(put(&Record::Closed(id(2), ClosedReason::UnknownSession), &mut out));
        out
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn golden_bytes() {
        assert_eq!(hex(&header(1)), HEAD);
        let bytes = |record: &Record| {
            let mut out = Vec::new();
            assert!(put(record, &mut out));
            hex(&out)
        };
        assert_eq!(bytes(&Record::Intent(intent(1))), INTENT);
        assert_eq!(bytes(&Record::Reply(id(1), settled())), REPLY);
        assert_eq!(bytes(&Record::Closed(id(2), ClosedReason::UnknownSession)), CLOSED);
        let page = include_str!("../../docs/journal-format.md");
        for example in [INTENT, REPLY, CLOSED, HEAD] {
            let shown: String = page.split_whitespace().collect();
            assert!(shown.contains(example), "docs/journal-format.md shows {example}");
        }
    }

    const HEAD: &str = "62616e6b646a6e6c010000000100000000000000bd92b922";
    const INTENT: &str = "5700a8fffed5c28101bc0a0000000000004d0000000000000001000000000000000707070707070707070707070707070700401e18240a0600000453616d690e3132372e302e302e313a3730373001000000010000001400000000000000ff";
    const REPLY: &str = "5400abffe514dfd302bc0a0000000000004d00000000000000010000000000000000a0000000000000004e000000000000000009090909090909090909090909090909090909090909090909090909090909094e00000000000000ff";
    const CLOSED: &str = "1b00e4ff4ce3b66403bc0a0000000000004d00000000000000020000000000000001ff";

    #[test]
    fn a_file_cut_anywhere_loses_only_its_torn_tail() {
        let whole = file();
        let ends: Vec<usize> = {
            let mut ends = vec![HEADER];
            while let Some(rest) = whole.get(*ends.last().unwrap()..).filter(|rest| !rest.is_empty()) {
                let Front::Whole(_, length) = front(rest) else { panic!("a whole record") };
                ends.push(ends.last().unwrap() + length);
            }
            ends
        };
        assert_eq!(ends.len(), 5);
        for cut in 0..whole.len() {
            if cut < HEADER {
                assert_eq!(scan(&whole[..cut]).err(), Some(FormatError::NoJournal), "cut at {cut}");
                continue;
            }
            let found = scan(&whole[..cut]).unwrap();
            let kept = ends.iter().filter(|end| **end <= cut).count() - 1;
            assert_eq!((found.records.len(), found.end), (kept, ends[kept]), "cut at {cut}");
        }
    }

    #[test]
    fn every_changed_bit_is_refused() {
        let whole = file();
        for bit in 0..whole.len() * 8 {
            let mut bad = whole.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(scan(&bad).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn space_that_was_never_written_is_a_torn_tail_and_other_zeros_are_not() {
        let whole = file();
        let mut longer = whole.clone();
        longer.resize(whole.len() + 90, 0);
        assert_eq!(scan(&longer).unwrap().end, whole.len());
        longer.resize(whole.len() + MAX_RECORD + 1, 0);
        assert_eq!(scan(&longer).err(), Some(FormatError::Damaged(whole.len())), "more than one append");
        // The last append crosses a sector's end, and its second sector never came.
        let mut torn = whole;
        while torn.len() % SECTOR < SECTOR - 40 {
            assert!(put(&Record::Closed(id(2), ClosedReason::Gap), &mut torn));
        }
        let before = torn.len();
        assert!(put(&Record::Intent(intent(3)), &mut torn));
        let boundary = before.next_multiple_of(SECTOR);
        torn[boundary..].fill(0);
        assert_eq!(scan(&torn).unwrap().end, before);
        torn[before + 20..].fill(0);
        assert_eq!(scan(&torn).unwrap().end, before, "the same, with a zero before it");
        torn.push(1);
        assert_eq!(scan(&torn).err(), Some(FormatError::Damaged(before)));
    }

    #[test]
    fn what_is_too_long_is_not_written() {
        let mut out = vec![1];
        assert!(!put(&Record::Intent(Intent { address: "x".repeat(256), ..intent(1) }), &mut out));
        assert!(!put(&Record::Intent(Intent { name: String::new(), ..intent(1) }), &mut out));
        assert_eq!(out, [1]);
        let longest = Intent { address: "x".repeat(255), name: "y".repeat(64), ..intent(1) };
        assert!(put(&Record::Intent(longest), &mut out));
    }
}
