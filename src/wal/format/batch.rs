//! The encoding of a batch: its header, the records of its entries, its link in the hash chain.
//!
//! ```text
//! 0   8  magic "BKDBATCH"            12  2 format version      14 2 logic version
//! 8   4  CRC-32 of bytes 12..256     16 16 store id
//! 32  8  incarnation counter         40  8 incarnation random
//! 48  8  batch number, from 1        56  8 outcome digest after the previous batch
//! 64 32  chain head after this batch
//! 96  1  voucher kind (0 none, 1 start, 2 repair), 7 zero
//! 104 8  vouched segment  112 8 offset  120 8 batch number  128 32 chain
//! 160 40 zero                        200 4 payload length
//! 204 32 chain head before           236 8 first LSN   244 4 entry count   248 8 bank time
//! 256 .. payload: records (`record.rs`); then 0xFF to the block's end
//! ```
//! The chain of a batch with entries is the SHA-256 of bytes 204 to the payload's end.
//! Left out: how the open batch grows (`open_batch.rs`), whether a batch continues the log before it (`recover.rs`), and
//! the meaning of entries.

use sha2::{Digest, Sha256};

use crate::model::bytes::{Put, Take, open_crc, seal_crc};
use crate::model::invariant::{held, to_len, to_u64};
use crate::model::types::{BankTime, Chain, Lsn, StoreId};
use crate::wal::format::bytes::round_up;
use crate::wal::format::record;
use crate::wal::format::record::{BadRecord, Record, Records};
use crate::wal::{FORMAT_VERSION, LOGIC_VERSION, MAX_BATCH, NEW_KINDS_VERSION, Position};

/// The length of a batch header in bytes.
pub(in crate::wal) const HEADER: usize = 256;
/// The offset at which the hashed part of a batch begins.
pub(in crate::wal) const HASHED: usize = 204;
const MAGIC: &[u8; 8] = b"BKDBATCH";

/// One run of the daemon on a store: a counter, and random bits that distinguish runs with the same counter. At most one
/// run per counter value leaves valid batches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Incarnation {
    /// From 1. Each start that writes a batch takes the next value.
    pub counter: u64,
    /// A random number, new at every start.
    pub random: u64,
}

/// The end of the log before an incarnation, as recorded in the incarnation's first batch. Bytes between that end and the
/// voucher are void.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Voucher {
    /// The kind of incarnation that recorded it.
    pub kind: VoucherKind,
    /// The first byte after the last valid batch.
    pub end: Position,
    /// That batch's number.
    pub batch_number: u64,
    /// The chain head after it.
    pub chain: Chain,
}

/// What an incarnation with a voucher did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VoucherKind {
    /// A normal start: bytes after the end can only be a torn write.
    Start,
    /// A repair: it may have dropped valid batches after the end.
    Repair,
}

/// The header of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    /// The format version: [`NEW_KINDS_VERSION`](crate::wal::NEW_KINDS_VERSION) if an entry is of a newer kind, else
    /// [`BATCH_VERSION`](crate::wal::BATCH_VERSION) if a record holds several entries, else 1.
    pub format_version: u16,
    /// The store's id.
    pub store: StoreId,
    /// The version of the rules that executed the batch.
    pub logic_version: u16,
    /// The incarnation that wrote it.
    pub incarnation: Incarnation,
    /// The batch number: from 1, without gaps.
    pub number: u64,
    /// The running outcome digest after the previous batch.
    pub outcome_digest: u64,
    /// The LSN of its first entry; in a batch without entries, that of the next entry of the log.
    pub first_lsn: Lsn,
    /// The number of entries.
    pub count: u32,
    /// The length of its records in bytes.
    pub payload_len: u32,
    /// The bank time of all its entries.
    pub bank_time: BankTime,
    /// The chain head before it.
    pub chain_before: Chain,
    /// The chain head after it. Equal to `chain_before` if the batch has no entries.
    pub chain_after: Chain,
    /// Present in the first batch of each incarnation but the store's first.
    pub voucher: Option<Voucher>,
}

