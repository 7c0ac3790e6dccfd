//! The manifest: the list of segments that must exist. It has two slots of one block, written one after the other, so that
//! a torn write or decay of one slot leaves the other intact.
//!
//! ```text
//! 0   8  magic "BKDMANIF"            12  2 format version, 2 zero
//! 8   4  CRC-32 of bytes 12..4096    16 16 store id
//! 32  8  generation, from 1          40  8 first retained segment    48 8 highest created segment
//! 56  8  known end: 0 none, 1 the log reached it, 2 the log was closed there; then, of that end:
//! 64  8  batch number                72 32 chain head                104 8 segment  112 8 offset
//! 120 8  next LSN   128 8 bank time  136 8 incarnation counter       144 8 incarnation random
//! 152 .. 0xFF to 4096
//! ```
//! Format version 1 has no known end: 0xFF from 56 on. Odd generations are stored in the first slot, even ones in the
//! second. The newest valid slot counts.
//! Left out: when the manifest is written (`segment_writer.rs`), and how it is used (`segment_scan.rs`).

use std::path::Path;

use crate::env::{Disk, File};
use crate::model::bytes::{Put, Take, open_crc, seal_crc};
use crate::model::types::{BankTime, Chain, Lsn, StoreId};
use crate::wal::format::batch::Incarnation;
use crate::wal::format::bytes::{BLOCK, BLOCK_LEN};
use crate::wal::log_end::LogEnd;
use crate::wal::{Position, WalError};

/// Its file name.
pub(in crate::wal) const NAME: &str = "MANIFEST";
const TEMPORARY: &str = "MANIFEST.tmp";
const MAGIC: &[u8; 8] = b"BKDMANIF";
/// The format version written.
const VERSION: u16 = 2;
/// The oldest format version read. It has no known end.
const VERSION_WITHOUT_END: u16 = 1;

/// A log end that the log has certainly reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::wal) struct KnownEnd {
    /// The end.
    pub(in crate::wal) end: LogEnd,
    /// The log was closed there: no batch follows. A start clears this before its first batch.
    pub(in crate::wal) is_last: bool,
}

/// The contents of one slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::wal) struct Manifest {
    /// The store's id.
    pub(in crate::wal) store: StoreId,
    /// The number of slot writes so far, from 1.
    pub(in crate::wal) generation: u64,
    /// The oldest segment that must exist.
    pub(in crate::wal) first_retained: u64,
    /// The newest segment that must exist.
    pub(in crate::wal) highest: u64,
    /// The log end at the last clean shutdown. It stays true unless a repair drops that part.
    pub(in crate::wal) known: Option<KnownEnd>,
}

impl Manifest {
    fn encode(&self) -> [u8; BLOCK_LEN] {
        let mut block = [0xFF; BLOCK_LEN];
        let mut put = Put(&mut block);
        put.bytes(MAGIC);
        put.u32(0);
        put.u16(VERSION);
        put.u16(0);
        put.bytes(&self.store.0);
        put.u64(self.generation);
        put.u64(self.first_retained);
        put.u64(self.highest);
        put_known(&mut put, self.known.as_ref());
        seal_crc(&mut block);
        block
    }

    /// Decodes the slot at `offset`. The error is the format version, if the slot is intact but has another version.
    fn decode(block: &[u8], offset: u64) -> Result<Self, Option<u16>> {
        let mut take = open_crc(block, MAGIC).ok_or(None)?;
        let format = take.u16().ok_or(None)?;
        if !(VERSION_WITHOUT_END..=VERSION).contains(&format) {
            return Err(Some(format));
        }
        let mut fields = || {
            let zero = take.u16()?;
            let store = StoreId(take.array()?);
            let (generation, first_retained, highest) = (take.u64()?, take.u64()?, take.u64()?);
            let known = if format == VERSION_WITHOUT_END { None } else { take_known(&mut take)? };
            let slot = Self { store, generation, first_retained, highest, known };
            let is_sound = zero == 0 && slot.generation > 0 && slot.offset() == offset && take.0.iter().all(|byte| *byte == 0xFF);
            (is_sound && slot.first_retained > 0 && slot.first_retained <= slot.highest).then_some(slot)
        };
        fields().ok_or(None)
    }

    /// The offset of its generation's slot.
    const fn offset(&self) -> u64 {
        if self.generation % 2 == 1 { 0 } else { BLOCK }
    }

    /// Writes both slots of a new store's manifest durably. From then on the store exists.
    pub(in crate::wal) fn create(
        disk: &dyn Disk,
        dir: &Path,
        store: StoreId,
        (first_retained, highest): (u64, u64),
        known: Option<KnownEnd>,
    ) -> Result<Self, WalError> {
        let first = Self { store, generation: 1, first_retained, highest, known };
        let second = Self { generation: 2, ..first };
        let path = dir.join(TEMPORARY);
        if disk.exists(&path).map_err(WalError::io("look for", TEMPORARY))? {
            disk.remove(&path).map_err(WalError::io("remove", TEMPORARY))?;
        }
        let file = disk.create(&path).map_err(WalError::io("create", TEMPORARY))?;
        file.write_all_at(&first.encode(), 0).map_err(WalError::io("write", TEMPORARY))?;
        file.write_all_at(&second.encode(), BLOCK).map_err(WalError::io("write", TEMPORARY))?;
        file.sync().map_err(WalError::io("sync", TEMPORARY))?;
        disk.rename_new(&path, &dir.join(NAME)).map_err(WalError::io("rename", TEMPORARY))?;
        disk.sync_dir(dir).map_err(WalError::io("sync the directory of", NAME))?;
        Ok(second)
    }

