//! The first step of recovery: reads the manifest, every segment's header and size, and the vouchers of first batches. Each
//! file is synced and evicted from the page cache first, so that the reads return what is on the device.
//!
//! Left out: the batches (`recover.rs`).

use std::collections::BTreeSet;
use std::path::Path;

use crate::env::Disk;
use crate::model::invariant::held;
use crate::model::types::StoreId;
use crate::wal::format::batch::{BatchHeader, Voucher};
use crate::wal::format::bytes::{BLOCK, BLOCK_LEN};
use crate::wal::format::compressed::{Opened, open_segment, sequence_of_any};
use crate::wal::format::manifest;
use crate::wal::format::manifest::Manifest;
use crate::wal::format::segment::{SegmentHeader, file_name};
use crate::wal::read::reader::Reader;
use crate::wal::read::region::find_region;
use crate::wal::{Position, WalError};

/// The message for a missing segment.
pub(in crate::wal) const MISSING: &str = "it is missing, but the manifest names it";

/// A stored segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its sequence number.
    pub sequence: u64,
    /// Its uncompressed size in bytes.
    pub size: u64,
    /// The size of its file in bytes, if it is compressed.
    pub compressed: Option<u64>,
}

/// The manifest and the segments of a store, before any batch is read.
pub struct SegmentScan {
    /// The manifest's newest slot.
    pub(in crate::wal) manifest: Manifest,
    /// The manifest's other slot is damaged. The store is usable, but the operator should know.
    pub(in crate::wal) has_damaged_slot: bool,
    /// The segments from the first retained to the highest.
    stored: Vec<Stored>,
    /// The segments whose first batch has a voucher, sorted by the voucher's end.
    pub(in crate::wal) starts: Vec<(Voucher, u64)>,
}

