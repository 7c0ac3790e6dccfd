//! Makes a checkpoint of the finished segments, with a bank of its own; each checkpoint rehearses recovery.
//!
//! It starts from the newest checkpoint, replays the finished segments behind it with the code of a start, compares the
//! end and the outcome digest with the running log's, writes the image and reads it back. Only then it removes older
//! checkpoints: the new one stays, and the one that it was built on, which has just been read. It reads no segment in
//! use and shares no state with the event loop. Left out: when one is made (`thread.rs`).

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use super::file::{self, ImageFile};
use super::header::Header;
use super::{Unusable, list};
use crate::bank::Bank;
use crate::engine::maintenance::{Keeping, Upkeep};
use crate::engine::replay::Replay;
use crate::env::{Disk, ThrottledDisk};
use crate::model::types::{Lsn, StoreId};
use crate::wal::{self, Anchor, Finished, SegmentScan, WalError};

/// A new checkpoint, written and verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Made {
    /// The last entry in it.
    pub lsn: Lsn,
    /// How many entries were replayed for it.
    pub entries: u64,
    /// The length of its image in bytes.
    pub image_bytes: u64,
}

/// Why a checkpoint was not made.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The operating system refused a call. The log is not affected; retry later.
    #[error("failed to {call} {file}: {source}")]
    Io {
        /// The call.
        call: &'static str,
        /// The file's name in the data directory.
        file: String,
        /// The system's error.
        source: io::Error,
    },
    /// It was written, but does not read back, and was removed; retry later.
    #[error("{file} does not read back: {what}")]
    Unverified {
        /// The file's name in the data directory.
        file: String,
        /// What is wrong.
        what: String,
    },
    /// The disk does not return what the log had made durable: the daemon must end.
    #[error("{0}")]
    Damaged(String),
    /// The store is being closed.
    #[error("the store is being closed")]
    Cancelled,
}

impl CheckpointError {
    /// Whether the disk, a quota or the descriptor table is full.
    #[must_use]
    pub fn is_no_space(&self) -> bool {
        matches!(self, Self::Io { source, .. } if wal::is_no_space(source))
    }

    fn io(call: &'static str, file: &str) -> impl FnOnce(io::Error) -> Self {
        let file = file.to_owned();
        move |source| Self::Io { call, file, source }
    }
}

impl From<WalError> for CheckpointError {
    fn from(error: WalError) -> Self {
        match error {
            WalError::Io { call, file, source } => Self::Io { call, file, source },
            error => Self::Damaged(error.to_string()),
        }
    }
}

/// Makes the checkpoints of a store.
#[derive(Clone)]
pub(in crate::engine) struct CheckpointMaker {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    store: StoreId,
    upkeep: Upkeep,
    /// The running bank's number of accounts: a new bank reserves memory for as many.
    pub(super) accounts: Arc<AtomicU32>,
    /// Set when the store is being closed.
    pub(super) cancelled: Arc<AtomicBool>,
}

/// The base of a new checkpoint.
struct Ground {
    bank: Bank,
    header: Option<Header>,
    survey: SegmentScan,
}

impl CheckpointMaker {
    pub(in crate::engine) fn new(disk: Arc<dyn Disk>, dir: &Path, store: StoreId, keeping: Keeping) -> Self {
        let disk: Arc<dyn Disk> = Arc::new(ThrottledDisk(disk));
        let upkeep = Upkeep::new(disk.clone(), dir.to_owned(), store, keeping);
        Self { disk, dir: dir.to_owned(), store, upkeep, accounts: Arc::default(), cancelled: Arc::default() }
    }

    /// Maintenance of the segments that checkpoints cover.
    pub(in crate::engine) const fn upkeep(&self) -> &Upkeep {
        &self.upkeep
    }

