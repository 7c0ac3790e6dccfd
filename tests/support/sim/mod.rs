//! What the tests over the simulated disk share: its clock, its random numbers, and where the store is.
#![allow(dead_code, clippy::unwrap_used, clippy::cast_possible_truncation, missing_docs)]

pub mod lying;

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bankd::engine::StoreEnv;
use bankd::env::sim::{Random, SimDisk};
use bankd::env::{Clock, Entropy};
use bankd::wal::Preparer;

pub const STORE: &str = "/bank/store";
pub const KEY: &str = "/bank/key";

/// Time that goes where it likes: ten years back and forth between lives.
struct SimClock {
    wall: AtomicU64,
    monotonic: AtomicU64,
}

impl Clock for SimClock {
    fn wall(&self) -> Duration {
        Duration::from_secs(self.wall.load(Ordering::Relaxed))
    }
    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.monotonic.fetch_add(7, Ordering::Relaxed))
    }
}

struct SimEntropy(Mutex<Random>);

impl Entropy for SimEntropy {
    fn fill(&self, buf: &mut [u8]) -> io::Result<()> {
        let mut random = self.0.lock().unwrap();
        buf.iter_mut().for_each(|byte| *byte = random.next_u64() as u8);
        Ok(())
    }
}

pub fn env(disk: &SimDisk, seed: u64) -> StoreEnv {
    let mut random = Random::new(seed ^ 0xC10C);
    let wall = 1_800_000_000 + random.below(630_720_000);
    StoreEnv {
        disk: Arc::new(disk.clone()),
        clock: Arc::new(SimClock { wall: AtomicU64::new(wall - 315_360_000), monotonic: AtomicU64::new(0) }),
        entropy: Arc::new(SimEntropy(Mutex::new(Random::new(seed)))),
        preparer: Preparer::Inline,
        keeping: bankd::engine::Keeping::default(),
        watch: Arc::new(bankd::engine::NoProgress),
    }
}
