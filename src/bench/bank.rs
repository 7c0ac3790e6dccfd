//! A daemon that the bench starts on a store of its own, and the writing of result files.
//!
//! Left out: load (`load/`, `worker.rs`), the daemon's resource usage (`process_sampler.rs`).

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::error::BenchError;
use crate::client::Login;
use crate::env::Disk;
use crate::model::secret::Secret;
use crate::prove::Daemon;
use crate::wire::message::Role;

/// Opening balance of each account of a sweep, in minor units.
pub(super) const OPENING: u64 = 1_000_000;
/// Opening balance of each account of a load: enough for any run, and ten million of them stay far below the largest amount.
const PLENTY: u64 = 100_000_000_000;

const TOKEN: &str = "a token for the bench";
/// The accounts file is written in pieces of about this many bytes.
const PIECE: usize = 1 << 20;

/// The login of the load generator.
pub(super) fn teller() -> Login {
    Login { role: Role::Teller, name: "bench".to_owned(), secret: Secret::new(TOKEN.to_owned()) }
}

/// A running daemon on a store of its own, with a teller for the load. Killed on drop; the store stays.
pub struct OwnBank {
    daemon: Daemon,
    store: PathBuf,
}

impl OwnBank {
    /// Creates a store with `accounts` accounts in the empty directory `dir`, and serves it with the `bankd` executable `exe`.
    ///
    /// # Errors
    /// [`BenchError`] with the program's stderr.
    pub fn start(disk: &dyn Disk, exe: &Path, dir: &Path, accounts: u32) -> Result<Self, BenchError> {
        Self::with_opening(disk, exe, dir, accounts, PLENTY)
    }

    pub(super) fn with_opening(disk: &dyn Disk, exe: &Path, dir: &Path, accounts: u32, opening: u64) -> Result<Self, BenchError> {
        let store = dir.join("store");
        let list = dir.join("accounts.csv");
        write_accounts(disk, &list, accounts, opening).map_err(|source| BenchError::Io { what: list.display().to_string(), source })?;
        let made = Command::new(exe).arg("init").arg("--data-dir").arg(&store).arg("--accounts").arg(&list).output();
        let made = made.map_err(|source| BenchError::Io { what: "bankd init".to_owned(), source })?;
        if !made.status.success() {
            return Err(BenchError::Bank(String::from_utf8_lossy(&made.stderr).into_owned()));
        }
        // A list of ten million accounts has hundreds of megabytes.
        disk.remove(&list).map_err(|source| BenchError::Io { what: list.display().to_string(), source })?;
        Self::serve(exe, &store)
    }

    /// Serves a store that [`OwnBank::start`] created, with the `bankd` executable `exe`. Returns when it is ready.
    ///
    /// # Errors
    /// [`BenchError`] with the program's stderr.
    pub fn serve(exe: &Path, store: &Path) -> Result<Self, BenchError> {
        let mut serve = Command::new(exe);
        serve.args(["serve", "--listen", "127.0.0.1:0", "--log-level", "warn"]).arg("--data-dir").arg(store);
        let daemon = Daemon::start(serve).map_err(|error| BenchError::Bank(error.to_string()))?;
        Ok(Self { daemon, store: store.to_owned() })
    }

    /// The address it listens on.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.daemon.address()
    }

    /// The daemon's process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.daemon.id()
    }

    /// The store's directory.
    #[must_use]
    pub fn store(&self) -> &Path {
        &self.store
    }

    /// The teller's login.
    #[must_use]
    pub fn login(&self) -> Login {
        teller()
    }
}

fn write_accounts(disk: &dyn Disk, path: &Path, accounts: u32, opening: u64) -> io::Result<()> {
    let file = disk.create(path)?;
    let mut piece = format!("kind,name,secret,balance\nteller,bench,{TOKEN},\n");
    let mut end = 0;
    for account in 0..accounts {
        piece.push_str(&format!("account,account {account},2718281828,{opening}\n"));
        if piece.len() >= PIECE {
            file.write_all_at(piece.as_bytes(), end)?;
            end += piece.len() as u64;
            piece.clear();
        }
    }
    file.write_all_at(piece.as_bytes(), end)
}

/// Writes a file, replacing an older one.
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
