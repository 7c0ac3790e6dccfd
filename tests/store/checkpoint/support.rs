//! A store on a simulated disk, with a teller who moves money in it, and its checkpoint files.

use std::path::{Path, PathBuf};

use bankd::bank::{Applied, Bank};
use bankd::engine::{self, Admission, Engine, NewRecord, NewStore, StoreEnv, StoreError};
use bankd::env::Disk;
use bankd::env::sim::{Random, SimDisk};
use bankd::model::amount::Amount;
use bankd::model::command::Command;
use bankd::model::secret::Secret;
use bankd::model::types::{AccountId, Lsn, Owner, RequestNumber, TellerId};
use bankd::wal::{Preparer, SegmentSizes};

use crate::support::sim::{self, KEY, STORE};

pub const TELLER: Owner = Owner::Teller(TellerId(0));
pub const ACCOUNTS: u32 = 20;

pub fn dir() -> &'static Path {
    Path::new(STORE)
}

pub fn file(name: &str) -> PathBuf {
    dir().join(name)
}

pub fn segment(sequence: u64) -> PathBuf {
    file(&bankd::wal::file_name(sequence))
}

pub fn env(disk: &SimDisk, seed: u64, preparer: Preparer) -> StoreEnv {
    StoreEnv { preparer, ..sim::env(disk, seed) }
}

/// A store with small segments on a fresh disk.
pub fn new_store(seed: u64) -> SimDisk {
    let disk = SimDisk::new();
    let secret = || Secret::new("123456".to_owned());
    let accounts =
        (0..ACCOUNTS).map(|index| NewRecord::Account { name: format!("account {index}").into(), pin: secret(), balance: Amount::ZERO });
    let records = accounts.chain([NewRecord::Teller { name: "load".into(), token: secret() }]);
    let new = NewStore { decimals: 0, segments: SegmentSizes { first: 64 << 10, max: 64 << 10 } };
    engine::create(&sim::env(&disk, seed), dir(), Path::new(KEY), new, records.map(Ok::<_, String>)).unwrap();
    disk
}

pub fn try_open(disk: &SimDisk, seed: u64) -> Result<Engine, StoreError> {
    engine::open(&sim::env(disk, seed), dir(), Path::new(KEY))
}

pub fn open(disk: &SimDisk) -> Engine {
    try_open(disk, disk.operations()).unwrap_or_else(|error| panic!("refused: {error}"))
}

/// A teller's session, and what was asked in it.
pub struct Load {
    pub session: Lsn,
    number: u64,
    random: Random,
}

impl Load {
    pub fn begin(engine: &mut Engine, seed: u64) -> Self {
        Self::try_begin(engine, seed).unwrap()
    }

    /// Opens a session, unless the log fails.
    pub fn try_begin(engine: &mut Engine, seed: u64) -> Option<Self> {
        assert!(matches!(engine.submit_open(TELLER, &|_| false), Ok(Admission::Logged)));
        engine.commit().ok()?;
        let (session, applied) = engine.apply_next().unwrap();
        assert_eq!(applied, Applied::SessionOpened);
        Some(Self { session, number: 0, random: Random::new(seed) })
    }

    /// One batch of a few commands; none if the log fails.
    pub fn turn(&mut self, engine: &mut Engine) -> Option<()> {
        let count = 1 + self.random.below(4);
        let first = self.number + 1;
        for number in first..first + count {
            let account = AccountId(self.random.below(u64::from(ACCOUNTS)) as u32);
            let to = AccountId((account.0 + 1) % ACCOUNTS);
            let amount = Amount::new(1 + self.random.below(500)).unwrap();
            let command = match self.random.below(3) {
                0 => Command::Withdraw { account, amount },
                1 => Command::Transfer { from: account, to, amount },
                _ => Command::Deposit { account, amount },
            };
            let acked = RequestNumber(first.saturating_sub(self.random.below(3)).max(1));
            let logged = engine.submit_request(TELLER, self.session, RequestNumber(number), acked, command);
            assert!(matches!(logged, Ok(Admission::Logged)), "{logged:?}");
        }
        engine.commit().ok()?;
        for _ in 0..count {
            engine.apply_next().unwrap();
        }
        self.number += count;
        Some(())
    }

    pub fn turns(&mut self, engine: &mut Engine, count: u64) {
        (0..count).for_each(|_| self.turn(engine).unwrap());
    }
}

/// The bank that a start loads from the store, through its checkpoints.
pub fn bank(disk: &SimDisk) -> Bank {
    open(&disk.snapshot()).bank().clone()
}

/// The bank that a start replays from the log alone.
pub fn bank_without(disk: &SimDisk) -> Bank {
    let copy = disk.snapshot();
    for name in checkpoints(&copy) {
        copy.remove(&file(&name)).unwrap();
    }
    bank(&copy)
}

/// The names of the checkpoints, oldest first.
pub fn checkpoints(disk: &SimDisk) -> Vec<String> {
    disk.list(dir()).unwrap().into_iter().filter(|name| name.ends_with(".ckpt")).collect()
}

/// A store with two checkpoints and more log behind each, sealed or not.
pub fn two_checkpoints(seed: u64) -> SimDisk {
    let disk = new_store(seed);
    let mut engine = open(&disk);
    let mut load = Load::begin(&mut engine, seed);
    for _ in 0..2 {
        load.turns(&mut engine, 40);
        engine.checkpoint_now().unwrap().unwrap();
        load.turns(&mut engine, 20);
    }
    engine.seal().unwrap();
    drop(engine);
    assert_eq!(checkpoints(&disk).len(), 2);
    disk
}
