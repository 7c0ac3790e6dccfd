//! Frames and entries: what the daemon does per request besides disk and bank. The hot messages are read and written by
//! hand; the codec, which all others go through, stands beside it.
#![allow(clippy::unwrap_used, missing_docs)]

use std::hint::black_box;

use bankd::model::amount::Amount;
use bankd::model::command::{Body, Command, Outcome};
use bankd::model::entry::{Action, Entry, Origin};
use bankd::model::types::{AccountId, Chain, Lsn, Owner, RequestNumber};
use bankd::wire::fixed::{asks, replies};
use bankd::wire::frame::{self, Front};
use bankd::wire::message::{Ask, Receipt, Reply};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn codec(c: &mut Criterion) {
    let command = Command::Deposit { account: AccountId(7), amount: Amount::new(100).unwrap() };
    let ask = Ask::Request { number: RequestNumber(5), acked_below: RequestNumber(4), command };
    let body = Body { outcome: Outcome::Done, balance: Amount::new(1000).unwrap(), lsn: Lsn(99) };
    let reply = Reply::Answer { number: RequestNumber(5), body, replayed: false, receipt: Receipt { chain: Chain([7; 32]), lsn: Lsn(99) } };
    let entry = Entry {
        owner: Owner::Customer(AccountId(7)),
        origin: Origin::Session { session: Lsn(3), number: RequestNumber(5), acked_below: RequestNumber(4) },
        action: Action::Request(command),
    };
    let mut group = c.benchmark_group("codec");
    group.throughput(Throughput::Elements(1));

    let mut framed = Vec::new();
    frame::put(&ask, &mut framed).unwrap();
    let payload = |framed| match frame::front(framed) {
        Ok(Front::Whole { payload, .. }) => payload,
        _ => unreachable!("the frame is whole"),
    };
    group.bench_function("decode a request frame", |b| b.iter(|| asks::ask(payload(black_box(&framed))).unwrap()));
    group.bench_function("decode a request frame by the codec", |b| {
        b.iter(|| bankd::model::codec::decode::<Ask>(payload(black_box(&framed))).unwrap());
    });
    let mut out = Vec::with_capacity(256);
    let Reply::Answer { number, body, replayed, receipt } = &reply else { unreachable!("it is an answer") };
    group.bench_function("encode an answer frame", |b| {
        b.iter(|| {
            out.clear();
            replies::put_answer(*number, black_box(body), *replayed, receipt, &mut out);
            out.len()
        });
    });
    group.bench_function("encode an answer frame by the codec", |b| {
        b.iter(|| {
            out.clear();
            frame::put(black_box(&reply), &mut out).unwrap();
            out.len()
        });
    });
    group.bench_function("encode an entry", |b| {
        b.iter(|| {
            out.clear();
            black_box(&entry).encode_into(&mut out);
            out.len()
        });
    });
    let mut bytes = Vec::new();
    entry.encode_into(&mut bytes);
    group.bench_function("decode an entry", |b| b.iter(|| Entry::decode(black_box(&bytes)).unwrap()));
    group.finish();
}

criterion_group!(benches, codec);
criterion_main!(benches);
