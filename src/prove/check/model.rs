//! A minimal model of the bank in ordered maps: it replays the log and computes the answer that each request must have
//! received. It shares no code with the bank under test.
//!
//! An entry that violates a rule is recorded and still executed, as the bank under test did, so that one mistake is one
//! violation. Left out: the clients' observations (`checker.rs`).

use std::collections::BTreeMap;

use crate::model::amount::Amount;
use crate::model::command::{Body, Command, Outcome};
use crate::model::entry::{Action, Entry, Origin};
use crate::model::types::{AccountId, Epoch, Lsn, Owner, RequestId, RequestNumber, SessionId};
use crate::prove::check::verdict::Violation;

/// The outcome of one request by the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::prove) struct Decision {
    /// None if it was cancelled.
    pub(in crate::prove) command: Option<Command>,
    pub(in crate::prove) body: Body,
}

#[derive(Clone, Copy, Debug)]
struct Account {
    balance: u64,
    is_closed: bool,
    is_locked: bool,
}

#[derive(Clone, Copy, Debug)]
struct Session {
    owner: Owner,
    last: u64,
    acked_below: u64,
}

/// The state after the replayed entries, with every outcome so far.
#[derive(Debug, Default)]
pub(in crate::prove) struct Model {
    accounts: BTreeMap<AccountId, Account>,
    names: BTreeMap<Box<str>, AccountId>,
    sessions: BTreeMap<Lsn, Session>,
    /// The epoch of sessions that are opened from an LSN on; a lineage and each start set it.
    epochs: BTreeMap<Lsn, Epoch>,
    cash: u128,
    pub(in crate::prove) decisions: BTreeMap<RequestId, Decision>,
    /// Each account's balance from an LSN on.
    pub(in crate::prove) balances: BTreeMap<(AccountId, Lsn), u64>,
    pub(in crate::prove) violations: Vec<Violation>,
}

impl Model {
    /// Replays a log.
    pub(in crate::prove) fn replay(entries: &[(Lsn, Entry)]) -> Self {
        let mut model = Self::default();
        for (lsn, entry) in entries {
            model.apply(*lsn, entry);
        }
        model.check_cash();
        model
    }

    /// The balance of an account after that entry; none before the account was opened.
    pub(in crate::prove) fn balance(&self, account: AccountId, lsn: Lsn) -> Option<u64> {
        self.balances.range((account, Lsn(0))..=(account, lsn)).next_back().map(|(_, balance)| *balance)
    }

    fn apply(&mut self, lsn: Lsn, entry: &Entry) {
        match (&entry.action, entry.origin) {
            (Action::AccountOpen(open), _) if !self.names.contains_key(&open.name) => {
                let id = AccountId(u32::try_from(self.accounts.len()).unwrap_or(u32::MAX));
                self.names.insert(open.name.clone(), id);
                self.accounts.insert(id, Account { balance: 0, is_closed: false, is_locked: false });
                self.set(lsn, id, open.balance.get());
                self.cash += u128::from(open.balance.get());
            }
            (Action::AccountClose(id), _) => self.mark(*id, |account| account.is_closed |= account.balance == 0),
            (Action::AccountLock(id), _) => self.mark(*id, |account| account.is_locked |= !account.is_closed),
            (Action::AccountUnlock(id), _) => self.mark(*id, |account| account.is_locked = false),
            (Action::TellerRevoke(id), _) => self.sessions.retain(|_, session| session.owner != Owner::Teller(*id)),
            (Action::Lineage { lineage, .. }, _) => {
                self.epochs.insert(lsn, Epoch(lineage.0));
                self.sessions.clear();
            }
            (Action::Start(epoch), _) => {
                self.epochs.insert(lsn, *epoch);
            }
            (Action::OpenSession { evicted }, _) => self.open_session(lsn, entry.owner, *evicted),
            (action, Origin::Session { session, number, acked_below }) => match action {
                Action::Request(command) => self.number(lsn, entry.owner, session, number, acked_below, Some(*command)),
                Action::Cancel => self.number(lsn, entry.owner, session, number, acked_below, None),
                Action::Ack => self.acknowledge(session, acked_below),
                Action::CloseSession => {
                    self.sessions.remove(&session);
                }
                _ => {}
            },
            _ => {}
        }
    }

    /// The epoch in the id of the session that the entry with this LSN opened.
    fn epoch(&self, session: Lsn) -> Epoch {
        self.epochs.range(..=session).next_back().map(|(_, epoch)| *epoch).unwrap_or_default()
    }

    fn mark(&mut self, id: AccountId, change: impl FnOnce(&mut Account)) {
        if let Some(account) = self.accounts.get_mut(&id) {
            change(account);
        }
    }

    fn open_session(&mut self, lsn: Lsn, owner: Owner, evicted: Option<Lsn>) {
        if let Some(victim) = evicted
            && let Some(session) = self.sessions.remove(&victim)
            && session.acked_below <= session.last
        {
            let what = format!("the entry at LSN {lsn} evicts session {victim}, which has replies that were not acknowledged");
            self.violations.push(Violation::new("eviction", None, what));
        }
        self.sessions.insert(lsn, Session { owner, last: 0, acked_below: 1 });
    }

