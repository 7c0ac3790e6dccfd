//! The remedy for a store that a start refuses: none needed, a repair without loss, a repair with loss, or none by a
//! tool.
//!
//! Files without data of their own (a segment's header, an untouched segment, the manifest, a snapshot's marker) are
//! made anew in a view of the disk, and the store in that view is judged as a start judges it. They are made anew in
//! place only if that store is sound, and if they cannot have held anything that was answered, after every changed file
//! was copied beside the store.
//! Left out: dropping the tail behind the good part (`repair/mod.rs`), and printing (`cli/`).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::engine::checkpoint::{self, DamagedFile};
use crate::engine::error::StoreError;
use crate::engine::inspect::history::{before_checkpoint, check_history};
use crate::engine::inspect::judge;
use crate::engine::inspect::judge::Judged;
use crate::engine::repair::{Found, Repair, copy_file, find_good_part, free_name};
use crate::engine::snapshot::marker::{Marker, SNAPSHOT};
use crate::engine::store_dir::{StoreEnv, io_error, sync_parent, take_lock};
use crate::env::Disk;
use crate::model::types::Lsn;
use crate::wal::{self, Fix, Mended, Proof, SegmentScan};

/// The remedy for a store.
pub enum Remedy {
    /// None needed: a start accepts the store. With a sentence on its state.
    Sound(String),
    /// Files can be made anew, without loss.
    Mend(Box<Mend>),
    /// A good part is there, and the tail behind it must be dropped.
    DropTail(Box<Repair>),
    /// No tool can repair it; what is damaged, and what to do next.
    Restore(String),
}

/// A repair without loss. The store stays locked until it is dropped.
pub struct Mend {
    env: StoreEnv,
    dir: PathBuf,
    /// Why a start refuses the store, or what it reports.
    why: String,
    fixes: Vec<Fix>,
    /// Whether the manifest's damaged slot is written anew, too.
    heals_slot: bool,
    /// Whether a start refuses the store as it is.
    is_refused: bool,
    /// Checkpoint files that are put aside: the store is sound without them.
    damaged: Vec<DamagedFile>,
    /// The last entry of the store after the repair.
    lsn: Lsn,
    _lock: Box<dyn Send>,
}

/// Takes the store's lock, judges it as a start does, and returns the remedy. Changes nothing.
///
/// # Errors
/// As [`crate::engine::open`], for all errors but damage: no store, a lock, another version, I/O.
pub fn find_remedy(env: &StoreEnv, dir: &Path) -> Result<Remedy, StoreError> {
    // `store/` and `store` name the same directory, but only the latter yields a neighbour's name.
    let dir = dir.components().as_path();
    if dir.file_name().is_none() {
        return Err(StoreError::CannotRepair(format!("{} has no name of its own, beside which copies could stand", dir.display())));
    }
    let present = judge::look_for_store(env, dir);
    if !matches!(present, Ok(_) | Err(StoreError::Damaged(_))) {
        present?;
    }
    let lock = take_lock(env, dir)?;
    let why = match judge::judge(env, &*env.disk, dir) {
        Ok(judged) => return sound(env, dir, &judged, lock),
        Err(StoreError::Damaged(why)) => why,
        Err(other) => return Err(other),
    };
    let fixes = match wal::find_fixes(&env.disk, dir) {
        Ok(fixes) => fixes,
        Err(error) => return refused(error.into(), &why, dir),
    };
    let fixes = with_marker(env, dir, fixes)?;
    let view: Arc<dyn Disk> = Arc::new(Mended::new(Arc::clone(&env.disk), dir, &fixes));
    if let Some(lsn) = loses_nothing(env, &view, dir, &fixes)? {
        return mend(env, dir, why, fixes, lsn, lock);
    }
    let replaced = fixes.first().map(|fix| fix.what.clone());
    match find_good_part(env, &*view, dir, replaced.as_deref())? {
        Some(Ok(found)) => {
            if let Some((fixes, lsn)) = closed_there(env, dir, &fixes, &found)? {
                return mend(env, dir, why, fixes, lsn, lock);
            }
            if fixes.iter().any(|fix| fix.proof == Proof::Spare) {
                let what = "the segments alone do not prove that no later one is missing, since the last of them is in use";
                return Ok(Remedy::Restore(advice(&format!("{why}; {what}"), dir)));
            }
            // A repair must not drop what is missing before the end.
            if fixes.iter().any(|fix| fix.proof == Proof::Closed && !fix.is_behind(&found.tail().end)) {
                return Ok(Remedy::Restore(advice(&why, dir)));
            }
            Ok(Remedy::DropTail(Box::new(Repair::new(env, dir, found, fixes, lock))))
        }
        Some(Err(what)) => Ok(Remedy::Restore(what)),
        None => Ok(Remedy::Restore(match needs_checkpoint(env, &*view, dir)? {
            Some(which) => format!("{why}; {which}"),
            None => advice(&why, dir),
        })),
    }
}

