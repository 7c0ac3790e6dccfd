//! The state machine alone: deposits on small and large banks, and finding sessions. No log, no disk.

#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::hint::black_box;

use bankd::bank::{Applied, Bank, apply};
use bankd::model::amount::Amount;
use bankd::model::command::Command;
use bankd::model::entry::{AccountOpen, Action, Entry, LineageCause, Origin, Setting, Tag, TellerAdd};
use bankd::model::types::{AccountId, BankTime, Lineage, Lsn, Owner, RequestNumber, TellerId};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

/// Entries a measured round: about a batch of a busy turn.
const BATCH: u64 = 1_024;
/// Sessions that the deposits come under, in turn.
const CLIENTS: u64 = 64;

/// A bank, and chance that is the same in every run.
struct Load {
    bank: Bank,
    chance: u64,
}

impl Load {
    fn new(accounts: u32) -> Self {
        let mut load = Self { bank: Bank::new(), chance: 1 };
        let operator = |action| Entry { owner: Owner::Nobody, origin: Origin::None, action };
        let tag = Tag { key_id: 1, salt: [2; 16], tag: [3; 32] };
        load.apply(&operator(Action::Genesis { decimals: 0, key_check: [0; 32] }));
        load.apply(&operator(Action::Lineage { lineage: Lineage(1), cause: LineageCause::Created }));
        load.apply(&operator(Action::Setting { setting: Setting::SessionsPerTeller, value: 1 << 24 }));
        load.apply(&operator(Action::TellerAdd(Box::new(TellerAdd { name: "load".into(), token: tag }))));
        for id in 0..accounts {
            let open = AccountOpen { name: format!("customer-{id:08}").into(), pin: tag, balance: Amount::ZERO };
            load.apply(&operator(Action::AccountOpen(Box::new(open))));
        }
        load
    }

    fn apply(&mut self, entry: &Entry) -> Applied {
        let lsn = self.bank.applied().next();
        apply(&mut self.bank, lsn, entry, BankTime(0)).unwrap()
    }

    fn open_sessions(&mut self, count: u64) -> Vec<Lsn> {
        let open = Entry { owner: Owner::Teller(TellerId(0)), origin: Origin::None, action: Action::OpenSession { evicted: None } };
        (0..count)
            .map(|_| {
                self.apply(&open);
                self.bank.applied()
            })
            .collect()
    }

    /// A number below `limit`.
    fn below(&mut self, limit: u32) -> u32 {
        self.chance = self.chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        u32::try_from(((self.chance >> 32) * u64::from(limit)) >> 32).unwrap()
    }
}

/// Deposits into accounts at random. `ahead` is how many requests a client has under way before it acknowledges one.
fn deposits(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("bank/deposit");
    group.throughput(Throughput::Elements(BATCH));
    for (accounts, label) in [(10_000, "10k accounts"), (1_000_000, "1M accounts")] {
        for ahead in [1, 64] {
            let mut load = Load::new(accounts);
            let sessions = load.open_sessions(CLIENTS);
            let mut number = 0;
            group.bench_function(BenchmarkId::new(label, format!("{ahead} ahead")), |bencher| {
                bencher.iter(|| {
                    for _ in 0..BATCH / CLIENTS {
                        number += 1;
                        for &session in &sessions {
                            let account = AccountId(load.below(accounts));
                            let acked_below = RequestNumber(u64::saturating_sub(number + 1, ahead));
                            let origin = Origin::Session { session, number: RequestNumber(number), acked_below };
                            let action = Action::Request(Command::Deposit { account, amount: Amount::new(1).unwrap() });
                            black_box(load.apply(&Entry { owner: Owner::Teller(TellerId(0)), origin, action }));
                        }
                    }
                });
            });
            load.bank.check_conservation().unwrap();
        }
    }
    group.finish();
}

/// The judgement on a number, in tables of different sizes.
fn lookups(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("bank/lookup");
    group.throughput(Throughput::Elements(BATCH));
    for (count, label) in [(1_000, "1k sessions"), (100_000, "100k sessions"), (1_000_000, "1M sessions")] {
        let mut load = Load::new(1);
        let sessions = load.open_sessions(count);
        group.bench_function(label, |bencher| {
            bencher.iter(|| {
                for _ in 0..BATCH {
                    let at = usize::try_from(load.below(u32::try_from(count).unwrap())).unwrap();
                    black_box(load.bank.lookup(sessions[at], RequestNumber(1)));
                }
            });
        });
    }
    group.finish();
}

/// Opening a session where the table is full, so that each needs a victim.
fn evictions(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("bank/open full");
    for (count, label) in [(1_000, "1k sessions"), (1_000_000, "1M sessions")] {
        let mut load = Load::new(1);
        load.open_sessions(count);
        let operator = Owner::Operator(0);
        let cap = Action::Setting { setting: Setting::SessionsInAll, value: count };
        load.apply(&Entry { owner: operator, origin: Origin::None, action: cap });
        let owner = Owner::Teller(TellerId(0));
        group.bench_function(label, |bencher| {
            bencher.iter(|| {
                let room = load.bank.room_for_session(owner, &mut |_| false);
                let bankd::bank::Room::Evict(victim) = room else { unreachable!("the table is full") };
                black_box(load.apply(&Entry { owner, origin: Origin::None, action: Action::OpenSession { evicted: Some(victim) } }));
            });
        });
    }
    group.finish();
}

criterion_group!(benches, deposits, lookups, evictions);
criterion_main!(benches);
