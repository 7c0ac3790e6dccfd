//! A commit of the log beside a bare write + fdatasync of as many bytes, so that the ratio can be read.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, missing_docs)]

#[allow(unused)]
mod support;

use std::sync::Arc;

use bankd::env::os::OsDisk;
use bankd::types::{BankTime, StoreId};
use bankd::wal::{Log, Preparer, SegmentSizes};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use support::BareFile;

/// As long as a withdrawal's entry.
const ENTRY: [u8; 48] = [0x5A; 48];

fn commit(c: &mut Criterion) {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let sizes = SegmentSizes { first: 64 << 20, max: 64 << 20 };
    let mut log = Log::create(Arc::new(OsDisk), dir.path(), StoreId([7; 16]), sizes, 1, Preparer::Background).unwrap();
    log.commit(BankTime(1), 0).unwrap();
    log.publish().unwrap();
    let mut bare = BareFile::new(dir.path(), 64 << 20);
    let mut group = c.benchmark_group("commit");
    group.sample_size(30);
    for entries in [1_usize, 64, 1024, 8192] {
        let bytes = (256 + entries * (ENTRY.len() + 8)).next_multiple_of(4096);
        let block = vec![0xA5; bytes];
        group.throughput(Throughput::Elements(entries as u64));
        group.bench_function(BenchmarkId::new("bare write+fdatasync", format!("{bytes} bytes")), |b| b.iter(|| bare.commit(&block)));
        group.bench_function(BenchmarkId::new("log", format!("{entries} entries, {bytes} bytes")), |b| {
            b.iter(|| {
                for _ in 0..entries {
                    log.append(|out| out.extend_from_slice(&ENTRY)).unwrap();
                }
                log.commit(BankTime(1), 0).unwrap();
            });
        });
    }
    group.finish();
}

criterion_group!(benches, commit);
criterion_main!(benches);