/// The remedy for a store that a start accepts: none, or healing what a start does not need.
fn sound(env: &StoreEnv, dir: &Path, judged: &Judged, lock: Box<dyn Send>) -> Result<Remedy, StoreError> {
    let lsn = judged.bank.applied();
    let damaged = checkpoint::find_damaged(&*env.disk, dir, judged.recovered.store, &*env.watch)?;
    let heals_slot = judged.recovered.has_damaged_slot;
    if heals_slot || !damaged.is_empty() {
        let slot = heals_slot.then(|| "one of the manifest's two slots is damaged; the other one serves".to_owned());
        let passed_over = damaged.iter().map(|file| format!("the checkpoint {} is damaged; a start passes over it", file.name));
        let why = slot.into_iter().chain(passed_over).collect::<Vec<_>>().join("; ");
        let (env, dir, fixes) = (env.clone(), dir.to_owned(), Vec::new());
        return Ok(Remedy::Mend(Box::new(Mend { env, dir, why, fixes, heals_slot, is_refused: false, damaged, lsn, _lock: lock })));
    }
    if let (Some(from), Err(StoreError::Damaged(what))) = (judged.from.as_ref(), check_history(env, dir)) {
        return Ok(Remedy::Restore(before_checkpoint(&what, judge::lsn_before(Some(from)))));
    }
    Ok(Remedy::Sound(match &judged.recovered.torn {
        None => "the log is sound: there is nothing to repair".to_owned(),
        Some(torn) => format!("{torn}; the next start drops it by itself, and no session is lost by that: there is nothing to repair"),
    }))
}

/// Adds a snapshot's marker, if it is damaged and the manifest has its contents.
fn with_marker(env: &StoreEnv, dir: &Path, mut fixes: Vec<Fix>) -> Result<Vec<Fix>, StoreError> {
    let view = Mended::new(Arc::clone(&env.disk), dir, &fixes);
    if let Err(StoreError::Damaged(_)) = Marker::read(&view, dir) {
        let survey = SegmentScan::read(&view, dir)?;
        if let Some(known) = survey.known_end() {
            let marker = Marker { store: survey.store(), end: known.anchor.end };
            let what = "the marker is damaged: written anew, from what the manifest says".to_owned();
            fixes.push(Fix::whole(SNAPSHOT, what, Proof::Sound, marker.encode()));
        }
    }
    Ok(fixes)
}

/// The last entry of the store in the view, if that store is sound, and nothing that was answered can have been in the
/// files that are made anew.
fn loses_nothing(env: &StoreEnv, view: &Arc<dyn Disk>, dir: &Path, fixes: &[Fix]) -> Result<Option<Lsn>, StoreError> {
    let judged = match judge::judge(env, &**view, dir) {
        Ok(judged) => judged,
        Err(StoreError::Damaged(_)) => return Ok(None),
        Err(other) => return Err(other),
    };
    let survey = SegmentScan::read(&**view, dir)?;
    let holds = |fix: &Fix| match fix.proof {
        Proof::Sound => true,
        Proof::Closed => {
            let end = &judged.recovered.end;
            (survey.was_closed_at(end) && fix.is_behind(end)) || fix.is_passed(judged.from.as_ref(), end)
        }
        Proof::Spare => survey.ends_untouched(&judged.recovered),
    };
    Ok(fixes.iter().all(holds).then(|| judged.bank.applied()))
}

/// For a log that was closed at the end of its good part: the fixes with zeros behind that end, if they make the store
/// sound.
fn closed_there(env: &StoreEnv, dir: &Path, fixes: &[Fix], found: &Found) -> Result<Option<(Vec<Fix>, Lsn)>, StoreError> {
    let view = Mended::new(Arc::clone(&env.disk), dir, fixes);
    let survey = SegmentScan::read(&view, dir)?;
    if !survey.was_closed_at(&found.tail().end) {
        return Ok(None);
    }
    let mut all = wal::zero_behind(&view, dir, &found.tail().parts)?;
    all.extend(fixes.iter().filter(|fix| found.tail().parts.iter().all(|(at, _)| at.file() != fix.name)).cloned());
    let view: Arc<dyn Disk> = Arc::new(Mended::new(Arc::clone(&env.disk), dir, &all));
    Ok(loses_nothing(env, &view, dir, &all)?.map(|lsn| (all, lsn)))
}

