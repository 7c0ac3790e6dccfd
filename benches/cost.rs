//! What bankd costs: memory, log bytes, processor time, and the time that a start takes.
//!
//! `cargo bench --bench cost -- memory log` runs those two; without names, all. Left out: how fast it is
//! (`end_to_end.rs`).
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

#[path = "support/banks.rs"]
mod banks;
#[allow(dead_code)]
#[path = "support/sheet.rs"]
mod sheet;

use std::time::Duration;

use bankd::bench::OwnBank;
use bankd::bench::load::{Mix, Plan};
use bankd::client::{Connection, Deadline, Login};
use bankd::env::os;
use bankd::model::amount::Amount;
use bankd::model::command::Command;
use bankd::model::types::{AccountId, RequestNumber};
use bankd::wire::message::{Ask, Reply};
use banks::{Shared, plan, remove_checkpoints, resident, settle, start, wal_stat};
use sheet::{is_wanted, rounds};

/// Sessions that are opened to weigh one; a teller has 4,096 at most.
const SESSIONS: usize = 4000;
/// How many each of the connections opens.
const EACH: usize = 100;
/// Sessions that are filled with replies, and how many each holds unacknowledged at most.
const FULL: usize = 400;
const WINDOW: u64 = 1024;
/// Accounts of the larger banks.
const SIZES: [u32; 2] = [1_000_000, 10_000_000];

type Scenario = fn(&mut Shared);

fn main() {
    // `cargo bench --no-run` and `cargo test --benches` only build it.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    os::raise_descriptor_limit();
    let mut shared = Shared::new();
    let scenarios: [(&str, Scenario); 5] =
        [("memory", memory), ("sessions", sessions), ("log", log), ("processor", processor), ("startup", startup)];
    sheet::refuse_others(&scenarios.map(|(name, _)| name));
    for (name, scenario) in scenarios {
        if is_wanted(name) {
            scenario(&mut shared);
        }
    }
}

fn memory(shared: &mut Shared) {
    shared.sheet.head("memory", "resident memory by accounts, after a load, outside checkpoints");
    let (_dir, bank) = shared.bank(4);
    let idle = resident(&bank);
    shared.sheet.figure("memory", "idle, 4 accounts", "MiB", &[idle]);
    for accounts in SIZES {
        let (_dir, bank) = shared.bank(accounts);
        // Whatever is needed at first use is there afterwards. Too short for a checkpoint to be due.
        shared.load(&bank, &Plan { accounts, duration: Duration::from_secs(2), ..plan(64, 1) });
        let whole = resident(&bank);
        let each = (whole - idle) * 1_048_576.0 / f64::from(accounts);
        shared.sheet.figure("memory", &format!("{accounts} accounts"), "MiB", &[whole]);
        shared.sheet.figure("memory", &format!("{accounts} accounts: an account"), "bytes", &[each]);
    }
}

fn sessions(shared: &mut Shared) {
    shared.sheet.head("sessions", "resident memory of sessions and of replies that were not acknowledged");
    let (_dir, bank) = used(shared);
    // Many at a time: one by one, each would be a commit.
    let mut tellers: Vec<Teller> = (0..SESSIONS / EACH).map(|_| Teller::connect(shared, &bank)).collect();
    let before = resident(&bank);
    for _ in 0..EACH {
        tellers.iter_mut().for_each(|teller| teller.connection.send(&[Ask::OpenSession], &teller.deadline).unwrap());
        for teller in &mut tellers {
            let reply = teller.connection.receive(&teller.deadline).unwrap();
            assert!(matches!(reply, Reply::Session(_)), "{reply:?}");
        }
    }
    settle(&bank);
    let opened = resident(&bank) - before;
    shared.sheet.figure("sessions", "a session", "bytes", &[opened * 1_048_576.0 / SESSIONS as f64]);
    drop(bank);
    // A bank of its own: what the first one has to spare would not show.
    let (_dir, bank) = used(shared);
    let mut teller = Teller::connect(shared, &bank);
    let before = resident(&bank);
    for _ in 0..FULL {
        teller.fill();
    }
    settle(&bank);
    let filled = (resident(&bank) - before) * 1_048_576.0 / (FULL as u64 * WINDOW) as f64;
    shared.sheet.figure("sessions", "an unacknowledged reply (in a full session)", "bytes", &[filled]);
}

/// A bank that has served, made a checkpoint and compressed segments before: it needs no memory for the first time any more.
fn used(shared: &Shared) -> (tempfile::TempDir, OwnBank) {
    let (dir, bank) = shared.bank(banks::SMALL);
    shared.load(&bank, &Plan { duration: Duration::from_secs(2), ..plan(16, 256) });
    (dir, bank)
}

