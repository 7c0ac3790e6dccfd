//! The log's figures, each beside its target: replay from a warm and from a cold page cache, a commit beside a bare
//! write + fdatasync, bytes an entry, resident memory of a real daemon.
//!
//! `cargo bench --bench figures -- replay commit entry memory` (any of them, all by default). Sizes by environment:
//! `ACCOUNTS`, `ENTRIES`, `ROUNDS`, `MEMORY_ACCOUNTS`. Cold means: dropped from this machine's page cache by
//! `posix_fadvise`; what stands below a virtual disk may still remember.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::float_arithmetic,
    missing_docs
)]

#[path = "support/banks.rs"]
mod banks;
#[path = "support/engine.rs"]
mod engine_load;
#[allow(dead_code)]
#[path = "support/sheet.rs"]
mod sheet;
mod support;

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bankd::bench::OwnBank;
use bankd::bench::load::Plan;
use bankd::engine::{self, StoreEnv};
use bankd::env::Disk;
use bankd::env::os::OsDisk;
use bankd::model::types::{BankTime, StoreId};
use bankd::wal::{Log, Preparer, SegmentSizes};
use banks::{Shared, names, plan, resident};
use engine_load::{Load, create, median, remove_checkpoints, setting};
use support::{BareFile, percentiles};

/// As long as a withdrawal's entry.
const ENTRY: [u8; 48] = [0x5A; 48];

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if wanted.iter().any(|argument| argument == "--test") {
        return;
    }
    let sections: [(&str, fn()); 4] = [("commit", commit), ("entry", entry), ("replay", replay), ("memory", memory)];
    for (name, section) in sections {
        if wanted.is_empty() || wanted.iter().any(|one| one == name) {
            section();
        }
    }
}

fn seconds(work: impl FnOnce()) -> f64 {
    let began = Instant::now();
    work();
    began.elapsed().as_secs_f64()
}

fn temporary() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// One entry a commit, turn about with the bare disk.
fn commit() {
    let dir = temporary();
    let sizes = SegmentSizes { first: 64 << 20, max: 64 << 20 };
    let mut log = Log::create(Arc::new(OsDisk), dir.path(), StoreId([7; 16]), sizes, 1, Preparer::Background).unwrap();
    log.commit(BankTime(1), 0).unwrap();
    log.publish().unwrap();
    let mut bare = BareFile::new(dir.path(), 64 << 20);
    let block = [0xA5; 4096];
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..10_000 {
        let time = |samples: &mut Vec<Duration>, work: &mut dyn FnMut()| {
            let began = Instant::now();
            work();
            samples.push(began.elapsed());
        };
        time(&mut theirs, &mut || bare.commit(&block));
        time(&mut ours, &mut || {
            log.append(|out| out.extend_from_slice(&ENTRY)).unwrap();
            log.commit(BankTime(1), 0).unwrap();
        });
    }
    let (ours, theirs) = (percentiles(&mut ours).0, percentiles(&mut theirs).0);
    let ratio = ours.as_secs_f64() / theirs.as_secs_f64();
    println!("commit p50 {ours:?}, bare write + fdatasync p50 {theirs:?}: {ratio:.2}x (target at most 1.3x)");
}

/// What an entry takes on the disk, headers and padding included.
fn entry() {
    for count in [64, 1000, 8192] {
        let dir = temporary();
        let (env, data, key) = (StoreEnv::os(), dir.path().join("store"), dir.path().join("key"));
        create(&env, &data, &key, 1000);
        let mut engine = engine::open(&env, &data, &key).unwrap();
        let mut load = Load::begin(&mut engine, 1000);
        let (mut bytes, mut entries) = (0, 0);
        for _ in 0..5 {
            load.turn(&mut engine, count);
        }
        drop(engine);
        engine::look(&env, &data, &mut |_, seen| {
            let header = seen.batch.header;
            if u64::from(header.count) == count && header.incarnation.counter > 1 {
                bytes += header.bytes();
                entries += count;
            }
            Ok(())
        })
        .unwrap();
        let target = if count == 8192 { " (target at most 64)" } else { "" };
        println!("bytes of log an entry, deposits in batches of {count}: {:.1}{target}", bytes as f64 / entries as f64);
    }
}

