//! A daemon of the bench's own, over a store that goes with it, and the files that a sweep leaves.
//!
//! Left out: load (`clerk.rs`, `throughput.rs`).

use std::io;
use std::path::Path;
use std::process::Command;

use super::sweep::BenchError;
use crate::client::Login;
use crate::env::Disk;
use crate::prove::Daemon;
use crate::secret::Secret;
use crate::wire::message::Role;

/// How many accounts there are.
pub(super) const ACCOUNTS: u32 = 1000;
/// What each of them holds at first.
pub(super) const OPENING: u64 = 1_000_000;

const TOKEN: &str = "a token for the bench";

/// The login of whoever makes the load.
pub(super) fn teller() -> Login {
    Login { role: Role::Teller, name: "bench".to_owned(), secret: Secret::new(TOKEN.to_owned()) }
}

/// Makes a store in `dir` and serves it.
pub(super) fn start(disk: &dyn Disk, exe: &Path, dir: &Path) -> Result<Daemon, BenchError> {
    let list = dir.join("accounts.csv");
    let mut text = format!("kind,name,secret,balance\nteller,bench,{TOKEN},\n");
    for account in 0..ACCOUNTS {
        text.push_str(&format!("account,account {account},2718281828,{OPENING}\n"));
    }
    write(disk, &list, &text)?;
    let store = dir.join("store");
    let made = Command::new(exe).arg("init").arg("--data-dir").arg(&store).arg("--accounts").arg(&list).output();
    let made = made.map_err(|source| BenchError::Io { what: "bankd init".to_owned(), source })?;
    if !made.status.success() {
        return Err(BenchError::Bank(String::from_utf8_lossy(&made.stderr).into_owned()));
    }
    let mut serve = Command::new(exe);
    serve.args(["serve", "--listen", "127.0.0.1:0", "--log-level", "warn"]).arg("--data-dir").arg(&store);
    Daemon::start(serve).map_err(|error| BenchError::Bank(error.to_string()))
}

/// Writes a file, in the place of an older one.
pub(super) fn write(disk: &dyn Disk, path: &Path, text: &str) -> Result<(), BenchError> {
    let replaced = || -> io::Result<()> {
        if disk.exists(path)? {
            disk.remove(path)?;
        }
        let file = disk.create(path)?;
        file.write_all_at(text.as_bytes(), 0)?;
        file.sync()
    };
    replaced().map_err(|source| BenchError::Io { what: path.display().to_string(), source })
}
