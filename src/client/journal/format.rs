//! The journal's bytes: a header, then checksummed frames of one record or a group; and how a torn write differs from damage.
//!
//! The layout is specified in `docs/journal-format.md`.
//! Left out: a record's fields (`record.rs`), the file (`journal/mod.rs`), the state of each request (`index.rs`).

use crate::client::journal::record;
use crate::client::journal::record::Record;

/// The size of the header in bytes.
pub(in crate::client) const HEADER: usize = 24;
/// The longest frame of a single record, in bytes.
pub(in crate::client) const MAX_RECORD: usize = 512;
/// The longest frame, in bytes; every append is one frame.
pub(in crate::client) const MAX_FRAME: usize = FRAME + u16::MAX as usize;
/// The version that is written. Version 1 is read, and rewritten as this one.
pub(in crate::client) const VERSION: u32 = 2;

const MAGIC: [u8; 8] = *b"bankdjnl";
/// The size in bytes of a frame's fields before the payload: its length, the length's complement, the checksum.
const FRAME: usize = 8;
/// The last byte of every frame. No frame ends in zero, so a zero at the end was never written.
const END: u8 = 0xFF;
/// Overwrites [`END`] when the frame's answers were delivered; the checksum is computed as if it were [`END`]. The two differ
/// in four bits, so a single bit error cannot turn one into the other.
pub(in crate::client) const TOLD: u8 = 0x0F;
/// Size in bytes that a disk writes atomically.
const SECTOR: usize = 512;

/// The content of a journal file.
#[derive(Debug)]
pub(in crate::client) struct Scan {
    /// The version of its format.
    pub(in crate::client) version: u32,
    /// Number of times the file was written anew.
    pub(in crate::client) generation: u64,
    /// Its frames, in order.
    pub(in crate::client) frames: Vec<Frame>,
    /// End of the last whole frame. What follows is a torn write: an append that a crash interrupted.
    pub(in crate::client) end: usize,
}

/// The records of one append: one record, or a group.
#[derive(Debug)]
pub(in crate::client) struct Frame {
    pub(in crate::client) records: Vec<Record>,
    /// Its delivery mark.
    pub(in crate::client) mark: Mark,
}

/// A delivery mark, the last byte of a frame: whether the answers in the frame were shown to their customer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::client) struct Mark {
    /// The byte's offset in the file.
    pub(in crate::client) at: u64,
    pub(in crate::client) is_told: bool,
}

/// Damage: bytes that no crash of a client causes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::client) enum FormatError {
    #[error("it is no bankd journal")]
    NoJournal,
    #[error("it is a journal of version {0}, which this program does not read")]
    Version(u32),
    #[error("the record at byte {0} is damaged")]
    Damaged(usize),
}

/// The header of a file of this generation.
pub(in crate::client) fn header(generation: u64) -> [u8; HEADER] {
    header_of(VERSION, generation)
}

/// Reads a header: version and generation.
///
/// # Errors
/// [`FormatError`] for anything but a whole header of a supported version.
pub(in crate::client) fn read_header(bytes: &[u8]) -> Result<(u32, u64), FormatError> {
    let header = bytes.first_chunk::<HEADER>().ok_or(FormatError::NoJournal)?;
    let (covered, sum) = header.split_last_chunk::<4>().ok_or(FormatError::NoJournal)?;
    let (magic, rest) = covered.split_first_chunk::<8>().ok_or(FormatError::NoJournal)?;
    let (version, rest) = rest.split_first_chunk::<4>().ok_or(FormatError::NoJournal)?;
    let generation = rest.first_chunk::<8>().ok_or(FormatError::NoJournal)?;
    if *magic != MAGIC || crc32fast::hash(covered).to_le_bytes() != *sum {
        return Err(FormatError::NoJournal);
    }
    match u32::from_le_bytes(*version) {
        version @ 1..=VERSION => Ok((version, u64::from_le_bytes(*generation))),
        other => Err(FormatError::Version(other)),
    }
}

/// Reads a whole file.
///
/// # Errors
/// [`FormatError`] for anything but whole frames, optionally followed by a torn write.
pub(in crate::client) fn scan(bytes: &[u8]) -> Result<Scan, FormatError> {
    let (version, generation) = read_header(bytes)?;
    let (mut frames, mut end) = (Vec::new(), HEADER);
    while let Some(rest) = bytes.get(end..).filter(|rest| !rest.is_empty()) {
        match front(rest) {
            // Version 1 has no delivery marks; its answers were shown long ago.
            Front::Whole { records, is_told, length } => {
                end += length;
                frames.push(Frame { records, mark: Mark { at: end as u64 - 1, is_told: is_told || version == 1 } });
            }
            front if is_torn(&front, rest, end) => break,
            _ => return Err(FormatError::Damaged(end)),
        }
    }
    Ok(Scan { version, generation, frames, end })
}