    /// Compresses the finished segments; returns how many it compressed.
    ///
    /// # Errors
    /// [`CheckpointError`]. The segments that failed are still there.
    pub(in crate::engine) fn compress(&self, finished: &Finished) -> Result<u64, CheckpointError> {
        self.upkeep.compress(finished, &self.cancelled).map_err(|error| match error {
            // A compressed copy that does not read back says nothing about the log.
            WalError::Damaged { file, what, .. } => CheckpointError::Unverified { file, what },
            error => error.into(),
        })
    }

    /// Makes the checkpoint at the end of the finished segments; none if there is one already.
    ///
    /// # Errors
    /// [`CheckpointError`]. The earlier checkpoints are still there.
    pub(in crate::engine) fn make(&self, finished: &Finished) -> Result<Option<Made>, CheckpointError> {
        self.try_to_make(finished).map_err(|error| if self.is_cancelled() { CheckpointError::Cancelled } else { error })
    }

    fn try_to_make(&self, finished: &Finished) -> Result<Option<Made>, CheckpointError> {
        let Ground { bank, header: base, survey } = self.ground(finished)?;
        let lsn = Lsn(finished.end.next_lsn.0.saturating_sub(1));
        if bank.applied() == lsn {
            return Ok(None);
        }
        let entries = lsn.0.saturating_sub(bank.applied().0);
        let mut replay = Replay::new(bank);
        let from = base.as_ref().map(|base| &base.anchor);
        let anchor = survey.replay_to(&*self.disk, &self.dir, from, &finished.end, &mut |batch| {
            if self.is_cancelled() { Err("the store is being closed".to_owned()) } else { replay.batch(batch) }
        })?;
        let bank = replay.finish().map_err(CheckpointError::Damaged)?;
        if bank.outcome_digest() != finished.outcome_digest {
            let what = "the log on the disk has other outcomes up to entry";
            return Err(CheckpointError::Damaged(format!("{what} {lsn} than this process had when it executed it")));
        }
        log::debug!("writing the checkpoint at entry {lsn}");
        let header = self.write(&bank, anchor)?;
        // One bank at a time: free this one's memory for the one that is read back.
        drop(bank);
        log::debug!("reading the checkpoint at entry {lsn} back");
        self.verify(&header)?;
        self.remove_others(lsn, base.as_ref().map(Header::lsn));
        if let Some(base) = &base {
            self.upkeep.needs_from(base.anchor.end.position.segment);
        }
        Ok(Some(Made { lsn, entries, image_bytes: header.image.length }))
    }

    /// The newest usable checkpoint, or the log's beginning, and the segments from there.
    fn ground(&self, finished: &Finished) -> Result<Ground, CheckpointError> {
        let (disk, dir) = (&*self.disk, self.dir.as_path());
        let part = |first| SegmentScan::part(disk, dir, self.store, first, finished.end.position.segment);
        for lsn in list(disk, dir).map_err(CheckpointError::io("list", "the data directory"))? {
            let pass_over = |why: Unusable| log::warn!("the checkpoint {} is passed over: {why}", file::name(lsn));
            let header = match file::read_header(disk, dir, lsn, self.store) {
                Ok(header) => header,
                // An I/O error, such as a full descriptor table, says nothing about the contents.
                Err(Unusable::Io(source)) => return Err(CheckpointError::io("read", &file::name(lsn))(source)),
                Err(why) => {
                    pass_over(why);
                    continue;
                }
            };
            let end = &header.anchor.end;
            if end.batch_number > finished.end.batch_number || end.position > finished.end.position {
                continue;
            }
            let survey = part(end.position.segment)?;
            if survey.is_void(&header.anchor) {
                continue;
            }
            match file::load_unless(disk, dir, &header, &self.cancelled) {
                Ok(bank) => return Ok(Ground { bank, header: Some(header), survey }),
                Err(_) if self.is_cancelled() => return Err(CheckpointError::Cancelled),
                Err(Unusable::Io(source)) => return Err(CheckpointError::io("read", &file::name(lsn))(source)),
                Err(why) => pass_over(why),
            }
        }
        let mut bank = Bank::new();
        // Tables that grow fragment memory: the bank would take more than the running one.
        bank.reserve_accounts(self.accounts.load(Ordering::Relaxed));
        Ok(Ground { bank, header: None, survey: part(1)? })
    }

