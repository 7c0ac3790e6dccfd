//! Floods in small: beside each of them an honest client is answered right, memory stays small, and the daemon ends on
//! SIGTERM.
//!
//! The floods are those of `benches/floods`, which measures them in full. No speed is held here.
//! Linux only: the connections come from several addresses of 127.0.0.0/8, and the memory is read from `/proc`.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::float_arithmetic,
    missing_docs
)]

#[allow(dead_code)]
#[path = "../../benches/floods/bank.rs"]
mod bank;
#[allow(dead_code)]
#[path = "../../benches/floods/crowd.rs"]
mod crowd;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant};

use self::crowd::{Done, peer::Script};
use crate::support::daemon::{Client, Daemon, Store, answer, deposit};
use bankd::model::command::Outcome;
use bankd::model::types::{AccountId, RequestNumber};
use bankd::wire::message::{Ask, Reply};

/// Deposits beside a flood.
const DEPOSITS: u64 = 300;
/// Deposits before it.
const DEPOSITS_ALONE: u64 = 20;
/// A flood has at least this long to fill the memory.
const FLOODING: Duration = Duration::from_secs(2);
/// Turns that each flooding connection has after the deposits.
const TURNS: u64 = 50;
/// How much more memory than alone the daemon may hold beside a flood.
const MEMORY_ABOVE: u64 = 64 << 20;
/// How long anything at all may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// Sessions of the teller who lists them.
const SESSIONS: usize = 300;
/// Every account's balance at first.
const FIRST: u64 = 1_000;
/// Accounts that the honest client pays into, one after another; no flood touches them.
const PAID: [AccountId; 3] = [AccountId(9_990), AccountId(9_995), AccountId(9_999)];

/// A flood that goes on in a thread.
struct Flood {
    is_over: Arc<AtomicBool>,
    /// Turns that its connections had.
    turns: Arc<AtomicU64>,
    thread: Option<JoinHandle<Done>>,
}

impl Flood {
    /// Returns when every connection is made and has greeted.
    fn start(address: SocketAddr, count: usize, script: fn(usize) -> Script) -> Self {
        let (is_over, turns) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (over, had) = (Arc::clone(&is_over), Arc::clone(&turns));
        let (ready, is_ready) = channel();
        let thread = spawn(move || {
            let asked = || {
                had.fetch_add(1, Ordering::Relaxed);
                over.load(Ordering::Relaxed)
            };
            crowd::flood(address, count, script, || ready.send(()).unwrap(), asked)
        });
        is_ready.recv_timeout(PATIENCE).unwrap();
        Self { is_over, turns, thread: Some(thread) }
    }

    fn end(mut self) -> Done {
        self.is_over.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap()
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

/// The honest client, and what it knows of its accounts.
struct Depositor {
    client: Client,
    made: u64,
    balances: [u64; PAID.len()],
}

impl Depositor {
    fn new(daemon: &Daemon) -> Self {
        let mut client = connect(daemon, "honest");
        client.open_session();
        Self { client, made: 0, balances: [FIRST; PAID.len()] }
    }

    /// One more deposit, of an amount of its own. Every tenth is sent again, and is answered with the same.
    fn deposit(&mut self) {
        self.made += 1;
        let place = self.made as usize % PAID.len();
        self.balances[place] += self.made;
        // All before it are known.
        let number = RequestNumber(self.made);
        let ask = Ask::Request { number, acked_below: number, command: deposit(PAID[place], self.made) };
        let (body, is_replayed) = answer(&self.client.ask(&ask));
        assert_eq!((body.outcome, body.balance.get(), is_replayed), (Outcome::Done, self.balances[place], false));
        if self.made.is_multiple_of(10) {
            assert_eq!(answer(&self.client.ask(&ask)), (body, true));
        }
    }
}

/// A connection of a teller.
fn connect(daemon: &Daemon, teller: &str) -> Client {
    let mut client = daemon.connect();
    client.stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let login = bank::teller(teller);
    let login = Ask::Login { role: login.role, name: login.name, secret: login.secret };
    assert!(matches!(client.ask(&login), Reply::LoggedIn { .. }));
    client
}

/// SIGTERM; the exit code.
fn end(daemon: &mut Daemon) -> Option<i32> {
    daemon.signal("TERM");
    let told = Instant::now();
    while told.elapsed() < PATIENCE {
        if let Some(status) = daemon.child.try_wait().unwrap() {
            return status.code();
        }
        sleep(Duration::from_millis(20));
    }
    panic!("it goes on after SIGTERM");
}

/// Resident memory in bytes.
fn resident(daemon: &Daemon) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.child.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

/// One flood of `count` connections, from a fresh store to the balance after the end and a new start.
fn holds(count: usize, script: fn(usize) -> Script) -> Done {
    let store = Store::new();
    bank::make(store.root());
    let mut daemon = store.serve();
    let mut teller = connect(&daemon, "flood");
    teller.send(&vec![Ask::OpenSession; SESSIONS]);
    (0..SESSIONS).for_each(|_| assert!(matches!(teller.receive(), Reply::Session(_))));
    let mut depositor = Depositor::new(&daemon);
    (0..DEPOSITS_ALONE).for_each(|_| depositor.deposit());
    let alone = resident(&daemon);

    let flood = Flood::start(daemon.address, count, script);
    let began = Instant::now();
    let (mut most, mut turns) = (0, None);
    loop {
        depositor.deposit();
        most = most.max(resident(&daemon).saturating_sub(alone));
        assert!(most <= MEMORY_ABOVE, "{} MiB above alone", most >> 20);
        if depositor.made >= DEPOSITS_ALONE + DEPOSITS && began.elapsed() >= FLOODING {
            let had = flood.turns.load(Ordering::Relaxed);
            if had >= *turns.get_or_insert(had) + TURNS * count as u64 {
                break;
            }
        }
        assert!(began.elapsed() < PATIENCE * 2, "the flood does not go on");
    }
    assert_eq!(PAID.map(|account| depositor.client.balance(account)), depositor.balances);
    let code = end(&mut daemon);
    let done = flood.end();
    println!("{done}; {} deposits, at most {} MiB above alone", depositor.made, most >> 20);
    assert_eq!(code, Some(0));
    assert!(done.made >= count as u64, "each connection was made: {done}");

    let daemon = store.serve();
    let mut client = connect(&daemon, "honest");
    assert_eq!(PAID.map(|account| client.balance(account)), depositor.balances);
    done
}

/// The same, of connections that read: each was answered more often than this.
fn holds_and_answers(count: usize, script: fn(usize) -> Script, each: u64) {
    let done = holds(count, script);
    assert!(done.replies > each * count as u64, "{done}");
}

#[test]
fn dribblers() {
    holds(60, crowd::dribbler);
}

#[test]
fn unread_answers() {
    holds(60, crowd::unread);
}

#[test]
fn idle_connections() {
    holds(60, crowd::idle);
}

#[test]
fn primes() {
    holds_and_answers(20, crowd::primes, 1);
}

#[test]
fn pings() {
    holds_and_answers(30, crowd::pings, 1);
}

#[test]
fn unread_pings() {
    holds(30, crowd::unread_pings);
}

#[test]
fn lists() {
    // A greeting and a login, then lists.
    holds_and_answers(20, crowd::lists, 2);
}

#[test]
fn unread_lists() {
    holds(20, crowd::unread_lists);
}

#[test]
fn guesses() {
    holds_and_answers(30, crowd::guesses, 1);
}