impl SegmentScan {
    /// Scans the whole store, from the device and not from the page cache. Writes nothing.
    ///
    /// # Errors
    /// As [`crate::wal::recover`].
    pub fn read(disk: &dyn Disk, dir: &Path) -> Result<Self, WalError> {
        let no_store = || WalError::NoStore { dir: dir.display().to_string() };
        let names = match disk.list(dir) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(no_store()),
            names => names.map_err(WalError::io("list", dir.display().to_string()))?,
        };
        let present: BTreeSet<u64> = names.iter().filter_map(|name| sequence_of_any(name)).collect();
        if !names.iter().any(|name| name == manifest::NAME) {
            return match present.first() {
                None => Err(no_store()),
                Some(_) => Err(damaged(manifest::NAME, 0, "it is missing, but there are segments")),
            };
        }
        let (manifest, has_damaged_slot) = Manifest::read(disk, dir)?;
        let mut scan = Self { manifest, has_damaged_slot, stored: Vec::new(), starts: Vec::new() };
        for sequence in manifest.first_retained..=manifest.highest {
            if !present.contains(&sequence) {
                return Err(damaged(&file_name(sequence), 0, MISSING));
            }
            scan.segment(disk, dir, sequence)?;
        }
        scan.starts.sort_by_key(|(voucher, segment)| (voucher.end, *segment));
        // Segments below the range are leftovers of dropping them, and are ignored.
        for sequence in present.into_iter().filter(|sequence| *sequence > manifest.highest) {
            refuse_batches_above(disk, dir, sequence, &manifest)?;
        }
        Ok(scan)
    }

    /// Scans only the segments from `first` to `last` of a log that is in use. All of them must be finished.
    ///
    /// # Errors
    /// As [`crate::wal::recover`].
    pub fn part(disk: &dyn Disk, dir: &Path, store: StoreId, first: u64, last: u64) -> Result<Self, WalError> {
        let manifest = Manifest { store, generation: 0, first_retained: first, highest: last, known: None };
        let mut scan = Self { manifest, has_damaged_slot: false, stored: Vec::new(), starts: Vec::new() };
        for sequence in first..=last {
            scan.segment(disk, dir, sequence)?;
        }
        scan.starts.sort_by_key(|(voucher, segment)| (voucher.end, *segment));
        Ok(scan)
    }

    /// The start of the log.
    pub(in crate::wal) fn origin(&self) -> Position {
        Position { segment: self.manifest.first_retained, offset: BLOCK }
    }

    /// A segment's size in bytes; `None` outside the manifest's range.
    pub(in crate::wal) fn size(&self, sequence: u64) -> Option<u64> {
        let index = sequence.checked_sub(self.manifest.first_retained)?;
        self.stored.get(usize::try_from(index).ok()?).map(|stored| stored.size)
    }

    /// The segments that the manifest names, in order.
    #[must_use]
    pub fn segments(&self) -> &[Stored] {
        &self.stored
    }

    /// The vouchers for exactly this end, with their segments, oldest first.
    pub(in crate::wal) fn starts_from(&self, end: Position) -> &[(Voucher, u64)] {
        let from = self.starts.partition_point(|(voucher, _)| voucher.end < end);
        let to = self.starts.partition_point(|(voucher, _)| voucher.end <= end);
        held(self.starts.get(from..to), "the starts are in the order of their ends")
    }

    fn segment(&mut self, disk: &dyn Disk, dir: &Path, sequence: u64) -> Result<(), WalError> {
        let Opened { name, file, compressed } = open_segment(disk, dir, sequence)?;
        let io = |call| WalError::io(call, name.as_str());
        file.sync().map_err(io("sync"))?;
        file.evict().map_err(io("evict"))?;
        let length = file.len().map_err(io("measure"))?;
        if length < 2 * BLOCK {
            return Err(damaged(&name, 0, &format!("a segment of {length} bytes")));
        }
        let mut blocks = [0; 2 * BLOCK_LEN];
        file.read_exact_at(&mut blocks, 0).map_err(|source| WalError::read(&name, 0, source))?;
        let (head, first) = blocks.split_at(BLOCK_LEN);
        let header = SegmentHeader::decode(head).map_err(|version| match version {
            Some(version) => WalError::Unsupported { file: name.clone(), what: format!("format version {version}") },
            None => damaged(&name, 0, "its header is not whole"),
        })?;
        let SegmentHeader { store, sequence: says, size } = header;
        if store != self.manifest.store {
            return Err(damaged(&name, 16, &format!("it belongs to another store, {store}")));
        }
        if says != sequence {
            return Err(damaged(&name, 32, &format!("its header says that it is segment {says}")));
        }
        if size != length {
            return Err(damaged(&name, 40, &format!("it is {length} bytes long, and its header says {size}")));
        }
        self.stored.push(Stored { sequence, size, compressed });
        if let Ok(BatchHeader { store, voucher: Some(voucher), .. }) = BatchHeader::decode(first)
            && store == self.manifest.store
        {
            self.starts.push((voucher, sequence));
        }
        Ok(())
    }
}

/// Checks a segment above the manifest's range. An interrupted start may leave one, but never with a batch in it.
pub(in crate::wal) fn refuse_batches_above(disk: &dyn Disk, dir: &Path, sequence: u64, manifest: &Manifest) -> Result<(), WalError> {
    let Opened { name, file, .. } = open_segment(disk, dir, sequence)?;
    let io = |call| WalError::io(call, name.as_str());
    file.sync().map_err(io("sync"))?;
    file.evict().map_err(io("evict"))?;
    let size = file.len().map_err(io("measure"))?;
    let region = find_region(&mut Reader::new(disk, dir), Position { segment: sequence, offset: 0 }, size)?;
    match region.first_batch {
        None => Ok(()),
        Some((offset, _)) => {
            let Manifest { first_retained, highest, .. } = manifest;
            let what = format!("a batch stands in it, but the manifest names only the segments {first_retained} to {highest}");
            Err(damaged(&name, offset, &what))
        }
    }
}

/// Damage found before any batch is read.
fn damaged(file: &str, offset: u64, what: &str) -> WalError {
    WalError::Damaged { file: file.to_owned(), offset, last_good: None, what: what.to_owned() }
}
