//! Repairs a store whose log is damaged behind a good part: copies the tail, then makes it void.
//!
//! Order: lock; read everything; copy every segment of the tail, with a list of the dropped requests, into a directory
//! beside the store, synced and read back; then one batch in a fresh segment, whose voucher makes the tail void and
//! whose entry draws a new lineage, and a seal behind it. Until that batch is durable the store is refused as before,
//! afterwards it is sound. No byte of the log is overwritten; damaged files without data of their own are made anew
//! last.
//! Left out: finding the good part (`wal/`), asking the operator (`cli/`).

pub(super) mod mend;

use std::fmt::Write;
use std::path::{Path, PathBuf};

use super::checkpoint;
use super::clock::BankClock;
use super::copy::{CHUNK, copy};
use super::error::StoreError;
use super::replay::Replay;
use super::store_dir::{StoreEnv, io_error, sync_parent};
use crate::bank::{Bank, Epochs};
use crate::engine::new_lineage;
use crate::engine::progress::LogWatch;
use crate::engine::snapshot::marker::Marker;
use crate::env::Disk;
use crate::model::command::Command;
use crate::model::entry::{Action, Entry, LineageCause, Origin, Setting};
use crate::model::invariant::to_len;
use crate::model::types::{Epoch, Lineage, Lsn, RequestId};
use crate::wal::{Batch, Diagnosis, DroppedBatch, Fix, Known, Log, Position, SegmentScan, SegmentSizes, Tail, WalError, diagnose};

/// The list of what was dropped, beside the copies. Written last: if it is there, the copies are whole.
const LIST: &str = "DROPPED";

/// A numbered request that the repair drops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DroppedRequest {
    /// Its id.
    pub request: RequestId,
    /// Its command; none for a cancellation.
    pub command: Option<Command>,
    /// The position of its batch.
    pub position: Position,
    /// Whether that batch is whole: then the request was executed, and probably answered.
    pub is_whole: bool,
}

/// A repair that is ready to be applied. The store stays locked until it is dropped.
pub struct Repair {
    env: StoreEnv,
    dir: PathBuf,
    bank: Bank,
    tail: Box<Tail>,
    requests: Vec<DroppedRequest>,
    /// Batches in the tail that can be read, at least in part.
    batches: u64,
    /// Entries of those.
    entries: u64,
    /// Files without which the log cannot even be opened. They are made anew after the repair is durable: until both
    /// are done, the store is refused.
    fixes: Vec<Fix>,
    _lock: Box<dyn Send>,
}

/// The result of a repair.
#[derive(Clone, Debug)]
pub struct Repaired {
    /// The directory of the copies.
    pub copies: PathBuf,
    /// The new lineage.
    pub lineage: Lineage,
    /// Its entry.
    pub lsn: Lsn,
}

/// The good part of a log, and the tail that a repair drops.
pub(super) struct Found {
    bank: Bank,
    tail: Box<Tail>,
    dropped: Vec<Dropped>,
    batches: u64,
    entries: u64,
}

/// Finds the good part of a log that a start refuses, read from the newest possible base; none if there is no such
/// part. The inner `Err` says why no repair may drop the tail. `disk` shows the store with the fixes done; `lost` names
/// what they replaced.
pub(super) fn find_good_part(
    env: &StoreEnv,
    disk: &dyn Disk,
    dir: &Path,
    lost: Option<&str>,
) -> Result<Option<Result<Found, String>>, StoreError> {
    let survey = SegmentScan::read(disk, dir)?;
    let known = checkpoint::known_ends(disk, dir, &survey)?;
    let known: Vec<Known> =
        known.into_iter().chain(Marker::read(disk, dir).ok().flatten().and_then(|marker| marker.known(survey.store()).ok())).collect();
    let mut failed = None;
    let found = checkpoint::each_start(disk, dir, &survey, &*env.watch, &mut |start| {
        let mut state = Replay::new(start.bank);
        let mut refused = None;
        let (mut dropped, mut batches, mut entries) = (Vec::new(), 0_u64, 0_u64);
        let mut told = LogWatch::new(&env.watch, survey.extent(start.anchor.as_ref()));
        let mut replay = |batch: &Batch<'_>| {
            told.batch(batch);
            state.batch(batch).inspect_err(|what| refused = Some(what.clone()))
        };
        let lost = lost.map(|what| WalError::Damaged { file: "the log".to_owned(), offset: 0, last_good: None, what: what.to_owned() });
        let diagnosis = diagnose(disk, dir, (start.anchor.as_ref(), &known), lost, &mut replay, &mut |batch| {
            batches = batches.saturating_add(1);
            entries = batch.records.iter().fold(entries, |entries, record| entries.saturating_add(u64::from(record.count)));
            dropped.extend(requests_in(batch));
        });
        if let Some(what) = refused {
            let why = "its bytes are sound, so there is nothing that a repair may drop; use the version of bankd that wrote it";
            return Some(Err(format!("{}: {why}", diagnosis.err().map_or(what, |error| error.to_string()))));
        }
        match diagnosis {
            Ok(Diagnosis::Damaged(tail)) if state.bank.check_conservation().is_ok() => {
                Some(Ok(Found { bank: state.bank, tail, dropped, batches, entries }))
            }
            Err(error @ WalError::Io { .. }) => {
                failed = Some(error);
                None
            }
            _ => None,
        }
    })?;
    // An I/O error says nothing about the log.
    failed.filter(|_| found.is_none()).map_or(Ok(found), |error| Err(error.into()))
}

