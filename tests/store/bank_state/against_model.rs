//! Random histories on the bank and on the model, compared after each step; and the same history replayed.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

use bankd::bank::{Applied, Lookup, Room};
use bankd::model::command::Command;
use bankd::model::entry::{Action, Entry, Setting};
use bankd::model::types::{AccountId, Lsn, Owner, RequestNumber, TellerId};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::image;
use super::model::Model;
use super::support::{self, Logged, OPERATOR, amount, customer, plain, tag, teller, under};

/// One step of a history, in numbers that are resolved against the state when its turn comes.
#[derive(Clone, Debug)]
enum Step {
    /// A number near a session's next, `offset` away, acknowledging up to `acked` below that number plus 1.
    Number {
        session: u8,
        offset: i8,
        acked: u8,
        command: Option<Money>,
    },
    Ack {
        session: u8,
        back: u8,
    },
    Close {
        session: u8,
        by_operator: bool,
    },
    Gone {
        session: u8,
        number: u8,
    },
    Open {
        owner: u8,
        in_use: u16,
    },
    Login {
        owner: u8,
        tag: u8,
    },
    Account {
        name: u8,
        balance: u8,
    },
    OnAccount {
        account: u8,
        what: u8,
    },
    Teller {
        name: u8,
    },
    Revoke {
        teller: u8,
    },
    Set {
        setting: u8,
        value: u8,
    },
    Lineage,
}

#[derive(Clone, Debug)]
struct Money {
    kind: u8,
    account: u8,
    other: u8,
    units: u64,
}

fn money() -> impl Strategy<Value = Money> {
    let top = i64::MAX as u64;
    let units = prop_oneof![6 => 1..60_u64, 1 => Just(top), 1 => Just(top - 50), 1 => Just(top / 2)];
    (0..3_u8, any::<u8>(), any::<u8>(), units).prop_map(|(kind, account, other, units)| Money { kind, account, other, units })
}

fn step() -> impl Strategy<Value = Step> {
    let offset = prop_oneof![8 => Just(0), 3 => -3..=2_i8];
    prop_oneof![
        40 => (any::<u8>(), offset, 0..5_u8, proptest::option::weighted(0.9, money()))
            .prop_map(|(session, offset, acked, command)| Step::Number { session, offset, acked, command }),
        8 => (any::<u8>(), 0..4_u8).prop_map(|(session, back)| Step::Ack { session, back }),
        3 => (any::<u8>(), any::<bool>()).prop_map(|(session, by_operator)| Step::Close { session, by_operator }),
        2 => (any::<u8>(), any::<u8>()).prop_map(|(session, number)| Step::Gone { session, number }),
        14 => (any::<u8>(), any::<u16>()).prop_map(|(owner, in_use)| Step::Open { owner, in_use }),
        14 => (any::<u8>(), 0..6_u8).prop_map(|(owner, tag)| Step::Login { owner, tag }),
        4 => (0..12_u8, any::<u8>()).prop_map(|(name, balance)| Step::Account { name, balance }),
        6 => (any::<u8>(), any::<u8>()).prop_map(|(account, what)| Step::OnAccount { account, what }),
        2 => (0..6_u8).prop_map(|name| Step::Teller { name }),
        1 => any::<u8>().prop_map(|teller| Step::Revoke { teller }),
        2 => (any::<u8>(), any::<u8>()).prop_map(|(setting, value)| Step::Set { setting, value }),
        1 => Just(Step::Lineage),
    ]
}

/// A bank and a model that have seen the same entries.
struct Pair {
    real: Logged,
    model: Model,
    /// What happened, so that it can be seen that the histories get anywhere.
    seen: BTreeSet<String>,
}

impl Pair {
    /// Small caps, so that they are reached.
    fn new() -> Self {
        let mut pair = Self { real: Logged::default(), model: Model::default(), seen: BTreeSet::new() };
        let set = |setting, value| Action::Setting { setting, value };
        for action in [
            support::genesis(),
            support::lineage(1),
            set(Setting::SessionsPerCustomer, 3),
            set(Setting::SessionsPerTeller, 4),
            set(Setting::SessionsInAll, 8),
            set(Setting::LoginFailures, 3),
            support::account("n0", 0, 100),
            support::account("n1", 1, 0),
            support::add_teller("n0", 2),
        ] {
            pair.both(&plain(OPERATOR, action));
        }
        pair
    }

