//! Power cuts: the whole service over a simulated disk that loses unsynced sectors, names and lengths, cut at a random
//! disk operation, also during recovery. What was answered is there, byte for byte; nothing is there twice.
//!
//! A failing seed prints itself: `SEED=n cargo test --test store power_cut` runs it alone.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::cast_possible_truncation, missing_docs)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::support::sim::lying::{Lie, LyingDisk};
use crate::support::sim::{KEY, STORE, env};
use bankd::engine::{self, CheckpointError, NewRecord, NewStore, StoreEnv, StoreError};
use bankd::env::sim::{Fault, Random, SimDisk};
use bankd::model::amount::Amount;
use bankd::model::command::{Body, Command, Outcome};
use bankd::model::secret::Secret;
use bankd::model::types::{AccountId, RequestNumber, SessionId};
use bankd::server::{Peer, Service};
use bankd::wal::{Seen, SegmentSizes};
use bankd::wire::frame::{self, Front};
use bankd::wire::message::{Ask, Refusal, Reply, Role, VERSION};

const CUSTOMERS: u32 = 3;
const OPENING: u64 = 1_000;

/// Makes a store with small segments.
fn create(disk: &SimDisk, seed: u64) -> Result<(), StoreError> {
    let records = (0..CUSTOMERS).map(|index| {
        Ok::<_, String>(NewRecord::Account {
            name: format!("customer {index}").into(),
            pin: Secret::new("1234".to_owned()),
            balance: Amount::new(OPENING).unwrap(),
        })
    });
    let new = NewStore { decimals: 0, segments: SegmentSizes { first: 64 << 10, max: 128 << 10 } };
    engine::create(&env(disk, seed), Path::new(STORE), Path::new(KEY), new, records).map(drop)
}

/// A disk with a fresh store on it; each seed begins with a copy.
fn fresh_disk() -> SimDisk {
    let disk = SimDisk::new();
    create(&disk, 0).unwrap();
    disk
}

/// What a customer knows: its session, and the answer to each number.
struct Customer {
    account: AccountId,
    session: Option<SessionId>,
    asked: BTreeMap<u64, Command>,
    told: BTreeMap<u64, Body>,
}

struct Env {
    random: Random,
    disk: SimDisk,
    lie: Option<Lie>,
    customers: Vec<Customer>,
    counts: Counts,
}

/// What the seeds have met, so that a run that proves nothing is seen to.
#[derive(Default, Debug)]
struct Counts {
    cuts: u64,
    nested: u64,
    answered: u64,
    replayed: u64,
    executed_unanswered: u64,
    never_executed: u64,
    checkpoints: u64,
    cut_checkpoints: u64,
    overlapped: u64,
    /// Records of several requests in the logs that were left.
    joined: u64,
}

impl Env {
    fn new(disk: &SimDisk, seed: u64, lie: Option<Lie>) -> Self {
        let customer = |index| Customer { account: AccountId(index), session: None, asked: BTreeMap::new(), told: BTreeMap::new() };
        Self {
            random: Random::new(seed),
            disk: disk.snapshot(),
            lie,
            customers: (0..CUSTOMERS).map(customer).collect(),
            counts: Counts::default(),
        }
    }

    /// Lets the power fail some operations from now.
    fn arm(&mut self, within: u64) {
        let at = self.disk.operations() + 1 + self.random.below(within);
        self.disk.fail(Fault { at, only: None, is_sticky: true, errno: 5 });
    }

    fn cut(&mut self) {
        self.counts.cuts += 1;
        self.disk.heal();
        self.disk.crash(self.random.next_u64());
    }

    fn env(&mut self) -> StoreEnv {
        let env = env(&self.disk, self.random.next_u64());
        match self.lie {
            Some(lie) => StoreEnv { disk: Arc::new(LyingDisk { disk: env.disk, lie }), ..env },
            None => env,
        }
    }

    /// Opens the store, with the power failing again now and then while it does.
    fn open(&mut self) -> Service {
        for _ in 0..self.random.below(4) {
            self.arm(60);
            let opened = engine::open(&self.env(), Path::new(STORE), Path::new(KEY));
            drop(opened);
            self.counts.nested += 1;
            self.cut();
        }
        let env = self.env();
        Service::new(engine::open(&env, Path::new(STORE), Path::new(KEY)).unwrap_or_else(|error| panic!("refused: {error}")))
    }

