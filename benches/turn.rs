//! A turn of the daemon without sockets and without a disk: what the processor does for a request.
//!
//! No criterion here: every turn needs a log that goes on, in memory, so there are not many. `ACCOUNTS=10000000 cargo bench
//! --bench turn` shows what accounts beyond every cache cost. Left out: instructions (`instructions.rs`).
#![allow(clippy::unwrap_used, clippy::cast_precision_loss, clippy::float_arithmetic, clippy::indexing_slicing)]

mod turns;

use std::path::Path;
use std::time::Instant;

use turns::{RUN, Scenario, Turns};

/// What is measured: a name, what is asked, connections, requests of each in a turn, turns.
const SCENARIOS: [(&str, Scenario, usize, u64, usize); 6] = [
    ("deposits 64 x 1", Scenario::Deposits, 64, 1, 4_000),
    ("deposits 16 x 256", Scenario::Deposits, 16, 256, 200),
    ("transfers 16 x 256", Scenario::Transfers, 16, 256, 200),
    ("transfers in runs of 128, 16 x 1024", Scenario::Runs, 16, 8 * RUN, 50),
    ("duplicates 16 x 256", Scenario::Duplicates, 16, 256, 200),
    ("balances 16 x 256", Scenario::Balances, 16, 256, 200),
];
/// Turns before measuring, until buffers have their size.
const WARM_UP: usize = 4;

fn main() {
    // `cargo test --benches` only builds it.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let accounts = std::env::var("ACCOUNTS").ok().and_then(|accounts| accounts.parse().ok()).unwrap_or(10_000);
    let memory = Path::new("/dev/shm");
    if !memory.is_dir() {
        println!("nothing is measured: there is no {}", memory.display());
        return;
    }
    println!("{:<40} {:>14} {:>14}", format!("{accounts} accounts, ns a request"), "fastest turn", "median");
    for (name, scenario, connections, depth, count) in SCENARIOS {
        let mut turns = Turns::new(memory, scenario, accounts, connections, depth);
        let mut took = Vec::with_capacity(count);
        for turn in 0..WARM_UP + count {
            let input = turns.prepare();
            let began = Instant::now();
            assert!(turns.run(&input) > 0);
            if turn >= WARM_UP {
                took.push(began.elapsed().as_nanos() as f64 / turns.requests() as f64);
            }
        }
        took.sort_by(f64::total_cmp);
        println!("{name:<40} {:>14.1} {:>14.1}", took[0], took[count / 2]);
    }
}
