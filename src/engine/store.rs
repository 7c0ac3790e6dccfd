//! Creating a store and opening one: the lock, the key, the marker, the genesis batches, recovery.
//!
//! Order of creation: lock, key file, marker `CREATING`, the log with everything that the store begins with, the
//! manifest, marker removed. A store exists once its manifest does; a marker without one means: begin afresh.
//! Left out: what the log's files look like (`wal/`), where accounts come from (`cli/`).

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{io, process};

use super::admission::Staged;
use super::checkpoint::{Base, Checkpoints, Maker};
use super::clock::{BankClock, Jump};
use super::error::StoreError;
use super::judge::{self, Judged, Present};
use super::snapshot_marker::{Marker, SNAPSHOT};
use super::upkeep::Keeping;
use super::watch::{Unwatched, Watch};
use super::{Engine, key_file, lineage, new_tag};
use crate::bank::auth::credential::{Key, Party};
use crate::bank::{self, Bank};
use crate::env::{Clock, Disk, Entropy, Gentle, Lock};
use crate::model::amount::Amount;
use crate::model::entry::{AccountOpen, Action, Entry, LineageCause, Origin, Setting, TellerAdd};
use crate::model::secret::Secret;
use crate::model::types::{Epoch, Lineage, Owner, StoreId};
use crate::wal::{self, Full, Log, Preparer, SegmentSizes};

pub(super) const LOCK: &str = "LOCK";
pub(super) const CREATING: &str = "CREATING";

/// The world that a store lives in.
#[derive(Clone)]
pub struct Env {
    /// Its files.
    pub disk: Arc<dyn Disk>,
    /// Its clocks.
    pub clock: Arc<dyn Clock>,
    /// Its random numbers.
    pub entropy: Arc<dyn Entropy>,
    /// Who makes segments: a thread ahead of need, or whoever needs one (simulations, creation).
    pub preparer: Preparer,
    /// What becomes of finished segments.
    pub keeping: Keeping,
    /// Who is told how far a long reading of it is.
    pub watch: Arc<dyn Watch>,
}

impl Env {
    /// This machine.
    #[must_use]
    pub fn os() -> Self {
        use crate::env::os;
        Self {
            disk: Arc::new(os::OsDisk),
            clock: Arc::new(os::OsClock::default()),
            entropy: Arc::new(os::OsEntropy),
            preparer: Preparer::Background,
            keeping: Keeping::default(),
            watch: Arc::new(Unwatched),
        }
    }

    /// The same world for whoever only looks at the store in `dir`: gently, if a daemon has it, whose commits go first.
    pub(super) fn beside(&self, dir: &Path) -> Result<Self, StoreError> {
        let mut env = self.anchored(dir)?;
        if env.holder(dir)?.is_some() {
            env.disk = Arc::new(Gentle(env.disk));
        }
        Ok(env)
    }

    /// The same world with `dir` held, if it is there: whatever becomes of its name, it stays the directory that it is now.
    pub(super) fn anchored(&self, dir: &Path) -> Result<Self, StoreError> {
        let mut env = self.clone();
        match self.disk.anchored(dir) {
            Ok(Some(disk)) => env.disk = disk,
            Ok(None) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(io_error("open", dir)(error)),
        }
        Ok(env)
    }

    /// Who has the lock of the store in `dir`, as he says himself.
    pub(super) fn holder(&self, dir: &Path) -> Result<Option<String>, StoreError> {
        let lock = dir.join(LOCK);
        self.disk.dir_holder(&lock).map_err(io_error("look at the lock", &lock))
    }
}

/// A store's directory, held for as long as this value lives.
#[derive(Clone)]
pub struct HeldDir {
    path: PathBuf,
    _disk: Arc<dyn Disk>,
}

