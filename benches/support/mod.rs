//! What the benches share: a disk's bare speed.
//!
//! Left out: banks and load, which are `bankd::bench`'s (`banks.rs`); bare sockets (`loopback.rs`), rounds and targets (`sheet.rs`).
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    clippy::float_arithmetic
)]

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

/// A file of zeros, written and synced, as a segment is: what a bare commit writes into.
pub struct BareFile {
    file: std::fs::File,
    length: u64,
    offset: u64,
}

impl BareFile {
    pub fn new(dir: &Path, length: u64) -> Self {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(dir.join("bare")).unwrap();
        let zeros = vec![0; 1 << 20];
        for at in (0..length).step_by(1 << 20) {
            file.write_all_at(&zeros, at).unwrap();
        }
        file.sync_all().unwrap();
        Self { file, length, offset: 0 }
    }

    /// One write and one fdatasync; starts over at the end.
    pub fn commit(&mut self, bytes: &[u8]) {
        if self.offset + bytes.len() as u64 > self.length {
            self.offset = 0;
        }
        self.file.write_all_at(bytes, self.offset).unwrap();
        self.file.sync_data().unwrap();
        self.offset += bytes.len() as u64;
    }
}

/// Median and 99th percentile.
pub fn percentiles(samples: &mut [Duration]) -> (Duration, Duration) {
    samples.sort_unstable();
    (samples[samples.len() / 2], samples[samples.len() * 99 / 100])
}
