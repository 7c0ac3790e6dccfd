//! The checker's decoder of the log's bytes: manifest, segment headers, batches and records, by `docs/log-format.md`. It
//! shares no code with `wal`, so that a mistake there cannot hide itself here.
//!
//! Left out: the sequence of batches (`log_reader.rs`), the meaning of entries (`model.rs`).

use sha2::{Digest, Sha256};

use crate::model::entry::{Action, Entry};

/// Headers and batches start at multiples of this many bytes.
pub(in crate::prove) const BLOCK: usize = 4096;
const BATCH_HEADER: usize = 256;
/// The offset in a batch from which its chain covers it.
const CHAINED: usize = 204;

/// A segment header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::prove) struct Segment {
    pub(in crate::prove) store: [u8; 16],
    pub(in crate::prove) sequence: u64,
    pub(in crate::prove) size: u64,
}

/// The end of the log before it, as the first batch of an incarnation states it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::prove) struct Vouched {
    pub(in crate::prove) segment: u64,
    pub(in crate::prove) offset: u64,
    pub(in crate::prove) batch: u64,
    pub(in crate::prove) chain: [u8; 32],
}

/// A batch with valid checksums.
#[derive(Clone, Debug)]
pub(in crate::prove) struct Batch {
    pub(in crate::prove) store: [u8; 16],
    /// Counter and random bits.
    pub(in crate::prove) incarnation: (u64, u64),
    pub(in crate::prove) number: u64,
    pub(in crate::prove) first_lsn: u64,
    pub(in crate::prove) chain_before: [u8; 32],
    pub(in crate::prove) chain_after: [u8; 32],
    pub(in crate::prove) voucher: Option<Vouched>,
    pub(in crate::prove) entries: Vec<Entry>,
    /// Its length in bytes, padding included.
    pub(in crate::prove) extent: usize,
}

/// The newest valid slot of the manifest: store, first and highest segment.
pub(in crate::prove) fn manifest(bytes: &[u8]) -> Option<([u8; 16], u64, u64)> {
    let slots = bytes.chunks(BLOCK).filter_map(|slot| {
        let body = sealed(slot, b"BKDMANIF")?;
        Some((number(body, 32)?, (array(body, 16)?, number(body, 40)?, number(body, 48)?)))
    });
    slots.max_by_key(|(generation, _)| *generation).map(|(_, slot)| slot)
}

/// Decodes a segment header.
pub(in crate::prove) fn segment(bytes: &[u8]) -> Option<Segment> {
    let body = sealed(bytes.get(..BLOCK)?, b"BKDSEGMT")?;
    Some(Segment { store: array(body, 16)?, sequence: number(body, 32)?, size: number(body, 40)? })
}

/// Decodes the batch at the front of `bytes`.
pub(in crate::prove) fn batch(bytes: &[u8]) -> Result<Batch, String> {
    let head = bytes.get(..BATCH_HEADER).and_then(|head| sealed(head, b"BKDBATCH")).ok_or("no whole batch header")?;
    let short = || "a batch header that ends early".to_owned();
    let payload_len = array(head, 200).map(u32::from_le_bytes).and_then(|length| usize::try_from(length).ok()).ok_or_else(short)?;
    let count = array(head, 244).map(u32::from_le_bytes).ok_or_else(short)?;
    let end = BATCH_HEADER.saturating_add(payload_len);
    let payload = bytes.get(BATCH_HEADER..end).ok_or("a batch longer than its segment")?;
    let extent = end.div_ceil(BLOCK).saturating_mul(BLOCK);
    if bytes.get(end..extent).is_none_or(|padding| padding.iter().any(|byte| *byte != 0xFF)) {
        return Err("the padding of a batch was changed".to_owned());
    }
    let batch = Batch {
        store: array(head, 16).ok_or_else(short)?,
        incarnation: (number(head, 32).ok_or_else(short)?, number(head, 40).ok_or_else(short)?),
        number: number(head, 48).ok_or_else(short)?,
        first_lsn: number(head, 236).ok_or_else(short)?,
        chain_before: array(head, 204).ok_or_else(short)?,
        chain_after: array(head, 64).ok_or_else(short)?,
        voucher: voucher(head).ok_or_else(short)?,
        entries: records(payload)?,
        extent,
    };
    if u64::try_from(batch.entries.len()) != Ok(u64::from(count)) {
        return Err(format!("batch {} announces {count} entries and holds {}", batch.number, batch.entries.len()));
    }
    let chain = match count {
        0 => batch.chain_before,
        _ => Sha256::digest(bytes.get(CHAINED..end).unwrap_or_default()).into(),
    };
    if chain != batch.chain_after {
        return Err(format!("the chain of batch {} does not hold", batch.number));
    }
    Ok(batch)
}