    fn acknowledge(&mut self, session: Lsn, acked_below: RequestNumber) {
        if let Some(session) = self.sessions.get_mut(&session) {
            session.acked_below = session.acked_below.max(acked_below.0);
        }
    }

    /// A request or a cancellation.
    fn number(
        &mut self,
        lsn: Lsn,
        owner: Owner,
        session: Lsn,
        number: RequestNumber,
        acked_below: RequestNumber,
        command: Option<Command>,
    ) {
        let id = RequestId { session: SessionId { epoch: self.epoch(session), lsn: session }, number };
        let mut breach = |rule, what| self.violations.push(Violation::new(rule, Some(id), what));
        let Some(state) = self.sessions.get_mut(&session) else {
            // The session was closed earlier in the same batch: the entry has no effect, and no client may see one.
            return;
        };
        if state.owner != owner {
            breach("owner", format!("at LSN {lsn} it was executed for {owner:?}, but its session belongs to {:?}", state.owner));
        }
        if let Some(command) = command
            && (!command.is_permitted_to(owner) || command.check().is_err())
        {
            breach("owner", format!("at LSN {lsn} {owner:?} was let do what it may not: {command:?}"));
        }
        let earlier = self.decisions.get(&id);
        if let Some(Decision { command: before, body }) = earlier {
            let same = if *before == command { "the same command" } else { "two commands" };
            let before = before.map_or("cancelled".to_owned(), |before| format!("{before:?}"));
            let now = command.map_or("cancelled".to_owned(), |command| format!("{command:?}"));
            breach("once", format!("it is in the log twice, with {same}: {before} at LSN {}, {now} at LSN {lsn}", body.lsn));
        } else if number.0 != state.last.saturating_add(1) {
            breach("order", format!("it was executed at LSN {lsn}, but number {} comes next", state.last.saturating_add(1)));
        }
        state.last = state.last.max(number.0);
        state.acked_below = state.acked_below.max(acked_below.0);
        let body = match command {
            Some(command) => self.execute(lsn, &command),
            None => Body { outcome: Outcome::Cancelled, balance: Amount::ZERO, lsn },
        };
        self.decisions.entry(id).or_insert(Decision { command, body });
    }

    fn execute(&mut self, lsn: Lsn, command: &Command) -> Body {
        let own = command.account();
        let outcome = self.judge(command);
        if let Ok((after, paid)) = outcome {
            if let (Command::Transfer { to, .. }, Some(paid)) = (command, paid) {
                self.set(lsn, *to, paid);
            }
            self.set(lsn, own, after);
            match command {
                Command::Deposit { amount, .. } => self.cash += u128::from(amount.get()),
                Command::Withdraw { amount, .. } => self.cash = self.cash.saturating_sub(u128::from(amount.get())),
                Command::Transfer { .. } => {}
            }
        }
        let balance = self.accounts.get(&own).and_then(|account| Amount::new(account.balance)).unwrap_or_default();
        Body { outcome: outcome.err().unwrap_or(Outcome::Done), balance, lsn }
    }

    /// The new balances of the command's account and of a transfer's payee, or the outcome that declines it.
    fn judge(&self, command: &Command) -> Result<(u64, Option<u64>), Outcome> {
        let amount = command.amount().get();
        let own = *self.accounts.get(&command.account()).ok_or(Outcome::NoSuchAccount)?;
        let other = match command {
            Command::Transfer { to, .. } => Some(*self.accounts.get(to).ok_or(Outcome::NoSuchAccount)?),
            _ => None,
        };
        let any = |test: fn(&Account) -> bool| test(&own) || other.as_ref().is_some_and(test);
        if any(|account| account.is_closed) {
            return Err(Outcome::AccountClosed);
        }
        if any(|account| account.is_locked) {
            return Err(Outcome::AccountLocked);
        }
        let paid = |balance: u64| balance.checked_add(amount).filter(|sum| *sum <= Amount::MAX.get()).ok_or(Outcome::BalanceOverflow);
        if matches!(command, Command::Deposit { .. }) {
            return Ok((paid(own.balance)?, None));
        }
        let rest = own.balance.checked_sub(amount).ok_or(Outcome::InsufficientBalance)?;
        Ok((rest, other.map(|other| paid(other.balance)).transpose()?))
    }

    fn set(&mut self, lsn: Lsn, id: AccountId, balance: u64) {
        if let Some(account) = self.accounts.get_mut(&id) {
            account.balance = balance;
            self.balances.insert((id, lsn), balance);
        }
    }

    fn check_cash(&mut self) {
        let sum: u128 = self.accounts.values().map(|account| u128::from(account.balance)).sum();
        if sum != self.cash {
            let what = format!("the balances add up to {sum}, and the cash to {}", self.cash);
            self.violations.push(Violation::new("cash", None, what));
        }
    }
}
