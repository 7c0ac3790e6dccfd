//! A real daemon under the load of `bankd bench run`, scenario by scenario, beside the bare disk and bare sockets of the
//! same minutes.
//!
//! `cargo bench --bench end_to_end -- alone crowd` runs those two; without names, all. The rounds of a scenario are
//! interleaved, since the machine is noisy: read the ratios. What takes another system to compare with is in
//! `benches/compare/`. Left out: the load (`bankd::bench`), what things cost (`cost.rs`).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::float_arithmetic,
    missing_docs
)]

#[path = "support/banks.rs"]
mod banks;
#[path = "support/loopback.rs"]
mod loopback;
#[path = "support/sheet.rs"]
mod sheet;
mod support;

use std::time::{Duration, Instant};

use bankd::bench::load::{Measured, Mix, Plan};
use bankd::env::os;
use banks::{Shared, names, plan, remove_checkpoints, resident};
use loopback::{Exchange, SINGLE};
use sheet::{Target, is_wanted, rounds, seconds_each, setting};
use support::{BareFile, percentiles};

/// The large bank.
const LARGE: u32 = 10_000_000;
/// Bytes of log that a command takes in a large batch.
const ENTRY: f64 = 57.0;
/// Commands a frame, where there are runs.
const RUN: usize = 128;

fn main() {
    // `cargo bench --no-run` and `cargo test --benches` only build it.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    os::raise_descriptor_limit();
    let mut bench = Bench::new();
    let scenarios: [(&str, Scenario); 10] = [
        ("alone", alone),
        ("terminals", terminals),
        ("crowd", crowd),
        ("deposits", deposits),
        ("transfers", transfers),
        ("runs", runs),
        ("large", large),
        ("recovery", recovery),
        ("tail", tail),
        ("memory", memory),
    ];
    sheet::refuse_others(&scenarios.map(|(name, _)| name));
    for (name, scenario) in scenarios {
        if is_wanted(name) {
            scenario(&mut bench);
        }
    }
}

type Scenario = fn(&mut Bench);

/// The shared part and a bare file.
struct Bench {
    shared: Shared,
    bare: BareFile,
}

impl std::ops::Deref for Bench {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.shared
    }
}

impl std::ops::DerefMut for Bench {
    fn deref_mut(&mut self) -> &mut Shared {
        &mut self.shared
    }
}

impl Bench {
    fn new() -> Self {
        let shared = Shared::new();
        let bare = BareFile::new(shared.dir.path(), 64 << 20);
        Self { shared, bare }
    }

    /// `commits` bare commits of `bytes` bytes, one after the other.
    fn bare(&mut self, commits: usize, bytes: usize) -> Vec<Duration> {
        let block = vec![0xA5; bytes];
        let timed = |bare: &mut BareFile| {
            let began = Instant::now();
            bare.commit(&block);
            began.elapsed()
        };
        (0..commits).map(|_| timed(&mut self.bare)).collect()
    }

    fn bare_p50(&mut self) -> f64 {
        percentiles(&mut self.bare(3000, 4096)).0.as_secs_f64() * 1e6
    }

    /// How many commands a second the bare disk takes in commits of `commands` commands.
    fn bare_rate(&mut self, commands: f64) -> f64 {
        let bytes = ((commands * ENTRY) as usize).next_multiple_of(4096);
        let samples = self.bare(300, bytes);
        commands * samples.len() as f64 / samples.iter().sum::<Duration>().as_secs_f64()
    }
}

fn p50(measured: &Measured) -> f64 {
    measured.latency_at(0.5).as_secs_f64() * 1e6
}

fn alone(bench: &mut Bench) {
    bench.sheet.head("alone", "one connection, one deposit at a time");
    let (_dir, bank) = bench.bank(banks::SMALL);
    let (mut disk, mut wire, mut ours, mut rates, mut waits) = (vec![], vec![], vec![], vec![], vec![]);
    for _ in 0..rounds() {
        // The disk before and after, since it changes by the second.
        let before = bench.bare_p50();
        let report = bench.run(&bank, &plan(1, 1));
        disk.push((before + bench.bare_p50()) / 2.0);
        wire.push(1e6 / loopback::rate(1, 1, SINGLE, seconds_each() / 3));
        ours.push(p50(&report.measured));
        rates.push(report.measured.rate());
        waits.push(report.daemon.unwrap().sync_share * 100.0);
    }
    bench.sheet.figure("alone", "bare 4 KiB write + fdatasync, p50", "us", &disk);
    bench.sheet.figure("alone", "bare loopback round trip, mean", "us", &wire);
    bench.sheet.figure("alone", "deposit, p50", "us", &ours);
    bench.sheet.figure("alone", "deposits a second", "/s", &rates);
    bench.sheet.figure("alone", "time that the daemon waits for the disk", "%", &waits);
    bench.sheet.ratio("alone", "p50 / bare write + fdatasync", &ours, &disk, Target::AtMost(1.25));
}