fn mend(env: &StoreEnv, dir: &Path, why: String, fixes: Vec<Fix>, lsn: Lsn, lock: Box<dyn Send>) -> Result<Remedy, StoreError> {
    let store = SegmentScan::read(&Mended::new(Arc::clone(&env.disk), dir, &fixes), dir)?.store();
    let damaged = checkpoint::find_damaged(&*env.disk, dir, store, &*env.watch)?;
    let (env, dir) = (env.clone(), dir.to_owned());
    Ok(Remedy::Mend(Box::new(Mend { env, dir, why, fixes, heals_slot: false, is_refused: true, damaged, lsn, _lock: lock })))
}

/// The advice for a log whose first segments were dropped, if no usable checkpoint is left.
fn needs_checkpoint(env: &StoreEnv, disk: &dyn Disk, dir: &Path) -> Result<Option<String>, StoreError> {
    let survey = SegmentScan::read(disk, dir)?;
    match checkpoint::oldest(disk, dir, &survey, &*env.watch) {
        Ok(_) => return Ok(None),
        Err(StoreError::Damaged(_)) => {}
        Err(other) => return Err(other),
    }
    let damaged = checkpoint::find_damaged(disk, dir, survey.store(), &*env.watch)?;
    let named: Vec<String> = damaged.iter().map(|file| format!("the checkpoint {}: {}; ", file.name, file.why)).collect();
    Ok(Some(format!(
        "{named}the log begins with segment {first}, so a start needs a checkpoint: put one back, under the name that it has there, from a snapshot or backup of this store that was made since segment {first} was begun (a checkpoint of the same name is the same to the byte in each of them) and run `bankd wal verify --data-dir {dir}`; otherwise start the newest snapshot, in a directory of its own, with `bankd serve --data-dir SNAPSHOT`: it has everything up to the entry that it names, and its earlier sessions end",
        named = named.concat(),
        first = survey.first(),
        dir = dir.display()
    )))
}

/// The remedy when even the first read fails.
fn refused(error: StoreError, why: &str, dir: &Path) -> Result<Remedy, StoreError> {
    match error {
        StoreError::Damaged(_) => Ok(Remedy::Restore(advice(why, dir))),
        other => Err(other),
    }
}

/// The advice for damage that no tool undoes.
fn advice(why: &str, dir: &Path) -> String {
    format!(
        "{why}; no tool can bring back what only that file held: if a snapshot or backup of this store has the named file, put it back beside the others (a finished segment is the same to the byte in each of them) and run `bankd wal verify --data-dir {dir}`; otherwise start the newest snapshot, in a directory of its own, with `bankd serve --data-dir SNAPSHOT`: it has everything up to the entry that it names, and its earlier sessions end",
        dir = dir.display()
    )
}

impl Mend {
    /// Why a start refuses the store, or what it reports.
    #[must_use]
    pub fn why(&self) -> &str {
        &self.why
    }

    /// Whether a start refuses the store as it is.
    #[must_use]
    pub const fn is_refused(&self) -> bool {
        self.is_refused
    }

    /// The steps of the repair, file by file.
    #[must_use]
    pub fn steps(&self) -> Vec<String> {
        let fixes = self.fixes.iter().map(|fix| format!("{}: {}", fix.name, fix.what));
        let slot = self.heals_slot.then(|| "MANIFEST: the damaged slot is written anew, from the other one".to_owned());
        let damaged = self.damaged.iter().map(|file| format!("{}: {}: put aside as {}", file.name, file.why, file.aside));
        fixes.chain(slot).chain(damaged).collect()
    }

    /// The last entry of the store after the repair: the last for which an answer was ever sent.
    #[must_use]
    pub const fn lsn(&self) -> Lsn {
        self.lsn
    }

