//! Single rules of accounts, tellers, logins and the order of entries.

use bankd::bank::{Applied, Bank, Login, Refused, apply};
use bankd::model::amount::MAX_DECIMALS;
use bankd::model::command::Outcome;
use bankd::model::entry::{Action, Entry, Setting};
use bankd::model::types::{AccountId, BankTime, Lineage, Lsn, Owner, TellerId};

use super::support::{
    Logged, OPERATOR, account, add_teller, customer, deposit, genesis, lineage, plain, tag, teller, transfer, under, withdraw,
};

fn attempt(logged: &mut Logged, owner: Owner, secret: u8) -> Login {
    match logged.apply(&plain(owner, Action::LoginAttempt(Box::new([secret; 32])))) {
        Ok(Applied::Login(login)) => login,
        other => panic!("{other:?}"),
    }
}

/// Whether the entry is one that admission never writes; [`Logged::apply`] sees that it changes nothing.
#[track_caller]
fn impossible(logged: &mut Logged, entry: &Entry) {
    assert!(logged.apply(entry).is_err(), "{entry:?}");
}

#[test]
fn the_first_entry_is_the_genesis() {
    let mut logged = Logged::default();
    assert_eq!((logged.bank.key_check(), logged.bank.decimals(), logged.bank.applied()), (None, 0, Lsn(0)));
    impossible(&mut logged, &plain(OPERATOR, lineage(1)));
    impossible(&mut logged, &plain(OPERATOR, Action::Genesis { decimals: MAX_DECIMALS + 1, key_check: [0; 32] }));
    assert_eq!(logged.apply(&plain(Owner::Nobody, genesis())), Ok(Applied::Done));
    assert_eq!((logged.bank.key_check(), logged.bank.decimals()), (Some(&[7; 32]), 2));
    impossible(&mut logged, &plain(Owner::Nobody, genesis()));
}

#[test]
fn entries_come_in_order() {
    let mut bank = Bank::new();
    let first = plain(OPERATOR, genesis());
    for lsn in [0, 2, u64::MAX] {
        assert!(apply(&mut bank, Lsn(lsn), &first, BankTime(5)).is_err());
    }
    assert!(apply(&mut bank, Lsn(1), &first, BankTime(5)).is_ok());
    let second = plain(OPERATOR, lineage(1));
    for (lsn, time) in [(1, 5), (3, 5), (2, 4)] {
        assert!(apply(&mut bank, Lsn(lsn), &second, BankTime(time)).is_err());
    }
    assert!(apply(&mut bank, Lsn(2), &second, BankTime(5)).is_ok());
    assert_eq!((bank.applied(), bank.time(), bank.lineage()), (Lsn(2), BankTime(5), Lineage(1)));
}

/// The digest is the same for the same history, and another as soon as an answer is.
#[test]
fn the_digest_tells_histories_apart() {
    let history = |balance| {
        let mut logged = Logged::new();
        logged.operate(account("c", 3, balance));
        let session = logged.open(customer(2));
        let outcome = logged.request(customer(2), session, 1, 1, withdraw(2, 10)).outcome;
        (outcome, logged.bank.outcome_digest(), logged.replay().outcome_digest())
    };
    let (poor, rich) = (history(9), history(10));
    assert_eq!((poor.0, rich.0), (Outcome::InsufficientBalance, Outcome::Done));
    assert_eq!((poor.1, rich.1), (poor.2, rich.2));
    assert_ne!(poor.1, rich.1);
}

#[test]
fn only_the_operator_operates() {
    let mut logged = Logged::new();
    let actions = [
        lineage(2),
        Action::Setting { setting: Setting::Window, value: 5 },
        account("c", 1, 1),
        Action::AccountClose(AccountId(0)),
        Action::AccountLock(AccountId(0)),
        Action::AccountUnlock(AccountId(0)),
        Action::AccountPin(AccountId(0), Box::new(tag(9))),
        add_teller("u", 1),
        Action::TellerRevoke(TellerId(0)),
    ];
    for action in actions {
        for owner in [customer(0), teller(0)] {
            impossible(&mut logged, &plain(owner, action.clone()));
        }
        impossible(&mut logged, &under(OPERATOR, 1, 0, 0, action));
    }
    for action in [Action::CloseSession, Action::Ack, Action::Cancel, Action::Request(deposit(0, 1))] {
        impossible(&mut logged, &plain(OPERATOR, action));
    }
    impossible(&mut logged, &plain(OPERATOR, Action::LoginAttempt(Box::new([1; 32]))));
    impossible(&mut logged, &plain(OPERATOR, Action::OpenSession { evicted: None }));
}

