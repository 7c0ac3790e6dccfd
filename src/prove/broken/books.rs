//! The small bank's state: accounts, sessions and recorded answers, and the effect of each log entry on them.
//!
//! Left out: sockets, the log, and the flaws in answering a request (`serve.rs`).

use std::collections::BTreeMap;

use super::Flaw;
use crate::model::amount::Amount;
use crate::model::command::{Body, Command, Outcome};
use crate::model::entry::{Action, Entry, Origin};
use crate::model::types::{AccountId, Lineage, Lsn, Owner, RequestNumber};

/// A used number's command and its recorded answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reply {
    /// None if it was cancelled.
    pub(super) command: Option<Command>,
    pub(super) body: Body,
}

/// A session.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) owner: Owner,
    pub(super) last: u64,
    pub(super) acked_below: u64,
    pub(super) replies: BTreeMap<u64, Reply>,
    /// A restart lost its answers and its last number ([`Flaw::DedupeLostOnRestart`]).
    pub(super) is_forgotten: bool,
}

/// The state after the log's entries.
#[derive(Debug, Default)]
pub(super) struct Books {
    pub(super) accounts: Vec<(Box<str>, Amount)>,
    pub(super) tellers: Vec<Box<str>>,
    pub(super) sessions: BTreeMap<Lsn, Session>,
    pub(super) lineage: Lineage,
    pub(super) applied: Lsn,
}

impl Books {
    /// Applies an entry. Returns the answer to a request or cancellation.
    pub(super) fn apply(&mut self, lsn: Lsn, entry: &Entry) -> Option<Body> {
        self.applied = lsn;
        match (&entry.action, entry.origin) {
            (Action::AccountOpen(open), _) => self.accounts.push((open.name.clone(), open.balance)),
            (Action::TellerAdd(add), _) => self.tellers.push(add.name.clone()),
            (Action::Lineage { lineage, .. }, _) => self.lineage = *lineage,
            (Action::OpenSession { .. }, _) => {
                let session = Session { owner: entry.owner, last: 0, acked_below: 1, replies: BTreeMap::new(), is_forgotten: false };
                self.sessions.insert(lsn, session);
            }
            (Action::CloseSession, Origin::Session { session, .. }) => {
                self.sessions.remove(&session);
            }
            (Action::Ack, Origin::Session { session, acked_below, .. }) => self.acknowledge(session, acked_below),
            (Action::Cancel, Origin::Session { session, number, acked_below }) => {
                let body = Body { outcome: Outcome::Cancelled, balance: Amount::ZERO, lsn };
                return Some(self.record(session, number, acked_below, Reply { command: None, body }));
            }
            (Action::Request(command), Origin::Session { session, number, acked_below }) => {
                let (outcome, balance) = self.execute(command);
                let body = Body { outcome, balance, lsn };
                return Some(self.record(session, number, acked_below, Reply { command: Some(*command), body }));
            }
            _ => {}
        }
        None
    }

    /// With [`Flaw::DedupeLostOnRestart`]: forgets answers and last numbers.
    pub(super) fn restarted(&mut self, flaw: Option<Flaw>) {
        if flaw == Some(Flaw::DedupeLostOnRestart) {
            for session in self.sessions.values_mut() {
                (session.last, session.is_forgotten) = (0, true);
                session.replies.clear();
            }
        }
    }

    /// The outcome and balance that a command would have now, without executing it.
    pub(super) fn judge(&self, command: &Command) -> (Outcome, Amount) {
        let mut copy = Self { accounts: self.accounts.clone(), ..Self::default() };
        copy.execute(command)
    }

    pub(super) fn balance(&self, account: AccountId) -> Option<Amount> {
        self.accounts.get(usize::try_from(account.0).ok()?).map(|(_, balance)| *balance)
    }

    fn record(&mut self, session: Lsn, number: RequestNumber, acked_below: RequestNumber, reply: Reply) -> Body {
        if let Some(session) = self.sessions.get_mut(&session) {
            session.last = session.last.max(number.0);
            session.is_forgotten = false;
            session.replies.insert(number.0, reply);
        }
        self.acknowledge(session, acked_below);
        reply.body
    }

    fn acknowledge(&mut self, session: Lsn, acked_below: RequestNumber) {
        if let Some(session) = self.sessions.get_mut(&session) {
            session.acked_below = session.acked_below.max(acked_below.0);
            let below = session.acked_below.min(session.last);
            session.replies.retain(|number, _| *number >= below);
        }
    }

    fn execute(&mut self, command: &Command) -> (Outcome, Amount) {
        let Some(own) = self.balance(command.account()) else { return (Outcome::NoSuchAccount, Amount::ZERO) };
        let amount = command.amount();
        let (paying, paid) = match *command {
            Command::Deposit { account, .. } => (None, Some(account)),
            Command::Withdraw { account, .. } => (Some(account), None),
            Command::Transfer { from, to, .. } => (Some(from), Some(to)),
        };
        if paid.is_some_and(|id| self.balance(id).is_none()) {
            return (Outcome::NoSuchAccount, own);
        }
        let rest = paying.and_then(|id| self.balance(id)).map(|balance| balance.checked_sub(amount));
        let sum = paid.and_then(|id| self.balance(id)).map(|balance| balance.checked_add(amount));
        match (rest, sum) {
            (Some(None), _) => return (Outcome::InsufficientBalance, own),
            (_, Some(None)) => return (Outcome::BalanceOverflow, own),
            _ => {}
        }
        for (id, balance) in [(paying, rest), (paid, sum)] {
            if let (Some(id), Some(Some(balance))) = (id, balance)
                && let Some((_, kept)) = usize::try_from(id.0).ok().and_then(|index| self.accounts.get_mut(index))
            {
                *kept = balance;
            }
        }
        (Outcome::Done, self.balance(command.account()).unwrap_or_default())
    }
}