/// A teller on one connection.
struct Teller {
    connection: Connection,
    deadline: Deadline,
}

impl Teller {
    fn connect(shared: &Shared, bank: &OwnBank) -> Self {
        let deadline = Deadline::after(&shared.env.clock, Duration::from_secs(300));
        let mut connection = Connection::tcp(&bank.address().to_string(), &deadline).unwrap();
        let Login { role, name, secret } = bank.login();
        let reply = connection.ask(&Ask::Login { role, name, secret }, &deadline).unwrap();
        assert!(matches!(reply, Reply::LoggedIn { .. }), "{reply:?}");
        Self { connection, deadline }
    }

    /// A new session, with as many commands as one takes without an acknowledgement.
    fn fill(&mut self) {
        let reply = self.connection.ask(&Ask::OpenSession, &self.deadline).unwrap();
        assert!(matches!(reply, Reply::Session(_)), "{reply:?}");
        let command = |account| Command::Deposit { account: AccountId(account), amount: Amount::new(1).unwrap() };
        let commands = (0..WINDOW as u32).map(command).collect();
        let run = Ask::Run { first: RequestNumber(1), acked_below: RequestNumber(1), commands };
        let reply = self.connection.ask(&run, &self.deadline).unwrap();
        assert!(matches!(&reply, Reply::RunAnswer { items, .. } if items.len() as u64 == WINDOW), "{reply:?}");
    }
}

/// The loads whose cost is printed.
fn loads() -> [(&'static str, Plan); 5] {
    [
        ("1 connection, 1 in flight", plan(1, 1)),
        ("64 connections, 1 in flight", plan(64, 1)),
        ("1,000 connections, 1 in flight", plan(1000, 1)),
        ("16 connections, 256 in flight", plan(16, 256)),
        ("transfers, 16 x 1,024, 128 in a frame", Plan { mix: Mix::TRANSFERS, run: 128, ..plan(16, 1024) }),
    ]
}

fn log(shared: &mut Shared) {
    shared
        .sheet
        .head("log", "bytes a command: of batches with their padding, and of everything written, zeros for segments ahead included");
    for (name, plan) in loads() {
        let (_dir, bank) = shared.bank(banks::SMALL);
        let before = wal_stat(bank.store());
        let report = shared.run(&bank, &plan);
        let store = bank.store().to_owned();
        drop(bank);
        let after = wal_stat(&store);
        let each = (after.used - before.used) as f64 / (after.entries - before.entries) as f64;
        let measured = &report.measured;
        shared.sheet.figure("log", &format!("{name}: log"), "bytes", &[each]);
        let written = report.daemon.unwrap().written as f64 / (measured.done + measured.declined) as f64;
        shared.sheet.figure("log", &format!("{name}: written in all"), "bytes", &[written]);
    }
}

fn processor(shared: &mut Shared) {
    shared.sheet.head("processor", "processor time of the daemon a command, all threads, system calls included");
    let (_dir, bank) = shared.bank(banks::SMALL);
    let mut samples = loads().map(|_| Vec::new());
    for _ in 0..rounds() {
        for ((_, plan), samples) in loads().iter().zip(&mut samples) {
            let report = shared.run(&bank, plan);
            samples.push(report.daemon.unwrap().cpu.as_secs_f64() * 1e6 / report.measured.answered as f64);
        }
    }
    for ((name, _), samples) in loads().iter().zip(&samples) {
        shared.sheet.figure("processor", name, "us", samples);
    }
}

fn startup(shared: &mut Shared) {
    shared.sheet.head("startup", "from the start of the process until it is ready, by the length of the log");
    for seconds in [0, 1, 3, 9] {
        let (_dir, bank) = shared.bank(banks::SMALL);
        if seconds > 0 {
            shared.load(&bank, &Plan { warm_up: Duration::ZERO, duration: Duration::from_secs(seconds), ..plan(16, 256) });
        }
        let store = bank.store().to_owned();
        drop(bank);
        let stat = wal_stat(&store);
        let name = format!("{:.2} million entries, {:.0} MB of log", stat.entries as f64 / 1e6, stat.used as f64 / 1e6);
        let with = start(&store).as_secs_f64();
        shared.sheet.figure("startup", &format!("{name}: with checkpoints"), "s", &[with]);
        remove_checkpoints(&store);
        shared.sheet.figure("startup", &format!("{name}: without checkpoints"), "s", &[start(&store).as_secs_f64()]);
    }
}
