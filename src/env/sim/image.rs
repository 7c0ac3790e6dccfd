//! A simulated file: its live image, its durable image, and the set of sectors not yet synced.
//!
//! Left out: names, faults and handles (`sim/mod.rs`).

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Unsynced;

/// The sector size in bytes: the unit that the device writes atomically.
const SECTOR: u64 = 512;
/// The page size in bytes: the unit of copy-on-write between snapshots.
const PAGE: u64 = 4096;
const PAGE_LEN: usize = 4096;

type Page = [u8; PAGE_LEN];

/// Content and length, in shared pages; an absent page is zero.
#[derive(Clone, Debug, Default)]
struct Image {
    length: u64,
    pages: Vec<Option<Arc<Page>>>,
}

/// A simulated file.
#[derive(Clone, Debug, Default)]
pub(super) struct SimFile {
    live: Image,
    durable: Image,
    /// Sectors written since the last sync.
    dirty: BTreeSet<u64>,
    /// Sectors whose sync failed: clean for the page cache, but possibly not on the device.
    lost: BTreeSet<u64>,
}

impl SimFile {
    pub(super) const fn len(&self) -> u64 {
        self.live.length
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(self.live.length).unwrap_or(0)];
        self.live.read(0, &mut bytes);
        bytes
    }

    /// Fills `buf`. Returns false past the end.
    pub(super) fn read(&self, offset: u64, buf: &mut [u8]) -> bool {
        let is_inside = offset.checked_add(length(buf)).is_some_and(|end| end <= self.live.length);
        if is_inside {
            self.live.read(offset, buf);
        }
        is_inside
    }

    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) {
        let end = offset.saturating_add(length(bytes));
        self.live.write(offset, bytes);
        for sector in offset / SECTOR..end.div_ceil(SECTOR) {
            self.lost.remove(&sector);
            self.dirty.insert(sector);
        }
    }

    pub(super) fn set_len(&mut self, length: u64) {
        let old = self.live.length;
        self.live.set_len(length);
        // Truncated sectors read as zero if the file grows again, so they are dirty.
        for sector in length.min(old) / SECTOR..old.div_ceil(SECTOR) {
            self.dirty.insert(sector);
        }
    }

    pub(super) fn sync(&mut self) {
        if self.lost.is_empty() {
            self.durable.clone_from(&self.live);
        } else {
            self.durable.set_len(self.live.length);
            for sector in &self.dirty {
                self.durable.copy_sector(&self.live, *sector);
            }
        }
        self.dirty.clear();
    }

    pub(super) fn fail_sync(&mut self) {
        self.lost.append(&mut self.dirty);
    }

    pub(super) fn evict(&mut self) {
        for sector in std::mem::take(&mut self.lost) {
            self.live.copy_sector(&self.durable, sector);
        }
    }

    /// Changes both images, as silent corruption of the device would.
    pub(super) fn rot(&mut self, offset: u64, bytes: &[u8]) {
        self.live.write(offset, bytes);
        self.durable.write(offset, bytes);
    }

    /// A power failure, as in the fault model.
    pub(super) fn crash(&mut self, keep: &mut dyn FnMut(Unsynced) -> bool) {
        let (old, new) = (self.durable.length, self.live.length);
        if old != new {
            let half = old.midpoint(new);
            let kept = [new, half].into_iter().find(|_| keep(Unsynced::Length)).unwrap_or(old);
            self.durable.set_len(kept);
        }
        self.dirty.append(&mut self.lost);
        for sector in std::mem::take(&mut self.dirty) {
            if keep(Unsynced::Sector) {
                self.durable.copy_sector(&self.live, sector);
            }
        }
        self.live.clone_from(&self.durable);
    }
}

impl Image {
    fn read(&self, offset: u64, buf: &mut [u8]) {
        self.each_page(offset, buf.len(), |page, inside, outside| {
            let Some(target) = buf.get_mut(outside) else { return };
            match self.pages.get(page).and_then(Option::as_ref).and_then(|page| page.get(inside)) {
                Some(source) => target.copy_from_slice(source),
                None => target.fill(0),
            }
        });
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) {
        let end = offset.saturating_add(length(bytes));
        if end > self.length {
            self.set_len(end);
        }
        let mut parts = Vec::new();
        self.each_page(offset, bytes.len(), |page, inside, outside| parts.push((page, inside, outside)));
        for (page, inside, outside) in parts {
            let (Some(page), Some(source)) = (self.pages.get_mut(page), bytes.get(outside)) else { continue };
            if page.is_none() && source.iter().all(|byte| *byte == 0) {
                continue;
            }
            let page = Arc::make_mut(page.get_or_insert_with(|| Arc::new([0; PAGE_LEN])));
            if let Some(target) = page.get_mut(inside) {
                target.copy_from_slice(source);
            }
        }
    }

    fn set_len(&mut self, length: u64) {
        if length < self.length {
            // Bytes past the end must be zero if the file grows again.
            let tail = usize::try_from(length % PAGE).unwrap_or(0);
            if let Some(Some(page)) = self.pages.get_mut(index(length / PAGE)) {
                Arc::make_mut(page).iter_mut().skip(tail).for_each(|byte| *byte = 0);
            }
        }
        self.length = length;
        self.pages.resize(index(length.div_ceil(PAGE)), None);
    }

    /// Copies one sector, up to the length of this image.
    fn copy_sector(&mut self, from: &Self, sector: u64) {
        let offset = sector.saturating_mul(SECTOR);
        let count = self.length.saturating_sub(offset).min(SECTOR);
        let mut bytes = [0; 512];
        if let Some(bytes) = bytes.get_mut(..index(count))
            && !bytes.is_empty()
        {
            from.read(offset, bytes);
            self.write(offset, bytes);
        }
    }

    /// Calls `each` for each page of the range, with the page, the range in it, and the range in the buffer.
    fn each_page(&self, offset: u64, count: usize, mut each: impl FnMut(usize, std::ops::Range<usize>, std::ops::Range<usize>)) {
        let mut done = 0;
        while done < count {
            let at = offset.saturating_add(u64::try_from(done).unwrap_or(u64::MAX));
            let inside = index(at % PAGE);
            let part = (PAGE_LEN - inside).min(count - done);
            each(index(at / PAGE), inside..inside + part, done..done + part);
            done += part;
        }
    }
}

/// The length of a slice as a `u64`.
pub(super) fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

/// A file offset as a `usize`: simulated files are small.
fn index(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}