    fn both(&mut self, entry: &Entry) {
        let lsn = self.real.next();
        let expected = self.model.apply(lsn, entry);
        assert_eq!(self.real.apply(entry), Ok(expected), "{entry:?} at {lsn}");
        self.note(&match expected {
            Applied::Answer { body, .. } => format!("Answer {:?}", body.outcome),
            other => format!("{other:?}"),
        });
    }

    /// Notes a value by the name that its `Debug` begins with, and the name within.
    fn note(&mut self, value: &str) {
        let names = value.split(|c: char| !c.is_alphabetic()).filter(|name| name.starts_with(char::is_uppercase));
        self.seen.insert(names.take(2).collect::<Vec<_>>().join(" "));
    }

    /// A session that exists, if any does.
    fn pick(&self, session: u8) -> Option<(u64, Owner, u64)> {
        let count = self.model.sessions.len();
        let (lsn, session) = self.model.sessions.iter().nth(usize::from(session) % count.max(1))?;
        Some((*lsn, session.owner, session.last))
    }

    /// Mostly an account that exists; sometimes the one that comes next.
    fn pick_account(&self, account: u8) -> u32 {
        u32::from(account) % (self.model.accounts.len() as u32 + 1)
    }

    fn pick_owner(&self, owner: u8) -> Owner {
        let (accounts, tellers) = (self.model.accounts.len() as u32, self.model.tellers.len() as u32);
        let id = u32::from(owner) % (accounts + tellers);
        if id < accounts { customer(id) } else { teller(id - accounts) }
    }

    fn command(&self, owner: Owner, money: &Money) -> Command {
        let own = match owner {
            Owner::Customer(id) => id.0,
            _ => self.pick_account(money.account),
        };
        let other = self.pick_account(money.other);
        match money.kind {
            0 => support::deposit(own, money.units),
            1 => support::withdraw(own, money.units),
            _ if other == own => support::transfer(own, own + 1, money.units),
            _ => support::transfer(own, other, money.units),
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Number { session, offset, acked, command } => {
                if let Some((session, owner, last)) = self.pick(*session) {
                    let number = (last + 1).saturating_add_signed(i64::from(*offset));
                    let action = command.as_ref().map_or(Action::Cancel, |money| Action::Request(self.command(owner, money)));
                    self.number(session, owner, number, (number + 1).saturating_sub(u64::from(*acked)), action);
                }
            }
            Step::Ack { session, back } => {
                if let Some((session, owner, last)) = self.pick(*session) {
                    self.both(&under(owner, session, 0, (last + 1).saturating_sub(u64::from(*back)), Action::Ack));
                    self.refused(&under(owner, session, 0, last + 2, Action::Ack));
                }
            }
            Step::Close { session, by_operator } => {
                if let Some((session, owner, _)) = self.pick(*session) {
                    self.both(&under(if *by_operator { OPERATOR } else { owner }, session, 0, 0, Action::CloseSession));
                }
            }
            Step::Gone { session, number } => {
                let session = u64::from(*session);
                if !self.model.sessions.contains_key(&session) {
                    let request = Action::Request(support::deposit(0, 1));
                    self.both(&under(customer(0), session, u64::from(*number), u64::from(*number), request));
                }
            }
            Step::Open { owner, in_use } => self.open(self.pick_owner(*owner), *in_use),
            Step::Login { owner, tag } => {
                let owner = if *owner == 0 { Owner::Nobody } else { self.pick_owner(*owner) };
                self.both(&plain(owner, Action::LoginAttempt(Box::new([*tag; 32]))));
            }
            operation => self.operate(operation),
        }
    }

