//! The parts of the index, in order, and how they are joined: eight of a size become one, so their number grows with the
//! logarithm of the log.
//!
//! Left out: the contents of a part (`part.rs`), and which entries are not in it yet (`thread.rs`).

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::error::IndexError;
use super::follow::{PART, Place};
use super::part::{self, Extent, Part};
use super::postings::{Key, RowKey, RowWriter, SLICE, Slice};
use crate::env::Disk;
use crate::model::types::Lsn;
use crate::wal::LogEnd;

/// Parts of one size that become one.
const FAN_IN: usize = 8;
/// Slices that are read at a time from each part while parts are joined.
const AT_ONCE: usize = 512;

/// The parts, in order: each begins where the one before it ends.
#[derive(Default)]
pub(super) struct Index {
    /// The parts.
    pub(super) parts: Vec<Arc<Part>>,
}

impl Index {
    /// Opens the parts that are there and whole, up to the first that is not.
    ///
    /// # Errors
    /// [`IndexError::Io`].
    fn open(place: &Place<'_>) -> Result<Self, IndexError> {
        let mut index = Self::default();
        let mut names: Vec<(Lsn, Lsn, String)> = Vec::new();
        for name in place.disk.list(place.dir)? {
            if let Some((first, next, _)) = part::bounds(&name) {
                names.push((first, next, name));
            }
        }
        // Where a join was interrupted, the joined part covers those that it was made of.
        names.sort_by_key(|(first, next, _)| (*first, std::cmp::Reverse(*next)));
        let mut at = None;
        for (first, next, name) in names {
            if at.is_some_and(|at| at != first) {
                continue;
            }
            // redb trusts what it opens, so the checksum comes first.
            let whole = Part::verify(place.disk, place.dir, &name).and_then(|()| Part::open(place.disk, place.dir, &name, place.store));
            match whole {
                Ok(part) => {
                    index.parts.push(Arc::new(part));
                    at = Some(next);
                }
                Err(error @ IndexError::Damaged(_)) => log::warn!("{error}; what it had is made again from the log"),
                Err(error) => return Err(error),
            }
        }
        Ok(index)
    }

    /// As [`Index::open`], and removes what is damaged, what the log that ends at `to` does not confirm, and what is left of
    /// joins.
    ///
    /// # Errors
    /// [`IndexError::Io`].
    pub(super) fn open_checked(place: &Place<'_>, to: &LogEnd) -> Result<Self, IndexError> {
        let mut index = Self::open(place)?;
        while let Some(last) = index.parts.last() {
            if place.confirms(&last.extent, to)? {
                break;
            }
            log::warn!("the log does not go through the end of {}, which is made again", last.name);
            index.parts.pop();
        }
        index.remove_others(place)?;
        Ok(index)
    }

    /// What the last part covers.
    pub(super) fn last(&self) -> Option<&Extent> {
        self.parts.last().map(|part| &part.extent)
    }

    /// Adds the next part.
    pub(super) fn push(&mut self, part: Part) {
        self.parts.push(Arc::new(part));
    }

    /// The parts to join next: the last ones of one size, if there are enough.
    pub(super) fn to_join(&self) -> Option<Vec<Arc<Part>>> {
        let size = |part: &Arc<Part>| part.extent.entries().div_ceil(PART).max(1).ilog(FAN_IN as u64);
        let last = size(self.parts.last()?);
        let same = self.parts.iter().rev().take_while(|part| size(part) <= last).count();
        let first = self.parts.len().saturating_sub(same);
        self.parts.get(first..).filter(|parts| parts.len() >= FAN_IN).map(<[_]>::to_vec)
    }

    /// Puts a joined part in the place of those that it covers, and removes their files.
    pub(super) fn replace(&mut self, place: &Place<'_>, joined: Part) {
        let is_inside = |part: &Arc<Part>| part.extent.first >= joined.extent.first && part.extent.next() <= joined.extent.next();
        let Some(at) = self.parts.iter().position(is_inside) else { return };
        let old: Vec<Arc<Part>> = self.parts.iter().filter(|part| is_inside(part)).cloned().collect();
        self.parts.retain(|part| !is_inside(part));
        self.parts.insert(at, Arc::new(joined));
        for part in old {
            remove(place.disk, place.dir, &part.name);
        }
    }