#[test]
fn names_are_unique_in_their_kind_for_ever() {
    let mut logged = Logged::new();
    assert_eq!(logged.operate(account("a", 9, 5)), Applied::Refused(Refused::NameTaken));
    assert_eq!(logged.operate(account("A", 9, 5)), Applied::Opened(AccountId(2)));
    assert_eq!(logged.operate(account("t", 9, 0)), Applied::Opened(AccountId(3)));
    assert_eq!(logged.operate(add_teller("a", 9)), Applied::TellerAdded(TellerId(1)));
    assert_eq!(logged.operate(Action::AccountClose(AccountId(3))), Applied::Done);
    assert_eq!(logged.operate(account("t", 9, 0)), Applied::Refused(Refused::NameTaken));
    assert_eq!(logged.operate(Action::TellerRevoke(TellerId(0))), Applied::Done);
    assert_eq!(logged.operate(add_teller("t", 9)), Applied::Refused(Refused::NameTaken));
    assert_eq!((logged.bank.account_count(), logged.bank.cash()), (4, 205));
    for name in ["", "a\nb"] {
        impossible(&mut logged, &plain(OPERATOR, account(name, 1, 0)));
        impossible(&mut logged, &plain(OPERATOR, add_teller(name, 1)));
    }
}

#[test]
fn closing_an_account_ends_it() {
    let mut logged = Logged::new();
    let session = logged.open(customer(0));
    let close = || Action::AccountClose(AccountId(0));
    assert_eq!(logged.operate(close()), Applied::Refused(Refused::BalanceNotZero));
    logged.request(customer(0), session, 1, 1, withdraw(0, 100));
    assert_eq!(logged.operate(close()), Applied::Done);
    for action in [close(), Action::AccountLock(AccountId(0)), Action::AccountUnlock(AccountId(0))] {
        assert_eq!(logged.operate(action), Applied::Refused(Refused::AccountClosed));
    }
    assert_eq!(logged.operate(Action::AccountPin(AccountId(0), Box::new(tag(1)))), Applied::Refused(Refused::AccountClosed));
    assert_eq!(logged.operate(Action::AccountClose(AccountId(2))), Applied::Refused(Refused::NoSuchAccount));
    // Its session lives on, so that what is in doubt can be resolved; but it gets no new one, and every login is
    // refused.
    assert_eq!(logged.request(customer(0), session, 2, 2, deposit(0, 1)).outcome, Outcome::AccountClosed);
    assert_eq!(logged.apply(&plain(customer(0), Action::OpenSession { evicted: None })), Ok(Applied::Refused(Refused::AccountClosed)));
    assert_eq!(attempt(&mut logged, customer(0), 1), Login::Wrong);
}

/// The lock of the operator stops money both ways; unlocking lets it move again.
#[test]
fn a_lock_stops_money() {
    let mut logged = Logged::new();
    let session = logged.open(teller(0));
    let lock = Action::AccountLock(AccountId(1));
    assert_eq!((logged.operate(lock.clone()), logged.operate(lock)), (Applied::Done, Applied::Done));
    let commands = [deposit(1, 1), withdraw(1, 1), transfer(0, 1, 1), transfer(1, 0, 1)];
    for (number, command) in (1..).zip(commands) {
        let body = logged.request(teller(0), session, number, number, command);
        assert_eq!((body.outcome, body.balance.get()), (Outcome::AccountLocked, 100));
    }
    assert_eq!(logged.operate(Action::AccountUnlock(AccountId(1))), Applied::Done);
    for (number, command) in (5..).zip(commands) {
        assert_eq!(logged.request(teller(0), session, number, number, command).outcome, Outcome::Done);
    }
    assert_eq!(logged.bank.cash(), 200);
}