    /// One life: every customer connects and asks until the power fails. None: no customer was even served.
    fn live(&mut self, service: &mut Service) -> Option<()> {
        let mut slots = Vec::new();
        let mut now = Duration::ZERO;
        for index in 0..self.customers.len() {
            let slot = service.open(Peer::Client, now);
            slots.push(slot);
            let login = Ask::Login { role: Role::Customer, name: format!("customer {index}"), secret: Secret::new("1234".to_owned()) };
            talk(service, slot, &[Ask::Hello { version: VERSION }, login], now)?;
            let session = match self.customers[index].session {
                Some(session) => Ask::ResumeSession { session },
                None => Ask::OpenSession,
            };
            match talk(service, slot, &[session], now)?.pop() {
                Some(Reply::Session(info)) => self.customers[index].session = Some(info.session),
                other => panic!("no session: {other:?}"),
            }
            self.settle(service, slot, index, now)?;
        }
        // What was asked in turns whose batch may still be under way.
        let mut unheard = Vec::new();
        for _ in 0..self.random.below(60) {
            now += Duration::from_millis(self.random.below(150));
            // Several customers speak in one turn.
            let mut spoken = Vec::new();
            for (index, slot) in slots.iter().enumerate() {
                if self.random.one_in(2) {
                    let asks = self.questions(index);
                    feed(service, *slot, &asks, now)?;
                    spoken.push((index, *slot, asks));
                }
            }
            // The new questions were judged while the last batch was under way.
            self.settle_turn(service, &mut unheard, now)?;
            let _ = service.finish_turn(now).ok()?;
            unheard = spoken;
            self.counts.overlapped += u64::from(service.is_in_flight());
            if self.random.one_in(12) {
                self.checkpoint(service);
            }
            if self.random.one_in(2) {
                self.settle_turn(service, &mut unheard, now)?;
            }
        }
        self.settle_turn(service, &mut unheard, now)
    }

    /// Waits for the batch that is under way, if one is, and hears the answers.
    fn settle_turn(&mut self, service: &mut Service, unheard: &mut Vec<(usize, usize, Vec<Ask>)>, now: Duration) -> Option<()> {
        if service.is_in_flight() {
            assert!(unheard.iter().all(|(_, slot, _)| service.unsent(*slot).is_empty()), "an answer before its batch is durable");
        }
        service.finish_commit().ok()?;
        for (index, slot, asks) in unheard.drain(..) {
            let replies = take_replies(service, slot, now);
            assert_eq!(replies.len(), asks.len());
            for (ask, reply) in asks.iter().zip(replies) {
                self.hear(index, ask, &reply);
            }
        }
        Some(())
    }

    /// A checkpoint between two turns. The power may fail in it; then the next turn finds out.
    fn checkpoint(&mut self, service: &Service) {
        match service.engine().checkpoint_now() {
            Ok(made) => self.counts.checkpoints += u64::from(made.is_some()),
            Err(CheckpointError::Damaged(what)) => panic!("a power cut is no damage: {what}"),
            Err(_) => self.counts.cut_checkpoints += 1,
        }
    }

    /// New requests, copies of old ones, other commands under old numbers, numbers ahead, cancellations.
    fn questions(&mut self, index: usize) -> Vec<Ask> {
        let mut asks = Vec::new();
        for _ in 0..=self.random.below(5) {
            let customer = &self.customers[index];
            let next = customer.asked.keys().next_back().map_or(1, |last| last + 1);
            let amount = Amount::new(1 + self.random.below(400)).unwrap();
            let command = match self.random.below(3) {
                0 => Command::Deposit { account: customer.account, amount },
                1 => Command::Withdraw { account: customer.account, amount },
                _ => Command::Transfer { from: customer.account, to: AccountId((index as u32 + 1) % CUSTOMERS), amount },
            };
            let old = 1 + self.random.below(next);
            let (number, command) = match self.random.below(10) {
                0 if next > 1 && old < next => (old, customer.asked[&old]),
                1 if next > 1 && old < next => (old, command),
                2 => (next + 1 + old, command),
                3 => {
                    asks.push(Ask::Cancel { number: RequestNumber(old), acked_below: RequestNumber(1) });
                    if old == next {
                        // Whatever comes later under this number gets the cancellation.
                        self.customers[index].asked.insert(next, command);
                    }
                    continue;
                }
                _ => {
                    self.customers[index].asked.insert(next, command);
                    (next, command)
                }
            };
            asks.push(Ask::Request { number: RequestNumber(number), acked_below: RequestNumber(1), command });
        }
        asks
    }

