//! The file `SNAPSHOT` in a copy of a store: the store's id, and where its log must end.
//!
//! ```text
//! 0   8  magic "BKDSNAPS"            12  2 format version, 2 zero
//! 8   4  CRC-32 of bytes 12..512     16 16 store id
//! 32  8  LSN of the last entry       40  8 batch number        48 32 chain head
//! 80  8  segment of the end          88  8 offset of the end in it
//! 96  8  incarnation counter         104 8 incarnation random  112 8 bank time of the last batch
//! 120 .. 0xFF to 512
//! ```
//! It is the snapshot's first file, and is removed when a start has drawn a new lineage. Left out: both
//! (`snapshot/mod.rs`, `open.rs`).

use std::path::Path;

use crate::engine::error::StoreError;
use crate::engine::store_dir::io_error;
use crate::env::Disk;
use crate::model::types::{BankTime, Chain, Lsn, StoreId};
use crate::wal::{Anchor, Incarnation, Known, LogEnd, Position};

/// The marker's file name.
pub(in crate::engine) const SNAPSHOT: &str = "SNAPSHOT";
const LENGTH: usize = 512;
const FORMAT_VERSION: u16 = 1;
const MAGIC: &[u8; 8] = b"BKDSNAPS";

/// The marker's contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) struct Marker {
    /// The store that was copied.
    pub(in crate::engine) store: StoreId,
    /// The end of its log.
    pub(in crate::engine) end: LogEnd,
}

impl Marker {
    /// The last entry of the snapshot.
    pub(in crate::engine) fn lsn(&self) -> Lsn {
        Lsn(self.end.next_lsn.0.saturating_sub(1))
    }

    /// The end that the log of the copy must go through.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if the copy is of another store.
    pub(in crate::engine) fn known(&self, store: StoreId) -> Result<Known, StoreError> {
        if self.store != store {
            return Err(StoreError::Damaged(format!("{SNAPSHOT} says that this is a copy of {}, and it is one of {store}", self.store)));
        }
        Ok(Known { by: "the snapshot's marker", anchor: Anchor { last_batch: self.end.position, end: self.end } })
    }

    /// Writes the file and syncs it; the directory is not synced.
    pub(in crate::engine) fn write(&self, disk: &dyn Disk, dir: &Path) -> Result<(), StoreError> {
        let path = dir.join(SNAPSHOT);
        let file = disk.create(&path).map_err(io_error("create", &path))?;
        file.write_all_at(&self.encode(), 0).map_err(io_error("write", &path))?;
        file.sync().map_err(io_error("sync", &path))
    }

