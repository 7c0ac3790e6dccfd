//! Banks to measure, loads on them, and what their stores hold afterwards: what the end-to-end benches share.
//!
//! Left out: scenarios (`end_to_end.rs`, `cost.rs`), rounds and targets (`sheet.rs`).
#![allow(dead_code, clippy::unwrap_used, clippy::cast_precision_loss, clippy::float_arithmetic)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use bankd::bench::load::{Measured, Plan};
use bankd::bench::{OwnBank, Report, Target, trial};
use bankd::env::Env;
use bankd::env::process::process_figures;

use super::sheet::{Sheet, seconds_each};

/// The accounts of most scenarios.
pub const SMALL: u32 = 10_000;

/// The program that is measured.
pub fn exe() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_bankd"))
}

/// The world, the sheet, and a directory for everything.
pub struct Shared {
    pub env: Env,
    pub sheet: Sheet,
    pub dir: tempfile::TempDir,
}

impl Shared {
    pub fn new() -> Self {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        Self { env: Env::os(), sheet: Sheet::open(), dir }
    }

    /// A bank of `accounts` accounts, and its directory.
    pub fn bank(&self, accounts: u32) -> (tempfile::TempDir, OwnBank) {
        let dir = tempfile::tempdir_in(self.dir.path()).unwrap();
        let bank = OwnBank::start(&*self.env.disk, exe(), dir.path(), accounts).unwrap();
        (dir, bank)
    }

    /// Puts the load on the bank, and waits until its background work (compressing segments) is done, so that no later
    /// load pays for it.
    pub fn run(&self, bank: &OwnBank, plan: &Plan) -> Report {
        let report = trial(&self.env, &Target::Own(bank), plan, None, &mut |_| {}).unwrap();
        report.warnings().iter().for_each(|warning| println!("  NOTE: {warning}"));
        settle(bank);
        report
    }

    pub fn load(&self, bank: &OwnBank, plan: &Plan) -> Measured {
        self.run(bank, plan).measured
    }
}

/// Deposits to the small bank by `connections` connections, with `depth` in flight on each.
pub fn plan(connections: usize, depth: usize) -> Plan {
    let duration = seconds_each();
    Plan { connections, depth, warm_up: duration / 5, duration, accounts: SMALL, ..Plan::default() }
}

/// The resident memory of a bank's daemon in MiB.
pub fn resident(bank: &OwnBank) -> f64 {
    process_figures(bank.id()).unwrap().resident as f64 / 1_048_576.0
}

/// Waits, a minute at most, until the daemon uses no processor any more.
pub fn settle(bank: &OwnBank) {
    let cpu = || process_figures(bank.id()).unwrap().cpu;
    let mut before = cpu();
    for _ in 0..240 {
        std::thread::sleep(Duration::from_millis(250));
        let after = cpu();
        if after - before <= Duration::from_millis(10) {
            return;
        }
        before = after;
    }
}

/// The names of a store's files.
pub fn names(store: &Path) -> Vec<String> {
    std::fs::read_dir(store).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// Removes the checkpoints of a store that is not being served: a start then reads the whole log.
pub fn remove_checkpoints(store: &Path) {
    let checkpoints: Vec<PathBuf> = names(store).into_iter().filter(|name| name.ends_with(".ckpt")).map(|name| store.join(name)).collect();
    checkpoints.iter().for_each(|path| std::fs::remove_file(path).unwrap());
}

/// What `bankd wal stat` counts in a store.
#[derive(Clone, Copy)]
pub struct Stat {
    pub entries: u64,
    /// Bytes of batches, padding included.
    pub used: u64,
}

pub fn wal_stat(store: &Path) -> Stat {
    let stat = Command::new(exe()).args(["wal", "stat", "--json", "--data-dir"]).arg(store).output().unwrap();
    let stat: serde_json::Value = serde_json::from_slice(&stat.stdout).unwrap();
    let all = |name: &str| stat["all"][name].as_u64().unwrap();
    Stat { entries: all("entries"), used: all("used") }
}

/// How long a start takes, from the start of the process until it is ready. The daemon is gone again afterwards.
pub fn start(store: &Path) -> Duration {
    let began = Instant::now();
    let bank = OwnBank::serve(exe(), store).unwrap();
    let took = began.elapsed();
    drop(bank);
    took
}
