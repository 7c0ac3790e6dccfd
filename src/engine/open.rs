//! Opens a store: takes its lock, replays its log, checks its key, and starts a new incarnation of the log.
//!
//! Left out: whether the store is sound (`inspect/judge.rs`), reading the log (`wal/`).

use std::path::Path;

use super::checkpoint::{Base, CheckpointMaker, Checkpoints};
use super::clock::{BankClock, Jump};
use super::error::StoreError;
use super::store_dir::{CREATING, HeldDir, StoreEnv, io_error, take_lock};
use super::{Engine, LocalLog, key_file};
use crate::bank::Bank;
use crate::engine::inspect::judge;
use crate::engine::inspect::judge::{Judged, Present};
use crate::engine::new_lineage;
use crate::engine::snapshot::marker::{Marker, SNAPSHOT};
use crate::engine::staging::Staging;
use crate::engine::statements::Statements;

use crate::model::entry::{LineageCause, Setting};
use crate::model::types::{Epoch, Lineage};
use crate::wal::{Log, Preparer, SegmentSizes};

/// Opens the store in `dir`: takes its lock, replays its log, checks its key, and starts a new incarnation.
///
/// # Errors
/// [`StoreError`]. If the store or the key is refused, only the lock file's text was written.
pub fn open(env: &StoreEnv, dir: &Path, key_file: &Path) -> Result<Engine, StoreError> {
    let env = &env.anchored(dir)?;
    let Present { is_creating } = judge::look_for_store(env, dir)?;
    let lock = take_lock(env, dir)?;
    let Judged { mut bank, notes, recovered, snapshot, from, image_bytes, summary } = judge::judge(env, &*env.disk, dir)?;
    if let Some(torn) = &recovered.torn {
        log::warn!("{torn}");
    }
    log::info!("recovered {}: {summary}", dir.display());

    let key = key_file::load(env, key_file)?;
    if bank.key_check() != Some(&key.check_value(&recovered.store)) {
        return Err(StoreError::Key {
            path: key_file.to_owned(),
            problem: "is not this store's; name the right one with --key-file".to_owned(),
        });
    }
    if is_creating {
        // The store's creation ended between the manifest and the marker's removal.
        let marker = dir.join(CREATING);
        env.disk.remove(&marker).map_err(io_error("remove", &marker))?;
        env.disk.sync_dir(dir).map_err(io_error("sync", dir))?;
    }
    let (clock, jump) = BankClock::start(env.clock.clone(), recovered.end.bank_time);
    match jump {
        Some(Jump::Ahead(by)) => log::warn!("the clock stands {} hours after the last entry", by.as_secs() / 3600),
        Some(Jump::Back(by)) => {
            log::warn!("the clock stands {} hours before the last entry; bank time goes on from there", by.as_secs() / 3600)
        }
        None => {}
    }
    let mut random = [0; 8];
    env.entropy.fill(&mut random).map_err(io_error("draw random numbers for", dir))?;
    let store = recovered.store;
    let sizes = SegmentSizes { first: bank.setting(Setting::SegmentFirst), max: bank.setting(Setting::SegmentMax) };
    let incarnation = u64::from_le_bytes(random);
    let (from, end) = (judge::lsn_before(from.as_ref()), recovered.end);
    let mut log = Log::start(env.disk.clone(), dir, recovered, sizes, incarnation, env.preparer)?;
    if let Some(marker) = snapshot {
        begin_as_copy(env, dir, &mut log, &mut bank, &clock, &marker)?;
    }
    let base = Base { covered: 0, image_bytes, segment_max: sizes.max };
    let checkpoints = Checkpoints::start(CheckpointMaker::new(env.disk.clone(), dir, store, env.keeping), base, env.preparer)
        .map_err(io_error("start a thread for the checkpoints of", dir))?;
    let statements = match env.preparer {
        Preparer::Inline => None,
        Preparer::Background => {
            Some(Statements::start(env, dir, store, from, end, notes).map_err(io_error("start a thread for the statements of", dir))?)
        }
    };
    Ok(Engine {
        bank,
        log: LocalLog::new(log, env.disk.clone(), dir),
        key,
        batch_time: clock.now(),
        clock,
        store,
        entropy: env.entropy.clone(),
        batch: super::batch_entries::BatchEntries::default(),
        staged: Staging::default(),
        start: Some(Epoch(incarnation)),
        checkpoints,
        statements,
        held_dir: HeldDir::of(&env.disk, dir),
        _lock: lock,
    })
}

/// The first start from a snapshot. The store that it is a copy of may still be running, so the sessions end here: no
/// answer of one store is taken for the other's.
fn begin_as_copy(env: &StoreEnv, dir: &Path, log: &mut Log, bank: &mut Bank, clock: &BankClock, marker: &Marker) -> Result<(), StoreError> {
    let mut random = [0; 8];
    env.entropy.fill(&mut random).map_err(io_error("draw random numbers for", dir))?;
    let drawn = Lineage(u64::from_le_bytes(random));
    new_lineage::draw(log, bank, clock, drawn, LineageCause::SnapshotStarted)?;
    log::warn!(
        "{} is a snapshot of the store {}, up to entry {}: it goes on as a bank of its own, with the new lineage {drawn}; earlier sessions have ended",
        dir.display(),
        marker.store,
        marker.lsn()
    );
    let path = dir.join(SNAPSHOT);
    env.disk.remove(&path).map_err(io_error("remove", &path))?;
    env.disk.sync_dir(dir).map_err(io_error("sync", dir))
}