impl HeldDir {
    /// A path by which this process's kernel finds it, whatever becomes of its name.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// How a new store is made.
#[derive(Clone, Copy, Debug)]
pub struct NewStore {
    /// Decimals of every amount, at most [`crate::model::amount::MAX_DECIMALS`].
    pub decimals: u8,
    /// How large its log's segments are.
    pub segments: SegmentSizes,
}

impl Default for NewStore {
    fn default() -> Self {
        let segments = SegmentSizes { first: Setting::SegmentFirst.default_value(), max: Setting::SegmentMax.default_value() };
        Self { decimals: 0, segments }
    }
}

/// What a new store begins with.
#[derive(Debug, PartialEq, Eq)]
pub enum NewRecord {
    /// An account.
    Account {
        /// Its name: valid, and no other account's.
        name: Box<str>,
        /// Its PIN.
        pin: Secret,
        /// Its opening balance.
        balance: Amount,
    },
    /// A teller.
    Teller {
        /// Its name.
        name: Box<str>,
        /// Its token.
        token: Secret,
    },
}

/// What was made.
#[derive(Clone, Copy, Debug)]
pub struct Created {
    /// The store's id.
    pub store: StoreId,
    /// How many accounts it begins with.
    pub accounts: u32,
    /// How many entries its log begins with.
    pub entries: u64,
}

/// Makes a store in `dir`, which must be empty or not there yet, and the key file, unless there is one.
///
/// # Errors
/// [`StoreError`]; what was made until then is no store, and another try begins afresh.
pub fn create<E: ToString>(
    env: &Env,
    dir: &Path,
    key_file: &Path,
    new: NewStore,
    records: impl Iterator<Item = Result<NewRecord, E>>,
) -> Result<Created, StoreError> {
    make_dir(env, dir)?;
    let env = &env.anchored(dir)?;
    let _lock = take_lock(env, dir)?;
    clear_leftovers(env, dir)?;
    let key_exists = env.disk.exists(key_file).map_err(io_error("look for", key_file))?;
    let key = if key_exists { key_file::load(env, key_file)? } else { key_file::make(env, key_file)? };

    let marker = dir.join(CREATING);
    let file = env.disk.create(&marker).map_err(io_error("create", &marker))?;
    file.sync().map_err(io_error("sync", &marker))?;
    env.disk.sync_dir(dir).map_err(io_error("sync", dir))?;

    let mut random = [0; 32];
    env.entropy.fill(&mut random).map_err(io_error("draw random numbers for", dir))?;
    let ([lineage, incarnation], store) = split_random(random);
    let mut genesis = Genesis::start(env, dir, store, new.segments, incarnation)?;
    genesis.put(Action::Genesis { decimals: new.decimals, key_check: key.check_value(&store) })?;
    genesis.put(Action::Lineage { lineage: Lineage(lineage), cause: LineageCause::Created })?;
    for (setting, value) in [(Setting::SegmentFirst, new.segments.first), (Setting::SegmentMax, new.segments.max)] {
        if value != setting.default_value() {
            genesis.put(Action::Setting { setting, value })?;
        }
    }
    for record in records {
        let record = record.map_err(|error| StoreError::Records(error.to_string()))?;
        genesis.put(action_of(env, &key, record)?)?;
    }
    let created = genesis.finish()?;

    env.disk.remove(&marker).map_err(io_error("remove", &marker))?;
    env.disk.sync_dir(dir).map_err(io_error("sync", dir))?;
    Ok(created)
}

/// Opens the store in `dir`: takes its lock, replays its log, checks its key, and starts a new incarnation.
///
/// # Errors
/// [`StoreError`]; nothing was written then but the lock file's text.
pub fn open(env: &Env, dir: &Path, key_file: &Path) -> Result<Engine, StoreError> {
    let env = &env.anchored(dir)?;
    let Present { is_creating } = judge::look_for_store(env, dir)?;
    let lock = take_lock(env, dir)?;
    let Judged { mut bank, recovered, snapshot, image_bytes, summary, .. } = judge::judge(env, &*env.disk, dir)?;
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
        // The last start of its creation ended between the manifest and the marker's removal.
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
    let mut log = Log::start(env.disk.clone(), dir, recovered, sizes, incarnation, env.preparer)?;
    if let Some(marker) = snapshot {
        begin_as_copy(env, dir, &mut log, &mut bank, &clock, &marker)?;
    }
    let base = Base { covered: 0, image_bytes, segment_max: sizes.max };
    let checkpoints = Checkpoints::start(Maker::new(env.disk.clone(), dir, store, env.keeping), base, env.preparer)
        .map_err(io_error("start a thread for the checkpoints of", dir))?;
    Ok(Engine {
        bank,
        log,
        key,
        batch_time: clock.now(),
        clock,
        store,
        entropy: env.entropy.clone(),
        batch: super::pending::Pending::default(),
        staged: Staged::default(),
        start: Some(Epoch(incarnation)),
        checkpoints,
        held_dir: env.disk.by_handle(dir).map(|path| HeldDir { path, _disk: env.disk.clone() }),
        _lock: lock,
    })
}

/// The first start from a snapshot: the store that it is a copy of may still be running, so the sessions end here, and
/// no answer of the one is taken for an answer of the other.
fn begin_as_copy(env: &Env, dir: &Path, log: &mut Log, bank: &mut Bank, clock: &BankClock, marker: &Marker) -> Result<(), StoreError> {
    let mut random = [0; 8];
    env.entropy.fill(&mut random).map_err(io_error("draw random numbers for", dir))?;
    let drawn = Lineage(u64::from_le_bytes(random));
    lineage::draw(log, bank, clock, drawn, LineageCause::SnapshotStarted)?;
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

/// The log of a store in the making.
struct Genesis {
    log: Log,
    bank: Bank,
    clock: BankClock,
    /// What the open batch holds, to be applied when it is full: the digest in its header covers what came before it.
    batch: Vec<Entry>,
    store: StoreId,
}

impl Genesis {
    fn start(env: &Env, dir: &Path, store: StoreId, sizes: SegmentSizes, incarnation: u64) -> Result<Self, StoreError> {
        let log = Log::create(env.disk.clone(), dir, store, sizes, incarnation, Preparer::Inline)?;
        let (clock, _) = BankClock::start(env.clock.clone(), crate::model::types::BankTime(0));
        Ok(Self { log, bank: Bank::new(), clock, batch: Vec::new(), store })
    }

    fn put(&mut self, action: Action) -> Result<(), StoreError> {
        let entry = Entry { owner: Owner::Nobody, origin: Origin::None, action };
        match self.log.append(|out| entry.encode_into(out)) {
            Ok(_) => {}
            Err(Full::Batch) => {
                self.commit()?;
                self.log.append(|out| entry.encode_into(out)).map_err(no_space)?;
            }
            Err(full @ Full::NoSpace) => return Err(no_space(full)),
        }
        self.batch.push(entry);
        Ok(())
    }

    fn commit(&mut self) -> Result<(), StoreError> {
        let time = self.clock.now();
        self.log.commit(time, self.bank.outcome_digest())?;
        for entry in self.batch.drain(..) {
            let lsn = self.bank.applied().next();
            match bank::apply(&mut self.bank, lsn, &entry, time) {
                Ok(bank::Applied::Refused(refused)) => {
                    return Err(StoreError::Records(format!("the new store's own entries are refused: {refused:?}")));
                }
                Ok(_) => {}
                Err(error) => return Err(StoreError::Records(error.to_string())),
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Created, StoreError> {
        self.commit()?;
        self.log.commit(self.clock.now(), self.bank.outcome_digest())?;
        self.log.publish()?;
        self.log.close()?;
        Ok(Created { store: self.store, accounts: self.bank.account_count(), entries: self.bank.applied().0 })
    }
}

fn no_space(_: Full) -> StoreError {
    StoreError::Records("the disk has no room for the new store".to_owned())
}

fn action_of(env: &Env, key: &Key, record: NewRecord) -> Result<Action, StoreError> {
    let tag = |party, name: &str, secret: &Secret| {
        new_tag(key, &*env.entropy, party, name, secret).map_err(io_error("draw random numbers for", Path::new(name)))
    };
    Ok(match record {
        NewRecord::Account { name, pin, balance } => {
            let pin = tag(Party::Customer, &name, &pin)?;
            Action::AccountOpen(Box::new(AccountOpen { name, pin, balance }))
        }
        NewRecord::Teller { name, token } => {
            let token = tag(Party::Teller, &name, &token)?;
            Action::TellerAdd(Box::new(TellerAdd { name, token }))
        }
    })
}

fn split_random(random: [u8; 32]) -> ([u64; 2], StoreId) {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, rest @ ..] = random;
    ([u64::from_le_bytes([a, b, c, d, e, f, g, h]), u64::from_le_bytes([i, j, k, l, m, n, o, p])], StoreId(rest))
}

pub(super) fn take_lock(env: &Env, dir: &Path) -> Result<Box<dyn Send>, StoreError> {
    let path = dir.join(LOCK);
    match env.disk.lock_dir(&path, &format!("process {}", process::id())).map_err(io_error("lock", &path))? {
        Lock::Held(lock) => Ok(lock),
        Lock::Taken { holder } => Err(StoreError::InUse { dir: dir.to_owned(), holder }),
    }
}

/// Makes `dir` and what is missing above it, each name synced.
pub(super) fn make_dir(env: &Env, dir: &Path) -> Result<(), StoreError> {
    let mut missing = Vec::new();
    for path in dir.ancestors().filter(|path| path.parent().is_some()) {
        if env.disk.exists(path).map_err(io_error("look at", path))? {
            break;
        }
        missing.push(path);
    }
    for path in missing.into_iter().rev() {
        env.disk.create_dir(path).map_err(io_error("create", path))?;
        sync_parent(env, path)?;
    }
    Ok(())
}

/// A marker without a manifest is a creation that did not end: its files go. Anything else is not ours.
fn clear_leftovers(env: &Env, dir: &Path) -> Result<(), StoreError> {
    let names = env.disk.list(dir).map_err(io_error("list", dir))?;
    let creating = names.iter().any(|name| name == CREATING) && names.iter().all(|name| name != wal::MANIFEST);
    let ours = |name: &str| name == CREATING || name.ends_with(".seg") || name.ends_with(".tmp");
    if let Some(found) = names.iter().find(|name| *name != LOCK && !(creating && ours(name))) {
        return Err(StoreError::NotEmpty { dir: dir.to_owned(), found: found.clone() });
    }
    if creating {
        // The marker goes last, so that a crash in between leaves it to be found again.
        wal::discard_unpublished(&*env.disk, dir)?;
        let marker = dir.join(CREATING);
        env.disk.remove(&marker).map_err(io_error("remove", &marker))?;
        env.disk.sync_dir(dir).map_err(io_error("sync", dir))?;
    }
    Ok(())
}

/// Makes the name of `path` durable.
pub fn sync_parent(env: &Env, path: &Path) -> Result<(), StoreError> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    env.disk.sync_dir(parent).map_err(io_error("sync", parent))
}

/// Names the call and the path of an I/O error.
pub fn io_error(call: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError + use<> {
    let path: PathBuf = path.to_owned();
    move |source| StoreError::Io { call, path, source }
}
