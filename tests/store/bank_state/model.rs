//! The bank once more, as plainly as it can be said: ordered maps, no lists, no rings, everything searched for.

use std::collections::{BTreeMap, BTreeSet};

use bankd::bank::{Applied, Login, Lookup, Recorded, Refused, Room};
use bankd::model::command::{Body, Command, Outcome};
use bankd::model::entry::{Action, Entry, Origin, Setting};
use bankd::model::types::{Lsn, Owner, RequestNumber};

use super::support::{amount, customer, teller};

const TOP: i128 = i64::MAX as i128;

#[derive(Default)]
pub struct Model {
    pub settings: BTreeMap<Setting, u64>,
    pub accounts: Vec<Account>,
    pub tellers: Vec<(String, [u8; 32], bool)>,
    pub sessions: BTreeMap<u64, Session>,
    pub failures: BTreeMap<Owner, (u64, [u8; 32])>,
    pub locked_logins: BTreeSet<Owner>,
    pub cash: i128,
}

pub struct Account {
    pub name: String,
    pub pin: [u8; 32],
    pub balance: i128,
    pub closed: bool,
    pub locked: bool,
}

pub struct Session {
    pub owner: Owner,
    pub last: u64,
    pub acked_below: u64,
    pub last_used: u64,
    pub replies: BTreeMap<u64, Recorded>,
}

impl Session {
    fn forget(&mut self, acked_below: u64) {
        self.acked_below = self.acked_below.max(acked_below);
        let (acked_below, last) = (self.acked_below, self.last);
        self.replies.retain(|&number, _| number >= acked_below || number == last);
    }
}

impl Model {
    pub fn setting(&self, setting: Setting) -> u64 {
        self.settings.get(&setting).copied().unwrap_or(setting.default_value())
    }

    pub fn lookup(&self, session: u64, number: u64) -> Lookup {
        let Some(session) = self.sessions.get(&session) else { return Lookup::NoSession };
        match session.replies.get(&number) {
            Some(recorded) => Lookup::Recorded(*recorded),
            None if number <= session.last => Lookup::Acknowledged,
            None if number == session.last + 1 => Lookup::Next,
            None => Lookup::Ahead { expected: RequestNumber(session.last + 1) },
        }
    }

    pub fn room(&self, owner: Owner, in_use: &dyn Fn(u64) -> bool) -> Room {
        let cap = self.setting(match owner {
            Owner::Customer(_) => Setting::SessionsPerCustomer,
            _ => Setting::SessionsPerTeller,
        });
        let own = self.sessions.values().filter(|session| session.owner == owner).count() as u64;
        if own < cap && (self.sessions.len() as u64) < self.setting(Setting::SessionsInAll) {
            return Room::Free;
        }
        let mut victims: Vec<_> = self.sessions.iter().filter(|(_, session)| own < cap || session.owner == owner).collect();
        victims.retain(|(lsn, session)| session.acked_below > session.last && !in_use(**lsn));
        victims.sort_by_key(|(_, session)| session.last_used);
        victims.first().map_or(Room::None, |(lsn, _)| Room::Evict(Lsn(**lsn)))
    }

    /// What an entry that admission writes should give.
    pub fn apply(&mut self, lsn: u64, entry: &Entry) -> Applied {
        match (entry.origin, &entry.action) {
            (Origin::Session { session, number, acked_below }, action) => {
                self.under_session(lsn, session.0, number.0, acked_below.0, action)
            }
            (Origin::None, Action::LoginAttempt(tried)) => Applied::Login(self.attempt(entry.owner, tried)),
            (Origin::None, Action::OpenSession { evicted }) => self.open_session(lsn, entry.owner, *evicted),
            (Origin::None, action) => self.operate(action),
        }
    }

    fn under_session(&mut self, lsn: u64, id: u64, number: u64, acked_below: u64, action: &Action) -> Applied {
        if !self.sessions.contains_key(&id) {
            return Applied::UnknownSession;
        }
        if *action == Action::CloseSession {
            self.sessions.remove(&id);
            return Applied::Closed;
        }
        let (command, (outcome, balance)) = match action {
            Action::Request(command) => (Some(*command), self.execute(command)),
            _ => (None, (Outcome::Cancelled, 0)),
        };
        let session = self.sessions.get_mut(&id).unwrap();
        session.last_used = lsn;
        if *action == Action::Ack {
            session.forget(acked_below);
            return Applied::Acked { acked_below: RequestNumber(session.acked_below) };
        }
        let body = Body { outcome, balance: amount(balance as u64), lsn: Lsn(lsn) };
        session.last = number;
        session.replies.insert(number, Recorded { command, body });
        session.forget(acked_below);
        Applied::Answer { body, replayed: false }
    }

