//! A turn is bounded, for each connection and in all: however much strangers send in a turn, an honest client is answered
//! in the next, and what the answers take stays small. Deadlines pass only while the bank is ready to read.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bankd::engine::{self, NewRecord, NewStore, StoreEnv};
use bankd::env::os::{OsClock, OsEntropy};
use bankd::env::sim::SimDisk;
use bankd::model::amount::Amount;
use bankd::model::secret::Secret;
use bankd::model::types::{AccountId, RequestNumber};
use bankd::server::{LabRules, Peer, Service};
use bankd::wal::{Preparer, SegmentSizes};
use bankd::wire::frame::{self, Front};
use bankd::wire::message::{Ask, Reply, Role, VERSION};

/// A prime of 100 digits: 10^99 + 289.
fn prime() -> String {
    format!("1{}289", "0".repeat(96))
}

struct Bank {
    disk: SimDisk,
    service: Service,
    now: Duration,
}

impl Bank {
    fn new() -> Self {
        let disk = SimDisk::new();
        let env = StoreEnv {
            disk: Arc::new(disk.clone()),
            clock: Arc::new(OsClock::default()),
            entropy: Arc::new(OsEntropy),
            preparer: Preparer::Inline,
            keeping: bankd::engine::Keeping::default(),
            watch: Arc::new(bankd::engine::NoProgress),
        };
        let sami = NewRecord::Account { name: "Sami".into(), pin: Secret::new("1234".to_owned()), balance: Amount::new(45_720).unwrap() };
        let new = NewStore { decimals: 0, segments: SegmentSizes { first: 64 << 10, max: 64 << 10 } };
        let (store, key) = (Path::new("/bank/store"), Path::new("/bank/key"));
        engine::create(&env, store, key, new, [Ok::<_, String>(sami)].into_iter()).unwrap();
        let service = Service::with_lab(engine::open(&env, store, key).unwrap(), LabRules::default());
        Self { disk, service, now: Duration::from_secs(1) }
    }

    /// A connection that has said `Hello`.
    fn connect(&mut self) -> usize {
        let slot = self.service.open(Peer::Client, self.now);
        self.send(slot, &[Ask::Hello { version: VERSION }]);
        self.turn();
        assert!(matches!(self.replies(slot)[..], [Reply::Welcome(_)]));
        slot
    }

    /// One read's bytes.
    fn send(&mut self, slot: usize, asks: &[Ask]) {
        let mut bytes = Vec::new();
        asks.iter().for_each(|ask| frame::put(ask, &mut bytes).unwrap());
        self.service.receive(slot, &bytes, self.now).unwrap();
    }

    fn turn(&mut self) {
        let _ = self.service.finish_turn(self.now).unwrap();
        self.service.finish_commit().unwrap();
        self.service.resume(self.now).unwrap();
    }

    fn replies(&mut self, slot: usize) -> Vec<Reply> {
        let mut bytes = self.service.unsent(slot);
        let length = bytes.len();
        let mut found = Vec::new();
        while let Front::Whole { payload, consumed } = frame::front(bytes).unwrap() {
            found.push(bankd::model::codec::decode(payload).unwrap());
            bytes = &bytes[consumed..];
        }
        self.service.wrote(slot, length, self.now);
        found
    }

    fn login(&mut self, slot: usize) {
        let login = Ask::Login { role: Role::Customer, name: "Sami".to_owned(), secret: Secret::new("1234".to_owned()) };
        self.send(slot, &[login, Ask::OpenSession]);
        for _ in 0..3 {
            self.turn();
        }
        assert!(matches!(self.replies(slot)[..], [Reply::LoggedIn { .. }, Reply::Session(_)]));
    }
}

#[test]
fn primes_of_many_do_not_delay_a_depositor() {
    let mut bank = Bank::new();
    let honest = bank.connect();
    bank.login(honest);
    let flood: Vec<usize> = (0..40).map(|_| bank.connect()).collect();
    for slot in &flood {
        bank.send(*slot, &vec![Ask::Prime { number: prime() }; 500]);
    }
    let mut primes = [0; 40];
    for number in 1..=40 {
        let command = bankd::model::command::Command::Deposit { account: AccountId(0), amount: Amount::new(1).unwrap() };
        bank.send(honest, &[Ask::Request { number: RequestNumber(number), acked_below: RequestNumber(number), command }, Ask::Ping]);
        bank.turn();
        assert!(matches!(bank.replies(honest)[..], [Reply::Answer { .. }, Reply::Pong]), "it is answered in its turn");
        let mut in_turn = 0;
        for (count, slot) in primes.iter_mut().zip(&flood) {
            let replies = bank.replies(*slot);
            assert!(replies.iter().all(|reply| *reply == Reply::Truth(true)));
            in_turn += replies.len();
            *count += replies.len();
        }
        assert!((1..=2).contains(&in_turn), "{in_turn} primes in a turn");
    }
    assert!(primes.iter().all(|count| *count >= 1), "each has its share: {primes:?}");
}

