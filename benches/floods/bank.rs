//! The daemon that is flooded: a store on the disk with two tellers, and a process that listens for the lab's numbers too.
//!
//! Left out: what it is asked (`honest.rs`, `flooder.rs`).

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use bankd::client::Login;
use bankd::model::secret::Secret;
use bankd::wire::message::Role;

/// How many accounts there are.
pub const ACCOUNTS: u32 = 10_000;
/// Every account's PIN.
const PIN: &str = "2718281828";
/// Both tellers' token.
const TOKEN: &str = "a token for the bench";

/// The program that is measured.
pub fn exe() -> PathBuf {
    std::env::var_os("BANKD").map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_bankd")), PathBuf::from)
}

/// A running daemon. Killed when dropped.
pub struct Bank {
    child: Child,
    pub address: SocketAddr,
    /// Where the lab's numbers are answered.
    pub numbers: SocketAddr,
}

impl Bank {
    /// Makes a store in the empty directory and serves it.
    pub fn start(dir: &Path) -> Self {
        let store = make(dir);
        let log = std::fs::File::create(dir.join("daemon.log")).unwrap();
        let mut child = Command::new(exe())
            .args(["serve", "--listen", "127.0.0.1:0", "--log-level", "warn", "--lab", "--lab-listen-number", "127.0.0.1:0"])
            .args(["--lab-listen-lower", "off", "--lab-listen-atm", "off", "--data-dir"])
            .arg(&store)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let mut ready = |name: &str| lines.find_map(|line| line.strip_prefix(name).map(|address| address.trim().parse().unwrap()));
        let (Some(address), Some(numbers)) = (ready("ready native "), ready("ready lab-number ")) else {
            panic!("the daemon did not start: {}", std::fs::read_to_string(dir.join("daemon.log")).unwrap());
        };
        Self { child, address, numbers }
    }

    /// The daemon's process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Bank {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Makes a store in the empty directory; returns the store's directory.
pub fn make(dir: &Path) -> PathBuf {
    let (list, store) = (dir.join("accounts.csv"), dir.join("store"));
    let mut text = format!("kind,name,secret,balance\nteller,honest,{TOKEN},\nteller,flood,{TOKEN},\n");
    (0..ACCOUNTS).for_each(|account| text.push_str(&format!("account,account {account},{PIN},1000\n")));
    std::fs::write(&list, text).unwrap();
    let made = Command::new(exe()).arg("init").arg("--data-dir").arg(&store).arg("--accounts").arg(&list).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    store
}

/// A teller's login.
pub fn teller(name: &str) -> Login {
    Login { role: Role::Teller, name: name.to_owned(), secret: Secret::new(TOKEN.to_owned()) }
}
