//! Commit latency across segment switches at full load: the log's tail, beside the bare disk's in the same run.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::float_arithmetic
)]

#[allow(unused)]
mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bankd::env::os::OsDisk;
use bankd::model::types::{BankTime, StoreId};
use bankd::wal::{Log, Preparer, SegmentSizes};
use support::BareFile;

/// As long as a withdrawal's entry.
const ENTRY: [u8; 48] = [0x5A; 48];
const SEGMENT: u64 = 64 << 20;
const SWITCHES: u64 = 20;

fn main() {
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    // About 1,000 entries a batch: a busy daemon's turn.
    let entries = std::env::var("ENTRIES").ok().and_then(|entries| entries.parse().ok()).unwrap_or(1096_usize);
    let bytes = (256 + entries * (ENTRY.len() + 8)).next_multiple_of(4096);
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let commits = SWITCHES * SEGMENT / bytes as u64;

    let mut bare = BareFile::new(dir.path(), SEGMENT);
    let block = vec![0xA5; bytes];
    let began = Instant::now();
    let mut samples: Vec<Duration> = (0..commits / 4).map(|_| timed(|| bare.commit(&block))).collect();
    show("bare write+fdatasync", bytes, began.elapsed(), &mut samples);

    let sizes = SegmentSizes { first: SEGMENT, max: SEGMENT };
    let mut log = Log::create(Arc::new(OsDisk), dir.path(), StoreId([7; 16]), sizes, 1, Preparer::Background).unwrap();
    log.commit(BankTime(1), 0).unwrap();
    log.publish().unwrap();
    let began = Instant::now();
    let mut samples: Vec<Duration> = (0..commits)
        .map(|_| {
            timed(|| {
                for _ in 0..entries {
                    log.append(|out| out.extend_from_slice(&ENTRY)).unwrap();
                }
                log.commit(BankTime(1), 0).unwrap();
            })
        })
        .collect();
    show(&format!("log, {SWITCHES} switches"), bytes, began.elapsed(), &mut samples);
    // Sorted by now.
    let above = samples[samples.len() - 1] - samples[samples.len() / 2];
    println!("the worst commit is {above:?} above the median (target at most 10 ms)");
}

fn timed(work: impl FnOnce()) -> Duration {
    let began = Instant::now();
    work();
    began.elapsed()
}

fn show(name: &str, bytes: usize, whole: Duration, samples: &mut [Duration]) {
    samples.sort_unstable();
    let at = |share: f64| samples[((samples.len() - 1) as f64 * share) as usize].as_micros();
    println!(
        "{name:<24} {bytes} bytes a commit: {} commits in {:.1} s; us: p50 {} p99 {} p99.9 {} max {}",
        samples.len(),
        whole.as_secs_f64(),
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0)
    );
}
