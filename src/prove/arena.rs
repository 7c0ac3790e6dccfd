//! What all the actors of a proof share: the way to the bank, who is who, where journals lie, and when to stop.
//!
//! Left out: what the actors do (`customer.rs`, `commander.rs`, `prober.rs`, `intruder.rs`).

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::history::History;
use super::proxy::lock;
use crate::client::{Login, World};
use crate::env::sim::Random;
use crate::model::amount::Amount;
use crate::model::command::Command;
use crate::model::secret::Secret;
use crate::model::types::{AccountId, Owner, RequestId};
use crate::wire::message::Role;

/// How many accounts the bank of a proof has: few, so that many clients meet on each.
pub(super) const ACCOUNTS: u32 = 6;
/// What each of them holds at first: little, so that many withdrawals are declined.
pub(super) const OPENING: u64 = 600;
/// How many tellers it has.
pub(super) const TELLERS: u32 = 16;
/// Everybody's PIN and token; the store is made for the proof and goes with it.
pub(super) const SECRET: &str = "2718281828";

/// Beyond this many bytes an actor begins another journal: the journal itself keeps only the latest requests.
const JOURNAL: u64 = 64 << 10;
/// How many requests the board shows.
const BOARD: usize = 32;

/// The shared part of a proof.
pub(super) struct Arena {
    pub(super) world: World,
    pub(super) exe: PathBuf,
    pub(super) dir: PathBuf,
    /// The proxy's address.
    pub(super) server: String,
    pub(super) history: History,
    pub(super) is_over: AtomicBool,
    pub(super) deeds: DeedCounts,
    journals: Mutex<Vec<(PathBuf, Login)>>,
    board: Mutex<VecDeque<Posted>>,
}

/// What was done so far.
#[derive(Default)]
pub(super) struct DeedCounts {
    pub(super) client_kills: AtomicU64,
    pub(super) runs_abandoned: AtomicU64,
    pub(super) in_windows: AtomicU64,
    pub(super) doubts_resolved: AtomicU64,
}

/// A request that everybody may know of, the intruder included.
#[derive(Clone, Copy, Debug)]
pub(super) struct Posted {
    pub(super) owner: Owner,
    pub(super) id: RequestId,
    pub(super) command: Command,
}

impl Arena {
    pub(super) fn new(world: &World, exe: &Path, dir: &Path, server: String) -> Self {
        Self {
            world: world.clone(),
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

    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::SeqCst)
    }

    /// The time that all events are noted in.
    pub(super) fn now(&self) -> Duration {
        self.world.clock.monotonic()
    }

    /// A journal for that login, to be resolved and read in the end.
    pub(super) fn new_journal(&self, actor: &str, login: &Login) -> PathBuf {
        let mut journals = lock(&self.journals);
        let path = self.dir.join(format!("journal-{}-{actor}", journals.len()));
        journals.push((path.clone(), login.clone()));
        path
    }

    /// Whether a journal has become so long that another should be begun.
    pub(super) fn is_long(&self, journal: &Path) -> bool {
        self.world.disk.open_read(journal).and_then(|file| file.len()).is_ok_and(|length| length > JOURNAL)
    }

    /// Every journal of the proof, with the login whose it is.
    pub(super) fn journals(&self) -> Vec<(PathBuf, Login)> {
        lock(&self.journals).clone()
    }

    pub(super) fn post(&self, posted: Posted) {
        let mut board = lock(&self.board);
        board.push_back(posted);
        if board.len() > BOARD {
            board.pop_front();
        }
    }

    /// Any request on the board.
    pub(super) fn posted(&self, random: &mut Random) -> Option<Posted> {
        let board = lock(&self.board);
        board.get(random.index(board.len())).copied()
    }
}

/// Adds one.
pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// A customer's name.
pub(super) fn customer_name(number: u32) -> String {
    format!("customer-{number}")
}

/// A teller's name.
pub(super) fn teller_name(number: u32) -> String {
    format!("teller-{number}")
}

/// A customer's login.
pub(super) fn customer(number: u32) -> Login {
    Login { role: Role::Customer, name: customer_name(number % ACCOUNTS), secret: Secret::new(SECRET.to_owned()) }
}

/// A teller's login.
pub(super) fn teller(number: u32) -> Login {
    Login { role: Role::Teller, name: teller_name(number % TELLERS), secret: Secret::new(SECRET.to_owned()) }
}

/// Any account.
pub(super) fn any_account(random: &mut Random) -> AccountId {
    AccountId(u32::try_from(random.below(u64::from(ACCOUNTS))).unwrap_or(0))
}

/// Any command that this owner may ask for; now and then for an account that does not exist.
pub(super) fn any_command(random: &mut Random, owner: Owner) -> Command {
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
