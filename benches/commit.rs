//! A commit of the log beside a bare write + fdatasync of as many bytes, so that the ratio can be read; and beside the
//! same without a disk, where nothing is left but appending, hashing and one copy.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, missing_docs)]

#[allow(unused)]
mod support;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bankd::env::os::OsDisk;
use bankd::model::types::{BankTime, StoreId};
use bankd::wal::{Log, Preparer, SegmentSizes};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use support::BareFile;

/// As long as a withdrawal's entry.
const ENTRY: [u8; 48] = [0x5A; 48];

/// Files in memory, whose sync does nothing. Where there is no such place, the figures without a disk are left out.
const MEMORY: &str = "/dev/shm";

fn create(dir: &Path) -> Log {
    let sizes = SegmentSizes { first: 64 << 20, max: 64 << 20 };
    let mut log = Log::create(Arc::new(OsDisk), dir, StoreId([7; 16]), sizes, 1, Preparer::Background).unwrap();
    log.commit(BankTime(1), 0).unwrap();
    log.publish().unwrap();
    log
}

fn append_and_commit(log: &mut Log, entries: usize) {
    for _ in 0..entries {
        log.append(|out| out.extend_from_slice(&ENTRY)).unwrap();
    }
    log.commit(BankTime(1), 0).unwrap();
}

fn commit(c: &mut Criterion) {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut log = create(dir.path());
    let mut bare = BareFile::new(dir.path(), 64 << 20);
    let mut group = c.benchmark_group("commit");
    group.sample_size(30);
    for entries in [1_usize, 64, 1024, 8192] {
        let bytes = (256 + entries * (ENTRY.len() + 8)).next_multiple_of(4096);
        let block = vec![0xA5; bytes];
        group.throughput(Throughput::Elements(entries as u64));
        group.bench_function(BenchmarkId::new("bare write+fdatasync", format!("{bytes} bytes")), |b| b.iter(|| bare.commit(&block)));
        let name = format!("{entries} entries, {bytes} bytes");
        group.bench_function(BenchmarkId::new("log", name), |b| b.iter(|| append_and_commit(&mut log, entries)));
    }
    group.finish();
}

fn without_a_disk(c: &mut Criterion) {
    let mut group = c.benchmark_group("commit");
    // Full segments stay in memory until the store goes: not for long.
    group.sample_size(10).warm_up_time(Duration::from_millis(100)).measurement_time(Duration::from_millis(500));
    for entries in [1_usize, 64, 1024, 8192] {
        let Ok(memory) = tempfile::tempdir_in(MEMORY) else { break };
        let mut log = create(memory.path());
        group.throughput(Throughput::Elements(entries as u64));
        group.bench_function(BenchmarkId::new("log without a disk", entries), |b| b.iter(|| append_and_commit(&mut log, entries)));
    }
    group.finish();
}

criterion_group!(benches, commit, without_a_disk);
criterion_main!(benches);
