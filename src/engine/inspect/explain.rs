//! The history of one request in the log: when it came, its owner, its outcome, and what happened since.
//!
//! Copies of a request leave no trace in the log: it has each number once. Left out: printing it (`cli/`).

use std::path::Path;

use crate::bank::{Applied, Bank};
use crate::engine::error::StoreError;
use crate::engine::inspect::history::{History, Moment, replay};
use crate::engine::store_dir::StoreEnv;
use crate::model::command::{Body, Command};
use crate::model::entry::{Action, LineageCause, Origin};
use crate::model::types::{BankTime, Epoch, Lsn, Owner, RequestId, RequestNumber};

/// Position and time of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The entry.
    pub lsn: Lsn,
    /// Its batch.
    pub batch: u64,
    /// The bank time of that batch.
    pub time: BankTime,
    /// Whether a later batch proves it durable.
    pub is_sealed: bool,
}

/// The opening of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Its entry.
    pub at: Place,
    /// The session's owner.
    pub owner: Owner,
    /// The owner's name.
    pub owner_name: Option<String>,
}

/// The request's own entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Executed {
    /// Its position.
    pub at: Place,
    /// The command; none if a cancellation consumed the number.
    pub command: Option<Command>,
    /// The names of the accounts in it, in its order; unknown accounts are left out.
    pub account_names: Vec<String>,
    /// The recorded body; none if its session had ended before it, in the same batch: then it had no effect.
    pub body: Option<Body>,
}

/// The acknowledgement of the reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acknowledged {
    /// Its entry.
    pub at: Place,
    /// It acknowledges every reply below this number.
    pub below: RequestNumber,
}

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Its owner or the operator closed it.
    Closed(Place, Owner),
    /// Another session replaced it at a limit on sessions.
    Evicted(Place),
    /// Its owner was revoked.
    Revoked(Place),
    /// A new lineage was drawn, for this reason.
    NewLineage(Place, LineageCause),
}

/// The result of [`explain`].
#[derive(Clone, Debug)]
pub struct Explanation {
    /// How the log was read.
    pub history: History,
    /// The request.
    pub request: RequestId,
    /// Decimals of every amount.
    pub decimals: u8,
    /// Whether the session's epoch is one of this log's.
    pub is_epoch_known: bool,
    /// Whether a repair has dropped a part of this log.
    pub was_repaired: bool,
    /// The session, if this log opened it.
    pub session: Option<Opened>,
    /// The request's entry, if there is one.
    pub executed: Option<Executed>,
    /// The acknowledgement of its reply.
    pub acknowledged: Option<Acknowledged>,
    /// The last number that the session executed; 0 if none.
    pub last_number: RequestNumber,
    /// How the session ended, if it did.
    pub ending: Option<Ending>,
}

/// Reads the whole log and collects everything about one request. Changes nothing.
///
/// # Errors
/// As [`crate::engine::replay`].
pub fn explain(env: &StoreEnv, dir: &Path, request: RequestId) -> Result<Explanation, StoreError> {
    let mut found = Found { request, ..Found::default() };
    let (history, bank) = replay(env, dir, &mut |moment| found.see(moment))?;
    let Found { is_epoch_known, was_repaired, session, executed, acknowledged, last_number, ending, .. } = found;
    let decimals = bank.decimals();
    Ok(Explanation { history, request, decimals, is_epoch_known, was_repaired, session, executed, acknowledged, last_number, ending })
}

struct Found {
    request: RequestId,
    /// Whether an entry was read.
    has_begun: bool,
    is_epoch_known: bool,
    was_repaired: bool,
    session: Option<Opened>,
    executed: Option<Executed>,
    acknowledged: Option<Acknowledged>,
    last_number: RequestNumber,
    ending: Option<Ending>,
}

impl Default for Found {
    fn default() -> Self {
        let session = crate::model::types::SessionId { epoch: Epoch(0), lsn: Lsn(0) };
        Self {
            request: RequestId { session, number: RequestNumber(0) },
            has_begun: false,
            is_epoch_known: false,
            was_repaired: false,
            session: None,
            executed: None,
            acknowledged: None,
            last_number: RequestNumber(0),
            ending: None,
        }
    }
}

