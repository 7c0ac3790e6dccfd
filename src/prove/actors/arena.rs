//! What all actors of a test run share: the server's address, logins, journals, the recorded history and the stop flag.
//!
//! Left out: what the actors do (`customer.rs`, `commander.rs`, `prober.rs`, `intruder.rs`).

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::client::Login;
use crate::env::Env;
use crate::env::sim::Random;
use crate::model::amount::Amount;
use crate::model::command::Command;
use crate::model::secret::Secret;
use crate::model::types::{AccountId, Owner, RequestId};
use crate::prove::check::history::History;
use crate::prove::proxy::lock;
use crate::wire::message::Role;

/// Accounts of the bank under test: few, so that clients contend for each.
pub(in crate::prove) const ACCOUNTS: u32 = 6;
/// Opening balance of each: small, so that many withdrawals are declined.
pub(in crate::prove) const OPENING: u64 = 600;
/// Tellers of the bank under test.
pub(in crate::prove) const TELLERS: u32 = 16;
/// Every PIN and token; the store exists for this run only.
pub(in crate::prove) const SECRET: &str = "2718281828";

/// Size in bytes at which an actor starts another journal: a journal keeps only the latest requests.
const JOURNAL: u64 = 64 << 10;
/// How many recent requests the board holds.
const BOARD: usize = 32;

/// Everything that the actors share.
pub(in crate::prove) struct Arena {
    pub(in crate::prove) env: Env,
    pub(in crate::prove) exe: PathBuf,
    pub(in crate::prove) dir: PathBuf,
    /// The proxy's address.
    pub(in crate::prove) server: String,
    pub(in crate::prove) history: History,
    pub(in crate::prove) is_over: AtomicBool,
    pub(in crate::prove) deeds: DeedCounts,
    journals: Mutex<Vec<(PathBuf, Login)>>,
    board: Mutex<VecDeque<Posted>>,
}

/// Counts of what the actors did.
#[derive(Default)]
pub(in crate::prove) struct DeedCounts {
    pub(in crate::prove) client_kills: AtomicU64,
    pub(in crate::prove) runs_abandoned: AtomicU64,
    pub(in crate::prove) in_windows: AtomicU64,
    pub(in crate::prove) doubts_resolved: AtomicU64,
}

/// A request that all actors can see, the intruder included.
#[derive(Clone, Copy, Debug)]
pub(in crate::prove) struct Posted {
    pub(in crate::prove) owner: Owner,
    pub(in crate::prove) id: RequestId,
    pub(in crate::prove) command: Command,
}

impl Arena {
    pub(in crate::prove) fn new(env: &Env, exe: &Path, dir: &Path, server: String) -> Self {
        Self {
            env: env.clone(),
            exe: exe.to_owned(),
            dir: dir.to_owned(),
            server,
            history: History::default(),
            is_over: AtomicBool::new(false),
            deeds: DeedCounts::default(),
            journals: Mutex::default(),
            board: Mutex::default(),
        }
    }

    pub(in crate::prove) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::SeqCst)
    }

    /// The time of recorded events, on the monotonic clock.
    pub(in crate::prove) fn now(&self) -> Duration {
        self.env.clock.monotonic()
    }

    /// The path of a new journal for that login; it is resolved and read at the end of the run.
    pub(in crate::prove) fn new_journal(&self, actor: &str, login: &Login) -> PathBuf {
        let mut journals = lock(&self.journals);
        let path = self.dir.join(format!("journal-{}-{actor}", journals.len()));
        journals.push((path.clone(), login.clone()));
        path
    }

    /// Whether a journal exceeds its size limit.
    pub(in crate::prove) fn is_long(&self, journal: &Path) -> bool {
        self.env.disk.open_read(journal).and_then(|file| file.len()).is_ok_and(|length| length > JOURNAL)
    }

    /// Every journal of the run, with its login.
    pub(in crate::prove) fn journals(&self) -> Vec<(PathBuf, Login)> {
        lock(&self.journals).clone()
    }

    pub(in crate::prove) fn post(&self, posted: Posted) {
        let mut board = lock(&self.board);
        board.push_back(posted);
        if board.len() > BOARD {
            board.pop_front();
        }
    }

    /// A random request from the board.
    pub(in crate::prove) fn posted(&self, random: &mut Random) -> Option<Posted> {
        let board = lock(&self.board);
        board.get(random.index(board.len())).copied()
    }
}

/// Increments a counter.
pub(in crate::prove) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// A customer's name.
pub(in crate::prove) fn customer_name(number: u32) -> String {
    format!("customer-{number}")
}

/// A teller's name.
pub(in crate::prove) fn teller_name(number: u32) -> String {
    format!("teller-{number}")
}

/// A customer's login.
pub(in crate::prove) fn customer(number: u32) -> Login {
    Login { role: Role::Customer, name: customer_name(number % ACCOUNTS), secret: Secret::new(SECRET.to_owned()) }
}

/// A teller's login.
pub(in crate::prove) fn teller(number: u32) -> Login {
    Login { role: Role::Teller, name: teller_name(number % TELLERS), secret: Secret::new(SECRET.to_owned()) }
}

/// A random account.
pub(in crate::prove) fn any_account(random: &mut Random) -> AccountId {
    AccountId(u32::try_from(random.below(u64::from(ACCOUNTS))).unwrap_or(0))
}

/// A random command that is permitted to this owner; a teller's sometimes names an account that does not exist.
pub(in crate::prove) fn any_command(random: &mut Random, owner: Owner) -> Command {
    let account = match owner {
        Owner::Customer(own) => own,
        _ if random.one_in(40) => AccountId(ACCOUNTS + 7),
        _ => any_account(random),
    };
    let amount = Amount::new(1 + random.below(300)).unwrap_or_default();
    let to = any_account(random);
    match random.below(5) {
        0 | 1 => Command::Deposit { account, amount },
        2 if to != account => Command::Transfer { from: account, to, amount },
        _ => Command::Withdraw { account, amount },
    }
}
