//! The manifest: which segments there must be. Two slots of one block, written one after the other, so that a crash
//! while one is written leaves the other, and one that rots leaves the other.
//!
//! ```text
//! 0   8  magic "BKDMANIF"            12  2 format version, 2 zero
//! 8   4  CRC-32 of bytes 12..4096    16 16 store id
//! 32  8  generation, from 1          40  8 first retained segment    48 8 highest created segment
//! 56 ..  0xFF to 4096
//! ```
//! Generation 1, 3, 5 ... stand in the first slot, 2, 4, 6 ... in the second. The newest valid one counts.
//! Left out: when it is written (`maker.rs`), and what follows from it (`survey.rs`).

use std::path::Path;

use super::bytes::{BLOCK, BLOCK_LEN, Put, open_crc, seal_crc};
use super::{FORMAT_VERSION, WalError};
use crate::env::{Disk, File};
use crate::types::StoreId;

/// Its file name.
pub(super) const NAME: &str = "MANIFEST";
const TEMPORARY: &str = "MANIFEST.tmp";
const MAGIC: &[u8; 8] = b"BKDMANIF";

/// What one slot says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Manifest {
    /// The store.
    pub(super) store: StoreId,
    /// Counts the writes.
    pub(super) generation: u64,
    /// The oldest segment that must be there.
    pub(super) first_retained: u64,
    /// The newest segment that must be there.
    pub(super) highest: u64,
}

impl Manifest {
    fn encode(&self) -> [u8; BLOCK_LEN] {
        let mut block = [0xFF; BLOCK_LEN];
        let mut put = Put(&mut block);
        put.bytes(MAGIC);
        put.u32(0);
        put.u16(FORMAT_VERSION);
        put.u16(0);
        put.bytes(&self.store.0);
        put.u64(self.generation);
        put.u64(self.first_retained);
        put.u64(self.highest);
        seal_crc(&mut block);
        block
    }

    /// Reads the slot that stands at `offset`: the format version as the error, if that is all that is wrong.
    fn decode(block: &[u8], offset: u64) -> Result<Self, Option<u16>> {
        let mut take = open_crc(block, MAGIC).ok_or(None)?;
        let format = take.u16().ok_or(None)?;
        if format != FORMAT_VERSION {
            return Err(Some(format));
        }
        let mut fields = || {
            let zero = take.u16()?;
            let store = StoreId(take.array()?);
            let slot = Self { store, generation: take.u64()?, first_retained: take.u64()?, highest: take.u64()? };
            let is_sound = zero == 0 && slot.generation > 0 && slot.offset() == offset && take.0.iter().all(|byte| *byte == 0xFF);
            (is_sound && slot.first_retained > 0 && slot.first_retained <= slot.highest).then_some(slot)
        };
        fields().ok_or(None)
    }

    /// Where its generation belongs.
    const fn offset(&self) -> u64 {
        if self.generation % 2 == 1 { 0 } else { BLOCK }
    }

    /// Writes the manifest of a new store, both slots, durably: from then on the store exists.
    pub(super) fn create(disk: &dyn Disk, dir: &Path, store: StoreId, first_retained: u64, highest: u64) -> Result<Self, WalError> {
        let first = Self { store, generation: 1, first_retained, highest };
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

    /// Names another first or highest segment durably: in the older slot first, so that a crash leaves the newer one, and
    /// then in the other one too, so that either may rot.
    pub(super) fn advance(&mut self, file: &dyn File, first_retained: u64, highest: u64) -> Result<(), WalError> {
        for _ in 0..2 {
            let next = Self { generation: self.generation.saturating_add(1), first_retained, highest, ..*self };
            debug_assert!(next.first_retained >= self.first_retained && next.highest >= self.highest);
            debug_assert!(next.first_retained <= next.highest && next.offset() != self.offset());
            file.write_all_at(&next.encode(), next.offset()).map_err(WalError::io("write", NAME))?;
            file.sync().map_err(WalError::io("sync", NAME))?;
            *self = next;
        }
        Ok(())
    }

    /// Reads the newest valid slot, from the device; and whether the other one is damaged.
    pub(super) fn read(disk: &dyn Disk, dir: &Path) -> Result<(Self, bool), WalError> {
        let damaged = |what: &str| WalError::Damaged { file: NAME.to_owned(), offset: 0, last_good: None, what: what.to_owned() };
        let file = disk.open_read(&dir.join(NAME)).map_err(WalError::io("open", NAME))?;
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
