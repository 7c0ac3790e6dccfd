//! A bank on a simulated disk: its world, and customers who talk to it without sockets.
#![allow(dead_code)]

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bankd::engine::{self, Engine, NewRecord, NewStore, StoreEnv, StoreError};
use bankd::env::sim::{Random, SimDisk};
use bankd::env::{Clock, Entropy};
use bankd::model::amount::Amount;
use bankd::model::command::{Body, Command};
use bankd::model::secret::Secret;
use bankd::model::types::{AccountId, RequestNumber, SessionId};
use bankd::server::{Peer, Service};
use bankd::wal::{Preparer, SegmentSizes, file_name};
use bankd::wire::frame::{self, Front};
use bankd::wire::message::{Ask, Reply, Role, VERSION};

pub const CUSTOMERS: u32 = 3;
pub const OPENING: u64 = 1_000;
pub const BLOCK: usize = 4096;
pub const SMALL: SegmentSizes = SegmentSizes { first: 64 << 10, max: 64 << 10 };

pub fn dir() -> &'static Path {
    Path::new("/bank/store")
}

pub fn key() -> &'static Path {
    Path::new("/bank/key")
}

pub fn segment(sequence: u64) -> PathBuf {
    dir().join(file_name(sequence))
}

/// Time that advances by a millisecond at every look.
struct SimClock(AtomicU64);

impl Clock for SimClock {
    fn wall(&self) -> Duration {
        Duration::from_secs(1_800_000_000)
    }
    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.0.fetch_add(1, Ordering::Relaxed))
    }
}

struct SimEntropy(Mutex<Random>);

impl Entropy for SimEntropy {
    fn fill(&self, buf: &mut [u8]) -> io::Result<()> {
        let mut random = self.0.lock().unwrap();
        buf.iter_mut().for_each(|byte| *byte = random.next_u64() as u8);
        Ok(())
    }
}

pub fn env(disk: &SimDisk, seed: u64) -> StoreEnv {
    StoreEnv {
        disk: Arc::new(disk.clone()),
        clock: Arc::new(SimClock(AtomicU64::new(0))),
        entropy: Arc::new(SimEntropy(Mutex::new(Random::new(seed)))),
        preparer: Preparer::Inline,
        keeping: bankd::engine::Keeping::default(),
        watch: Arc::new(bankd::engine::NoProgress),
    }
}

pub fn name(customer: u32) -> String {
    format!("customer {customer}")
}

/// A disk with a fresh store on it.
pub fn fresh_disk() -> SimDisk {
    let disk = SimDisk::new();
    let records = (0..CUSTOMERS).map(|index| {
        let (name, pin) = (name(index).into(), Secret::new("1234".to_owned()));
        Ok::<_, String>(NewRecord::Account { name, pin, balance: amount(OPENING) })
    });
    engine::create(&env(&disk, 0), dir(), key(), NewStore { decimals: 0, segments: SMALL }, records).unwrap();
    disk
}

pub fn open(disk: &SimDisk, seed: u64) -> Result<Engine, StoreError> {
    engine::open(&env(disk, seed), dir(), key())
}

pub fn amount(units: u64) -> Amount {
    Amount::new(units).unwrap()
}

pub fn deposit(customer: u32, units: u64) -> Command {
    Command::Deposit { account: AccountId(customer), amount: amount(units) }
}

pub fn withdraw(customer: u32, units: u64) -> Command {
    Command::Withdraw { account: AccountId(customer), amount: amount(units) }
}

/// A served bank, with one connection and one session a customer.
pub struct Bank {
    pub service: Service,
    pub slots: Vec<usize>,
    pub sessions: Vec<SessionId>,
    now: Duration,
}

impl Bank {
    /// Opens the store and lets every customer log in and open a session. None: the log failed on the way.
    pub fn serve(disk: &SimDisk, seed: u64) -> Option<Self> {
        let mut bank = Self { service: Service::new(open(disk, seed).ok()?), slots: Vec::new(), sessions: Vec::new(), now: Duration::ZERO };
        for customer in 0..CUSTOMERS {
            let slot = bank.service.open(Peer::Client, bank.now);
            bank.slots.push(slot);
            let login = Ask::Login { role: Role::Customer, name: name(customer), secret: Secret::new("1234".to_owned()) };
            let replies = bank.talk(customer, &[Ask::Hello { version: VERSION }, login, Ask::OpenSession])?;
            match replies.last() {
                Some(Reply::Session(info)) => bank.sessions.push(info.session),
                // No space, from the login on.
                Some(Reply::Refused(_)) => return None,
                other => panic!("no session: {other:?}"),
            }
        }
        Some(bank)
    }

    /// Asks, without ending the turn.
    pub fn feed(&mut self, customer: u32, asks: &[Ask]) {
        let mut bytes = Vec::new();
        asks.iter().for_each(|ask| frame::put(ask, &mut bytes).unwrap());
        self.service.receive(self.slots[customer as usize], &bytes, self.now).unwrap();
    }

    /// Ends the turn.
    pub fn turn(&mut self) -> Result<(), engine::Fatal> {
        self.now += Duration::from_millis(1);
        self.service.resume(self.now)?;
        let _ = self.service.finish_turn(self.now)?;
        self.service.finish_commit()
    }

    /// Everything that was answered and not yet heard.
    pub fn hear(&mut self, customer: u32) -> Vec<Reply> {
        let slot = self.slots[customer as usize];
        let bytes = self.service.unsent(slot).to_vec();
        self.service.wrote(slot, bytes.len(), self.now);
        let (mut rest, mut replies) = (bytes.as_slice(), Vec::new());
        while let Front::Whole { payload, consumed } = frame::front(rest).unwrap() {
            replies.push(bankd::model::codec::decode(payload).unwrap());
            rest = &rest[consumed..];
        }
        replies
    }

    /// Asks until everything is answered. None: the log failed.
    pub fn talk(&mut self, customer: u32, asks: &[Ask]) -> Option<Vec<Reply>> {
        self.feed(customer, asks);
        let mut replies = Vec::new();
        while replies.len() < asks.len() {
            self.turn().ok()?;
            replies.extend(self.hear(customer));
        }
        Some(replies)
    }

    /// One money request in a turn of its own, answered for good.
    pub fn request(&mut self, customer: u32, number: u64, command: Command) -> Body {
        match self.talk(customer, &[request(number, command)]).unwrap().pop() {
            Some(Reply::Answer { body, .. }) => body,
            other => panic!("no answer: {other:?}"),
        }
    }
}

pub fn request(number: u64, command: Command) -> Ask {
    Ask::Request { number: RequestNumber(number), acked_below: RequestNumber(1), command }
}

/// What a block's header and its checksum are after a change of the header, for the batch at block `block`.
pub fn forge(disk: &SimDisk, path: &Path, offset: usize, change: impl FnOnce(&mut [u8])) {
    let mut header = disk.peek(path).unwrap()[offset..offset + 256].to_vec();
    change(&mut header);
    let crc = crc32fast::hash(&header[12..]);
    header[8..12].copy_from_slice(&crc.to_le_bytes());
    assert!(disk.poke(path, offset as u64, &header));
}