impl Found {
    fn see(&mut self, moment: &Moment<'_>) {
        let at = Place { lsn: moment.lsn, batch: moment.batch.number, time: moment.batch.bank_time, is_sealed: moment.is_sealed };
        if let Action::Lineage { cause, .. } = moment.entry.action {
            if self.is_open() {
                self.ending = Some(Ending::NewLineage(at, cause));
            }
            self.was_repaired |= cause == LineageCause::Repaired;
        }
        // Only these entries bring a new epoch; the first entry that is read may follow dropped ones.
        let may_be_new = !self.has_begun || matches!(moment.entry.action, Action::Lineage { .. } | Action::Start(_));
        self.has_begun = true;
        self.is_epoch_known |= may_be_new && moment.bank.epochs().contains(self.request.session.epoch);
        if !moment.bank.has_place(self.request.session) {
            return;
        }
        match moment.entry.action {
            Action::OpenSession { .. } if moment.lsn == self.request.session.lsn && *moment.applied == Applied::SessionOpened => {
                let owner = moment.entry.owner;
                self.session = Some(Opened { at, owner, owner_name: owner_name(moment.bank, owner) });
            }
            Action::OpenSession { evicted } if evicted == Some(self.request.session.lsn) && self.is_gone(moment) => {
                self.ending = Some(Ending::Evicted(at));
            }
            Action::TellerRevoke(_) if self.is_gone(moment) => self.ending = Some(Ending::Revoked(at)),
            _ => self.own(moment, at),
        }
    }

    /// Notes an entry of the session itself.
    fn own(&mut self, moment: &Moment<'_>, at: Place) {
        let Origin::Session { session, number, acked_below } = moment.entry.origin else { return };
        if session != self.request.session.lsn {
            return;
        }
        if *moment.applied == Applied::Closed {
            self.ending = Some(Ending::Closed(at, moment.entry.owner));
        }
        let body = match moment.applied {
            Applied::Answer { body, .. } => Some(*body),
            _ => None,
        };
        if body.is_some() {
            self.last_number = number;
        }
        // Only the first executed entry counts: later ones had no effect.
        let is_first = self.executed.as_ref().is_none_or(|executed| executed.body.is_none());
        if number == self.request.number && is_first {
            match moment.entry.action {
                Action::Request(command) => {
                    let account_names = accounts_of(&command).filter_map(|id| Some(moment.bank.account_name(id)?.to_owned())).collect();
                    self.executed = Some(Executed { at, command: Some(command), account_names, body });
                }
                Action::Cancel => self.executed = Some(Executed { at, command: None, account_names: Vec::new(), body }),
                _ => {}
            }
        }
        let had_effect = body.is_some() || matches!(moment.applied, Applied::Acked { .. });
        if had_effect && acked_below > self.request.number && self.executed.is_some() && self.acknowledged.is_none() {
            self.acknowledged = Some(Acknowledged { at, below: acked_below });
        }
    }

    const fn is_open(&self) -> bool {
        self.session.is_some() && self.ending.is_none()
    }

    /// Whether the session was open before this entry and is not after it.
    fn is_gone(&self, moment: &Moment<'_>) -> bool {
        self.is_open() && moment.bank.session(self.request.session.lsn).is_none()
    }
}

fn accounts_of(command: &Command) -> impl Iterator<Item = crate::model::types::AccountId> {
    let second = match command {
        Command::Transfer { to, .. } => Some(*to),
        _ => None,
    };
    std::iter::once(command.account()).chain(second)
}

fn owner_name(bank: &Bank, owner: Owner) -> Option<String> {
    let name = match owner {
        Owner::Customer(id) => bank.account_name(id),
        Owner::Teller(id) => bank.teller_name(id),
        Owner::Nobody | Owner::Operator(_) => None,
    };
    name.map(ToOwned::to_owned)
}