#[test]
fn pings_of_many_take_little_memory_and_are_all_answered() {
    let mut bank = Bank::new();
    let honest = bank.connect();
    let flood: Vec<usize> = (0..200).map(|_| bank.connect()).collect();
    let pings = vec![Ask::Ping; 5_000];
    for slot in &flood {
        bank.send(*slot, &pings);
    }
    bank.send(honest, &[Ask::Ping]);
    bank.turn();
    bank.turn();
    assert_eq!(bank.replies(honest), [Reply::Pong]);
    // No client reads.
    for _ in 0..400 {
        bank.turn();
        bank.send(honest, &[Ask::Ping]);
    }
    bank.turn();
    let unsent: Vec<usize> = flood.iter().map(|slot| bank.service.unsent(*slot).len()).collect();
    assert!(unsent.iter().sum::<usize>() <= 24 << 20 && unsent.iter().all(|bytes| *bytes <= 256 << 10), "{unsent:?}");
    assert!(!bank.replies(honest).is_empty());
    assert!(!bank.service.has_waiting() || unsent.iter().all(|bytes| *bytes < 256 << 10));
    let mut answered = 0;
    for _ in 0..2_000 {
        answered += flood.iter().map(|slot| bank.replies(*slot).len()).sum::<usize>();
        if answered == 200 * pings.len() {
            return;
        }
        bank.turn();
    }
    panic!("only {answered} pings were answered");
}

#[test]
fn lists_fit_a_connections_output() {
    let mut bank = Bank::new();
    let slot = bank.connect();
    bank.login(slot);
    bank.send(slot, &vec![Ask::OpenSession; 60]);
    for _ in 0..70 {
        bank.turn();
    }
    assert_eq!(bank.replies(slot).len(), 60);
    bank.send(slot, &vec![Ask::ListSessions; 5_000]);
    let mut lists = 0;
    for _ in 0..3_000 {
        bank.turn();
        assert!(bank.service.unsent(slot).len() <= 256 << 10);
        lists += bank.replies(slot).len();
        if lists == 5_000 {
            return;
        }
    }
    panic!("only {lists} lists came");
}

#[test]
fn no_deadline_passes_while_the_bank_is_not_ready_to_read() {
    let mut bank = Bank::new();
    let slot = bank.service.open(Peer::Client, bank.now);
    bank.service.resume(bank.now).unwrap();
    // The disk takes long.
    bank.now += Duration::from_secs(60);
    let _ = bank.service.finish_turn(bank.now).unwrap();
    bank.service.is_ready(bank.now);
    bank.turn();
    bank.send(slot, &[Ask::Hello { version: VERSION }]);
    bank.turn();
    assert!(matches!(bank.replies(slot)[..], [Reply::Welcome(_)]));
    assert!(!bank.service.is_finished(slot));
    // Waiting for what does not come counts.
    let silent = bank.service.open(Peer::Client, bank.now);
    bank.service.is_ready(bank.now);
    bank.now += Duration::from_secs(6);
    bank.turn();
    assert!(bank.service.is_finished(silent) && !bank.service.is_finished(slot));
}

#[test]
fn a_seal_without_room_is_tried_again_later() {
    let mut bank = Bank::new();
    let slot = bank.connect();
    bank.login(slot);
    bank.disk.set_capacity(Some(0));
    // Batches of one block each fill the segment.
    for number in 1..=40 {
        let command = bankd::model::command::Command::Deposit { account: AccountId(0), amount: Amount::new(1).unwrap() };
        bank.send(slot, &[Ask::Request { number: RequestNumber(number), acked_below: RequestNumber(number), command }]);
        bank.turn();
        bank.replies(slot);
    }
    for _ in 0..10 {
        bank.now += bank.service.patience(bank.now).unwrap_or(Duration::from_secs(1));
        bank.turn();
        let patience = bank.service.patience(bank.now);
        assert!(patience.is_none_or(|patience| patience > Duration::ZERO), "it spins: {patience:?}");
    }
}