/// Why 256 bytes are not a usable header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::wal) enum BadHeader {
    /// Wrong magic or checksum: never written, partly written or damaged.
    Unreadable,
    /// Intact, but of an unsupported format version.
    FormatVersion(u16),
    /// Intact, but of an unsupported logic version.
    LogicVersion(u16),
    /// Intact, but with contents that no program of this version writes.
    Malformed(&'static str),
}

impl BatchHeader {
    /// The bytes that the batch takes in its segment, header and padding included.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        to_u64(self.extent())
    }

    /// [`BatchHeader::bytes`] as a `usize`.
    pub(in crate::wal) fn extent(&self) -> usize {
        round_up(HEADER.saturating_add(to_len(u64::from(self.payload_len))))
    }

    /// Encodes the header into the first 256 bytes of `out`.
    pub(in crate::wal) fn encode(&self, out: &mut [u8]) {
        assert!(out.len() >= HEADER, "a batch has room for its header");
        let Some(head) = out.get_mut(..HEADER) else { return };
        let mut put = Put(head);
        put.bytes(MAGIC);
        put.u32(0);
        put.u16(self.format_version);
        put.u16(self.logic_version);
        put.bytes(&self.store.0);
        put.u64(self.incarnation.counter);
        put.u64(self.incarnation.random);
        put.u64(self.number);
        put.u64(self.outcome_digest);
        put.bytes(&self.chain_after.0);
        put_voucher(&mut put, self.voucher.as_ref());
        put.bytes(&[0; 40]);
        put.u32(self.payload_len);
        put.bytes(&self.chain_before.0);
        put.u64(self.first_lsn.0);
        put.u32(self.count);
        put.u64(self.bank_time.0);
        assert!(put.0.is_empty(), "a header is as long as its layout");
        seal_crc(head);
    }

    /// Decodes the header at the front of `bytes`.
    pub(in crate::wal) fn decode(bytes: &[u8]) -> Result<Self, BadHeader> {
        let mut take = bytes.get(..HEADER).and_then(|head| open_crc(head, MAGIC)).ok_or(BadHeader::Unreadable)?;
        let format = take.u16().ok_or(BadHeader::Unreadable)?;
        if !(FORMAT_VERSION..=NEW_KINDS_VERSION).contains(&format) {
            return Err(BadHeader::FormatVersion(format));
        }
        let header = Self::fields(format, take).ok_or(BadHeader::Malformed("a batch header with reserved bytes that are not zero"))?;
        if header.logic_version != LOGIC_VERSION {
            return Err(BadHeader::LogicVersion(header.logic_version));
        }
        if header.extent() > MAX_BATCH {
            return Err(BadHeader::Malformed("a batch header that claims more than the largest batch"));
        }
        if (header.count == 0) != (header.payload_len == 0) {
            return Err(BadHeader::Malformed("a batch header whose entry count and payload length disagree"));
        }
        Ok(header)
    }

    fn fields(format_version: u16, mut take: Take<'_>) -> Option<Self> {
        let logic_version = take.u16()?;
        let store = StoreId(take.array()?);
        let incarnation = Incarnation { counter: take.u64()?, random: take.u64()? };
        let number = take.u64()?;
        let outcome_digest = take.u64()?;
        let chain_after = Chain(take.array()?);
        let voucher = take_voucher(&mut take)?;
        if take.array::<40>()? != [0; 40] {
            return None;
        }
        let payload_len = take.u32()?;
        let chain_before = Chain(take.array()?);
        Some(Self {
            format_version,
            store,
            logic_version,
            incarnation,
            number,
            outcome_digest,
            payload_len,
            chain_before,
            first_lsn: Lsn(take.u64()?),
            count: take.u32()?,
            bank_time: BankTime(take.u64()?),
            chain_after,
            voucher,
        })
    }

    /// Checks all of the batch that does not depend on the log around it: records, their checksums, chain, padding. `bytes` has
    /// at least [`BatchHeader::extent`] bytes.
    pub(in crate::wal) fn check_body(&self, bytes: &[u8]) -> Result<(), String> {
        let end = HEADER.saturating_add(to_len(u64::from(self.payload_len)));
        let (Some(payload), Some(padding)) = (bytes.get(HEADER..end), bytes.get(end..self.extent())) else {
            return Err("a batch longer than its segment".to_owned());
        };
        let (mut count, mut records) = (0_u32, 0_u32);
        let mut rest = Take(payload);
        while !rest.0.is_empty() {
            records = records.saturating_add(1);
            match record::take(&mut rest, self.first_lsn) {
                Ok(record) if record.count == 1 || self.format_version > FORMAT_VERSION => count = count.saturating_add(record.count),
                Err(BadRecord::Short) => return Err(format!("record {records} of batch {} goes beyond its payload", self.number)),
                Ok(_) | Err(BadRecord::Impossible) => {
                    return Err(format!("record {records} of batch {} has an impossible length", self.number));
                }
                Err(BadRecord::Checksum) => {
                    return Err(format!("the checksum of record {records} of batch {} does not hold", self.number));
                }
            }
        }
        if count != self.count {
            return Err(format!("batch {} announces {} entries and holds {count}", self.number, self.count));
        }
        if padding.iter().any(|byte| *byte != 0xFF) {
            return Err(format!("the padding of batch {} was changed", self.number));
        }
        let hashed = held(bytes.get(HASHED..end), "the length of the batch was checked");
        if chain_after(self.chain_before, self.count, hashed) != self.chain_after {
            return Err(format!("the chain of batch {} does not hold", self.number));
        }
        Ok(())
    }
}

