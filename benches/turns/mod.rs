//! The daemon without its sockets, over a store of its own on the real disk: frames of many connections in, one turn
//! after the other, frames out. What is sent is the same in every run.
//!
//! Left out: what is counted or measured about it (`instructions.rs`, `turn.rs`, `tests/allocations.rs`).
#![allow(dead_code, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bankd::engine::{self, NewRecord, NewStore, StoreEnv};
use bankd::env::Clock;
use bankd::model::amount::Amount;
use bankd::model::command::Command;
use bankd::model::secret::Secret;
use bankd::model::types::{AccountId, RequestNumber};
use bankd::server::{Peer, Service};
use bankd::wal::{Preparer, SegmentSizes};
use bankd::wire::frame::{self, Front};
use bankd::wire::message::{Ask, Reply, Role, RunItem, VERSION};

const TOKEN: &str = "a token for the turns";
/// Commands in a frame of [`Scenario::Runs`].
pub const RUN: u64 = 128;
/// What each account holds at first: enough for every transfer to be done.
const BALANCE: u64 = 1 << 40;

/// What the connections ask for in every turn, each `depth` times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// Deposits, one a frame.
    Deposits,
    /// Transfers between two accounts at random, one a frame.
    Transfers,
    /// Transfers, [`RUN`] a frame.
    Runs,
    /// Deposits that were executed before and are not acknowledged.
    Duplicates,
    /// Balances, which are no entries.
    Balances,
}

/// The service, its connections, and chance that is the same in every run.
pub struct Turns {
    service: Service,
    slots: Vec<usize>,
    scenario: Scenario,
    depth: u64,
    accounts: u32,
    /// The number of each session's next request.
    next: u64,
    chance: u64,
    dir: tempfile::TempDir,
}

/// A clock that stands, so that no run differs from another.
struct Standing;

impl Clock for Standing {
    fn wall(&self) -> Duration {
        NOW
    }
    fn monotonic(&self) -> Duration {
        NOW
    }
}

const NOW: Duration = Duration::from_secs(1);

impl Turns {
    /// Makes a store in a new directory under `parent`, opens it, and logs `connections` connections in, each with a
    /// session. The log's first segment lasts for about 60 full batches.
    pub fn new(parent: &Path, scenario: Scenario, accounts: u32, connections: usize, depth: u64) -> Self {
        let dir = tempfile::tempdir_in(parent).unwrap();
        let (data, key) = (dir.path().join("store"), dir.path().join("key"));
        let env = StoreEnv { clock: Arc::new(Standing), preparer: Preparer::Inline, ..StoreEnv::os() };
        let secret = || Secret::new(TOKEN.to_owned());
        let balance = Amount::new(BALANCE).unwrap();
        let account = |index| NewRecord::Account { name: format!("account {index}").into(), pin: secret(), balance };
        let records = (0..accounts).map(account).chain([NewRecord::Teller { name: "load".into(), token: secret() }]);
        let new = NewStore { segments: SegmentSizes { first: 64 << 20, max: 64 << 20 }, ..NewStore::default() };
        engine::create(&env, &data, &key, new, records.map(Ok::<_, String>)).unwrap();
        let mut service = Service::new(engine::open(&env, &data, &key).unwrap());
        let slots = (0..connections).map(|_| service.open(Peer::Client, NOW)).collect();
        let mut turns = Self { service, slots, scenario, depth, accounts, next: 1, chance: 1, dir };
        for slot in turns.slots.clone() {
            let login = Ask::Login { role: Role::Teller, name: "load".to_owned(), secret: secret() };
            for ask in [Ask::Hello { version: VERSION }, login, Ask::OpenSession] {
                turns.service.receive(slot, &framed(&[ask]), NOW).unwrap();
                let _ = turns.service.finish_turn(NOW).unwrap();
                turns.service.finish_commit().unwrap();
                turns.take_replies(|_, replies| assert!(!replies.is_empty()));
            }
        }
        if scenario == Scenario::Duplicates {
            let first = turns.prepare();
            turns.run(&first);
        }
        turns
    }

    /// Requests in a turn.
    pub fn requests(&self) -> u64 {
        let connections = u64::try_from(self.slots.len()).unwrap();
        connections * self.depth
    }

    /// The service, to look at.
    pub const fn service(&self) -> &Service {
        &self.service
    }

    /// Where the log's last batch ends in its segment.
    pub fn log_end(&self) -> usize {
        let segments = std::fs::read_dir(self.dir.path().join("store")).unwrap().map(|entry| entry.unwrap().path());
        let last = segments.filter(|path| path.extension().is_some_and(|extension| extension == "seg")).max().unwrap();
        // Never zero at a batch's end: it is padded.
        std::fs::read(last).unwrap().iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
    }

    /// The bytes that every connection sends in the next turn, in the order of the connections. Each turn prepared must
    /// be run.
    pub fn prepare(&mut self) -> Vec<Vec<u8>> {
        let first = self.next;
        if self.scenario != Scenario::Duplicates {
            self.next += self.depth;
        }
        (0..self.slots.len()).map(|_| framed(&self.asks(first))).collect()
    }