    /// A number is decided by lookup: only the next one is logged, and nothing else would be taken.
    fn number(&mut self, session: u64, owner: Owner, number: u64, acked_below: u64, action: Action) {
        let known = self.real.bank.lookup(Lsn(session), RequestNumber(number));
        let entry = under(owner, session, number, acked_below, action.clone());
        self.note(match known {
            Lookup::Recorded(recorded) if recorded.command.is_none() => "LookupRecorded Cancelled",
            Lookup::Recorded(_) => "LookupRecorded",
            Lookup::Acknowledged => "LookupAcknowledged",
            Lookup::Next => "LookupNext",
            Lookup::Ahead { .. } => "LookupAhead",
            Lookup::NoSession => "LookupNoSession",
        });
        if known == Lookup::Next {
            self.both(&entry);
        } else {
            self.refused(&entry);
        }
        self.refused(&under(owner, session, number + 1, number + 3, action.clone()));
        let stranger = if owner == customer(0) { customer(1) } else { customer(0) };
        self.refused(&under(stranger, session, number, acked_below, action));
    }

    fn open(&mut self, owner: Owner, in_use: u16) {
        let used = |session: u64| in_use >> (session % 16) & 1 == 1;
        let asked = Cell::new(0);
        let room = self.real.bank.room_for_session(owner, &mut |session| {
            asked.set(asked.get() + 1);
            used(session.0)
        });
        assert_eq!(room, self.model.room(owner, &used));
        let own = self.real.bank.setting(match owner {
            Owner::Customer(_) => Setting::SessionsPerCustomer,
            _ => Setting::SessionsPerTeller,
        });
        let few = u64::from(self.real.bank.session_count_of(owner)) < own;
        self.note(&format!("Room{} {room:?}", if few { "OfAll" } else { "OfOwner" }));
        assert!(asked.get() <= self.model.sessions.len());
        match room {
            Room::Free => self.both(&plain(owner, Action::OpenSession { evicted: None })),
            Room::Evict(victim) => self.both(&plain(owner, Action::OpenSession { evicted: Some(victim) })),
            Room::None => {}
        }
        let busy = self.model.sessions.iter().find(|(_, session)| session.acked_below <= session.last).map(|(&lsn, _)| Lsn(lsn));
        let open = match owner {
            Owner::Customer(id) => !self.model.accounts[id.0 as usize].closed,
            Owner::Teller(id) => !self.model.tellers[id.0 as usize].2,
            _ => false,
        };
        if open && busy.is_some() {
            self.refused(&plain(owner, Action::OpenSession { evicted: busy }));
        }
    }

    fn operate(&mut self, operation: &Step) {
        let action = match operation {
            Step::Account { name, balance } => support::account(&format!("n{name}"), *name, u64::from(*balance) / 2),
            Step::OnAccount { account, what } => {
                let id = AccountId(self.pick_account(*account));
                match what % 5 {
                    0 => Action::AccountClose(id),
                    1 => Action::AccountLock(id),
                    2 | 3 => Action::AccountUnlock(id),
                    _ => Action::AccountPin(id, Box::new(tag(what % 6))),
                }
            }
            Step::Teller { name } => support::add_teller(&format!("n{name}"), *name),
            Step::Revoke { teller } => Action::TellerRevoke(TellerId(u32::from(*teller) % (self.model.tellers.len() as u32 + 1))),
            Step::Set { setting, value } => {
                let setting = [Setting::SessionsPerCustomer, Setting::SessionsPerTeller, Setting::SessionsInAll, Setting::LoginFailures]
                    [usize::from(setting % 4)];
                Action::Setting { setting, value: u64::from(value % 10) + 1 }
            }
            _ => support::lineage(self.real.next()),
        };
        self.both(&plain(OPERATOR, action));
    }

    fn refused(&mut self, entry: &Entry) {
        assert!(self.real.apply(entry).is_err(), "{entry:?}");
    }

