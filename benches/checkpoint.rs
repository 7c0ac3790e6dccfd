//! What checkpoints cost and what they save, at a million accounts: commits while one is made and while none is; a
//! start behind ten million entries with one and without.
//!
//! No criterion here: a tail of latencies needs every single commit, and a start takes seconds. Smaller figures:
//! `ACCOUNTS=10000 ENTRIES=100000 CHECKPOINTS=1 cargo bench --bench checkpoint`.
//!
//! The cause of a tail: record `perf record -a -e sched:sched_switch -e block:block_rq_issue -e
//! block:block_rq_complete` around it; for each slow commit it shows whether it waited for a processor, or behind which
//! request of which process.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation, missing_docs)]

#[path = "support/engine.rs"]
mod engine_load;

use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bankd::engine::{self, StoreEnv};
use engine_load::{Load, create, remove_checkpoints, setting};

/// Listens to the log for when a checkpoint begins and ends.
struct Listener;
/// What the maker of checkpoints is doing: an index into `PHASES`.
static PHASE: AtomicUsize = AtomicUsize::new(0);
const PHASES: [&str; 4] = ["no checkpoint", "replaying for one", "writing its image", "reading it back"];
static MADE: AtomicU64 = AtomicU64::new(0);

impl log::Log for Listener {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let text = record.args().to_string();
        if text.starts_with("making a checkpoint") {
            PHASE.store(1, Ordering::Relaxed);
        } else if text.starts_with("writing the checkpoint") {
            PHASE.store(2, Ordering::Relaxed);
        } else if text.starts_with("reading the checkpoint") && text.ends_with("back") {
            PHASE.store(3, Ordering::Relaxed);
        } else if text.starts_with("checkpoint at") {
            PHASE.store(0, Ordering::Relaxed);
            MADE.fetch_add(1, Ordering::Relaxed);
            println!("  {text}");
        } else if text.starts_with("recovered") || record.level() <= log::Level::Warn {
            println!("  {}", text.split_once(": ").map_or(text.as_str(), |(_, rest)| rest));
        }
    }

    fn flush(&self) {}
}

/// Resident memory in MiB: now, and at most.
fn memory() -> (u64, u64) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).map_or(0, |kib| kib >> 10)
    };
    (field("VmRSS:"), field("VmHWM:"))
}

fn tell(name: &str, mut took: Vec<Duration>) {
    took.sort_unstable();
    let at = |per_mille: usize| took.get((took.len() * per_mille / 1000).min(took.len().saturating_sub(1))).copied().unwrap_or_default();
    println!("{name}: {} commits, p50 {:?}, p99 {:?}, p99.9 {:?}, worst {:?}", took.len(), at(500), at(990), at(999), at(1000));
}

fn commits(env: &StoreEnv, data: &Path, key: &Path, accounts: u32, checkpoints: u64) {
    let mut engine = engine::open(env, data, key).unwrap();
    println!("resident with {accounts} accounts: {} MiB", memory().0);
    let mut load = Load::begin(&mut engine, accounts);
    let mut samples: [Vec<Duration>; PHASES.len()] = Default::default();
    while MADE.load(Ordering::Relaxed) < checkpoints {
        let before = PHASE.load(Ordering::Relaxed);
        let took = load.turn(&mut engine, 16);
        samples[before.max(PHASE.load(Ordering::Relaxed))].push(took);
    }
    tell("a checkpoint being made", samples[1..].concat());
    PHASES.iter().zip(samples).for_each(|(name, samples)| tell(name, samples));
    let (now, most) = memory();
    println!("resident afterwards: {now} MiB, at most: {most} MiB");
}

fn starts(env: &StoreEnv, data: &Path, key: &Path, accounts: u32, entries: u64) {
    let mut engine = engine::open(env, data, key).unwrap();
    let mut load = Load::begin(&mut engine, accounts);
    while load.number < entries {
        load.turn(&mut engine, 1000);
    }
    engine.checkpoint_now().unwrap();
    drop(engine);
    let open = |name: &str| {
        let since = Instant::now();
        drop(engine::open(env, data, key).unwrap());
        println!("a start {name}: {:?}", since.elapsed());
    };
    open("with a checkpoint");
    remove_checkpoints(data);
    open("without");
}

fn main() {
    log::set_logger(&Listener).unwrap();
    log::set_max_level(log::LevelFilter::Debug);
    let accounts = setting("ACCOUNTS", 1_000_000) as u32;
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (data, key) = (dir.path().join("store"), dir.path().join("key"));
    let env = StoreEnv::os();
    create(&env, &data, &key, accounts);
    commits(&env, &data, &key, accounts, setting("CHECKPOINTS", 3));
    starts(&env, &data, &key, accounts, setting("ENTRIES", 10_000_000));
}
