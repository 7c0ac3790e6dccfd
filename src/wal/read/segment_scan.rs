//! The first look at a store: the manifest, every segment's header and size, and which segments claim to begin an
//! incarnation. Everything is synced and dropped from the page cache first, so that what is read is on the device.
//!
//! Left out: the batches (`recover.rs`).

use std::collections::BTreeSet;
use std::path::Path;

use crate::env::Disk;
use crate::model::invariant::held;
use crate::model::types::StoreId;
use crate::wal::format::batch::{BadHeader, BatchHeader, Voucher};
use crate::wal::format::bytes::{BLOCK, BLOCK_LEN};
use crate::wal::format::compressed::{Opened, open_segment, sequence_of_any};
use crate::wal::format::manifest;
use crate::wal::format::manifest::Manifest;
use crate::wal::format::segment::{SegmentHeader, file_name};
use crate::wal::read::reader::Reader;
use crate::wal::read::tail_check::scan;
use crate::wal::{Position, WalError};

/// What is wrong with a segment that is not there.
pub(in crate::wal) const MISSING: &str = "it is missing, but the manifest names it";

/// A segment as it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its sequence number.
    pub sequence: u64,
    /// Its size in bytes, unpacked.
    pub size: u64,
    /// What its file takes, if it is packed.
    pub packed: Option<u64>,
}

/// What stands where, before any batch is read.
pub struct SegmentScan {
    /// The manifest's newest slot.
    pub(in crate::wal) manifest: Manifest,
    /// The manifest's other slot is damaged: the store can do without, but somebody should know.
    pub(in crate::wal) has_damaged_slot: bool,
    /// The segments from the first retained to the highest.
    stored: Vec<Stored>,
    /// Segments whose first batch has a header with a voucher, sorted by the end that it names.
    pub(in crate::wal) starts: Vec<(Voucher, u64)>,
}

impl SegmentScan {
    /// Looks at the whole store, from the device and not from the page cache. Writes nothing.
    ///
    /// # Errors
    /// As [`crate::wal::read::recover`].
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
        let mut survey = Self { manifest, has_damaged_slot, stored: Vec::new(), starts: Vec::new() };
        for sequence in manifest.first_retained..=manifest.highest {
            if !present.contains(&sequence) {
                return Err(damaged(&file_name(sequence), 0, MISSING));
            }
            survey.segment(disk, dir, sequence)?;
        }
        survey.starts.sort_by_key(|(voucher, segment)| (voucher.end, *segment));
        // What stands below is left over from dropping it, and no loss.
        for sequence in present.into_iter().filter(|sequence| *sequence > manifest.highest) {
            refuse_batches_above(disk, dir, sequence, &manifest)?;
        }
        Ok(survey)
    }

    /// Looks at the segments from `first` to `last` of a log that is in use, and at nothing else: the log has moved on
    /// from all of them.
    ///
    /// # Errors
    /// As [`crate::wal::read::recover`].
    pub fn part(disk: &dyn Disk, dir: &Path, store: StoreId, first: u64, last: u64) -> Result<Self, WalError> {
        let manifest = Manifest { store, generation: 0, first_retained: first, highest: last, known: None };
        let mut survey = Self { manifest, has_damaged_slot: false, stored: Vec::new(), starts: Vec::new() };
        for sequence in first..=last {
            survey.segment(disk, dir, sequence)?;
        }
        survey.starts.sort_by_key(|(voucher, segment)| (voucher.end, *segment));
        Ok(survey)
    }

    /// Where the log begins.
    pub(in crate::wal) fn origin(&self) -> Position {
        Position { segment: self.manifest.first_retained, offset: BLOCK }
    }

    /// A segment's size; `None` outside the manifest's range.
    pub(in crate::wal) fn size(&self, sequence: u64) -> Option<u64> {
        let index = sequence.checked_sub(self.manifest.first_retained)?;
        self.stored.get(usize::try_from(index).ok()?).map(|stored| stored.size)
    }

    /// Every segment that the manifest names.
    #[must_use]
    pub fn segments(&self) -> &[Stored] {
        &self.stored
    }

    /// The segments that claim to go on from exactly this end, oldest first, with their vouchers.
    pub(in crate::wal) fn starts_from(&self, end: Position) -> &[(Voucher, u64)] {
        let from = self.starts.partition_point(|(voucher, _)| voucher.end < end);
        let to = self.starts.partition_point(|(voucher, _)| voucher.end <= end);
        held(self.starts.get(from..to), "the starts are in the order of their ends")
    }

    fn segment(&mut self, disk: &dyn Disk, dir: &Path, sequence: u64) -> Result<(), WalError> {
        let Opened { name, file, packed } = open_segment(disk, dir, sequence)?;
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
        self.stored.push(Stored { sequence, size, packed });
        if let Ok(BatchHeader { store, voucher: Some(voucher), .. }) = BatchHeader::decode(first)
            && store == self.manifest.store
        {
            self.starts.push((voucher, sequence));
        }
        Ok(())
    }
}

/// A segment above those that the manifest names may be left over from a start that did not get far: but then there is
/// no batch in it.
pub(in crate::wal) fn refuse_batches_above(disk: &dyn Disk, dir: &Path, sequence: u64, manifest: &Manifest) -> Result<(), WalError> {
    let Opened { name, file, .. } = open_segment(disk, dir, sequence)?;
    let io = |call| WalError::io(call, name.as_str());
    file.sync().map_err(io("sync"))?;
    file.evict().map_err(io("evict"))?;
    let size = file.len().map_err(io("measure"))?;
    let region = scan(&mut Reader::new(disk, dir), Position { segment: sequence, offset: 0 }, size)?;
    match region.first_batch {
        None => Ok(()),
        Some((offset, _)) => {
            let Manifest { first_retained, highest, .. } = manifest;
            let what = format!("a batch stands in it, but the manifest names only the segments {first_retained} to {highest}");
            Err(damaged(&name, offset, &what))
        }
    }
}

/// Damage that shows before any batch is read.
fn damaged(file: &str, offset: u64, what: &str) -> WalError {
    WalError::Damaged { file: file.to_owned(), offset, last_good: None, what: what.to_owned() }
}

/// Whether a header that cannot be used is whole all the same, and so proof that somebody wrote it.
pub(in crate::wal) const fn is_whole(bad: BadHeader) -> bool {
    !matches!(bad, BadHeader::Unreadable)
}

/// A header that this program cannot read, as an error.
pub(in crate::wal) fn unsupported(at: Position, bad: BadHeader) -> Option<WalError> {
    let what = match bad {
        BadHeader::FormatVersion(version) => format!("format version {version}"),
        BadHeader::LogicVersion(version) => format!("logic version {version}"),
        BadHeader::Unreadable | BadHeader::Malformed(_) => return None,
    };
    Some(WalError::Unsupported { file: at.file(), what })
}