    /// One turn as the event loop makes it; returns the length of the replies.
    #[inline(never)]
    pub fn run(&mut self, input: &[Vec<u8>]) -> usize {
        self.service.resume(NOW).unwrap();
        for (slot, bytes) in self.slots.iter().zip(input) {
            self.service.receive(*slot, bytes, NOW).unwrap();
        }
        assert!(!self.service.is_full(), "a turn that does not fit one batch");
        let _ = self.service.finish_turn(NOW).unwrap();
        self.service.finish_commit().unwrap();
        let mut replied = 0;
        self.take_replies(|_, replies| replied += replies.len());
        replied
    }

    /// Like [`Turns::run`], but each connection's bytes come in two reads, the first of which ends within a frame.
    pub fn run_in_two_reads(&mut self, input: &[Vec<u8>]) -> usize {
        let cuts = input.iter().map(|bytes| bytes.len() - 5);
        for (slot, (bytes, cut)) in self.slots.iter().zip(input.iter().zip(cuts)) {
            self.service.receive(*slot, &bytes[..cut], NOW).unwrap();
            self.service.receive(*slot, &bytes[cut..], NOW).unwrap();
        }
        let _ = self.service.finish_turn(NOW).unwrap();
        self.service.finish_commit().unwrap();
        let mut replied = 0;
        self.take_replies(|_, replies| replied += replies.len());
        replied
    }

    /// Like [`Turns::run`], and counts the requests with the right answer: executed, or, for duplicates, the recorded
    /// answer; in the right order; with the balance, where that was asked for.
    pub fn run_and_check(&mut self, input: &[Vec<u8>]) -> u64 {
        for (slot, bytes) in self.slots.iter().zip(input) {
            self.service.receive(*slot, bytes, NOW).unwrap();
        }
        let _ = self.service.finish_turn(NOW).unwrap();
        self.service.finish_commit().unwrap();
        let again = self.scenario == Scenario::Duplicates;
        let mut answered = 0;
        self.take_replies(|_, mut replies| {
            let mut last = None;
            while let Front::Whole { payload, consumed } = frame::front(replies).unwrap() {
                replies = &replies[consumed..];
                match bankd::model::codec::decode(payload).unwrap() {
                    Reply::Answer { number, replayed, .. } => {
                        assert!(replayed == again && last.is_none_or(|last| number > last));
                        last = Some(number);
                        answered += 1;
                    }
                    Reply::RunAnswer { items, .. } => {
                        assert!(items.iter().all(|item| matches!(item, RunItem::Answer { replayed: false, .. })));
                        answered += u64::try_from(items.len()).unwrap();
                    }
                    Reply::Balance { balance, .. } => {
                        assert_eq!(balance.get(), BALANCE);
                        answered += 1;
                    }
                    other => panic!("{other:?}"),
                }
            }
            assert!(replies.is_empty());
        });
        answered
    }

    fn take_replies(&mut self, mut take: impl FnMut(usize, &[u8])) {
        let dirty = self.service.take_dirty();
        for slot in &dirty {
            let replies = self.service.unsent(*slot);
            let length = replies.len();
            take(*slot, replies);
            self.service.wrote(*slot, length, NOW);
        }
        self.service.give_back_dirty(dirty);
    }

    fn asks(&mut self, first: u64) -> Vec<Ask> {
        let acked_below = RequestNumber(first);
        let frames = if self.scenario == Scenario::Runs { self.depth / RUN } else { self.depth };
        let ask = |at: u64| match self.scenario {
            Scenario::Deposits => Ask::Request { number: RequestNumber(first + at), acked_below, command: self.deposit() },
            Scenario::Transfers => Ask::Request { number: RequestNumber(first + at), acked_below, command: self.transfer() },
            Scenario::Runs => {
                let commands = (0..RUN).map(|_| self.transfer()).collect();
                Ask::Run { first: RequestNumber(first + at * RUN), acked_below, commands }
            }
            Scenario::Duplicates => {
                // The same command under the same number, for every client and copy.
                let account = AccountId(u32::try_from(at).unwrap() % self.accounts);
                let command = Command::Deposit { account, amount: Amount::new(1).unwrap() };
                Ask::Request { number: RequestNumber(at + 1), acked_below: RequestNumber(1), command }
            }
            Scenario::Balances => Ask::Balance { account: self.account() },
        };
        (0..frames).map(ask).collect()
    }

    fn deposit(&mut self) -> Command {
        Command::Deposit { account: self.account(), amount: Amount::new(1).unwrap() }
    }

    fn transfer(&mut self) -> Command {
        let from = self.account();
        let to = AccountId((from.0 + 1 + self.account().0 % (self.accounts - 1)) % self.accounts);
        Command::Transfer { from, to, amount: Amount::new(1).unwrap() }
    }

    fn account(&mut self) -> AccountId {
        self.chance = self.chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        AccountId(u32::try_from(((self.chance >> 32) * u64::from(self.accounts)) >> 32).unwrap())
    }
}

fn framed(asks: &[Ask]) -> Vec<u8> {
    let mut bytes = Vec::new();
    asks.iter().for_each(|ask| frame::put(ask, &mut bytes).unwrap());
    bytes
}
