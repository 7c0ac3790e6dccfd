//! Finds an account's movements by the index, and reads each from the log.
//!
//! A movement's entry must concern the account, and the changes of a slice must add up to its net effect: the index is never
//! believed beyond what the log says.
//! Left out: who may ask (`server/requests/statement.rs`).

use std::sync::Arc;

use super::error::IndexError;
use super::follow::Place;
use super::notes;
use super::part::{Part, SlicePlace};
use super::postings::{Key, Posting, Slice};
use super::tail::{BASE, Tail, effect, signed};
use crate::env::ReadOnly;
use crate::model::amount::Amount;
use crate::model::command::{Command, Outcome};
use crate::model::entry::{Action, Entry, Origin};
use crate::model::types::{AccountId, BankTime, Lsn, RequestNumber};
use crate::wal::{Lookup, WalError};

/// A question for an account's movements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Query {
    /// The account.
    pub account: AccountId,
    /// Only movements of entries before this one; 0 for all.
    pub before: Lsn,
    /// Only movements at or after this time.
    pub from: BankTime,
    /// Only movements at or before this time.
    pub to: BankTime,
    /// The most movements.
    pub limit: usize,
    /// Whether requests that moved nothing are movements, too.
    pub with_refused: bool,
}

/// The kind of a movement, from the account's side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MovementKind {
    /// The account was opened.
    Opening,
    /// Cash was paid in.
    Deposit,
    /// Cash was paid out.
    Withdrawal,
    /// Money went to this account.
    TransferTo(AccountId),
    /// Money came from this account.
    TransferFrom(AccountId),
}

/// One movement of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Movement {
    /// Its entry.
    pub lsn: Lsn,
    /// The bank time of the entry.
    pub time: BankTime,
    /// Its kind.
    pub kind: MovementKind,
    /// The amount.
    pub amount: Amount,
    /// The account's balance after it.
    pub balance: Amount,
    /// Its outcome.
    pub outcome: Outcome,
    /// The session and the number of the request; none for the opening.
    pub request: Option<(Lsn, RequestNumber)>,
}

/// Movements of an account, the newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Movements {
    /// The movements.
    pub movements: Vec<Movement>,
    /// Whether there are older ones: ask again for those before the last.
    pub has_more: bool,
    /// Whether older ones may exist that the log no longer holds.
    pub is_cut: bool,
}

/// The index, and what is not in it yet.
pub(super) struct Sources<'a> {
    /// The store.
    pub(super) place: Place<'a>,
    /// The parts, in order.
    pub(super) parts: &'a [Arc<Part>],
    /// The entries behind them, in order.
    pub(super) tails: Vec<&'a Tail>,
}

/// A slice that is decoded when it is needed.
enum Found {
    Part(usize, SlicePlace),
    Tail(Slice),
}

