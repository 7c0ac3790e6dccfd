//! The section of an image with the sessions and their recorded replies, in the order of last use.
//!
//! The order is part of the state, because it determines evictions. It is unique, because no two sessions were last used by
//! the same entry. Left out: the other sections (`image/mod.rs`).

use std::collections::VecDeque;
use std::io;

use super::stream::{ImageError, ImageReader, ImageWriter};
use crate::bank::Bank;
use crate::bank::sessions::Sessions;
use crate::bank::sessions::session::{Recorded, Session, SessionView};
use crate::model::amount::Amount;
use crate::model::command::{Body, Command, Outcome};
use crate::model::types::{AccountId, Lsn, Owner, RequestNumber};

/// The sizes of a session without replies and of a reply, in bytes.
const SESSION: u64 = 8 + 5 + 8 + 8 + 8;
const REPLY: u64 = 1 + 4 + 4 + 8 + 1 + 8 + 8;

const OUTCOMES: [Outcome; 7] = [
    Outcome::Done,
    Outcome::InsufficientBalance,
    Outcome::NoSuchAccount,
    Outcome::AccountClosed,
    Outcome::AccountLocked,
    Outcome::BalanceOverflow,
    Outcome::Cancelled,
];

/// Writes the section.
pub(super) fn write(sessions: &Sessions, out: &mut ImageWriter<'_>) -> io::Result<()> {
    let sessions = sessions.by_last_use();
    out.count(sessions.len())?;
    for session in sessions {
        let SessionView { owner, last, acked_below } = session.view();
        out.u64(session.opened.0)?;
        out.owner(owner)?;
        out.u64(session.last_used.0)?;
        out.u64(last.0)?;
        out.u64(acked_below.0)?;
        for recorded in session.replies() {
            write_reply(recorded, out)?;
        }
    }
    Ok(())
}

/// Reads the section into a bank whose accounts and tellers are already read.
pub(super) fn read(bank: &mut Bank, input: &mut ImageReader<'_>) -> Result<(), ImageError> {
    let count = input.count(SESSION)?;
    bank.sessions.reserve(count);
    let mut before = Lsn(0);
    for _ in 0..count {
        let session = read_session(bank, input)?;
        if session.last_used <= before {
            return Err(input.bad("sessions out of the order of their last use"));
        }
        before = session.last_used;
        if bank.sessions.find(session.opened).is_some() || !bank.sessions.has_place() {
            return Err(input.bad("two sessions opened by one entry"));
        }
        bank.sessions.insert(session);
    }
    Ok(())
}

fn read_session(bank: &Bank, input: &mut ImageReader<'_>) -> Result<Session, ImageError> {
    let opened = Lsn(input.u64()?);
    let owner = input.owner()?;
    let last_used = Lsn(input.u64()?);
    let (last, acked_below) = (RequestNumber(input.u64()?), RequestNumber(input.u64()?));
    if opened.0 == 0 || opened > last_used || last_used > bank.applied {
        return Err(input.bad("a session out of its time"));
    }
    let may_hold = match owner {
        Owner::Customer(id) => bank.accounts.get(id).is_some(),
        Owner::Teller(id) => bank.tellers.get(id).is_some_and(|teller| !teller.revoked),
        Owner::Nobody | Owner::Operator(_) => false,
    };
    if !may_hold {
        return Err(input.bad("a session of an owner that does not exist"));
    }
    // Each number was executed by an entry of its own.
    if last.0 > last_used.0.saturating_sub(opened.0) || !(1..=last.0.saturating_add(1)).contains(&acked_below.0) {
        return Err(input.bad("a session with impossible numbers"));
    }
    let earlier = last.0.saturating_sub(acked_below.0);
    input.check_room(earlier.saturating_add(u64::from(last.0 > 0)), REPLY)?;
    let mut before = opened;
    let mut reply = |input: &mut ImageReader<'_>| {
        let recorded = read_reply(bank, owner, input)?;
        if recorded.body.lsn <= before || recorded.body.lsn > last_used {
            return Err(input.bad("a reply out of its time"));
        }
        before = recorded.body.lsn;
        Ok(recorded)
    };
    // A capacity of 0 allocates nothing.
    let mut kept = VecDeque::with_capacity(usize::try_from(earlier).unwrap_or(usize::MAX));
    for _ in 0..earlier {
        kept.push_back(reply(input)?);
    }
    let latest = if last.0 > 0 { Some(reply(input)?) } else { None };
    let view = SessionView { owner, last, acked_below };
    Session::restore(opened, last_used, view, kept, latest).ok_or_else(|| input.bad("a session that does not hold together"))
}

fn write_reply(recorded: &Recorded, out: &mut ImageWriter<'_>) -> io::Result<()> {
    let (kind, account, other, amount) = match recorded.command {
        None => (0, 0, 0, 0),
        Some(Command::Deposit { account, amount }) => (1, account.0, 0, amount.get()),
        Some(Command::Withdraw { account, amount }) => (2, account.0, 0, amount.get()),
        Some(Command::Transfer { from, to, amount }) => (3, from.0, to.0, amount.get()),
    };
    out.put(&[kind])?;
    out.u32(account)?;
    out.u32(other)?;
    out.u64(amount)?;
    let Body { outcome, balance, lsn } = recorded.body;
    out.put(&[outcome.code()])?;
    out.u64(balance.get())?;
    out.u64(lsn.0)
}

fn read_reply(bank: &Bank, owner: Owner, input: &mut ImageReader<'_>) -> Result<Recorded, ImageError> {
    let (kind, account, other) = (input.u8()?, AccountId(input.u32()?), AccountId(input.u32()?));
    let amount = input.amount()?;
    let code = input.u8()?;
    let (balance, lsn) = (input.amount()?, Lsn(input.u64()?));
    let command = match (kind, other) {
        (0, AccountId(0)) if account.0 == 0 && amount == Amount::ZERO => None,
        (1, AccountId(0)) => Some(Command::Deposit { account, amount }),
        (2, AccountId(0)) => Some(Command::Withdraw { account, amount }),
        (3, to) => Some(Command::Transfer { from: account, to, amount }),
        _ => return Err(input.bad("a reply to an unknown command")),
    };
    let Some(outcome) = OUTCOMES.into_iter().find(|outcome| outcome.code() == code) else {
        return Err(input.bad("a reply with an unknown outcome"));
    };
    let exists = |id: AccountId| bank.accounts.get(id).is_some();
    let is_possible = match command {
        None => outcome == Outcome::Cancelled && balance == Amount::ZERO,
        Some(command) => {
            let moved = outcome != Outcome::Done || exists(account) && (kind != 3 || exists(other));
            outcome != Outcome::Cancelled && command.check().is_ok() && command.is_permitted_to(owner) && moved
        }
    };
    if !is_possible {
        return Err(input.bad("a reply that no command gets"));
    }
    Ok(Recorded { command, body: Body { outcome, balance, lsn } })
}
