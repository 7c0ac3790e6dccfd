//! What the benches share: a disk's bare speed and a daemon of their own.
//!
//! Left out: load, which is `bankd::bench`'s; bare sockets (`loopback.rs`), rounds and targets (`sheet.rs`).
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
use std::io::{self, BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

pub const TOKEN: &str = "a token for the load generator";

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

/// A daemon over a store of its own, ended when dropped.
pub struct Daemon {
    child: Child,
    pub address: SocketAddr,
    _dir: tempfile::TempDir,
}

impl Daemon {
    /// Makes a store of `accounts` accounts and a teller, and serves it.
    pub fn start(accounts: u32) -> Self {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let list = dir.path().join("accounts.csv");
        let mut file = io::BufWriter::new(std::fs::File::create(&list).unwrap());
        writeln!(file, "kind,name,secret,balance\nteller,load,{TOKEN},").unwrap();
        for account in 0..accounts {
            writeln!(file, "account,account {account},123456,1000000").unwrap();
        }
        drop(file);
        let store = dir.path().join("store");
        let bankd = env!("CARGO_BIN_EXE_bankd");
        let made = Command::new(bankd).arg("init").arg("--data-dir").arg(&store).arg("--accounts").arg(&list).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let mut child = Command::new(bankd)
            .args(["serve", "--listen", "127.0.0.1:0", "--log-level", "warn", "--data-dir"])
            .arg(&store)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let line = BufReader::new(child.stdout.take().unwrap()).lines().next().unwrap().unwrap();
        let address = line.strip_prefix("ready native ").unwrap().parse().unwrap();
        Self { child, address, _dir: dir }
    }

    pub fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap().trim().trim_end_matches(" kB").parse().unwrap()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
