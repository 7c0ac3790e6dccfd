//! Duplicates answered from the session table: frames in, frames out, through the whole service but its sockets.
#![allow(clippy::unwrap_used, clippy::panic, clippy::cast_possible_truncation, missing_docs)]

use std::time::Duration;

use bankd::engine::{self, NewRecord, NewStore, StoreEnv};
use bankd::model::amount::Amount;
use bankd::model::command::Command;
use bankd::model::secret::Secret;
use bankd::model::types::{AccountId, RequestNumber};
use bankd::server::{Peer, Service};
use bankd::wire::frame;
use bankd::wire::message::{Ask, Role, VERSION};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// Requests in one read, each of which was executed before.
const COPIES: u64 = 512;

fn duplicates(c: &mut Criterion) {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (data, key) = (dir.path().join("store"), dir.path().join("key"));
    let env = StoreEnv::os();
    let account = NewRecord::Account { name: "Ada".into(), pin: Secret::new("314159".to_owned()), balance: Amount::ZERO };
    engine::create(&env, &data, &key, NewStore::default(), [Ok::<_, String>(account)].into_iter()).unwrap();
    let mut service = Service::new(engine::open(&env, &data, &key).unwrap());
    let slot = service.open(Peer::Client, Duration::ZERO);
    let login = Ask::Login { role: Role::Customer, name: "Ada".to_owned(), secret: Secret::new("314159".to_owned()) };
    for ask in [Ask::Hello { version: VERSION }, login, Ask::OpenSession] {
        turn(&mut service, slot, &framed(&[ask]));
    }
    let request = |number| Ask::Request {
        number: RequestNumber(number),
        acked_below: RequestNumber(1),
        command: Command::Deposit { account: AccountId(0), amount: Amount::new(1).unwrap() },
    };
    let copies = framed(&(1..=COPIES).map(request).collect::<Vec<_>>());
    turn(&mut service, slot, &copies);
    let executed = service.engine().bank().applied();

    let mut group = c.benchmark_group("duplicates");
    group.throughput(Throughput::Elements(COPIES));
    group.bench_function(format!("{COPIES} in a read"), |b| b.iter(|| turn(&mut service, slot, &copies)));
    group.finish();
    assert_eq!(service.engine().bank().applied(), executed, "a duplicate was executed");
}

/// One turn of the loop; returns the length of the replies.
fn turn(service: &mut Service, slot: usize, bytes: &[u8]) -> usize {
    service.receive(slot, bytes, Duration::ZERO).unwrap();
    let _ = service.finish_turn(Duration::ZERO).unwrap();
    service.finish_commit().unwrap();
    let replied = service.unsent(slot).len();
    assert!(replied > 0, "no reply");
    service.wrote(slot, replied, Duration::ZERO);
    let dirty = service.take_dirty();
    service.give_back_dirty(dirty);
    replied
}

fn framed(asks: &[Ask]) -> Vec<u8> {
    let mut bytes = Vec::new();
    asks.iter().for_each(|ask| frame::put(ask, &mut bytes).unwrap());
    bytes
}

criterion_group!(benches, duplicates);
criterion_main!(benches);