impl Found {
    /// The tail behind the good part, and its end.
    pub(super) fn tail(&self) -> &Tail {
        &self.tail
    }
}

impl Repair {
    /// The repair that drops the tail, and applies `fixes`.
    pub(super) fn new(env: &StoreEnv, dir: &Path, found: Found, fixes: Vec<Fix>, lock: Box<dyn Send>) -> Self {
        let Found { bank, tail, dropped, batches, entries } = found;
        let requests = in_epochs(bank.epochs().clone(), dropped);
        Self { env: env.clone(), dir: dir.to_owned(), bank, tail, requests, batches, entries, fixes, _lock: lock }
    }

    /// The files that are made anew by it.
    #[must_use]
    pub fn fixes(&self) -> &[Fix] {
        &self.fixes
    }
}

impl Repair {
    /// The damage, and the end of the good part.
    #[must_use]
    pub const fn tail(&self) -> &Tail {
        &self.tail
    }

    /// The numbered requests that the repair drops, as far as they can be read.
    #[must_use]
    pub fn requests(&self) -> &[DroppedRequest] {
        &self.requests
    }

    /// How many batches and entries the repair drops, as far as they can be read.
    #[must_use]
    pub const fn counts(&self) -> (u64, u64) {
        (self.batches, self.entries)
    }

    /// Decimals of every amount.
    #[must_use]
    pub fn decimals(&self) -> u8 {
        self.bank.decimals()
    }

    /// The number of the first dropped batch.
    #[must_use]
    pub const fn first_dropped(&self) -> u64 {
        self.tail.end.batch_number.saturating_add(1)
    }

    /// Applies the repair. `list` is stored with the copies.
    ///
    /// # Errors
    /// [`StoreError`]; the store is then damaged as before, or repaired, never in between.
    pub fn apply(self, list: &str) -> Result<Repaired, StoreError> {
        let copies = self.copy(list)?;
        let (mut lineage, mut incarnation) = ([0; 8], [0; 8]);
        for drawn in [&mut lineage, &mut incarnation] {
            self.env.entropy.fill(drawn).map_err(io_error("draw random numbers for", &self.dir))?;
        }
        let (drawn, incarnation) = (Lineage(u64::from_le_bytes(lineage)), u64::from_le_bytes(incarnation));
        let Self { env, dir, mut bank, tail, fixes, .. } = self;
        let sizes = SegmentSizes { first: bank.setting(Setting::SegmentFirst), max: bank.setting(Setting::SegmentMax) };
        let mut log = Log::repair(env.disk.clone(), &dir, &tail, sizes, incarnation)?;
        let (clock, _) = BankClock::start(env.clock.clone(), tail.end.bank_time);
        let lsn = new_lineage::draw(&mut log, &mut bank, &clock, drawn, LineageCause::Repaired)?;
        fixes.iter().try_for_each(|fix| mend::make(&env, &dir, &copies, fix))?;
        Ok(Repaired { copies, lineage: drawn, lsn })
    }

