//! Checkpoint files: naming, writing one durably, reading one from the device.
//!
//! Left out: their contents, and choosing one (`maker.rs`, `mod.rs`).

use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Unusable;
use super::header::{Header, LENGTH};
use crate::bank::{Bank, ImageDigest};
use crate::engine::progress::{NoProgress, Progress, ProgressSink, Reading};
use crate::env::{Disk, File};
use crate::model::invariant::to_u64;
use crate::model::types::{Lsn, StoreId};

/// The offset of the image.
const IMAGE: u64 = 4096;

/// A checkpoint's file name: the LSN in twenty digits, so that names sort like LSNs.
pub(super) fn name(lsn: Lsn) -> String {
    format!("{:020}.ckpt", lsn.0)
}

/// The LSN in a checkpoint's file name; none for another name.
pub(super) fn lsn_of(name: &str) -> Option<Lsn> {
    let digits = name.strip_suffix(".ckpt")?;
    let is_plain = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|lsn| is_plain && *lsn > 0).map(Lsn)
}

/// A checkpoint file that is being written.
pub(super) struct ImageFile<'a> {
    file: Box<dyn File>,
    offset: u64,
    cancelled: &'a AtomicBool,
}

impl<'a> ImageFile<'a> {
    /// Starts with an empty file.
    pub(super) fn new(file: Box<dyn File>, cancelled: &'a AtomicBool) -> Self {
        Self { file, offset: IMAGE, cancelled }
    }

    /// Writes the bank's image.
    pub(super) fn write_image(&mut self, bank: &Bank) -> io::Result<ImageDigest> {
        bank.write_image(self)
    }

    /// Writes the header last, and syncs the file.
    pub(super) fn finish(self, header: &Header) -> io::Result<()> {
        self.file.write_all_at(&header.encode(), 0)?;
        self.file.sync()
    }
}

impl Write for ImageFile<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        check(self.cancelled)?;
        self.file.write_all_at(bytes, self.offset)?;
        self.offset = self.offset.saturating_add(to_u64(bytes.len()));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads the header of the checkpoint at `lsn` from the device, not from the page cache, and checks it against the
/// file's name, its length and the store.
///
/// # Errors
/// [`Unusable`].
pub(super) fn read_header(disk: &dyn Disk, dir: &Path, lsn: Lsn, store: StoreId) -> Result<Header, Unusable> {
    let file = disk.open_read(&dir.join(name(lsn)))?;
    file.sync()?;
    file.evict()?;
    let length = file.len()?;
    if length < IMAGE {
        return Err(Unusable::Damaged("it is shorter than a header"));
    }
    let mut block = vec![0; LENGTH];
    file.read_exact_at(&mut block, 0)?;
    let header = Header::decode(&block)?;
    if header.store != store {
        return Err(Unusable::Foreign(header.store));
    }
    if header.lsn() != lsn {
        return Err(Unusable::Damaged("its name is another checkpoint's"));
    }
    if header.image.length.checked_add(IMAGE) != Some(length) {
        return Err(Unusable::Damaged("it does not have the length that its header says"));
    }
    Ok(header)
}

/// Reads the bank from a checkpoint whose header was read before.
///
/// # Errors
/// [`Unusable`].
pub(super) fn load(disk: &dyn Disk, dir: &Path, header: &Header, watch: &dyn ProgressSink) -> Result<Bank, Unusable> {
    read(disk, dir, header, &AtomicBool::new(false), watch)
}

/// [`load`] without progress; `cancelled` stops it.
pub(super) fn load_unless(disk: &dyn Disk, dir: &Path, header: &Header, cancelled: &AtomicBool) -> Result<Bank, Unusable> {
    read(disk, dir, header, cancelled, &NoProgress)
}

fn read(disk: &dyn Disk, dir: &Path, header: &Header, cancelled: &AtomicBool, watch: &dyn ProgressSink) -> Result<Bank, Unusable> {
    let file = disk.open_read(&dir.join(name(header.lsn())))?;
    let mut source = Source { file: file.as_ref(), offset: IMAGE, of: header.image.length, cancelled, watch };
    let bank = Bank::read_image(&mut source, &header.image)?;
    let is_same = bank.applied() == header.lsn()
        && bank.outcome_digest() == header.outcome_digest
        && bank.lineage() == header.lineage
        && bank.time() <= header.anchor.end.bank_time;
    if is_same { Ok(bank) } else { Err(Unusable::Damaged("its header and its image are of different moments")) }
}

struct Source<'a> {
    file: &'a dyn File,
    offset: u64,
    /// The image's length in bytes.
    of: u64,
    cancelled: &'a AtomicBool,
    watch: &'a dyn ProgressSink,
}

impl Read for Source<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        check(self.cancelled)?;
        self.file.read_exact_at(bytes, self.offset)?;
        self.offset = self.offset.saturating_add(to_u64(bytes.len()));
        let done = self.offset.saturating_sub(IMAGE);
        self.watch.see(Progress { reading: Reading::Checkpoint, bytes: done, of: self.of, entries: 0 });
        Ok(bytes.len())
    }
}

fn check(cancelled: &AtomicBool) -> io::Result<()> {
    if cancelled.load(Ordering::Relaxed) { Err(io::Error::other("the store is being closed")) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_and_others_do_not() {
        assert_eq!(name(Lsn(42)), "00000000000000000042.ckpt");
        for lsn in [1, 42, u64::MAX] {
            assert_eq!(lsn_of(&name(Lsn(lsn))), Some(Lsn(lsn)));
        }
        for name in [
            "00000000000000000000.ckpt",
            "42.ckpt",
            "00000000000000000042.ckpt.tmp",
            "+0000000000000000042.ckpt",
            "99999999999999999999.ckpt",
            "000000000000000000042.ckpt",
            "",
        ] {
            assert_eq!(lsn_of(name), None, "{name}");
        }
    }
}
