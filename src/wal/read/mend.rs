//! Reconstruction of damaged log files from redundant information, and a view of the disk with the fixes applied.
//!
//! A segment's header follows from its name, its length and the other files. An untouched segment is all zeros. A manifest
//! follows from the segments present. Each fix is applied to the view first, and the store in that view is judged like any
//! other; nothing is written before that.
//! Left out: the judgement, the check that nothing is lost, and the writes (`engine/`).

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::env::{Disk, File, ReadFile, ReadView};
use crate::model::invariant::{held, to_len, to_u64};
use crate::model::types::StoreId;
use crate::wal::format::bytes::{BLOCK, BLOCK_LEN, SECTOR};
use crate::wal::format::compressed::sequence_of_any;
use crate::wal::format::manifest;
use crate::wal::format::manifest::Manifest;
use crate::wal::format::segment::{MAX_SIZE, MIN_SIZE, SegmentHeader, file_name, sequence_of};
use crate::wal::log_end::LogEnd;
use crate::wal::read::anchor::Anchor;
use crate::wal::read::recover::Recovered;
use crate::wal::read::segment_scan::SegmentScan;
use crate::wal::{Position, WalError};

/// The evidence required before a fix counts as lossless.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// The fixed store is sound: the fix restores bytes that are known exactly.
    Sound,
    /// Also, the log was closed where it ends now: nothing was ever written to the reconstructed part.
    Closed,
    /// Also, the log's last segment is untouched: no later segment was in use.
    Spare,
}

/// A fix: the wanted contents of one file.
#[derive(Clone, Debug)]
pub struct Fix {
    /// The file name in the store's directory.
    pub name: String,
    /// What is wrong, and what is done about it.
    pub what: String,
    /// The evidence required for the fix to be lossless.
    pub proof: Proof,
    /// Whether the present file supplies the bytes between [`Fix::head`] and [`Fix::zero_from`].
    pub keeps: bool,
    /// The first bytes.
    pub head: Vec<u8>,
    /// The offset from which the file is zero.
    pub zero_from: u64,
    /// The length in bytes; `None` for a file that is to be put aside.
    pub length: Option<u64>,
}

impl Fix {
    /// Whether the fix is to a segment, and what it zeroes lies behind `end`.
    #[must_use]
    pub fn is_behind(&self, end: &LogEnd) -> bool {
        let at = sequence_of(&self.name).map(|segment| Position { segment, offset: self.zero_from });
        at.is_some_and(|at| at >= end.position)
    }

    /// Whether the fix is to a segment, and a read from `from` to `end` passed the part that it changes. The log continues
    /// behind that part with contiguous numbers and chain, so nothing of the log was in it. It may have held batches that a
    /// repair dropped, if the repair was interrupted before the file was created.
    #[must_use]
    pub fn is_passed(&self, from: Option<&Anchor>, end: &LogEnd) -> bool {
        let offset = if self.head.is_empty() { self.zero_from } else { 0 };
        let at = sequence_of(&self.name).map(|segment| Position { segment, offset });
        at.is_some_and(|at| at.segment < end.position.segment && from.is_none_or(|from| at >= from.end.position))
    }

    /// A fix that replaces the whole file by `head`.
    #[must_use]
    pub fn whole(name: &str, what: String, proof: Proof, head: Vec<u8>) -> Self {
        let length = to_u64(head.len());
        Self { name: name.to_owned(), what, proof, keeps: false, head, zero_from: length, length: Some(length) }
    }
}

/// Finds fixes, one by one, until [`SegmentScan::read`] succeeds on the fixed store.
///
/// # Errors
/// The error of [`SegmentScan::read`], if there is no fix for it.
pub fn find_fixes(disk: &Arc<dyn Disk>, dir: &Path) -> Result<Vec<Fix>, WalError> {
    let mut fixes: Vec<Fix> = Vec::new();
    loop {
        let view = Mended::new(Arc::clone(disk), dir, &fixes);
        let error = match SegmentScan::read(&view, dir) {
            Ok(_) => return Ok(fixes),
            Err(error) => error,
        };
        let WalError::Damaged { file, .. } = &error else { return Err(error) };
        match fix_for(&view, dir, file)? {
            Some(fix) if fixes.iter().all(|known| known.name != fix.name) => fixes.push(fix),
            _ => return Err(error),
        }
    }
}

/// Fixes that zero the bytes behind the end of a log. Each of `parts` is in a segment of its own.
///
/// # Errors
/// [`WalError::Io`].
pub fn zero_behind(disk: &dyn Disk, dir: &Path, parts: &[(Position, u64)]) -> Result<Vec<Fix>, WalError> {
    // A compressed segment is finished, and is not behind the end.
    let is_kept = |from: &Position| disk.exists(&dir.join(from.file())).map_err(WalError::io("look for", from.file()));
    let fixes = parts.iter().map(|(from, bytes)| {
        if !is_kept(from)? {
            return Ok(None);
        }
        let file = disk.open_read(&dir.join(from.file()));
        let length = file.and_then(|file| file.len()).map_err(WalError::io("measure", from.file()))?;
        let what =
            format!("{bytes} bytes stand in it from offset {} on, behind the end with which the log was closed: zeros again", from.offset);
        let (head, zero_from) = (Vec::new(), from.offset);
        Ok(Some(Fix { name: from.file(), what, proof: Proof::Closed, keeps: true, head, zero_from, length: Some(length) }))
    });
    fixes.filter_map(Result::transpose).collect()
}