    /// Encodes the whole file as [`Manifest::create`] writes it, with `self` as the second slot.
    pub(in crate::wal) fn file_bytes(&self) -> Vec<u8> {
        let [first, second] = [1, 2].map(|generation| Self { generation, ..*self }.encode());
        [first, second].concat()
    }

    /// Records another first or highest segment durably. The older slot is written first, so that a crash leaves the newer one
    /// intact; then the other slot, so that either may decay.
    pub(in crate::wal) fn advance(&mut self, file: &dyn File, first_retained: u64, highest: u64) -> Result<(), WalError> {
        self.write(file, Self { first_retained, highest, ..*self })
    }

    /// Records a known log end durably, in both slots.
    pub(in crate::wal) fn record_end(&mut self, file: &dyn File, known: KnownEnd) -> Result<(), WalError> {
        self.write(file, Self { known: Some(known), ..*self })
    }

    fn write(&mut self, file: &dyn File, what: Self) -> Result<(), WalError> {
        for _ in 0..2 {
            let next = Self { generation: self.generation.checked_add(1).ok_or(WalError::Misuse("one more generation"))?, ..what };
            let goes_on = next.first_retained >= self.first_retained && next.highest >= self.highest;
            if !goes_on || next.first_retained > next.highest || next.offset() == self.offset() {
                return Err(WalError::Misuse("a manifest that takes back what it named"));
            }
            file.write_all_at(&next.encode(), next.offset()).map_err(WalError::io("write", NAME))?;
            file.sync().map_err(WalError::io("sync", NAME))?;
            *self = next;
        }
        Ok(())
    }

    /// Reads the newest valid slot from the device. The flag is true if the other slot is damaged.
    pub(in crate::wal) fn read(disk: &dyn Disk, dir: &Path) -> Result<(Self, bool), WalError> {
        let damaged = |what: &str| WalError::Damaged { file: NAME.to_owned(), offset: 0, last_good: None, what: what.to_owned() };
        let file = disk.open_read(&dir.join(NAME)).map_err(|source| WalError::open(NAME, source))?;
        file.sync().map_err(WalError::io("sync", NAME))?;
        file.evict().map_err(WalError::io("evict", NAME))?;
        if file.len().map_err(WalError::io("measure", NAME))? != 2 * BLOCK {
            return Err(damaged("it is not two blocks long"));
        }
        let mut slots = [Err(None), Err(None)];
        for (slot, offset) in slots.iter_mut().zip([0, BLOCK]) {
            let mut block = [0; BLOCK_LEN];
            file.read_exact_at(&mut block, offset).map_err(WalError::io("read", NAME))?;
            *slot = Self::decode(&block, offset);
        }
        match slots {
            [Err(Some(version)), _] | [_, Err(Some(version))] => {
                Err(WalError::Unsupported { file: NAME.to_owned(), what: format!("format version {version}") })
            }
            [Ok(one), Ok(two)] if one.store != two.store || one.generation.abs_diff(two.generation) != 1 => {
                Err(damaged("its two slots contradict each other"))
            }
            [Ok(one), Ok(two)] => {
                let (older, newer) = if one.generation < two.generation { (one, two) } else { (two, one) };
                if newer.highest < older.highest || newer.first_retained < older.first_retained {
                    return Err(damaged("its two slots contradict each other"));
                }
                Ok((newer, false))
            }
            [Ok(slot), Err(None)] | [Err(None), Ok(slot)] => Ok((slot, true)),
            [Err(None), Err(None)] => Err(damaged("neither of its two slots is whole")),
        }
    }
}

fn put_known(put: &mut Put<'_>, known: Option<&KnownEnd>) {
    let kind = known.map_or(0, |known| if known.is_last { 2 } else { 1 });
    let end = known.map_or_else(LogEnd::default, |known| known.end);
    put.u64(kind);
    put.u64(end.batch_number);
    put.bytes(&end.chain.0);
    put.u64(end.position.segment);
    put.u64(end.position.offset);
    put.u64(end.next_lsn.0);
    put.u64(end.bank_time.0);
    put.u64(end.incarnation.counter);
    put.u64(end.incarnation.random);
}

/// Decodes the known end at the cursor: `None` for invalid bytes, `Some(None)` if there is none.
fn take_known(take: &mut Take<'_>) -> Option<Option<KnownEnd>> {
    let kind = take.u64()?;
    let batch_number = take.u64()?;
    let chain = Chain(take.array()?);
    let position = Position { segment: take.u64()?, offset: take.u64()? };
    let (next_lsn, bank_time) = (Lsn(take.u64()?), BankTime(take.u64()?));
    let incarnation = Incarnation { counter: take.u64()?, random: take.u64()? };
    let end = LogEnd { position, batch_number, chain, next_lsn, bank_time, incarnation };
    match kind {
        0 => (end == LogEnd::default()).then_some(None),
        1 | 2 => (batch_number > 0 && position.segment > 0).then_some(Some(KnownEnd { end, is_last: kind == 2 })),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_of_a_slot_counts() {
        let end = LogEnd { position: Position { segment: 3, offset: 8192 }, batch_number: 7, next_lsn: Lsn(9), ..LogEnd::default() };
        for known in [None, Some(KnownEnd { end, is_last: false }), Some(KnownEnd { end, is_last: true })] {
            let slot = Manifest { store: StoreId([7; 16]), generation: 4, first_retained: 2, highest: 5, known };
            let mut block = slot.encode();
            assert_eq!(Manifest::decode(&block, BLOCK), Ok(slot));
            for at in 0..block.len() {
                block[at] ^= 0x10;
                assert_eq!(Manifest::decode(&block, BLOCK), Err(None), "byte {at}");
                block[at] ^= 0x10;
            }
        }
    }
}
