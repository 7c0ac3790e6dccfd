//! The first look at a store: the manifest, every segment's header and size, and which segments claim to begin an
//! incarnation. Everything is synced and dropped from the page cache first, so that what is read is on the device.
//!
//! Left out: the batches (`recover.rs`).

use std::path::Path;

use super::batch::{BadHeader, BatchHeader, Voucher};
use super::bytes::{BLOCK, BLOCK_LEN};
use super::manifest::{self, Manifest};
use super::reader::Reader;
use super::segment::{SegmentHeader, file_name, sequence_of};
use super::verdict::scan;
use super::{Position, WalError};
use crate::env::Disk;
use crate::types::StoreId;

/// What stands where, before any batch is read.
pub struct Survey {
    /// The manifest's newest slot.
    pub(super) manifest: Manifest,
    /// The manifest's other slot is damaged: the store can do without, but somebody should know.
    pub(super) has_damaged_slot: bool,
    /// The sizes of the segments from the first retained to the highest.
    sizes: Vec<u64>,
    /// Segments whose first batch has a header with a voucher, sorted by the end that it names.
    pub(super) starts: Vec<(Voucher, u64)>,
}

impl Survey {
    /// Looks at the whole store, from the device and not from the page cache. Writes nothing.
    ///
    /// # Errors
    /// As [`super::recover`].
    pub fn read(disk: &dyn Disk, dir: &Path) -> Result<Self, WalError> {
        let no_store = || WalError::NoStore { dir: dir.display().to_string() };
        let names = match disk.list(dir) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(no_store()),
            names => names.map_err(WalError::io("list", dir.display().to_string()))?,
        };
        let present: Vec<u64> = names.iter().filter_map(|name| sequence_of(name)).collect();
        if !names.iter().any(|name| name == manifest::NAME) {
            return match present.first() {
                None => Err(no_store()),
                Some(_) => Err(damaged(manifest::NAME, 0, "it is missing, but there are segments")),
            };
        }
        let (manifest, has_damaged_slot) = Manifest::read(disk, dir)?;
        let mut survey = Self { manifest, has_damaged_slot, sizes: Vec::new(), starts: Vec::new() };
        for sequence in manifest.first_retained..=manifest.highest {
            if present.binary_search(&sequence).is_err() {
                return Err(damaged(&file_name(sequence), 0, "it is missing, but the manifest names it"));
            }
            survey.segment(disk, dir, sequence)?;
        }
        survey.starts.sort_by_key(|(voucher, segment)| (voucher.end, *segment));
        for sequence in present.into_iter().filter(|sequence| !survey.contains(*sequence)) {
            refuse_batches_outside(disk, dir, sequence, &manifest)?;
        }
        Ok(survey)
    }

    /// Looks at the segments from `first` to `last` of a log that is in use, and at nothing else: the log has moved on
    /// from all of them.
    ///
    /// # Errors
    /// As [`super::recover`].
    pub fn part(disk: &dyn Disk, dir: &Path, store: StoreId, first: u64, last: u64) -> Result<Self, WalError> {
        let manifest = Manifest { store, generation: 0, first_retained: first, highest: last };
        let mut survey = Self { manifest, has_damaged_slot: false, sizes: Vec::new(), starts: Vec::new() };
        for sequence in first..=last {
            survey.segment(disk, dir, sequence)?;
        }
        survey.starts.sort_by_key(|(voucher, segment)| (voucher.end, *segment));
        Ok(survey)
    }

    /// Where the log begins.
    pub(super) fn origin(&self) -> Position {
        Position { segment: self.manifest.first_retained, offset: BLOCK }
    }

    /// A segment's size; `None` outside the manifest's range.
    pub(super) fn size(&self, sequence: u64) -> Option<u64> {
        let index = sequence.checked_sub(self.manifest.first_retained)?;
        self.sizes.get(usize::try_from(index).ok()?).copied()
    }

    /// Every segment that the manifest names: number and size.
    pub(super) fn segments(&self) -> impl Iterator<Item = (u64, u64)> {
        (self.manifest.first_retained..).zip(self.sizes.iter().copied())
    }

    /// The segments that claim to go on from exactly this end, oldest first, with their vouchers.
    pub(super) fn starts_from(&self, end: Position) -> &[(Voucher, u64)] {
        let from = self.starts.partition_point(|(voucher, _)| voucher.end < end);
        let to = self.starts.partition_point(|(voucher, _)| voucher.end <= end);
        self.starts.get(from..to).unwrap_or_default()
    }

    fn contains(&self, sequence: u64) -> bool {
        (self.manifest.first_retained..=self.manifest.highest).contains(&sequence)
    }

    fn segment(&mut self, disk: &dyn Disk, dir: &Path, sequence: u64) -> Result<(), WalError> {
        let name = file_name(sequence);
        let io = |call| WalError::io(call, name.as_str());
        let file = disk.open_read(&dir.join(&name)).map_err(io("open"))?;
        file.sync().map_err(io("sync"))?;
        file.evict().map_err(io("evict"))?;
        let length = file.len().map_err(io("measure"))?;
        if length < 2 * BLOCK {
            return Err(damaged(&name, 0, &format!("a segment of {length} bytes")));
        }
        let mut blocks = [0; 2 * BLOCK_LEN];
        file.read_exact_at(&mut blocks, 0).map_err(io("read"))?;
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
        self.sizes.push(size);
        if let Ok(BatchHeader { store, voucher: Some(voucher), .. }) = BatchHeader::decode(first)
            && store == self.manifest.store
        {
            self.starts.push((voucher, sequence));
        }
        Ok(())
    }
}

/// A file that the manifest does not name may be left over from a start that did not get far: but then there is no
/// batch in it.
fn refuse_batches_outside(disk: &dyn Disk, dir: &Path, sequence: u64, manifest: &Manifest) -> Result<(), WalError> {
    let name = file_name(sequence);
    let io = |call| WalError::io(call, name.as_str());
    let file = disk.open_read(&dir.join(&name)).map_err(io("open"))?;
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
pub(super) const fn is_whole(bad: BadHeader) -> bool {
    !matches!(bad, BadHeader::Unreadable)
}

/// A header that this program cannot read, as an error.
pub(super) fn unsupported(at: Position, bad: BadHeader) -> Option<WalError> {
    let what = match bad {
        BadHeader::FormatVersion(version) => format!("format version {version}"),
        BadHeader::LogicVersion(version) => format!("logic version {version}"),
        BadHeader::Unreadable | BadHeader::Malformed(_) => return None,
    };
    Some(WalError::Unsupported { file: at.file(), what })
}