fn fix_for(disk: &dyn Disk, dir: &Path, file: &str) -> Result<Option<Fix>, WalError> {
    if file == manifest::NAME {
        return rebuilt_manifest(disk, dir, "it is damaged or missing");
    }
    let Some(sequence) = sequence_of(file) else { return Ok(None) };
    let (manifest, _) = Manifest::read(disk, dir)?;
    let found = look(disk, &dir.join(file))?;
    if sequence > manifest.highest {
        return match found {
            Found::Other => Ok(Some(aside(file, "it is no regular file, and the log does not name it"))),
            Found::Header(header, _) if header.store != manifest.store || header.sequence != sequence => {
                Ok(Some(aside(file, "it is not the segment of its name, and the log does not name it")))
            }
            _ => rebuilt_manifest(disk, dir, "it names fewer segments than hold batches"),
        };
    }
    Ok(match found {
        // It is another segment, which may be needed elsewhere.
        Found::Header(header, _) if header.store != manifest.store || header.sequence != sequence => None,
        Found::Header(header, length) => {
            let what = format!("it is {length} bytes long instead of {}: cut, or longer by zeros", header.size);
            let proof = if length > header.size { Proof::Sound } else { Proof::Closed };
            let zero_from = length.min(header.size);
            Some(Fix { name: file.to_owned(), what, proof, keeps: true, head: Vec::new(), zero_from, length: Some(header.size) })
        }
        Found::Broken(length, is_confined) if (MIN_SIZE..=MAX_SIZE).contains(&length) && length.is_multiple_of(BLOCK) => {
            let header = SegmentHeader { store: manifest.store, sequence, size: length };
            let what = "its header is not whole: written anew, since name and length say what it says".to_owned();
            let head = header.encode().to_vec();
            // Damage that extends past the header may have destroyed batches without a trace.
            let proof = if is_confined { Proof::Sound } else { Proof::Closed };
            Some(Fix { name: file.to_owned(), what, proof, keeps: true, head, zero_from: length, length: Some(length) })
        }
        _ => {
            let size = sequence.checked_sub(1).and_then(|before| size_of(disk, dir, before)).unwrap_or(MIN_SIZE);
            Some(fresh(manifest.store, sequence, size, "it is missing, or only a part of it is there: made anew, untouched"))
        }
    })
}

fn aside(file: &str, why: &str) -> Fix {
    let (name, what) = (file.to_owned(), format!("{why}: put aside"));
    Fix { name, what, proof: Proof::Sound, keeps: false, head: Vec::new(), zero_from: 0, length: None }
}

fn fresh(store: StoreId, sequence: u64, size: u64, what: &str) -> Fix {
    let head = SegmentHeader { store, sequence, size }.encode().to_vec();
    let (name, what) = (file_name(sequence), what.to_owned());
    Fix { name, what, proof: Proof::Closed, keeps: false, zero_from: to_u64(head.len()), head, length: Some(size) }
}

/// Rebuilds the manifest from the segments, if none between the first and the last is missing.
fn rebuilt_manifest(disk: &dyn Disk, dir: &Path, why: &str) -> Result<Option<Fix>, WalError> {
    let names = disk.list(dir).map_err(WalError::io("list", dir.display().to_string()))?;
    let mut sequences: Vec<u64> = names.iter().filter_map(|name| sequence_of_any(name)).collect();
    sequences.sort_unstable();
    sequences.dedup();
    let (Some(&first), Some(&highest)) = (sequences.first(), sequences.last()) else { return Ok(None) };
    let has_all = highest.checked_sub(first).and_then(|more| usize::try_from(more).ok()) == sequences.len().checked_sub(1);
    let mut store = None;
    for sequence in &sequences {
        if let Found::Header(header, _) = look(disk, &dir.join(file_name(*sequence)))? {
            store = Some(header.store);
            break;
        }
    }
    let Some(store) = store else { return Ok(None) };
    let manifest = Manifest { store, generation: 2, first_retained: first, highest, known: None };
    let what = format!("{why}: written anew; the segments {first} to {highest} are there");
    Ok(has_all.then(|| Fix::whole(manifest::NAME, what, Proof::Spare, manifest.file_bytes())))
}

/// What exists under a segment's file name.
enum Found {
    /// A file with an intact header, and its length.
    Header(SegmentHeader, u64),
    /// A file without an intact header: its length, and whether the padding in front of the first batch is intact.
    Broken(u64, bool),
    /// Nothing, or a file shorter than two blocks.
    Nothing,
    /// Not a regular file.
    Other,
}