fn terminals(bench: &mut Bench) {
    bench.sheet.head("terminals", "64 connections, one deposit at a time each");
    let (_dir, bank) = bench.bank(banks::SMALL);
    let (mut disk, mut wire, mut rates, mut entries, mut one) = (vec![], vec![], vec![], vec![], vec![]);
    for _ in 0..rounds() {
        disk.push(1e6 / bench.bare_p50());
        wire.push(loopback::rate(64, 1, SINGLE, seconds_each() / 3));
        one.push(bench.load(&bank, &plan(1, 1)).rate());
        let measured = bench.load(&bank, &plan(64, 1));
        rates.push(measured.rate());
        entries.push(measured.entries_per_commit());
    }
    bench.sheet.figure("terminals", "bare 4 KiB write + fdatasync, a second", "/s", &disk);
    bench.sheet.figure("terminals", "bare loopback exchanges a second", "/s", &wire);
    bench.sheet.figure("terminals", "deposits a second", "/s", &rates);
    bench.sheet.figure("terminals", "commands a commit", "", &entries);
    let ratios = |to: &[f64]| rates.iter().zip(to).map(|(one, other)| one / other).collect::<Vec<_>>();
    bench.sheet.figure("terminals", "rate / rate of one connection", "x", &ratios(&one));
    bench.sheet.figure("terminals", "rate / bare loopback", "x", &ratios(&wire));
}

fn crowd(bench: &mut Bench) {
    bench.sheet.head("crowd", "1,000 connections, one deposit at a time each, against 64");
    let (_dir, bank) = bench.bank(banks::SMALL);
    let (mut few, mut many, mut spread, mut wire, mut disk) = (vec![], vec![], vec![], vec![], vec![]);
    for _ in 0..rounds() {
        disk.push(bench.bare_p50());
        few.push(bench.load(&bank, &plan(64, 1)).rate());
        let measured = bench.load(&bank, &plan(1000, 1));
        many.push(measured.rate());
        spread.push(measured.latency_at(0.99).as_secs_f64() / measured.latency_at(0.5).as_secs_f64());
        wire.push(loopback::rate(1000, 1, SINGLE, seconds_each() / 3));
    }
    bench.sheet.figure("crowd", "bare 4 KiB write + fdatasync, p50", "us", &disk);
    bench.sheet.figure("crowd", "bare loopback exchanges a second", "/s", &wire);
    bench.sheet.figure("crowd", "deposits a second", "/s", &many);
    bench.sheet.ratio("crowd", "rate / rate of 64 connections", &many, &few, Target::AtLeast(1.0));
    bench.sheet.against("crowd", "p99 / p50", &spread, Target::AtMost(4.0));
}

/// A pipelined load beside bare sockets that carry the same bytes, and the bare disk writing as much at a time.
fn pipelined(bench: &mut Bench, name: &str, plan: &Plan, exchange: Exchange) {
    let (_dir, bank) = bench.bank(banks::SMALL);
    let (mut disk, mut wire, mut rates) = (vec![], vec![], vec![]);
    let (mut medians, mut entries, mut cpu) = (vec![], vec![], vec![]);
    for _ in 0..rounds() {
        let frames = plan.depth / plan.run;
        wire.push(loopback::rate(plan.connections, frames, exchange, seconds_each() / 3) * plan.run as f64);
        let report = bench.run(&bank, plan);
        rates.push(report.measured.rate());
        medians.push(p50(&report.measured));
        entries.push(report.measured.entries_per_commit());
        disk.push(bench.bare_rate(report.measured.entries_per_commit()));
        cpu.push(report.daemon.unwrap().cpu.as_secs_f64() * 1e9 / report.measured.answered as f64);
    }
    bench.sheet.figure(name, "bare write + fdatasync of as many bytes a commit, commands a second", "/s", &disk);
    bench.sheet.figure(name, "bare loopback, commands a second", "/s", &wire);
    bench.sheet.figure(name, "commands a second", "/s", &rates);
    bench.sheet.figure(name, "p50", "us", &medians);
    bench.sheet.figure(name, "commands a commit", "", &entries);
    bench.sheet.figure(name, "processor time of the daemon a command", "ns", &cpu);
    let ratios = |to: &[f64]| rates.iter().zip(to).map(|(one, other)| one / other).collect::<Vec<_>>();
    bench.sheet.figure(name, "rate / bare write + fdatasync", "x", &ratios(&disk));
    bench.sheet.figure(name, "rate / bare loopback", "x", &ratios(&wire));
}

fn deposits(bench: &mut Bench) {
    bench.sheet.head("deposits", "16 connections, 256 single deposits in flight each");
    pipelined(bench, "deposits", &plan(16, 256), SINGLE);
}

fn transfers(bench: &mut Bench) {
    bench.sheet.head("transfers", "16 connections, 256 single transfers between random accounts in flight each");
    pipelined(bench, "transfers", &Plan { mix: Mix::TRANSFERS, ..plan(16, 256) }, Exchange { question: 48, ..SINGLE });
}