/// Replay from the page cache and without it, and reading the same files without it.
fn replay() {
    let (accounts, entries) = (setting("ACCOUNTS", 10_000) as u32, setting("ENTRIES", 10_000_000));
    let dir = temporary();
    let (env, data, key) = (StoreEnv::os(), dir.path().join("store"), dir.path().join("key"));
    create(&env, &data, &key, accounts);
    let mut engine = engine::open(&env, &data, &key).unwrap();
    let mut load = Load::begin(&mut engine, accounts);
    while load.number < entries {
        load.turn(&mut engine, 1000);
    }
    drop(engine);
    let through = || {
        let mut read = 0;
        let (history, _) = engine::replay(&env, &data, &mut |moment| read = moment.lsn.0).unwrap();
        assert_eq!(history.log.end.next_lsn.0 - 1, read);
        read
    };
    let (mut rates, mut ratios, mut starts) = (Vec::new(), Vec::new(), Vec::new());
    // The openings of the accounts among them.
    let all = through();
    for _ in 0..setting("ROUNDS", 5) {
        let warm = seconds(|| _ = through());
        evict(&data);
        let bare = seconds(|| read_all(&data));
        evict(&data);
        let cold = seconds(|| _ = through());
        remove_checkpoints(&data);
        let start = seconds(|| drop(engine::open(&env, &data, &key).unwrap()));
        println!("  warm {warm:.2} s, bare cold read {bare:.2} s, cold {cold:.2} s, a start {start:.2} s");
        rates.push(all as f64 / warm / 1e6);
        ratios.push(cold / (warm + bare));
        starts.push(start / (warm + bare));
        // The start's own look has read everything anew.
        through();
    }
    println!("{all} entries, {accounts} accounts and {entries} deposits to them in batches of 1000, medians:");
    println!("replay of a warm log: {:.2} million entries/s (target at least 5)", median(&mut rates));
    println!("cold replay / (warm replay + bare cold read): {:.2} (target at most 1.3)", median(&mut ratios));
    println!("a start, always cold / the same: {:.2} (target at most 1.3)", median(&mut starts));
}

fn segments(data: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(data).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "seg" || extension == "zst"));
    paths.sort();
    paths
}

fn evict(data: &Path) {
    for path in segments(data) {
        let file = OsDisk.open_read(&path).unwrap();
        file.sync().unwrap();
        file.evict().unwrap();
    }
}

fn read_all(data: &Path) {
    let mut buffer = vec![0; 2 << 20];
    for path in segments(data) {
        let file = fs::File::open(path).unwrap();
        let mut offset = 0;
        loop {
            let count = file.read_at(&mut buffer, offset).unwrap();
            if count == 0 {
                break;
            }
            offset += count as u64;
        }
    }
}

/// A real daemon's resident memory: without a checkpoint, and the most that it ever had, a checkpoint included.
fn memory() {
    let shared = Shared::new();
    for accounts in [1_000_000, setting("MEMORY_ACCOUNTS", 10_000_000) as u32] {
        let (dir, bank) = shared.bank(accounts);
        let at_start = resident(&bank);
        let checkpoints = || names(&dir.path().join("store")).iter().filter(|name| name.ends_with(".ckpt")).count();
        let mut rounds = 0;
        while checkpoints() == 0 && rounds < 24 {
            shared.load(&bank, &Plan { accounts, duration: Duration::from_secs(5), ..plan(16, 256) });
            rounds += 1;
        }
        let target = if accounts == 10_000_000 { " (target at most 2048 outside a checkpoint)" } else { "" };
        println!("a daemon with {accounts} accounts, MiB resident: {at_start:.0} after its start{target}");
        let (now, most, seconds) = (resident(&bank), peak(&bank), rounds * 5);
        println!("  {now:.0} after {} checkpoint(s) and {seconds} s of load, {most} at most", checkpoints());
    }
}

/// The most that a bank's daemon ever had resident, in MiB.
fn peak(bank: &OwnBank) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", bank.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() >> 10
}