fn look(disk: &dyn Disk, path: &Path) -> Result<Found, WalError> {
    let file = match disk.open_read(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => return Ok(Found::Other),
        Err(error) => return Err(WalError::io("open", path.display().to_string())(error)),
    };
    let length = file.len().map_err(WalError::io("measure", path.display().to_string()))?;
    if length < 2 * BLOCK {
        return Ok(Found::Nothing);
    }
    let mut block = [0; BLOCK_LEN];
    // A failed read is no evidence of damage: the file may be intact.
    file.read_exact_at(&mut block, 0).map_err(WalError::io("read", path.display().to_string()))?;
    let is_confined = block.get(BLOCK_LEN - SECTOR..).is_some_and(|end| end.iter().all(|byte| *byte == 0xFF));
    Ok(SegmentHeader::decode(&block).map_or(Found::Broken(length, is_confined), |header| Found::Header(header, length)))
}

fn size_of(disk: &dyn Disk, dir: &Path, sequence: u64) -> Option<u64> {
    crate::wal::format::compressed::open_decompressed(disk, dir, sequence)
        .ok()?
        .len()
        .ok()
        .filter(|size| (MIN_SIZE..=MAX_SIZE).contains(size))
}

/// Rewrites a damaged slot of the manifest from the other one, durably. A crash leaves at least one intact slot.
///
/// # Errors
/// [`WalError::Damaged`] if neither slot is intact; [`WalError::Io`].
pub fn heal_manifest(disk: &dyn Disk, dir: &Path) -> Result<(), WalError> {
    let (mut manifest, _) = Manifest::read(disk, dir)?;
    let file = disk.open(&dir.join(manifest::NAME)).map_err(|source| WalError::open(manifest::NAME, source))?;
    let Manifest { first_retained, highest, .. } = manifest;
    manifest.advance(file.as_ref(), first_retained, highest)
}

impl SegmentScan {
    /// Whether the log's last segment is untouched and behind the end.
    #[must_use]
    pub fn ends_untouched(&self, recovered: &Recovered) -> bool {
        !recovered.spares.is_empty() && recovered.end.position.segment < self.manifest.highest
    }
}

/// A read-only view of a disk with the fixes applied.
pub struct Mended {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    fixes: BTreeMap<String, Arc<Fix>>,
}

impl Mended {
    /// A view of `disk` with `fixes` applied to the store in `dir`.
    #[must_use]
    pub fn new(disk: Arc<dyn Disk>, dir: &Path, fixes: &[Fix]) -> Self {
        let fixes = fixes.iter().map(|fix| (fix.name.clone(), Arc::new(fix.clone()))).collect();
        Self { disk, dir: dir.to_owned(), fixes }
    }

    fn fix(&self, path: &Path) -> Option<&Arc<Fix>> {
        let name = path.file_name()?.to_str()?;
        self.fixes.get(name).filter(|_| path.parent() == Some(self.dir.as_path()))
    }
}

impl ReadView for Mended {
    fn base(&self) -> &dyn Disk {
        &*self.disk
    }

    fn view_file(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let Some(fix) = self.fix(path) else { return self.disk.open_read(path) };
        let Some(length) = fix.length else { return Err(io::ErrorKind::NotFound.into()) };
        let base = if fix.keeps { Some(self.disk.open_read(path)?) } else { None };
        Ok(Box::new(MendedFile { base, fix: Arc::clone(fix), length }))
    }

    fn view_names(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut names = self.disk.list(dir)?;
        if dir == self.dir {
            names.retain(|name| !self.fixes.contains_key(name));
            names.extend(self.fixes.values().filter(|fix| fix.length.is_some()).map(|fix| fix.name.clone()));
            names.sort_unstable();
        }
        Ok(names)
    }

    fn view_exists(&self, path: &Path) -> io::Result<bool> {
        self.fix(path).map_or_else(|| self.disk.exists(path), |fix| Ok(fix.length.is_some()))
    }
}

/// A fixed file.
struct MendedFile {
    base: Option<Box<dyn File>>,
    fix: Arc<Fix>,
    length: u64,
}

impl ReadFile for MendedFile {
    fn length(&self) -> io::Result<u64> {
        Ok(self.length)
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        if offset.saturating_add(to_u64(buf.len())) > self.length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let zero_from = to_len(self.fix.zero_from.saturating_sub(offset)).min(buf.len());
        let (kept, zeros) = buf.split_at_mut(zero_from);
        zeros.fill(0);
        let head = self.fix.head.get(to_len(offset)..).unwrap_or(&[]);
        let from_head = head.len().min(kept.len());
        let (first, rest) = kept.split_at_mut(from_head);
        first.copy_from_slice(held(head.get(..from_head), "at most all of the head"));
        match &self.base {
            Some(base) if !rest.is_empty() => base.read_exact_at(rest, offset.saturating_add(to_u64(from_head))),
            _ => Ok(()),
        }
    }

    fn device(&self) -> Option<&dyn File> {
        self.base.as_deref()
    }
}