/// Appends one frame with as many of these records as fit, from the first; returns how many. Returns 0 if there is no record,
/// or a field of the first is too long. The frame is marked as delivered if `is_told` and it holds an end of a request.
pub(in crate::client) fn put(records: &[Record], is_told: bool, out: &mut Vec<u8>) -> usize {
    let start = out.len();
    out.extend_from_slice(&[0; FRAME]);
    let count = match records {
        [one] => usize::from(record::put(one, out).is_some() && out.len() - start < MAX_RECORD),
        several => put_group(several, start + MAX_FRAME - 1, out),
    };
    if count == 0 {
        out.truncate(start);
        return 0;
    }
    out.push(END);
    if let Some((frame, payload)) = out.get_mut(start..).and_then(|frame| frame.split_first_chunk_mut::<FRAME>()) {
        // The payload is at most `u16::MAX` bytes, so it fits.
        let length = u16::try_from(payload.len()).unwrap_or(0);
        let ([l0, l1], [n0, n1]) = (length.to_le_bytes(), (!length).to_le_bytes());
        let [c0, c1, c2, c3] = crc32fast::hash(payload).to_le_bytes();
        *frame = [l0, l1, n0, n1, c0, c1, c2, c3];
        let is_told = is_told && records.iter().take(count).any(Record::is_end);
        if let Some(last) = payload.last_mut().filter(|_| is_told) {
            *last = TOLD;
        }
    }
    count
}

/// Appends the kind of a group, then records with their lengths as long as they end within `limit`.
fn put_group(records: &[Record], limit: usize, out: &mut Vec<u8>) -> usize {
    out.push(record::GROUP);
    for (count, record) in records.iter().enumerate() {
        let start = out.len();
        out.extend_from_slice(&[0; 2]);
        let fits = record::put(record, out).is_some();
        let length = out.len() - start - 2;
        if !fits || length + FRAME >= MAX_RECORD || out.len() > limit {
            out.truncate(start);
            return count;
        }
        if let (Some(place), Ok(length)) = (out.get_mut(start..start + 2), u16::try_from(length)) {
            place.copy_from_slice(&length.to_le_bytes());
        }
    }
    records.len()
}

fn header_of(version: u32, generation: u64) -> [u8; HEADER] {
    let mut out = [0; HEADER];
    let fields = MAGIC.into_iter().chain(version.to_le_bytes()).chain(generation.to_le_bytes());
    out.iter_mut().zip(fields).for_each(|(to, from)| *to = from);
    if let Some((covered, sum)) = out.split_last_chunk_mut::<4>() {
        *sum = crc32fast::hash(covered).to_le_bytes();
    }
    out
}

enum Front {
    Whole {
        records: Vec<Record>,
        is_told: bool,
        length: usize,
    },
    /// The file ends inside it.
    CutShort,
    /// Its length (this one) is valid, its content is not.
    NoContent(usize),
    /// Its length is not valid.
    NoLength,
}

fn front(rest: &[u8]) -> Front {
    let Some(([l0, l1, n0, n1, c0, c1, c2, c3], behind)) = rest.split_first_chunk::<FRAME>() else {
        return Front::CutShort;
    };
    let length = u16::from_le_bytes([*l0, *l1]);
    if length != !u16::from_le_bytes([*n0, *n1]) {
        return Front::NoLength;
    }
    let Some(payload) = behind.get(..usize::from(length)) else { return Front::CutShort };
    let length = FRAME + usize::from(length);
    match content(payload, [*c0, *c1, *c2, *c3]) {
        Some((records, is_told)) => Front::Whole { records, is_told, length },
        None => Front::NoContent(length),
    }
}

fn content(payload: &[u8], sum: [u8; 4]) -> Option<(Vec<Record>, bool)> {
    let (last, fields) = payload.split_last()?;
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(fields);
    hasher.update(&[END]);
    if hasher.finalize().to_le_bytes() != sum {
        return None;
    }
    let records = match fields.split_first() {
        Some((&record::GROUP, group)) => record::read_group(group)?,
        _ if payload.len() + FRAME > MAX_RECORD => return None,
        _ => vec![record::read(fields)?],
    };
    match *last {
        END => Some((records, false)),
        TOLD if records.iter().any(Record::is_end) => Some((records, true)),
        _ => None,
    }
}

