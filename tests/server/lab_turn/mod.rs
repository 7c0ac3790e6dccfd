//! Dialogues of the lab within the turn: a client that vanishes at any moment of any turn leaves no session behind, also
//! where the disk has no room for a while; and the daemon's clean end closes what is open.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bankd::engine::{self, NewRecord, NewStore, StoreEnv};
use bankd::env::os::{OsClock, OsEntropy};
use bankd::env::sim::SimDisk;
use bankd::model::amount::Amount;
use bankd::model::secret::Secret;
use bankd::server::{LabPort, LabRules, Peer, Service};
use bankd::wal::{Preparer, SegmentSizes};

mod cuts;

const STORE: &str = "/bank/store";
const KEY: &str = "/bank/key";

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
        engine::create(&env, Path::new(STORE), Path::new(KEY), new, [Ok::<_, String>(sami)].into_iter()).unwrap();
        let service = Service::with_lab(engine::open(&env, Path::new(STORE), Path::new(KEY)).unwrap(), LabRules::default());
        Self { disk, service, now: Duration::from_secs(1) }
    }

    fn connect(&mut self) -> usize {
        self.service.resume(self.now).unwrap();
        let slot = self.service.open(Peer::Lab(LabPort::Atm), self.now);
        assert_eq!(self.hear(slot), "Enter Your Account Name : ");
        slot
    }

    fn say(&mut self, slot: usize, message: &str) {
        self.service.receive(slot, message.as_bytes(), self.now).unwrap();
    }

    fn turn(&mut self) {
        let _ = self.service.finish_turn(self.now).unwrap();
        self.service.finish_commit().unwrap();
        self.service.resume(self.now).unwrap();
    }

    fn hear(&mut self, slot: usize) -> String {
        let said = String::from_utf8(self.service.unsent(slot).to_vec()).unwrap();
        self.service.wrote(slot, said.len(), self.now);
        said
    }

    /// A line, and what is answered.
    fn ask(&mut self, slot: usize, message: &str) -> String {
        self.ask_bytes(slot, &format!("{message}\n"))
    }

    fn ask_bytes(&mut self, slot: usize, bytes: &str) -> String {
        self.say(slot, bytes);
        let mut said = String::new();
        for _ in 0..3 {
            self.turn();
            said += &self.hear(slot);
        }
        said
    }

    fn session_count(&self) -> usize {
        self.service.engine().bank().session_count()
    }
}

const WORDS: [&str; 8] = ["Sami", "1234", "1", "3", "5", "2", "7", "4"];

/// Each word takes at most three turns: before, between and after each of their halves the client vanishes.
#[test]
fn no_moment_leaves_a_session() {
    let mut opened = 0;
    for words in 0..=WORDS.len() {
        for halves in 0..6 {
            let mut bank = Bank::new();
            let slot = bank.connect();
            for word in &WORDS[..words] {
                bank.ask(slot, word);
            }
            if let Some(word) = WORDS.get(words) {
                bank.say(slot, &format!("{word}\n"));
            }
            for half in 0..halves {
                if half % 2 == 0 {
                    let _ = bank.service.finish_turn(bank.now).unwrap();
                    bank.service.finish_commit().unwrap();
                } else {
                    bank.service.resume(bank.now).unwrap();
                }
            }
            opened += bank.session_count();
            bank.service.close(slot);
            let mut turns = 0;
            while bank.service.has_work() || bank.service.patience(bank.now) == Some(Duration::ZERO) || turns < 3 {
                bank.turn();
                turns += 1;
                assert!(turns < 10, "the loop does not come to rest after {words} words and {halves} halves");
            }
            assert_eq!(bank.session_count(), 0, "after {words} words and {halves} halves");
            bank.service.engine().bank().check_conservation().unwrap();
        }
    }
    assert!(opened > 10, "sessions were hardly ever open");
}

#[test]
fn a_disk_without_room_delays_the_closing_only() {
    let mut bank = Bank::new();
    let slots: Vec<usize> = (0..3).map(|_| bank.connect()).collect();
    for slot in &slots {
        bank.ask(*slot, "Sami");
        assert!(bank.ask(*slot, "1234").starts_with("Successfully"));
    }
    bank.disk.set_capacity(Some(0));
    let mut done = 0_u64;
    let refused = loop {
        assert_eq!(bank.ask(slots[0], "3"), "Enter Amount : ");
        let answer = bank.ask(slots[0], "1");
        if answer != format!("New balance is {}", 45_721 + done) {
            break answer;
        }
        done += 1;
    };
    assert_eq!(refused, "Sorry: the bank's disk is full; balances can be read, nothing can be moved for now");
    assert!(done > 5, "{done}");
    assert_eq!(bank.ask(slots[0], "1"), format!("Current balance is {}", 45_720 + done));
    for slot in &slots {
        bank.service.close(*slot);
    }
    bank.turn();
    assert_eq!(bank.session_count(), 3);
    // Patient, not spinning.
    assert!(bank.service.patience(bank.now).is_some_and(|patience| patience > Duration::ZERO));
    bank.disk.set_capacity(None);
    for _ in 0..5 {
        bank.now += Duration::from_secs(1);
        bank.turn();
    }
    assert_eq!(bank.session_count(), 0);
    let slot = bank.connect();
    bank.ask(slot, "Sami");
    bank.ask(slot, "1234");
    assert_eq!(bank.ask(slot, "1"), format!("Current balance is {}", 45_720 + done));
}

#[test]
fn a_clean_end_closes_every_session() {
    let mut bank = Bank::new();
    for _ in 0..5 {
        let slot = bank.connect();
        bank.ask(slot, "Sami");
        bank.ask(slot, "1234");
    }
    assert_eq!(bank.session_count(), 5);
    bank.service.end(bank.now).unwrap();
    assert_eq!((bank.session_count(), bank.service.connection_count()), (0, 0));
}