    /// Reads the file from the device; none if the directory is not a snapshot.
    ///
    /// # Errors
    /// [`StoreError::Io`]; [`StoreError::Damaged`] for a damaged one.
    pub(in crate::engine) fn read(disk: &dyn Disk, dir: &Path) -> Result<Option<Self>, StoreError> {
        let path = dir.join(SNAPSHOT);
        if !disk.exists(&path).map_err(io_error("look for", &path))? {
            return Ok(None);
        }
        let damaged = |what: &str| StoreError::Damaged(format!("{} is damaged: {what}", path.display()));
        let file = match disk.open_read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::InvalidData => return Err(damaged(&error.to_string())),
            opened => opened.map_err(io_error("open", &path))?,
        };
        file.sync().map_err(io_error("sync", &path))?;
        file.evict().map_err(io_error("evict", &path))?;
        if file.len().map_err(io_error("measure", &path))? != LENGTH as u64 {
            return Err(damaged("it does not have the length of a snapshot's marker"));
        }
        let mut bytes = [0; LENGTH];
        file.read_exact_at(&mut bytes, 0).map_err(io_error("read", &path))?;
        if let Some(version) = other_version(&bytes) {
            return Err(StoreError::Unsupported(format!("{} is of format version {version}", path.display())));
        }
        Self::decode(&bytes).map(Some).ok_or_else(|| damaged("it does not say what a snapshot's marker says"))
    }

    /// The file's bytes.
    pub(in crate::engine) fn encode(&self) -> Vec<u8> {
        let Self { store, end } = self;
        let mut bytes = Vec::with_capacity(LENGTH);
        let mut put = |field: &[u8]| bytes.extend_from_slice(field);
        put(MAGIC);
        put(&[0; 4]);
        put(&FORMAT_VERSION.to_le_bytes());
        put(&[0; 2]);
        put(&store.0);
        put(&self.lsn().0.to_le_bytes());
        put(&end.batch_number.to_le_bytes());
        put(&end.chain.0);
        let Incarnation { counter, random } = end.incarnation;
        for field in [end.position.segment, end.position.offset, counter, random, end.bank_time.0] {
            put(&field.to_le_bytes());
        }
        bytes.resize(LENGTH, 0xFF);
        let crc = bytes.get(12..).map_or(0, crc32fast::hash);
        if let Some(slot) = bytes.get_mut(8..12) {
            slot.copy_from_slice(&crc.to_le_bytes());
        }
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let array = |at: usize| bytes.get(at..)?.first_chunk::<8>().copied().map(u64::from_le_bytes);
        let store = StoreId(*bytes.get(16..)?.first_chunk()?);
        let end = LogEnd {
            position: Position { segment: array(80)?, offset: array(88)? },
            batch_number: array(40)?,
            chain: Chain(*bytes.get(48..)?.first_chunk()?),
            next_lsn: Lsn(array(32)?.checked_add(1)?),
            bank_time: BankTime(array(112)?),
            incarnation: Incarnation { counter: array(96)?, random: array(104)? },
        };
        let marker = Self { store, end };
        // Every byte follows from the fields, checksum and version included.
        (marker.encode() == bytes).then_some(marker)
    }
}

/// The format version of a sound marker of another version.
fn other_version(bytes: &[u8]) -> Option<u16> {
    let (crc, body) = (bytes.get(8..)?.first_chunk().copied().map(u32::from_le_bytes)?, bytes.get(12..)?);
    let version = body.first_chunk().copied().map(u16::from_le_bytes)?;
    (bytes.starts_with(MAGIC) && crc32fast::hash(body) == crc && version != FORMAT_VERSION).then_some(version)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::sim::SimDisk;

    fn example() -> Marker {
        let end = LogEnd {
            position: Position { segment: 3, offset: 12_288 },
            batch_number: 7,
            chain: Chain([0xC4; 32]),
            next_lsn: Lsn(24),
            bank_time: BankTime(1_700_000_000_000_000),
            incarnation: Incarnation { counter: 2, random: 0x2222 },
        };
        Marker { store: StoreId([0xB5; 16]), end }
    }

    #[test]
    fn golden() {
        let bytes = example().encode();
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let fields = [
            "01000000",
            &"b5".repeat(16),
            "1700000000000000",
            "0700000000000000",
            &"c4".repeat(32),
            "0300000000000000",
            "0030000000000000",
            "0200000000000000",
            "2222000000000000",
            "00401e18240a0600",
        ];
        assert_eq!((&bytes[..8], bytes.len()), (MAGIC.as_slice(), LENGTH));
        assert_eq!(hex(&bytes[12..120]), fields.concat());
        assert_eq!(hex(&bytes[8..12]), "dae56138");
        assert!(bytes[120..].iter().all(|byte| *byte == 0xFF));
    }

    #[test]
    fn every_byte_counts() {
        let disk = SimDisk::new();
        let dir = Path::new("/");
        assert_eq!(Marker::read(&disk, dir).unwrap(), None);
        example().write(&disk, dir).unwrap();
        assert_eq!(Marker::read(&disk, dir).unwrap(), Some(example()));
        let bytes = example().encode();
        for (at, byte) in (0..).zip(bytes) {
            disk.poke(&dir.join(SNAPSHOT), at, &[byte ^ 0x10]);
            assert!(matches!(Marker::read(&disk, dir), Err(StoreError::Damaged(_))), "byte {at}");
            disk.poke(&dir.join(SNAPSHOT), at, &[byte]);
        }
        disk.poke(&dir.join(SNAPSHOT), LENGTH as u64, &[0xFF]);
        assert!(matches!(Marker::read(&disk, dir), Err(StoreError::Damaged(_))), "a byte more");
    }
}