/// Whether an invalid frame is a torn write: the file's last append, of which a part did not reach the disk. Either the file
/// ends inside it, or a sector's part of it is all zero, which a written part never is.
fn is_torn(front: &Front, rest: &[u8], offset: usize) -> bool {
    let to_boundary = (SECTOR - offset % SECTOR).min(rest.len());
    let (first, others) = rest.split_at(to_boundary);
    // A single byte may be zero: the lower half of a length.
    let first_is_missing = first.len() > 1 && is_zero(first);
    match front {
        Front::Whole { .. } => false,
        Front::CutShort => true,
        Front::NoContent(length) => *length == rest.len() && (first_is_missing || others.chunks(SECTOR).any(is_zero)),
        Front::NoLength => {
            let second_is_missing = first.len() < 4 && others.chunks(SECTOR).next().is_some_and(is_zero);
            // A whole frame after it was written later, so this one was synced before: it is damaged, not torn.
            let is_last = || (1..rest.len()).all(|at| !matches!(rest.get(at..).map(self::front), Some(Front::Whole { .. })));
            rest.len() <= MAX_FRAME && (first_is_missing || second_is_missing) && is_last()
        }
    }
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::journal::record::samples::{id, intent, settled};
    use crate::client::journal::record::{ClosedReason, Intent};

    /// Frames of one record each, one of them marked as delivered.
    fn file() -> Vec<u8> {
        let mut out = header(1).to_vec();
        add(&[Record::Intent(intent(1))], &mut out);
        assert_eq!(put(&[Record::Reply(id(1), settled())], true, &mut out), 1);
        add(&[Record::Intent(intent(2))], &mut out);
        add(&[Record::Closed(id(2), ClosedReason::UnknownSession)], &mut out);
        out
    }

    fn add(records: &[Record], out: &mut Vec<u8>) {
        assert_eq!(put(records, false, out), records.len());
    }

    /// The records of one append of a batch: the answers that came, and the next requests.
    fn group(answers: u64, requests: u64) -> Vec<Record> {
        let answers = (1..=answers).map(|number| Record::Reply(id(number), settled()));
        answers.chain((1..=requests).map(|number| Record::Intent(intent(1000 + number)))).collect()
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn golden_bytes() {
        assert_eq!(hex(&header(1)), HEAD);
        let bytes = |records: &[Record], is_told: bool| {
            let mut out = Vec::new();
            assert_eq!(put(records, is_told, &mut out), records.len());
            hex(&out)
        };
        assert_eq!(bytes(&[Record::Intent(intent(1))], false), INTENT);
        assert_eq!(bytes(&[Record::Reply(id(1), settled())], false), REPLY);
        let told = REPLY.strip_suffix("ff").unwrap().to_owned() + "0f";
        assert_eq!(bytes(&[Record::Reply(id(1), settled())], true), told, "the last byte alone differs");
        assert_eq!(bytes(&[Record::Closed(id(2), ClosedReason::UnknownSession)], false), CLOSED);
        let several = [Record::Closed(id(2), ClosedReason::UnknownSession), Record::Closed(id(3), ClosedReason::NeverSent)];
        assert_eq!(bytes(&several, false), GROUP);
        let page = include_str!("../../../docs/journal-format.md");
        let shown: String = page.split_whitespace().collect();
        for example in [INTENT, REPLY, CLOSED, GROUP, HEAD, HEAD_1] {
            assert!(shown.contains(example), "docs/journal-format.md shows {example}");
        }
    }

    #[test]
    fn a_journal_of_version_1_is_read_and_counts_as_told() {
        let unhex =
            |text: &str| -> Vec<u8> { (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect() };
        let found = scan(&unhex(&[HEAD_1, INTENT, REPLY].concat())).unwrap();
        let records: Vec<Record> = found.frames.iter().flat_map(|frame| frame.records.clone()).collect();
        assert_eq!((found.version, records), (1, vec![Record::Intent(intent(1)), Record::Reply(id(1), settled())]));
        assert!(found.frames.iter().all(|frame| frame.mark.is_told));
        assert_eq!(scan(&header_of(3, 1)).err(), Some(FormatError::Version(3)));
    }

    const HEAD: &str = "62616e6b646a6e6c0200000001000000000000004d402755";
    const HEAD_1: &str = "62616e6b646a6e6c010000000100000000000000bd92b922";
    const GROUP: &str = "3a00c5ffbadbe451041a0003bc0a0000000000004d000000000000000200000000000000011a0003bc0a0000000000004d00000000000000030000000000000007ff";
    const INTENT: &str = "5700a8fffed5c28101bc0a0000000000004d0000000000000001000000000000000707070707070707070707070707070700401e18240a0600000453616d690e3132372e302e302e313a3730373001000000010000001400000000000000ff";
    const REPLY: &str = "5400abffe514dfd302bc0a0000000000004d00000000000000010000000000000000a0000000000000004e000000000000000009090909090909090909090909090909090909090909090909090909090909094e00000000000000ff";
    const CLOSED: &str = "1b00e4ff4ce3b66403bc0a0000000000004d00000000000000020000000000000001ff";

    #[test]
    fn a_file_cut_anywhere_loses_only_its_torn_tail() {
        let whole = file();
        let ends: Vec<usize> = {
            let mut ends = vec![HEADER];
            while let Some(rest) = whole.get(*ends.last().unwrap()..).filter(|rest| !rest.is_empty()) {
                let Front::Whole { length, .. } = front(rest) else { panic!("a whole frame") };
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
            assert_eq!((found.frames.len(), found.end), (kept, ends[kept]), "cut at {cut}");
        }
    }

    #[test]
    fn every_changed_bit_is_refused() {
        let mut whole = file();
        add(&group(3, 9), &mut whole);
        for bit in 0..whole.len() * 8 {
            let mut bad = whole.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(scan(&bad).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_group_is_one_frame_and_holds_what_fits() {
        let mut out = header(1).to_vec();
        let records = group(100, 2000);
        let count = put(&records, false, &mut out);
        assert!((300..1000).contains(&count) && out.len() <= HEADER + MAX_FRAME, "{count} in {} bytes", out.len());
        add(&records[count..count + 20], &mut out);
        let found = scan(&out).unwrap();
        let read: Vec<Record> = found.frames.iter().flat_map(|frame| frame.records.clone()).collect();
        assert_eq!((found.frames.len(), read), (2, records[..count + 20].to_vec()));
    }

    /// For any missing sectors of the last append, it is cut, and everything synced before stays.
    #[test]
    fn a_group_that_lost_any_of_its_sectors_is_a_torn_tail() {
        for shift in [0, 1, 7, 200, 400] {
            let mut whole = header(1).to_vec();
            add(&[Record::Intent(Intent { address: "x".repeat(10 + shift % 250), ..intent(1) })], &mut whole);
            add(&group(0, 1 + shift as u64 / 100), &mut whole);
            let before = whole.len();
            add(&group(2, 40), &mut whole);
            let sectors = (before / SECTOR)..whole.len().div_ceil(SECTOR);
            assert!((6..12).contains(&sectors.len()));
            for missing in 1_u32..1 << sectors.len() {
                let mut torn = whole.clone();
                for (index, sector) in sectors.clone().enumerate().filter(|(index, _)| missing >> index & 1 == 1) {
                    let from = before.max(sector * SECTOR);
                    let to = torn.len().min((sector + 1) * SECTOR);
                    torn[from..to].fill(0);
                    assert!(index < 12);
                }
                assert_eq!(scan(&torn).map(|scan| scan.end), Ok(before), "shift {shift}, missing {missing:b}");
            }
        }
    }

    #[test]
    fn a_missing_sector_with_a_later_frame_behind_it_is_damage() {
        let mut whole = file();
        let before = whole.len();
        add(&group(2, 40), &mut whole);
        add(&[Record::Reply(id(2), settled())], &mut whole);
        for sector in before / SECTOR..(whole.len() - 100) / SECTOR {
            let mut bad = whole.clone();
            bad[before.max(sector * SECTOR)..(sector + 1) * SECTOR].fill(0);
            assert_eq!(scan(&bad).err(), Some(FormatError::Damaged(before)), "sector {sector}");
        }
    }

    #[test]
    fn space_that_was_never_written_is_a_torn_tail_and_other_zeros_are_not() {
        let whole = file();
        let mut longer = whole.clone();
        longer.resize(whole.len() + 90, 0);
        assert_eq!(scan(&longer).unwrap().end, whole.len());
        longer.resize(whole.len() + MAX_FRAME + 1, 0);
        assert_eq!(scan(&longer).err(), Some(FormatError::Damaged(whole.len())), "more than one append");
        // The last append crosses a sector boundary, and its second sector was not written.
        let mut torn = whole;
        while torn.len() % SECTOR < SECTOR - 40 {
            add(&[Record::Closed(id(2), ClosedReason::Gap)], &mut torn);
        }
        let before = torn.len();
        add(&[Record::Intent(intent(3))], &mut torn);
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
        for bad in [Intent { address: "x".repeat(256), ..intent(1) }, Intent { name: String::new(), ..intent(1) }] {
            assert_eq!(put(&[Record::Intent(bad.clone())], false, &mut out), 0);
            assert_eq!(put(&[Record::Intent(bad.clone()), Record::Intent(intent(1))], false, &mut out), 0);
            assert_eq!(out, [1]);
            assert_eq!(put(&[Record::Intent(intent(1)), Record::Intent(bad)], false, &mut vec![]), 1);
        }
        let longest = Intent { address: "x".repeat(255), name: "y".repeat(64), ..intent(1) };
        add(&[Record::Intent(longest)], &mut out);
    }
}