    fn hear(&mut self, index: usize, ask: &Ask, reply: &Reply) {
        let customer = &mut self.customers[index];
        match reply {
            Reply::Answer { number, body, replayed, .. } => {
                self.counts.answered += 1;
                self.counts.replayed += u64::from(*replayed);
                let before = customer.told.insert(number.0, *body);
                assert!(before.is_none_or(|before| before == *body), "request {number} was told {before:?} and now {body:?}");
                assert!(before.is_none() || *replayed, "request {number} was executed twice");
            }
            Reply::Refused(Refusal::Gap { expected }) => {
                let Ask::Request { number, .. } = ask else { panic!("a gap to {ask:?}") };
                assert!(number > expected);
            }
            Reply::Refused(Refusal::Conflict) => {
                let Ask::Request { number, command, .. } = ask else { panic!("a conflict to {ask:?}") };
                assert_ne!(customer.asked.get(&number.0), Some(command), "a copy is no conflict");
            }
            other => panic!("{ask:?} got {other:?}"),
        }
    }

    /// After a cut: every number that was ever asked is asked again with its command, in order.
    fn settle(&mut self, service: &mut Service, slot: usize, index: usize, now: Duration) -> Option<()> {
        let numbers: Vec<(u64, Command)> = self.customers[index].asked.iter().map(|(number, command)| (*number, *command)).collect();
        for (number, command) in numbers {
            let ask = Ask::Request { number: RequestNumber(number), acked_below: RequestNumber(1), command };
            let reply = talk(service, slot, std::slice::from_ref(&ask), now)?.pop().unwrap();
            match &reply {
                Reply::Answer { replayed, .. } if !self.customers[index].told.contains_key(&number) => {
                    if *replayed {
                        self.counts.executed_unanswered += 1
                    } else {
                        self.counts.never_executed += 1
                    }
                }
                Reply::Answer { replayed, .. } => assert!(replayed, "an answered request was lost"),
                _ => {}
            }
            self.hear(index, &ask, &reply);
        }
        Some(())
    }

    /// The books: what each customer was answered adds up to what the bank holds.
    fn audit(&mut self, service: &mut Service) {
        let mut balances = vec![OPENING as i128; self.customers.len()];
        for (index, customer) in self.customers.iter().enumerate() {
            for (number, body) in &customer.told {
                if body.outcome != Outcome::Done {
                    continue;
                }
                match customer.asked[number] {
                    Command::Deposit { amount, .. } => balances[index] += i128::from(amount.get()),
                    Command::Withdraw { amount, .. } => balances[index] -= i128::from(amount.get()),
                    Command::Transfer { to, amount, .. } => {
                        balances[index] -= i128::from(amount.get());
                        balances[to.0 as usize] += i128::from(amount.get());
                    }
                }
            }
        }
        for (index, expected) in balances.into_iter().enumerate() {
            let view = service.engine().bank().account(AccountId(index as u32)).unwrap();
            assert_eq!(i128::from(view.balance.get()), expected, "customer {index}");
        }
        service.engine().bank().check_conservation().unwrap();
    }
}

fn feed(service: &mut Service, slot: usize, asks: &[Ask], now: Duration) -> Option<()> {
    let mut bytes = Vec::new();
    asks.iter().for_each(|ask| frame::put(ask, &mut bytes).unwrap());
    service.receive(slot, &bytes, now).ok()
}

fn take_replies(service: &mut Service, slot: usize, now: Duration) -> Vec<Reply> {
    let bytes = service.unsent(slot).to_vec();
    service.wrote(slot, bytes.len(), now);
    let mut rest = bytes.as_slice();
    let mut replies = Vec::new();
    while let Front::Whole { payload, consumed } = frame::front(rest).unwrap() {
        replies.push(bankd::model::codec::decode(payload).unwrap());
        rest = &rest[consumed..];
    }
    replies
}

fn talk(service: &mut Service, slot: usize, asks: &[Ask], now: Duration) -> Option<Vec<Reply>> {
    feed(service, slot, asks, now)?;
    let mut replies = Vec::new();
    while replies.len() < asks.len() {
        service.resume(now).ok()?;
        let _ = service.finish_turn(now).ok()?;
        service.finish_commit().ok()?;
        replies.extend(take_replies(service, slot, now));
    }
    Some(replies)
}

