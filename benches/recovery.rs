//! Opening a store: replay of its whole log through the bank, from a log that was evicted from the page cache.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use bankd::engine::{self, Admission, Engine, NewRecord, NewStore, StoreEnv};
use bankd::model::amount::Amount;
use bankd::model::command::Command;
use bankd::model::secret::Secret;
use bankd::model::types::{AccountId, Owner, RequestNumber, TellerId};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const ACCOUNTS: u32 = 10_000;
const ENTRIES: u64 = 1_000_000;

fn fill(engine: &mut Engine, batch: u64) {
    let owner = Owner::Teller(TellerId(0));
    assert!(matches!(engine.submit_open(owner, &|_| false), Ok(Admission::Logged)));
    engine.commit().unwrap();
    let (session, _) = engine.apply_next().unwrap();
    let mut account = 0;
    for first in (1..=ENTRIES).step_by(usize::try_from(batch).unwrap()) {
        for number in first..first + batch {
            account = (account + 7919) % ACCOUNTS;
            let command = Command::Deposit { account: AccountId(account), amount: Amount::new(1).unwrap() };
            let logged = engine.submit_request(owner, session, RequestNumber(number), RequestNumber(first), command);
            assert!(matches!(logged, Ok(Admission::Logged)));
        }
        engine.commit().unwrap();
        for _ in 0..batch {
            engine.apply_next().unwrap();
        }
    }
}

fn recovery(c: &mut Criterion) {
    let mut group = c.benchmark_group("recovery");
    group.sample_size(10);
    group.throughput(Throughput::Elements(ENTRIES));
    for batch in [10, 1000] {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let (data, key) = (dir.path().join("store"), dir.path().join("key"));
        let env = StoreEnv::os();
        let secret = || Secret::new("123456".to_owned());
        let accounts =
            (0..ACCOUNTS).map(|index| NewRecord::Account { name: format!("account {index}").into(), pin: secret(), balance: Amount::ZERO });
        let records = accounts.chain([NewRecord::Teller { name: "load".into(), token: secret() }]);
        engine::create(&env, &data, &key, NewStore::default(), records.map(Ok::<_, String>)).unwrap();
        fill(&mut engine::open(&env, &data, &key).unwrap(), batch);
        group.bench_function(BenchmarkId::new("open", format!("{ENTRIES} entries in batches of {batch}")), |b| {
            b.iter(|| engine::open(&env, &data, &key).unwrap());
        });
    }
    group.finish();
}

criterion_group!(benches, recovery);
criterion_main!(benches);