/// A verified batch, with its position in the log.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// Its header.
    pub header: &'a BatchHeader,
    /// The position of its first byte.
    pub position: Position,
    pub(in crate::wal) payload: &'a [u8],
}

impl<'a> Batch<'a> {
    pub(in crate::wal) fn new(header: &'a BatchHeader, position: Position, bytes: &'a [u8]) -> Self {
        let end = HEADER.saturating_add(to_len(u64::from(header.payload_len)));
        Self { header, position, payload: held(bytes.get(HEADER..end), "a batch that verified is all there") }
    }

    /// Its records in order, without copying.
    pub fn records(&self) -> impl Iterator<Item = Record<'a>> + use<'a> {
        Records { rest: Take(self.payload), next: self.header.first_lsn }
    }
}

/// The chain head after a batch of `count` entries; `hashed` is its bytes from [`HASHED`] to the payload's end.
pub(in crate::wal) fn chain_after(before: Chain, count: u32, hashed: &[u8]) -> Chain {
    if count == 0 { before } else { Chain(Sha256::digest(hashed).into()) }
}

fn put_voucher(put: &mut Put<'_>, voucher: Option<&Voucher>) {
    match voucher {
        None => put.bytes(&[0; 64]),
        Some(voucher) => {
            let kind = match voucher.kind {
                VoucherKind::Start => 1,
                VoucherKind::Repair => 2,
            };
            put.bytes(&[kind, 0, 0, 0, 0, 0, 0, 0]);
            put.u64(voucher.end.segment);
            put.u64(voucher.end.offset);
            put.u64(voucher.batch_number);
            put.bytes(&voucher.chain.0);
        }
    }
}

/// Decodes the voucher at the cursor: `None` for invalid bytes, `Some(None)` if there is no voucher.
fn take_voucher(take: &mut Take<'_>) -> Option<Option<Voucher>> {
    let kind = match take.array::<8>()? {
        [0, 0, 0, 0, 0, 0, 0, 0] => return (take.array::<56>()? == [0; 56]).then_some(None),
        [1, 0, 0, 0, 0, 0, 0, 0] => VoucherKind::Start,
        [2, 0, 0, 0, 0, 0, 0, 0] => VoucherKind::Repair,
        _ => return None,
    };
    let end = Position { segment: take.u64()?, offset: take.u64()? };
    Some(Some(Voucher { kind, end, batch_number: take.u64()?, chain: Chain(take.array()?) }))
}