impl Sources<'_> {
    /// The movements that `query` asks for. `balance` is the account's at the end of what the sources hold; none to take
    /// what the index adds up to.
    ///
    /// # Errors
    /// [`IndexError`]; [`IndexError::Damaged`] if the index contradicts the log or the balance.
    pub(super) fn movements(&self, query: &Query, balance: Option<Amount>) -> Result<Movements, IndexError> {
        let key = Key::account(query.account);
        let slices = self.slices(key)?;
        let mut after = slices.iter().fold(0_i64, |sum, (_, net)| key.joined(sum, *net));
        if balance.is_some_and(|balance| signed(balance) != after) {
            return Err(IndexError::Damaged(format!("account {} does not add up to its balance", query.account.0)));
        }
        let before = match query.before {
            Lsn(0) => Lsn(u64::MAX),
            before => before,
        }
        .min(self.behind(query.to)?);
        let mut found = Movements::default();
        let disk = ReadOnly(self.place.disk);
        let mut log = Lookup::new(&disk, self.place.dir, self.place.store);
        for (slice, net) in slices.iter().rev() {
            let slice = self.slice(key, slice)?;
            let start = after.wrapping_sub(*net);
            if slice.postings.first().is_some_and(|first| first.lsn >= before) {
                after = start;
                continue;
            }
            for posting in slice.postings.iter().rev() {
                if posting.outcome == BASE {
                    found.is_cut = true;
                    return Ok(found);
                }
                let is_shown =
                    posting.lsn < before && (posting.outcome == 0 || (query.with_refused && notes::outcome(posting.outcome).is_some()));
                if posting.outcome != 0 && !is_shown {
                    continue;
                }
                if is_shown && found.movements.len() == query.limit {
                    found.has_more = true;
                    return Ok(found);
                }
                let (movement, change) = match self.movement(&mut log, query.account, *posting, after) {
                    // The segment was dropped.
                    Err(IndexError::Log(WalError::Io { source, .. })) if source.kind() == std::io::ErrorKind::NotFound => {
                        found.is_cut = true;
                        return Ok(found);
                    }
                    read => read?,
                };
                if movement.time < query.from {
                    return Ok(found);
                }
                if is_shown && movement.time <= query.to {
                    found.movements.push(movement);
                }
                after = after.checked_sub(change).ok_or_else(|| overflow(query.account))?;
                if movement.kind == MovementKind::Opening {
                    let is_whole = after == 0;
                    return is_whole.then_some(found).ok_or_else(|| overflow(query.account));
                }
            }
            if after != start {
                return Err(IndexError::Damaged(format!("the movements of account {} do not add up", query.account.0)));
            }
        }
        Ok(found)
    }

    /// The slices of a key, in order, with their net effects.
    fn slices(&self, key: Key) -> Result<Vec<(Found, i64)>, IndexError> {
        let mut all = Vec::new();
        for (at, part) in self.parts.iter().enumerate() {
            all.extend(part.slices(key)?.into_iter().map(|(place, net, _)| (Found::Part(at, place), net)));
        }
        for slice in self.tails.iter().filter_map(|tail| tail.slice(key)) {
            let net = slice.net;
            all.push((Found::Tail(slice), net));
        }
        Ok(all)
    }

    fn slice<'a>(&self, key: Key, found: &'a Found) -> Result<std::borrow::Cow<'a, Slice>, IndexError> {
        match found {
            Found::Tail(slice) => Ok(std::borrow::Cow::Borrowed(slice)),
            Found::Part(at, place) => {
                let part = self.parts.get(*at).ok_or_else(|| IndexError::Damaged("a part is missing".to_owned()))?;
                Ok(std::borrow::Cow::Owned(part.slice(key, *place)?))
            }
        }
    }

    /// An entry before which every entry has a bank time of at most `time`, and which has a later one if such an entry exists.
    fn behind(&self, time: BankTime) -> Result<Lsn, IndexError> {
        let mut behind = Lsn(u64::MAX);
        let mut see = |place: super::part::Place| {
            if place.time > time {
                behind = behind.min(place.first);
            }
            Ok(())
        };
        for part in self.parts.iter().filter(|part| part.extent.anchor.end.bank_time > time) {
            part.places(&mut see)?;
        }
        for place in self.tails.iter().flat_map(|tail| &tail.places) {
            see(*place)?;
        }
        Ok(behind)
    }

    /// Reads an entry, and its bank time.
    pub(super) fn entry(&self, log: &mut Lookup<'_>, lsn: Lsn) -> Result<(Entry, BankTime), IndexError> {
        let missing = || IndexError::Damaged(format!("no place leads to entry {lsn}"));
        let place = match self.parts.iter().find(|part| part.extent.first <= lsn && lsn < part.extent.next()) {
            Some(part) => part.place(lsn)?,
            None => self
                .tails
                .iter()
                .find(|tail| tail.first <= lsn && lsn < tail.next())
                .and_then(|tail| tail.place(lsn))
                .ok_or_else(missing)?,
        };
        let batch = log.batch(place.at, lsn)?;
        for record in batch.records() {
            let nth = lsn.0.wrapping_sub(record.first.0);
            if nth < u64::from(record.count) {
                let mut entries = Entry::all(record.bytes, record.count);
                let entry = entries.nth(crate::model::invariant::to_len(nth)).and_then(Result::ok).ok_or_else(missing)?;
                return Ok((entry, batch.header.bank_time));
            }
        }
        Err(missing())
    }

    /// Reads a movement, after which the balance is `after`, and its change of the balance.
    fn movement(&self, log: &mut Lookup<'_>, account: AccountId, posting: Posting, after: i64) -> Result<(Movement, i64), IndexError> {
        let (entry, time) = self.entry(log, posting.lsn)?;
        let foreign = || IndexError::Damaged(format!("entry {} does not concern account {}", posting.lsn, account.0));
        let request = match entry.origin {
            Origin::Session { session, number, .. } => Some((session, number)),
            Origin::None => None,
        };
        let (kind, amount, change) = match entry.action {
            Action::AccountOpen(open) => (MovementKind::Opening, open.balance, signed(open.balance)),
            Action::Request(command) => {
                let kind = kind(&command, account).ok_or_else(foreign)?;
                (kind, command.amount(), effect(&command, account, posting.outcome))
            }
            _ => return Err(foreign()),
        };
        let balance = u64::try_from(after).ok().and_then(Amount::new).ok_or_else(|| overflow(account))?;
        let outcome = notes::outcome(posting.outcome).ok_or_else(foreign)?;
        Ok((Movement { lsn: posting.lsn, time, kind, amount, balance, outcome, request }, change))
    }
}

/// A command from the side of an account; none if it does not concern it.
fn kind(command: &Command, account: AccountId) -> Option<MovementKind> {
    Some(match command {
        Command::Deposit { account: own, .. } if *own == account => MovementKind::Deposit,
        Command::Withdraw { account: own, .. } if *own == account => MovementKind::Withdrawal,
        Command::Transfer { from, to, .. } if *from == account => MovementKind::TransferTo(*to),
        Command::Transfer { from, to, .. } if *to == account => MovementKind::TransferFrom(*from),
        _ => return None,
    })
}

fn overflow(account: AccountId) -> IndexError {
    IndexError::Damaged(format!("a balance of account {} is out of range", account.0))
}