    /// Copies every segment of the tail, then the list, all durable.
    fn copy(&self, list: &str) -> Result<PathBuf, StoreError> {
        let disk = &*self.env.disk;
        let copies = free_name(&self.env, &self.dir)?;
        disk.create_dir(&copies).map_err(io_error("create", &copies))?;
        sync_parent(&self.env, &copies)?;
        for (position, _) in &self.tail.parts {
            let name = crate::wal::kept_in(disk, &self.dir, position.segment)?;
            copy_file(disk, &self.dir.join(&name), &copies.join(&name))?;
        }
        disk.sync_dir(&copies).map_err(io_error("sync", &copies))?;
        let path = copies.join(LIST);
        let file = disk.create(&path).map_err(io_error("create", &path))?;
        file.write_all_at(self.heading(list).as_bytes(), 0).map_err(io_error("write", &path))?;
        file.sync().map_err(io_error("sync", &path))?;
        disk.sync_dir(&copies).map_err(io_error("sync", &copies))?;
        Ok(copies)
    }

    fn heading(&self, list: &str) -> String {
        let mut text = format!("{}\n", self.tail.why);
        for (position, bytes) in &self.tail.parts {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "dropped: {bytes} bytes from {position}");
        }
        text + list
    }
}

/// Copies a file durably, and compares the copy with the original.
pub(super) fn copy_file(disk: &dyn Disk, from: &Path, to: &Path) -> Result<(), StoreError> {
    let source = disk.open_read(from).map_err(io_error("open", from))?;
    let length = source.len().map_err(io_error("measure", from))?;
    let target = copy(disk, source.as_ref(), from, to, length, length)?;
    let (mut buffer, mut again) = (Vec::new(), Vec::new());
    let mut offset = 0;
    while offset < length {
        let count = to_len(CHUNK.min(length - offset));
        buffer.resize(count, 0);
        again.resize(count, 0);
        source.read_exact_at(&mut buffer, offset).map_err(io_error("read", from))?;
        target.read_exact_at(&mut again, offset).map_err(io_error("read", to))?;
        if buffer != again {
            return Err(StoreError::CannotRepair(format!("the copy {} does not read back; nothing was changed", to.display())));
        }
        offset = offset.saturating_add(CHUNK);
    }
    Ok(())
}

/// The first unused name of `DIR.repair-1`, `DIR.repair-2` ...
pub(super) fn free_name(env: &StoreEnv, dir: &Path) -> Result<PathBuf, StoreError> {
    let mut number = 0_u32;
    loop {
        number = number.saturating_add(1);
        let mut name = dir.as_os_str().to_owned();
        name.push(format!(".repair-{number}"));
        let path = PathBuf::from(name);
        if !env.disk.exists(&path).map_err(io_error("look for", &path))? {
            return Ok(path);
        }
    }
}

/// A part of a dropped batch: a request, with the epochs known there, or a new lineage or start.
enum Dropped {
    Request(Origin, Option<Command>, Position, bool),
    Lineage(Lineage),
    Start(Lsn, Epoch),
}

fn requests_in(batch: &DroppedBatch<'_>) -> Vec<Dropped> {
    let entries = batch.records.iter().flat_map(|record| {
        let entries = Entry::all(record.bytes, record.count).map_while(Result::ok);
        (record.first.0..).map(Lsn).zip(entries)
    });
    let dropped = entries.filter_map(|(lsn, entry)| match entry.action {
        Action::Request(command) => Some(Dropped::Request(entry.origin, Some(command), batch.position, batch.is_whole)),
        Action::Cancel => Some(Dropped::Request(entry.origin, None, batch.position, batch.is_whole)),
        Action::Lineage { lineage, .. } => Some(Dropped::Lineage(lineage)),
        Action::Start(epoch) => Some(Dropped::Start(lsn, epoch)),
        _ => None,
    });
    dropped.collect()
}

/// Resolves each request's id by the epochs that were known at its place, starting from `epochs`.
fn in_epochs(mut epochs: Epochs, found: Vec<Dropped>) -> Vec<DroppedRequest> {
    let requests = found.into_iter().filter_map(|dropped| match dropped {
        Dropped::Lineage(new) => {
            epochs.draw(new);
            None
        }
        Dropped::Start(lsn, epoch) => {
            // Damaged bytes may decode to any epoch: one that does not fit is ignored.
            epochs.start(lsn, epoch);
            None
        }
        Dropped::Request(Origin::Session { session, number, .. }, command, position, is_whole) => {
            let request = RequestId { session: epochs.session(session), number };
            Some(DroppedRequest { request, command, position, is_whole })
        }
        Dropped::Request(Origin::None, ..) => None,
    });
    requests.collect()
}