#[test]
fn five_wrong_pins_lock_until_the_operator_unlocks() {
    let mut logged = Logged::new();
    let session = logged.open(customer(0));
    for secret in 10..14 {
        assert_eq!(attempt(&mut logged, customer(0), secret), Login::Wrong);
        assert_eq!(attempt(&mut logged, customer(0), secret), Login::Wrong, "a resend");
    }
    assert_eq!(attempt(&mut logged, customer(0), 14), Login::Wrong);
    assert_eq!(attempt(&mut logged, customer(0), 14), Login::Locked, "a resend of the one that locked");
    assert!(logged.bank.account(AccountId(0)).unwrap().login_locked && logged.bank.login_locked(customer(0)));
    assert_eq!(attempt(&mut logged, customer(0), 1), Login::Locked);
    assert_eq!(attempt(&mut logged, customer(1), 2), Login::Accepted);
    // Wrong guesses by others do not block the customer at work, nor the next session of a customer who is logged in.
    assert_eq!(logged.request(customer(0), session, 1, 1, withdraw(0, 1)).outcome, Outcome::Done);
    logged.open(customer(0));
    assert!(logged.replay().login_locked(customer(0)), "a restart does not unlock");
    assert_eq!(logged.operate(Action::AccountUnlock(AccountId(0))), Applied::Done);
    assert_eq!(attempt(&mut logged, customer(0), 1), Login::Accepted);
}

#[test]
fn a_new_pin_replaces_the_old_and_unlocks() {
    let mut logged = Logged::new();
    logged.operate(Action::Setting { setting: Setting::LoginFailures, value: 1 });
    assert_eq!(attempt(&mut logged, customer(0), 9), Login::Wrong);
    assert_eq!(attempt(&mut logged, customer(0), 1), Login::Locked);
    assert_eq!(logged.operate(Action::AccountPin(AccountId(0), Box::new(tag(20)))), Applied::Done);
    assert_eq!(attempt(&mut logged, customer(0), 20), Login::Accepted);
    assert_eq!(attempt(&mut logged, customer(0), 1), Login::Wrong);
}

#[test]
fn logins_of_nobody_and_of_no_one() {
    let mut logged = Logged::new();
    for secret in 0..20 {
        assert_eq!(attempt(&mut logged, Owner::Nobody, secret), Login::Wrong);
    }
    assert_eq!(attempt(&mut logged, teller(0), 3), Login::Accepted);
    for owner in [customer(2), teller(1)] {
        impossible(&mut logged, &plain(owner, Action::LoginAttempt(Box::new([1; 32]))));
        impossible(&mut logged, &plain(owner, Action::OpenSession { evicted: None }));
    }
    impossible(&mut logged, &plain(Owner::Nobody, Action::OpenSession { evicted: None }));
}

#[test]
fn a_revoked_teller_is_out() {
    let mut logged = Logged::new();
    let (one, other) = (logged.open(teller(0)), logged.open(teller(0)));
    let customers = logged.open(customer(0));
    logged.request(teller(0), one, 1, 1, deposit(0, 1));
    assert_eq!(logged.operate(Action::TellerRevoke(TellerId(1))), Applied::Refused(Refused::NoSuchTeller));
    assert_eq!(logged.operate(Action::TellerRevoke(TellerId(0))), Applied::Done);
    assert_eq!(logged.operate(Action::TellerRevoke(TellerId(0))), Applied::Refused(Refused::NoSuchTeller));
    assert_eq!(logged.bank.teller_revoked(TellerId(0)), Some(true));
    assert_eq!(attempt(&mut logged, teller(0), 3), Login::Wrong);
    assert_eq!(logged.apply(&plain(teller(0), Action::OpenSession { evicted: None })), Ok(Applied::Refused(Refused::NoSuchTeller)));
    for session in [one, other] {
        assert_eq!(
            logged.apply(&under(teller(0), session, 2, 2, Action::Request(deposit(0, 1)))),
            Ok(Applied::UnknownSession),
            "what was in the same batch"
        );
    }
    assert_eq!((logged.bank.session_count(), logged.bank.session(Lsn(customers)).is_some()), (1, true));
}

#[test]
fn settings_hold_from_their_entry_on() {
    let mut logged = Logged::new();
    for setting in Setting::ALL {
        let (low, high) = setting.range();
        assert_eq!(logged.bank.setting(setting), setting.default_value());
        assert_eq!(logged.operate(Action::Setting { setting, value: low }), Applied::Done);
        assert_eq!(logged.bank.setting(setting), low);
        impossible(&mut logged, &plain(OPERATOR, Action::Setting { setting, value: low - 1 }));
        impossible(&mut logged, &plain(OPERATOR, Action::Setting { setting, value: high + 1 }));
    }
}
