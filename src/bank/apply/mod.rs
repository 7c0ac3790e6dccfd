//! Applies log entries to the bank, one after another. Nothing else changes the bank.
//!
//! Pure and deterministic: the same entries on the same bank produce the same bank and the same answers on any machine. No
//! clock, no I/O, no randomness, no configuration, no floats, nothing that depends on the order of a hash table.
//! This file checks the order of entries and permissions; the effects are in `operate.rs`, `login.rs` and `request.rs`.
//! Left out: admission to the log (`engine/`), and the log itself (`wal/`).

pub(super) mod login;
pub(super) mod operate;
pub(super) mod request;

use super::Bank;
use crate::bank::apply::request::Request;
use crate::bank::auth::logins::Login;
use crate::model::command::{Body, Command};
use crate::model::entry::{Action, Entry, Origin, Requests};
use crate::model::types::{AccountId, BankTime, Lsn, Owner, RequestNumber, TellerId};

/// The outcome of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// Done, without a result: genesis, lineage, starts, settings, locks, PINs, account closings, revocations.
    Done,
    /// The account was opened under this id.
    Opened(AccountId),
    /// The teller was added under this id.
    TellerAdded(TellerId),
    /// Refused; nothing changed.
    Refused(Refused),
    /// The login was judged, and the count of failures updated.
    Login(Login),
    /// The session was opened. Its id is the entry's LSN.
    SessionOpened,
    /// The entry's session does not exist any more; nothing changed.
    UnknownSession,
    /// The entry's session was closed.
    Closed,
    /// Replies are acknowledged, by this entry or before.
    Acked {
        /// Every reply below this number is acknowledged.
        acked_below: RequestNumber,
    },
    /// Executed, refused or cancelled with a final, recorded outcome.
    Answer {
        /// The recorded body.
        body: Body,
        /// Whether it was recorded before. Always false here: duplicates are not admitted to the log.
        replayed: bool,
    },
}

/// Why an entry other than a money command had no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// An account or teller, open or not, has the name.
    NameTaken,
    /// There is no account with the id.
    NoSuchAccount,
    /// There is no teller with the id, or it is revoked.
    NoSuchTeller,
    /// The account is closed.
    AccountClosed,
    /// The account's balance is not zero, so it cannot be closed.
    BalanceNotZero,
}

impl Refused {
    /// A stable code for digests.
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

/// The log and the bank contradict each other: an entry that admission never writes, or sums that differ.
///
/// Recovery refuses the store; a running daemon ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the log contradicts the bank at entry {lsn}: {what}")]
pub struct LogicError {
    /// The entry.
    pub lsn: Lsn,
    /// What is wrong.
    pub what: &'static str,
}

/// The outcome of an entry, or what is wrong with it, without its LSN.
pub(super) type Step = Result<Applied, &'static str>;

/// Applies the entry with LSN `lsn` of a batch with bank time `time`.
///
/// # Errors
/// [`LogicError`] for an entry that admission never writes; the bank is then unchanged.
pub fn apply(bank: &mut Bank, lsn: Lsn, entry: &Entry, time: BankTime) -> Result<Applied, LogicError> {
    let is_genesis = matches!(entry.action, Action::Genesis { .. });
    let applied =
        in_order(bank, lsn, is_genesis, time).and_then(|()| execute(bank, lsn, entry)).map_err(|what| LogicError { lsn, what })?;
    bank.applied = lsn;
    bank.time = time;
    bank.digest.add(lsn, &applied, bank.sessions.len());
    Ok(applied)
}

/// Applies consecutive requests, the first with LSN `lsn`, with the same effect as [`apply`] for each. Calls `report` with
/// each outcome. The session is looked up only once.
///
/// # Errors
/// As [`apply`]; the requests before the wrong one are then applied.
#[inline]
pub fn apply_requests(
    bank: &mut Bank,
    lsn: Lsn,
    requests: &Requests,
    commands: &[Command],
    time: BankTime,
    report: &mut impl FnMut(Applied),
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
        report(applied);
        request.lsn = lsn.next();
        // After the last possible number there is no next one: every further request fails the check.
        request.number = request.number.next().unwrap_or(request.number);
    }
    Ok(())
}

/// Checks the LSN, the bank time and the position of the genesis.
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