fn voucher(head: &[u8]) -> Option<Option<Vouched>> {
    if *head.get(96)? == 0 {
        return Some(None);
    }
    Some(Some(Vouched { segment: number(head, 104)?, offset: number(head, 112)?, batch: number(head, 120)?, chain: array(head, 128)? }))
}

fn records(mut rest: &[u8]) -> Result<Vec<Entry>, String> {
    let mut entries = Vec::new();
    while let Some(([l0, l1, f0, f1], behind)) = rest.split_first_chunk::<4>() {
        let (sum, behind) = behind.split_first_chunk::<4>().ok_or("a record that ends early")?;
        let (length, further) = (usize::from(u16::from_le_bytes([*l0, *l1])), u16::from_le_bytes([*f0, *f1]));
        let (bytes, behind) = behind.split_at_checked(length).ok_or("a record that ends early")?;
        if crc32fast::hash(bytes) != u32::from_le_bytes(*sum) {
            return Err("a record whose checksum does not hold".to_owned());
        }
        requests(bytes, further, &mut entries)?;
        rest = behind;
    }
    if rest.is_empty() { Ok(entries) } else { Err("a record that ends early".to_owned()) }
}

/// Decodes a record: one entry, and `further` commands under the numbers after its own.
fn requests(bytes: &[u8], further: u16, entries: &mut Vec<Entry>) -> Result<(), String> {
    // The length of an entry of a session before its command, and the lengths of the commands by variant.
    const FRONT: usize = 32;
    const LENGTHS: [usize; 3] = [16, 16, 20];
    if further == 0 {
        entries.push(Entry::decode(bytes).map_err(|error| error.to_string())?);
        return Ok(());
    }
    let (front, mut commands) = bytes.split_at_checked(FRONT).ok_or("a record of several entries without a front")?;
    let first = number(front, 16).ok_or("a record of several entries without a number")?;
    for at in 0..=u64::from(further) {
        let variant = array(commands, 0).and_then(|variant| usize::try_from(u32::from_le_bytes(variant)).ok());
        let length = variant.and_then(|variant| LENGTHS.get(variant)).ok_or("a record with an unknown command")?;
        let (command, rest) = commands.split_at_checked(*length).ok_or("a record whose commands end early")?;
        let mut whole = [front, command].concat();
        let number = first.checked_add(at).ok_or("a record with numbers beyond the last")?;
        whole.get_mut(16..24).ok_or("a record of several entries without a number")?.copy_from_slice(&number.to_le_bytes());
        let entry = Entry::decode(&whole).map_err(|error| error.to_string())?;
        if !matches!(entry.action, Action::Request(_)) {
            return Err("a record of several entries that are no requests".to_owned());
        }
        entries.push(entry);
        commands = rest;
    }
    if commands.is_empty() { Ok(()) } else { Err("a record that goes on behind its entries".to_owned()) }
}

/// The block, if it begins with that magic and its checksum at byte 8 is valid.
fn sealed<'a>(block: &'a [u8], magic: &[u8; 8]) -> Option<&'a [u8]> {
    let sum: [u8; 4] = array(block, 8)?;
    (block.starts_with(magic) && crc32fast::hash(block.get(12..)?) == u32::from_le_bytes(sum)).then_some(block)
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk::<N>().copied()
}

fn number(bytes: &[u8], at: usize) -> Option<u64> {
    array(bytes, at).map(u64::from_le_bytes)
}