    /// Everything that can be seen of the bank is as the model has it.
    fn compare(&self) {
        let (bank, model) = (&self.real.bank, &self.model);
        assert_eq!(bank.cash(), model.cash as u128);
        assert_eq!((bank.account_count() as usize, bank.teller_count() as usize), (model.accounts.len(), model.tellers.len()));
        for (id, account) in model.accounts.iter().enumerate() {
            let id = AccountId(id as u32);
            let view = bank.account(id).unwrap();
            assert_eq!((view.balance, view.closed, view.locked), (amount(account.balance as u64), account.closed, account.locked));
            assert_eq!(view.login_locked, model.locked_logins.contains(&Owner::Customer(id)));
            assert_eq!((bank.find_account(&account.name), bank.account_name(id)), (Some(id), Some(account.name.as_str())));
            assert_eq!(bank.account_tag(id).unwrap().tag, account.pin);
        }
        for (id, (name, token, revoked)) in model.tellers.iter().enumerate() {
            let id = TellerId(id as u32);
            assert_eq!((bank.find_teller(name), bank.teller_name(id)), (Some(id), Some(name.as_str())));
            assert_eq!((bank.teller_tag(id).unwrap().tag, bank.teller_revoked(id)), (*token, Some(*revoked)));
            assert_eq!(bank.login_locked(Owner::Teller(id)), model.locked_logins.contains(&Owner::Teller(id)));
        }
        assert_eq!(bank.session_count(), model.sessions.len());
        for (&lsn, session) in &model.sessions {
            let view = bank.session(Lsn(lsn)).unwrap();
            assert_eq!((view.owner, view.last.0, view.acked_below.0), (session.owner, session.last, session.acked_below));
            let of_owner: Vec<_> =
                model.sessions.iter().filter(|(_, other)| other.owner == session.owner).map(|(&lsn, _)| Lsn(lsn)).collect();
            assert_eq!(bank.sessions_of(session.owner), of_owner);
            assert_eq!(bank.session_count_of(session.owner) as usize, of_owner.len());
            for number in 0..session.last + 3 {
                assert_eq!(bank.lookup(Lsn(lsn), RequestNumber(number)), model.lookup(lsn, number));
            }
        }
    }
}

#[test]
fn random_histories() {
    let seen = RefCell::new(BTreeSet::new());
    let mut runner = TestRunner::new(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() });
    let histories = proptest::collection::vec(step(), 1..150);
    let result = runner.run(&histories, |steps| {
        let mut pair = Pair::new();
        for (at, step) in steps.iter().enumerate() {
            if at % 40 == 20 {
                // From here on it is the bank that its image gave.
                pair.real.bank = image::through(&pair.real.bank);
            }
            pair.step(step);
            pair.compare();
        }
        let again = pair.real.replay();
        prop_assert_eq!(image::image(&again), image::image(&pair.real.bank));
        prop_assert!(again == pair.real.bank, "the same entries make an equal bank");
        prop_assert_eq!(again.outcome_digest(), pair.real.bank.outcome_digest());
        seen.borrow_mut().append(&mut pair.seen);
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
    let seen: Vec<_> = seen.into_inner().into_iter().collect();
    assert_eq!(seen, EVERYTHING, "histories reach every answer");
}

/// Every answer that there is, and every verdict on a number and on room.
const EVERYTHING: [&str; 32] = [
    "Acked RequestNumber",
    "Answer AccountClosed",
    "Answer AccountLocked",
    "Answer BalanceOverflow",
    "Answer Cancelled",
    "Answer Done",
    "Answer InsufficientBalance",
    "Answer NoSuchAccount",
    "Closed",
    "Done",
    "Login Accepted",
    "Login Locked",
    "Login Wrong",
    "LookupAcknowledged",
    "LookupAhead",
    "LookupNext",
    "LookupRecorded",
    "LookupRecorded Cancelled",
    "Opened AccountId",
    "Refused AccountClosed",
    "Refused BalanceNotZero",
    "Refused NameTaken",
    "Refused NoSuchAccount",
    "Refused NoSuchTeller",
    "RoomOfAll Evict",
    "RoomOfAll Free",
    "RoomOfAll None",
    "RoomOfOwner Evict",
    "RoomOfOwner None",
    "SessionOpened",
    "TellerAdded TellerId",
    "UnknownSession",
];