    /// Removes every part.
    pub(super) fn clear(&mut self, place: &Place<'_>) -> Result<(), IndexError> {
        self.parts.clear();
        self.remove_others(place)
    }

    fn remove_others(&self, place: &Place<'_>) -> Result<(), IndexError> {
        for name in place.disk.list(place.dir)? {
            if part::is_of_index(&name) && !self.parts.iter().any(|part| part.name == name) {
                remove(place.disk, place.dir, &name);
            }
        }
        Ok(())
    }
}

/// Joins consecutive parts into one.
///
/// # Errors
/// [`IndexError`]; the parts are still there.
pub(super) fn join(place: &Place<'_>, parts: &[Arc<Part>], cancelled: &AtomicBool) -> Result<Part, IndexError> {
    let (Some(first), Some(last)) = (parts.first(), parts.last()) else { return Err(IndexError::Cancelled) };
    let extent = Extent { first: first.extent.first, ..last.extent };
    Part::write(place.disk, place.dir, place.store, extent, |tables| {
        let mut rows = RowWriter::new(extent.before());
        let mut sources = parts.iter().map(|part| Source::new(part)).collect::<Result<Vec<_>, _>>()?;
        let mut open: Option<(Key, Slice)> = None;
        // The smallest key first, and of equal ones that of the earliest part.
        while let Some(at) = (0..sources.len())
            .filter(|at| sources.get(*at).is_some_and(|source| source.key().is_some()))
            .min_by_key(|at| sources.get(*at).and_then(Source::key))
        {
            if cancelled.load(Ordering::Relaxed) {
                return Err(IndexError::Cancelled);
            }
            let Some(source) = sources.get_mut(at) else { break };
            let Some((key, slice)) = source.next()? else { break };
            match &mut open {
                Some((of, joined)) if *of == key && joined.postings.len() + slice.postings.len() <= SLICE => {
                    joined.net = key.joined(joined.net, slice.net);
                    joined.postings.extend_from_slice(&slice.postings);
                }
                _ => {
                    if let Some((of, full)) = open.replace((key, slice)) {
                        rows.slice(of, &full, &mut |row, bytes| tables.row(row, bytes))?;
                    }
                }
            }
        }
        if let Some((of, full)) = open {
            rows.slice(of, &full, &mut |row, bytes| tables.row(row, bytes))?;
        }
        rows.finish(&mut |row, bytes| tables.row(row, bytes))?;
        parts.iter().try_for_each(|part| part.places(&mut |place| tables.place(&place)))
    })
}

/// The slices of one part, in order, some read ahead.
struct Source<'a> {
    part: &'a Part,
    next_row: Option<RowKey>,
    ahead: std::collections::VecDeque<(Key, Slice)>,
}

impl<'a> Source<'a> {
    fn new(part: &'a Part) -> Result<Self, IndexError> {
        let mut source = Self { part, next_row: Some((0, 0)), ahead: std::collections::VecDeque::new() };
        source.fill()?;
        Ok(source)
    }

    fn key(&self) -> Option<Key> {
        self.ahead.front().map(|(key, _)| *key)
    }

    fn next(&mut self) -> Result<Option<(Key, Slice)>, IndexError> {
        let next = self.ahead.pop_front();
        if self.ahead.is_empty() {
            self.fill()?;
        }
        Ok(next)
    }

    fn fill(&mut self) -> Result<(), IndexError> {
        if let Some(row) = self.next_row.take() {
            let mut slices = Vec::new();
            self.next_row = self.part.some(row, AT_ONCE, &mut slices)?;
            self.ahead.extend(slices);
        }
        Ok(())
    }
}

/// Removes the files of parts that begin at `first` or behind it.
///
/// # Errors
/// [`IndexError::Io`] if the directory cannot be listed.
pub(super) fn remove_behind(place: &Place<'_>, first: Lsn) -> Result<(), IndexError> {
    for name in place.disk.list(place.dir)? {
        if part::bounds(&name).is_some_and(|(begins, ..)| begins >= first) {
            remove(place.disk, place.dir, &name);
        }
    }
    Ok(())
}

/// Removes a file of the index. One that stays does no harm.
fn remove(disk: &dyn Disk, dir: &Path, name: &str) {
    if let Err(error) = disk.remove(&dir.join(name)) {
        log::warn!("{name} stays behind: {error}");
    }
}