    fn execute(&mut self, command: &Command) -> (Outcome, i128) {
        let own = command.account().0 as usize;
        let units = i128::from(command.amount().get());
        let parts: Vec<(usize, i128)> = match *command {
            Command::Deposit { .. } => vec![(own, units)],
            Command::Withdraw { .. } => vec![(own, -units)],
            Command::Transfer { to, .. } => vec![(own, -units), (to.0 as usize, units)],
        };
        let found: Vec<_> = parts.iter().filter_map(|&(id, change)| self.accounts.get(id).map(|account| (account, change))).collect();
        let outcome = if found.len() < parts.len() {
            Outcome::NoSuchAccount
        } else if found.iter().any(|(account, _)| account.closed) {
            Outcome::AccountClosed
        } else if found.iter().any(|(account, _)| account.locked) {
            Outcome::AccountLocked
        } else if found.iter().any(|(account, change)| account.balance + change < 0) {
            Outcome::InsufficientBalance
        } else if found.iter().any(|(account, change)| account.balance + change > TOP) {
            Outcome::BalanceOverflow
        } else {
            for &(id, change) in &parts {
                self.accounts[id].balance += change;
                self.cash += change;
            }
            Outcome::Done
        };
        (outcome, self.accounts.get(own).map_or(0, |account| account.balance))
    }

    fn attempt(&mut self, owner: Owner, tried: &[u8; 32]) -> Login {
        let kept = match owner {
            Owner::Customer(id) => Some(&self.accounts[id.0 as usize]).filter(|account| !account.closed).map(|account| account.pin),
            Owner::Teller(id) => Some(&self.tellers[id.0 as usize]).filter(|teller| !teller.2).map(|teller| teller.1),
            _ => None,
        };
        let Some(kept) = kept else { return Login::Wrong };
        if self.locked_logins.contains(&owner) {
            return Login::Locked;
        }
        if kept == *tried {
            self.failures.remove(&owner);
            return Login::Accepted;
        }
        let before = self.failures.get(&owner).copied();
        if before.is_none_or(|(_, last)| last != *tried) {
            let count = before.map_or(0, |(count, _)| count) + 1;
            self.failures.insert(owner, (count, *tried));
            if count >= self.setting(Setting::LoginFailures) {
                self.locked_logins.insert(owner);
            }
        }
        Login::Wrong
    }

    fn forget_failures(&mut self, owner: Owner) {
        self.failures.remove(&owner);
        self.locked_logins.remove(&owner);
    }

    fn open_session(&mut self, lsn: u64, owner: Owner, evicted: Option<Lsn>) -> Applied {
        match owner {
            Owner::Customer(id) if self.accounts[id.0 as usize].closed => return Applied::Refused(Refused::AccountClosed),
            Owner::Teller(id) if self.tellers[id.0 as usize].2 => return Applied::Refused(Refused::NoSuchTeller),
            _ => {}
        }
        if let Some(victim) = evicted {
            self.sessions.remove(&victim.0);
        }
        self.sessions.insert(lsn, Session { owner, last: 0, acked_below: 1, last_used: lsn, replies: BTreeMap::new() });
        Applied::SessionOpened
    }

    fn operate(&mut self, action: &Action) -> Applied {
        let on_account = match action {
            Action::AccountClose(id) | Action::AccountLock(id) | Action::AccountUnlock(id) | Action::AccountPin(id, _) => Some(*id),
            _ => None,
        };
        if let Some(id) = on_account {
            return self.operate_on_account(id.0, action);
        }
        match action {
            Action::Lineage { .. } => self.sessions.clear(),
            Action::Setting { setting, value } => {
                self.settings.insert(*setting, *value);
            }
            Action::AccountOpen(open) => {
                if self.accounts.iter().any(|account| *account.name == *open.name) {
                    return Applied::Refused(Refused::NameTaken);
                }
                let balance = i128::from(open.balance.get());
                self.accounts.push(Account { name: open.name.to_string(), pin: open.pin.tag, balance, closed: false, locked: false });
                self.cash += balance;
                return Applied::Opened(bankd::model::types::AccountId(self.accounts.len() as u32 - 1));
            }
            Action::TellerAdd(add) => {
                if self.tellers.iter().any(|teller| *teller.0 == *add.name) {
                    return Applied::Refused(Refused::NameTaken);
                }
                self.tellers.push((add.name.to_string(), add.token.tag, false));
                return Applied::TellerAdded(bankd::model::types::TellerId(self.tellers.len() as u32 - 1));
            }
            Action::TellerRevoke(id) => {
                match self.tellers.get_mut(id.0 as usize) {
                    Some(teller) if !teller.2 => teller.2 = true,
                    _ => return Applied::Refused(Refused::NoSuchTeller),
                }
                self.sessions.retain(|_, session| session.owner != teller(id.0));
                self.forget_failures(teller(id.0));
            }
            _ => {}
        }
        Applied::Done
    }

    fn operate_on_account(&mut self, id: u32, action: &Action) -> Applied {
        let Some(account) = self.accounts.get_mut(id as usize) else { return Applied::Refused(Refused::NoSuchAccount) };
        if account.closed {
            return Applied::Refused(Refused::AccountClosed);
        }
        match action {
            Action::AccountClose(_) if account.balance != 0 => return Applied::Refused(Refused::BalanceNotZero),
            Action::AccountClose(_) => account.closed = true,
            Action::AccountLock(_) => account.locked = true,
            Action::AccountUnlock(_) => account.locked = false,
            Action::AccountPin(_, tag) => account.pin = tag.tag,
            _ => unreachable!("only these are about one account"),
        }
        if !matches!(action, Action::AccountLock(_)) {
            self.forget_failures(customer(id));
        }
        Applied::Done
    }
}