fn run(disk: &SimDisk, seed: u64, lie: Option<Lie>) -> Counts {
    let mut env = Env::new(disk, seed, lie);
    for _ in 0..1 + env.random.below(4) {
        let mut service = env.open();
        env.arm(150);
        let lived = env.live(&mut service);
        if lived.is_some() && env.random.one_in(2) {
            service.seal().ok();
        }
        drop(service);
        env.cut();
    }
    let mut service = env.open();
    env.disk.heal();
    let mut slots = Vec::new();
    for index in 0..env.customers.len() {
        let slot = service.open(Peer::Client, Duration::ZERO);
        slots.push(slot);
        let login = Ask::Login { role: Role::Customer, name: format!("customer {index}"), secret: Secret::new("1234".to_owned()) };
        let replies = talk(&mut service, slot, &[Ask::Hello { version: VERSION }, login], Duration::ZERO).unwrap();
        assert!(matches!(replies[1], Reply::LoggedIn { .. }));
        if let Some(session) = env.customers[index].session {
            let replies = talk(&mut service, slot, &[Ask::ResumeSession { session }], Duration::ZERO).unwrap();
            assert!(matches!(replies[0], Reply::Session(_)), "{replies:?}");
            env.settle(&mut service, slot, index, Duration::ZERO).unwrap();
        }
    }
    env.audit(&mut service);
    service.seal().unwrap();
    drop(service);
    let mut count = |_: &bankd::bank::Bank, seen: &Seen<'_>| {
        env.counts.joined += seen.batch.records().filter(|record| record.count > 1).count() as u64;
        Ok(())
    };
    engine::look(&crate::support::sim::env(&env.disk, seed), Path::new(STORE), &mut count).unwrap();
    env.counts
}

#[test]
fn answered_requests_survive_any_power_cut_and_none_counts_twice() {
    let disk = fresh_disk();
    if let Ok(seed) = std::env::var("SEED") {
        println!("{:?}", run(&disk, seed.parse().unwrap(), None));
        return;
    }
    let seeds = std::env::var("SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(1_500);
    let mut sum = Counts::default();
    for seed in 0..seeds {
        let counts = std::panic::catch_unwind(|| run(&disk, seed, None))
            .unwrap_or_else(|_| panic!("seed {seed} failed; again with: SEED={seed} cargo test --test store power_cut"));
        sum.cuts += counts.cuts;
        sum.nested += counts.nested;
        sum.answered += counts.answered;
        sum.replayed += counts.replayed;
        sum.executed_unanswered += counts.executed_unanswered;
        sum.never_executed += counts.never_executed;
        sum.checkpoints += counts.checkpoints;
        sum.cut_checkpoints += counts.cut_checkpoints;
        sum.overlapped += counts.overlapped;
        sum.joined += counts.joined;
    }
    println!("{sum:?}");
    // A run that meets none of these proves nothing.
    assert!(sum.nested > seeds / 2 && sum.replayed > seeds && sum.executed_unanswered > 0 && sum.never_executed > 0, "{sum:?}");
    assert!(sum.overlapped > seeds && sum.joined > seeds, "{sum:?}");
    assert!(sum.checkpoints > seeds / 4 && sum.cut_checkpoints > seeds / 8, "{sum:?}");
}

/// A disk that only says that it synced loses what was answered, and the seeds show it: without this, they prove nothing.
#[test]
fn a_disk_that_lies_is_found_out() {
    let disk = fresh_disk();
    let quiet = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| ()));
    let found =
        [Lie::Sync, Lie::SyncDir].map(|lie| (0..300).find(|seed| std::panic::catch_unwind(|| run(&disk, *seed, Some(lie))).is_err()));
    std::panic::set_hook(quiet);
    assert!(found.iter().all(Option::is_some), "first seeds that show it: {found:?}");
}

#[test]
fn a_store_half_made_is_begun_afresh_or_whole() {
    let disk = SimDisk::new();
    create(&disk, 0).unwrap();
    let operations = disk.operations();
    let (mut afresh, mut whole) = (0, 0);
    for at in 1..=operations {
        for seed in 0..20 {
            let disk = SimDisk::new();
            disk.fail(Fault { at, only: None, is_sticky: true, errno: 5 });
            create(&disk, seed).unwrap_err();
            disk.heal();
            disk.crash(seed);
            let open = || engine::open(&env(&disk, seed), Path::new(STORE), Path::new(KEY));
            let engine = match open() {
                Err(StoreError::NoStore { .. }) => {
                    afresh += 1;
                    create(&disk, seed).unwrap_or_else(|error| panic!("cut at {at}, seed {seed}: {error}"));
                    open()
                }
                opened => {
                    whole += 1;
                    opened
                }
            };
            let engine = engine.unwrap_or_else(|error| panic!("cut at {at}, seed {seed}: {error}"));
            assert_eq!(engine.bank().account_count(), CUSTOMERS);
            assert_eq!(engine.bank().cash(), u128::from(OPENING) * u128::from(CUSTOMERS));
        }
    }
    assert!(afresh > 0 && whole > 0, "{afresh} begun afresh, {whole} whole");
}