    /// Writes the file: temporary, synced, renamed, directory synced.
    fn write(&self, bank: &Bank, anchor: Anchor) -> Result<Header, CheckpointError> {
        let name = file::name(bank.applied());
        let temporary = format!("{name}.tmp");
        let path = self.dir.join(&temporary);
        let io = |call| CheckpointError::io(call, &temporary);
        // Leftovers of a failed attempt that could not be removed then.
        for leftover in self.disk.list(&self.dir).map_err(CheckpointError::io("list", "the data directory"))? {
            if leftover.ends_with(".ckpt.tmp") {
                self.disk.remove(&self.dir.join(&leftover)).map_err(CheckpointError::io("remove", &leftover))?;
            }
        }
        let written = self.fill(bank, anchor, &path).map_err(io("write")).and_then(|header| {
            self.clear(bank.applied(), &name)?;
            self.disk.rename_new(&path, &self.dir.join(&name)).map_err(io("rename"))?;
            Ok(header)
        });
        if written.is_err() {
            // Free the space, if possible: the next start removes what is left.
            let _ = self.disk.remove(&path);
            return written;
        }
        self.disk.sync_dir(&self.dir).map_err(CheckpointError::io("sync the directory of", &name))?;
        written
    }

    /// Removes an unusable checkpoint at the same entry, which would block the new one. Another store's stays.
    fn clear(&self, lsn: Lsn, name: &str) -> Result<(), CheckpointError> {
        let target = self.dir.join(name);
        if self.disk.exists(&target).map_err(CheckpointError::io("look for", name))?
            && !matches!(file::read_header(&*self.disk, &self.dir, lsn, self.store), Err(Unusable::Foreign(_) | Unusable::Io(_)))
        {
            self.disk.remove(&target).map_err(CheckpointError::io("remove", name))?;
        }
        Ok(())
    }

    fn fill(&self, bank: &Bank, anchor: Anchor, path: &Path) -> io::Result<Header> {
        let mut image = ImageFile::new(self.disk.create(path)?, &self.cancelled);
        let digest = image.write_image(bank)?;
        let (outcome_digest, lineage) = (bank.outcome_digest(), bank.lineage());
        let header = Header { store: self.store, anchor, outcome_digest, lineage, image: digest };
        image.finish(&header)?;
        Ok(header)
    }

    /// Reads the file back as a start does.
    fn verify(&self, header: &Header) -> Result<(), CheckpointError> {
        let read = file::read_header(&*self.disk, &self.dir, header.lsn(), self.store).and_then(|found| {
            if found != *header {
                return Err(Unusable::Damaged("its header is not the one that was written"));
            }
            file::load_unless(&*self.disk, &self.dir, header, &self.cancelled)
        });
        let Err(why) = read else { return Ok(()) };
        let file = file::name(header.lsn());
        if !self.is_cancelled() {
            // A start would skip it; remove it, so that there is nothing to skip.
            let _ = self.disk.remove(&self.dir.join(&file));
        }
        Err(CheckpointError::Unverified { file, what: why.to_string() })
    }

    /// Removes every checkpoint of this store but the new one and the one that it was built on. A file that cannot be
    /// removed does no harm; the next checkpoint removes it.
    fn remove_others(&self, new: Lsn, base: Option<Lsn>) {
        let removed = list(&*self.disk, &self.dir).and_then(|all| {
            for lsn in all.into_iter().filter(|lsn| *lsn != new && Some(*lsn) != base) {
                let found = file::read_header(&*self.disk, &self.dir, lsn, self.store);
                if !matches!(found, Err(Unusable::Foreign(_) | Unusable::Io(_))) {
                    self.disk.remove(&self.dir.join(file::name(lsn)))?;
                }
            }
            self.disk.sync_dir(&self.dir)
        });
        if let Err(error) = removed {
            log::warn!("older checkpoints stay behind: {error}");
        }
    }

    fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }
}
