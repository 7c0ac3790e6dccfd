//! A real daemon and real connections: throughput and latency of deposits, beside the bare disk, in one run.
//!
//! The rounds are interleaved, since the machine is noisy: read the ratios, not the figures.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    clippy::float_arithmetic
)]

mod support;

use std::time::{Duration, Instant};

use support::{BareFile, Daemon, Load, percentiles};

const ACCOUNTS: u32 = 10_000;

fn main() {
    // `cargo bench --no-run` and `cargo test --benches` only build it.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let rounds = std::env::var("ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(5);
    let seconds = std::env::var("SECONDS_EACH").ok().and_then(|seconds| seconds.parse().ok()).unwrap_or(2);
    let duration = Duration::from_secs(seconds);
    let daemon = Daemon::start(ACCOUNTS);
    println!("idle daemon with {ACCOUNTS} accounts: {} KiB resident", daemon.resident_kib());
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut bare = BareFile::new(dir.path(), 64 << 20);
    let scenarios = [(1, 1), (16, 1), (64, 1), (16, 256)];
    let mut rates = vec![Vec::new(); scenarios.len()];
    let mut ratios = Vec::new();
    println!("{:<28} {:>12} {:>10} {:>10}", "scenario", "requests/s", "p50 us", "p99 us");
    for _ in 0..rounds {
        let disk = bare_p50(&mut bare);
        println!("{:<28} {:>12} {:>10}", "bare 4 KiB write+fdatasync", "", disk.as_micros());
        for (index, (connections, depth)) in scenarios.into_iter().enumerate() {
            let measured = Load { connections, depth, accounts: ACCOUNTS, duration }.run(daemon.address);
            let name = format!("{connections} x {depth} in flight");
            println!("{name:<28} {:>12.0} {:>10} {:>10}", measured.rate, measured.p50.as_micros(), measured.p99.as_micros());
            rates[index].push(measured.rate);
            if index == 0 {
                ratios.push(measured.p50.as_secs_f64() / disk.as_secs_f64());
            }
        }
    }
    let alone = median(&mut rates[0]);
    println!("medians of {rounds} rounds:");
    println!("p50 of one connection / bare write+fdatasync: {:.2}", median(&mut ratios));
    for (index, (connections, depth)) in scenarios.into_iter().enumerate().skip(1) {
        println!("{connections} x {depth} / 1 x 1: {:.1}", median(&mut rates[index]) / alone);
    }
    println!("daemon after it: {} KiB resident", daemon.resident_kib());
}

fn bare_p50(bare: &mut BareFile) -> Duration {
    let block = vec![0xA5; 4096];
    let mut samples: Vec<Duration> = (0..3000)
        .map(|_| {
            let began = Instant::now();
            bare.commit(&block);
            began.elapsed()
        })
        .collect();
    percentiles(&mut samples).0
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
