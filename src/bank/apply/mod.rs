//! Executes log entries, one after another, on the bank: the only way in which it ever changes.
//!
//! Pure: the same entries on the same bank give the same bank and the same answers, on any machine and in any year. No
//! clock, no I/O, no randomness, no configuration, no floats, nothing in the order of a hash table.
//! Here: the order of entries and who may do what; the effects are in `operate.rs`, `login.rs` and `request.rs`.
//! Left out: what may get into the log (`engine/`), the log itself (`wal/`).

pub(super) mod login;
pub(super) mod operate;
pub(super) mod request;

use super::Bank;
use crate::bank::apply::request::Request;
use crate::bank::auth::logins::Login;
use crate::model::command::{Body, Command};
use crate::model::entry::{Action, Entry, Origin, Requests};
use crate::model::types::{AccountId, BankTime, Lsn, Owner, RequestNumber, TellerId};

/// What became of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// Done, and there is nothing to tell: genesis, lineage, starts, settings, locks, PINs, closings, revocations.
    Done,
    /// The account is open, under this id.
    Opened(AccountId),
    /// The teller is added, under this id.
    TellerAdded(TellerId),
    /// Not done, and nothing changed.
    Refused(Refused),
    /// Judged; the count of failures has changed accordingly.
    Login(Login),
    /// The session is open; its id is the entry's LSN.
    SessionOpened,
    /// The entry's session is gone, and nothing changed.
    UnknownSession,
    /// The entry's session is closed.
    Closed,
    /// Acknowledged, now or before.
    Acked {
        /// Every reply below is acknowledged.
        acked_below: RequestNumber,
    },
    /// Executed, refused or cancelled for good, and recorded.
    Answer {
        /// The recorded body.
        body: Body,
        /// Whether it was recorded before. Never so here: duplicates do not get into the log.
        replayed: bool,
    },
}

/// Why an entry that is no money command had no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Another account, or another teller, has the name or once had it.
    NameTaken,
    /// No account of that id.
    NoSuchAccount,
    /// No teller of that id, or a revoked one.
    NoSuchTeller,
    /// The account is closed.
    AccountClosed,
    /// The account holds money and cannot be closed.
    BalanceNotZero,
}

impl Refused {
    /// A stable small number for digests.
    pub(super) const fn code(self) -> u8 {
        match self {
            Self::NameTaken => 0,
            Self::NoSuchAccount => 1,
            Self::NoSuchTeller => 2,
            Self::AccountClosed => 3,
            Self::BalanceNotZero => 4,
        }
    }
}

/// The log and the bank contradict each other: an entry that admission never writes, or sums that do not agree.
///
/// Replay refuses the store; a running daemon ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the log contradicts the bank at entry {lsn}: {what}")]
pub struct LogicError {
    /// The entry.
    pub lsn: Lsn,
    /// What is wrong.
    pub what: &'static str,
}

/// What became of an entry, or what is wrong with it before it is said with which.
pub(super) type Step = Result<Applied, &'static str>;

/// Applies one entry under its LSN, in a batch of that bank time.
///
/// # Errors
/// [`LogicError`] for an entry that admission never writes; the bank is then as it was.
pub fn apply(bank: &mut Bank, lsn: Lsn, entry: &Entry, time: BankTime) -> Result<Applied, LogicError> {
    let is_genesis = matches!(entry.action, Action::Genesis { .. });
    let applied =
        in_order(bank, lsn, is_genesis, time).and_then(|()| execute(bank, lsn, entry)).map_err(|what| LogicError { lsn, what })?;
    bank.applied = lsn;
    bank.time = time;
    bank.digest.add(lsn, &applied, bank.sessions.len());
    Ok(applied)
}

/// Applies requests that follow each other, the first under that LSN, as [`apply`] applies one after the other, and tells
/// what became of each. What they share is looked at once.
///
/// # Errors
/// As [`apply`]; those before the one that is wrong are then applied.
#[inline]
pub fn apply_requests(
    bank: &mut Bank,
    lsn: Lsn,
    requests: &Requests,
    commands: &[Command],
    time: BankTime,
    tell: &mut impl FnMut(Applied),
) -> Result<(), LogicError> {
    let Requests { owner, session, first: number, acked_below } = *requests;
    let mut request = Request { lsn, owner, session, number, acked_below };
    let place = in_order(bank, lsn, false, time).and_then(|()| request.place(bank)).map_err(|what| LogicError { lsn, what })?;
    for command in commands {
        let lsn = request.lsn;
        let applied = request.execute_at(bank, place, command).map_err(|what| LogicError { lsn, what })?;
        bank.applied = lsn;
        bank.time = time;
        bank.digest.add(lsn, &applied, bank.sessions.len());
        tell(applied);
        request.lsn = lsn.next();
        // Behind the last number of all nothing is the next: whatever comes is refused.
        request.number = request.number.next().unwrap_or(request.number);
    }
    Ok(())
}

/// Whether the entry may come now at all.
fn in_order(bank: &Bank, lsn: Lsn, is_genesis: bool, time: BankTime) -> Result<(), &'static str> {
    if lsn != bank.applied.next() {
        return Err("it is not the one after the last");
    }
    if time < bank.time {
        return Err("the bank's time goes back");
    }
    match (&bank.genesis, is_genesis) {
        (None, true) | (Some(_), false) => Ok(()),
        (None, false) => Err("a store begins with its genesis"),
        (Some(_), true) => Err("a second genesis"),
    }
}

fn execute(bank: &mut Bank, lsn: Lsn, entry: &Entry) -> Step {
    let owner = entry.owner;
    match (entry.origin, &entry.action) {
        (Origin::Session { session, number, acked_below }, action) => {
            let request = Request { lsn, owner, session, number, acked_below };
            match action {
                Action::Request(command) => request.execute(bank, command),
                Action::Cancel => request.cancel(bank),
                Action::Ack => request.acknowledge(bank),
                Action::CloseSession => request.close(bank),
                _ => Err("it names a session, but belongs to none"),
            }
        }
        (Origin::None, Action::LoginAttempt(tag)) => login::attempt(bank, owner, tag),
        (Origin::None, Action::OpenSession { evicted }) => login::open_session(bank, lsn, owner, *evicted),
        (Origin::None, action) => match owner {
            Owner::Nobody | Owner::Operator(_) => operate::operate(bank, lsn, action),
            Owner::Customer(_) | Owner::Teller(_) => Err("only the operator may do this"),
        },
    }
}
