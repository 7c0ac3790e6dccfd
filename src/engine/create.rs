//! Creates a store: lock, key file, marker `CREATING`, the log with all initial entries, the manifest, marker removed.
//! A store exists once its manifest does; a marker without a manifest means that creation must begin afresh.
//!
//! Left out: the layout of the log's files (`wal/`), the source of the accounts (`cli/`).

use std::path::Path;

use super::clock::BankClock;
use super::error::StoreError;
use super::key_file;
use super::store_dir::{CREATING, LOCK, StoreEnv, io_error, make_dir, take_lock};
use crate::bank::auth::credential::{Key, Party};
use crate::bank::{self, Bank};
use crate::model::amount::Amount;
use crate::model::entry::{AccountOpen, Action, Entry, LineageCause, Origin, Setting, TellerAdd};
use crate::model::secret::Secret;
use crate::model::types::{Lineage, Owner, StoreId};
use crate::wal::{self, Full, Log, Preparer, SegmentSizes};

/// The settings of a new store.
#[derive(Clone, Copy, Debug)]
pub struct NewStore {
    /// Decimals of every amount, at most [`crate::model::amount::MAX_DECIMALS`].
    pub decimals: u8,
    /// The sizes of its log's segments.
    pub segments: SegmentSizes,
}

impl Default for NewStore {
    fn default() -> Self {
        let segments = SegmentSizes { first: Setting::SegmentFirst.default_value(), max: Setting::SegmentMax.default_value() };
        Self { decimals: 0, segments }
    }
}

/// An initial record of a new store.
#[derive(Debug, PartialEq, Eq)]
pub enum NewRecord {
    /// An account.
    Account {
        /// Its name: valid and unique.
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

/// The result of a creation.
#[derive(Clone, Copy, Debug)]
pub struct Created {
    /// The store's id.
    pub store: StoreId,
    /// How many accounts it begins with.
    pub accounts: u32,
    /// How many entries its log begins with.
    pub entries: u64,
}

/// Makes a store in `dir`, which must be empty or missing, and the key file, unless there is one.
///
/// # Errors
/// [`StoreError`]; the partial creation is not a store, and another try begins afresh.
pub fn create<E: ToString>(
    env: &StoreEnv,
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

/// The log of a store that is being created.
struct Genesis {
    log: Log,
    bank: Bank,
    clock: BankClock,
    /// The open batch's entries, applied when it is full: its header's digest covers the entries before it.
    batch: Vec<Entry>,
    store: StoreId,
}

impl Genesis {
    fn start(env: &StoreEnv, dir: &Path, store: StoreId, sizes: SegmentSizes, incarnation: u64) -> Result<Self, StoreError> {
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

fn action_of(env: &StoreEnv, key: &Key, record: NewRecord) -> Result<Action, StoreError> {
    let tag = |party, name: &str, secret: &Secret| {
        key_file::new_tag(key, &*env.entropy, party, name, secret).map_err(io_error("draw random numbers for", Path::new(name)))
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

/// Removes the files of a creation that did not end: a marker without a manifest. Any other file is an error.
fn clear_leftovers(env: &StoreEnv, dir: &Path) -> Result<(), StoreError> {
    let names = env.disk.list(dir).map_err(io_error("list", dir))?;
    let creating = names.iter().any(|name| name == CREATING) && names.iter().all(|name| name != wal::MANIFEST);
    let ours = |name: &str| name == CREATING || name.ends_with(".seg") || name.ends_with(".tmp");
    if let Some(found) = names.iter().find(|name| *name != LOCK && !(creating && ours(name))) {
        return Err(StoreError::NotEmpty { dir: dir.to_owned(), found: found.clone() });
    }
    if creating {
        // The marker goes last, so that after a crash in between it is still found.
        wal::discard_unpublished(&*env.disk, dir)?;
        let marker = dir.join(CREATING);
        env.disk.remove(&marker).map_err(io_error("remove", &marker))?;
        env.disk.sync_dir(dir).map_err(io_error("sync", dir))?;
    }
    Ok(())
}