fn runs(bench: &mut Bench) {
    bench.sheet.head("runs", "16 connections, 1,024 transfers in flight each, 128 in a frame");
    pipelined(bench, "runs", &Plan { mix: Mix::TRANSFERS, run: RUN, ..plan(16, 1024) }, Exchange::run(RUN));
}

fn large(bench: &mut Bench) {
    bench.sheet.head("large", "16 x 256 deposits: 10 million accounts against 10 thousand");
    let ((_one, small), (_other, large)) = (bench.bank(banks::SMALL), bench.bank(LARGE));
    let (mut few, mut many) = (vec![], vec![]);
    for _ in 0..rounds() {
        few.push(bench.load(&small, &plan(16, 256)).rate());
        many.push(bench.load(&large, &Plan { accounts: LARGE, ..plan(16, 256) }).rate());
    }
    bench.sheet.figure("large", "10 thousand accounts, deposits a second", "/s", &few);
    bench.sheet.figure("large", "10 million accounts, deposits a second", "/s", &many);
    bench.sheet.ratio("large", "rate / rate at 10 thousand", &many, &few, Target::AtLeast(0.85));
}

fn recovery(bench: &mut Bench) {
    bench.sheet.head("recovery", "a start over the log of a pipelined load, without a checkpoint, against that load");
    let (mut rates, mut recovered) = (vec![], vec![]);
    for _ in 0..rounds() {
        let (_dir, bank) = bench.bank(banks::SMALL);
        let measured = bench.load(&bank, &Plan { duration: seconds_each() * 2, ..plan(16, 256) });
        let store = bank.store().to_owned();
        drop(bank);
        remove_checkpoints(&store);
        let entries = banks::wal_stat(&store).entries;
        let took = banks::start(&store);
        rates.push(measured.rate());
        recovered.push(entries as f64 / took.as_secs_f64());
    }
    bench.sheet.figure("recovery", "entries a second, from the start of the process", "/s", &recovered);
    bench.sheet.ratio("recovery", "entries a second / pipelined rate", &recovered, &rates, Target::AtLeast(1.5));
}

fn tail(bench: &mut Bench) {
    let accounts = setting("TAIL_ACCOUNTS", 100_000) as u32;
    bench.sheet.head("tail", "open loop at half load, 64 connections, while segments are switched and checkpoints made");
    let (_dir, bank) = bench.bank(accounts);
    let (mut disk, mut ours, mut middles) = (vec![], vec![], vec![]);
    let (mut segments, mut checkpoints) = (vec![], vec![]);
    for _ in 0..rounds() {
        let half = bench.load(&bank, &Plan { accounts, ..plan(64, 1) }).rate() / 2.0;
        let p999 = |samples: &mut Vec<Duration>| {
            samples.sort_unstable();
            samples[samples.len() * 999 / 1000].as_secs_f64() * 1e6
        };
        let mut bare = bench.bare(10_000, 4096);
        let before = names(bank.store());
        let duration = Duration::from_secs(setting("TAIL_SECONDS", 20));
        let open = Plan { rate: Some(half as u64), depth: 512, accounts, duration, ..plan(64, 1) };
        let measured = bench.load(&bank, &open);
        let fresh: Vec<String> = names(bank.store()).into_iter().filter(|name| !before.contains(name)).collect();
        segments.push(fresh.iter().filter(|name| name.ends_with(".seg")).count() as f64);
        checkpoints.push(fresh.iter().filter(|name| name.ends_with(".ckpt")).count() as f64);
        bare.extend(bench.bare(10_000, 4096));
        disk.push(p999(&mut bare));
        ours.push(measured.latency_at(0.999).as_secs_f64() * 1e6);
        middles.push(p50(&measured));
    }
    bench.sheet.figure("tail", "segments made meanwhile", "", &segments);
    bench.sheet.figure("tail", "checkpoints made meanwhile and kept (two at most are)", "", &checkpoints);
    bench.sheet.figure("tail", "bare 4 KiB write + fdatasync, p99.9", "us", &disk);
    bench.sheet.figure("tail", "deposit, p50", "us", &middles);
    bench.sheet.figure("tail", "deposit, p99.9", "us", &ours);
    bench.sheet.ratio("tail", "p99.9 / bare write + fdatasync p99.9", &ours, &disk, Target::AtMost(3.0));
}

fn memory(bench: &mut Bench) {
    bench.sheet.head("memory", "resident, outside checkpoints");

    let (_dir, idle) = bench.bank(4);
    bench.sheet.against("memory", "idle, 4 accounts: MiB", &[resident(&idle)], Target::AtMost(16.0));
    drop(idle);
    let (_dir, bank) = bench.bank(1_000_000);
    // After a load: whatever it needs at first use is there. Too short for a checkpoint to be due.
    bench.load(&bank, &Plan { accounts: 1_000_000, duration: Duration::from_secs(2), ..plan(64, 1) });
    bench.sheet.against("memory", "1 million accounts: MiB", &[resident(&bank)], Target::AtMost(160.0));
}