    /// Repairs the store, after copying every changed file; returns the directory of the copies, if there are any. A
    /// crash leaves the store refused as before, or repaired; checkpoint files are put aside last, one by one.
    ///
    /// # Errors
    /// [`StoreError`]; also if the store is not sound afterwards, though the view was.
    pub fn apply(self) -> Result<Option<PathBuf>, StoreError> {
        let disk = &*self.env.disk;
        let copies = if self.heals_slot || !self.fixes.is_empty() { Some(self.make_anew()?) } else { None };
        for DamagedFile { name, aside, .. } in &self.damaged {
            let path = self.dir.join(name);
            disk.rename_new(&path, &self.dir.join(aside)).map_err(io_error("put aside", &path))?;
        }
        if !self.damaged.is_empty() {
            disk.sync_dir(&self.dir).map_err(io_error("sync", &self.dir))?;
        }
        judge::judge(&self.env, disk, &self.dir)?;
        Ok(copies)
    }

    /// Copies the changed files, and changes them.
    fn make_anew(&self) -> Result<PathBuf, StoreError> {
        let Self { env, dir, fixes, .. } = self;
        let disk = &*env.disk;
        let copies = free_name(env, dir)?;
        disk.create_dir(&copies).map_err(io_error("create", &copies))?;
        sync_parent(env, &copies)?;
        if self.heals_slot {
            copy_file(disk, &dir.join(wal::MANIFEST), &copies.join(wal::MANIFEST))?;
            disk.sync_dir(&copies).map_err(io_error("sync", &copies))?;
            wal::heal_manifest(disk, dir)?;
        }
        fixes.iter().try_for_each(|fix| make(env, dir, &copies, fix))?;
        judge::judge(env, disk, dir)?;
        Ok(copies)
    }
}

/// Copies the file, and then writes its new contents, durably.
pub(in crate::engine) fn make(env: &StoreEnv, dir: &Path, copies: &Path, fix: &Fix) -> Result<(), StoreError> {
    let disk = &*env.disk;
    let (path, aside) = (dir.join(&fix.name), copies.join(&fix.name));
    let is_file = match disk.open_read(&path) {
        Ok(_) => true,
        Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
            // Not a regular file: it cannot be copied, and holds nothing of the log.
            disk.rename(&path, &aside).map_err(io_error("put aside", &path))?;
            disk.sync_dir(dir).map_err(io_error("sync", dir))?;
            false
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => false,
        Err(error) => return Err(io_error("open", &path)(error)),
    };
    if is_file && !disk.exists(&aside).map_err(io_error("look for", &aside))? {
        copy_file(disk, &path, &aside)?;
    }
    disk.sync_dir(copies).map_err(io_error("sync", copies))?;
    let Some(length) = fix.length else {
        if is_file {
            disk.remove(&path).map_err(io_error("remove", &path))?;
        }
        return disk.sync_dir(dir).map_err(io_error("sync", dir));
    };
    if is_file {
        return write(disk, &path, fix, length);
    }
    let temporary = dir.join(format!("{}.tmp", fix.name));
    if disk.exists(&temporary).map_err(io_error("look for", &temporary))? {
        disk.remove(&temporary).map_err(io_error("remove", &temporary))?;
    }
    disk.create(&temporary).map_err(io_error("create", &temporary))?;
    write(disk, &temporary, fix, length)?;
    disk.rename(&temporary, &path).map_err(io_error("rename", &temporary))?;
    disk.sync_dir(dir).map_err(io_error("sync", dir))
}

/// The size of one write, in bytes.
const CHUNK: u64 = 1 << 20;

/// Overwrites a file, which was copied before, with its new contents.
fn write(disk: &dyn Disk, path: &Path, fix: &Fix, length: u64) -> Result<(), StoreError> {
    let file = disk.open(path).map_err(io_error("open", path))?;
    if !fix.head.is_empty() {
        file.write_all_at(&fix.head, 0).map_err(io_error("write", path))?;
    }
    let zeros = vec![0; usize::try_from(CHUNK).map_err(|_| StoreError::CannotRepair("memory is too small".to_owned()))?];
    let mut offset = fix.zero_from;
    while offset < length {
        let count = CHUNK.min(length - offset);
        let chunk = usize::try_from(count).ok().and_then(|count| zeros.get(..count)).unwrap_or(&zeros);
        file.write_all_at(chunk, offset).map_err(io_error("write", path))?;
        offset = offset.saturating_add(count);
    }
    if file.len().map_err(io_error("measure", path))? != length {
        file.set_len(length).map_err(io_error("set the length of", path))?;
    }
    file.sync().map_err(io_error("sync", path))?;
    file.evict().map_err(io_error("evict", path))
}
