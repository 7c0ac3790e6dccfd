//! Single rules of sessions: exactly once, seen from the state machine.

use bankd::bank::{Applied, Lookup, Recorded, Room};
use bankd::model::command::{Body, Command, Outcome};
use bankd::model::entry::{Action, Entry, Setting};
use bankd::model::types::{Lineage, Lsn, Owner, RequestNumber};

use super::support::{Logged, amount, customer, deposit, lineage, plain, teller, transfer, under, withdraw};

fn lookup(logged: &Logged, session: u64, number: u64) -> Lookup {
    logged.bank.lookup(Lsn(session), RequestNumber(number))
}

fn recorded(command: Command, body: Body) -> Lookup {
    Lookup::Recorded(Recorded { command: Some(command), body })
}

#[track_caller]
fn impossible(logged: &mut Logged, entry: &Entry) {
    assert!(logged.apply(entry).is_err(), "{entry:?}");
}

fn room(logged: &Logged, owner: Owner) -> Room {
    logged.bank.room_for_session(owner, &mut |_| false)
}

/// A duplicate receives what the first copy received, whatever has happened since; after a replay of the log as well.
#[test]
fn a_recorded_answer_stays() {
    let mut logged = Logged::new();
    let session = logged.open(customer(0));
    assert_eq!(lookup(&logged, session, 1), Lookup::Next);
    let bodies =
        [(withdraw(0, 30), Outcome::Done, 70), (withdraw(0, 71), Outcome::InsufficientBalance, 70), (deposit(0, 5), Outcome::Done, 75)];
    for (number, (command, outcome, balance)) in (1..).zip(bodies) {
        let lsn = Lsn(logged.next());
        assert_eq!(logged.request(customer(0), session, number, 0, command), Body { outcome, balance: amount(balance), lsn });
    }
    let first = lookup(&logged, session, 1);
    assert_eq!(first, recorded(withdraw(0, 30), Body { outcome: Outcome::Done, balance: amount(70), lsn: Lsn(session + 1) }));
    assert_eq!(lookup(&logged, session, 5), Lookup::Ahead { expected: RequestNumber(4) });
    assert_eq!(lookup(&logged, session + 1, 1), Lookup::NoSession);
    let replayed = logged.replay();
    for number in 1..=5 {
        assert_eq!(replayed.lookup(Lsn(session), RequestNumber(number)), lookup(&logged, session, number));
    }
    assert_eq!(replayed.account(bankd::model::types::AccountId(0)).unwrap().balance, amount(75));
}

#[test]
fn a_cancelled_number_is_spent() {
    let mut logged = Logged::new();
    let session = logged.open(customer(0));
    let lsn = Lsn(logged.next());
    let body = Body { outcome: Outcome::Cancelled, balance: amount(0), lsn };
    let cancel = under(customer(0), session, 1, 1, Action::Cancel);
    assert_eq!(logged.apply(&cancel), Ok(Applied::Answer { body, replayed: false }));
    assert_eq!(lookup(&logged, session, 1), Lookup::Recorded(Recorded { command: None, body }));
    impossible(&mut logged, &cancel);
    impossible(&mut logged, &under(customer(0), session, 1, 1, Action::Request(withdraw(0, 1))));
    assert_eq!(logged.request(customer(0), session, 2, 2, withdraw(0, 1)).balance, amount(99));
}

#[test]
fn what_admission_never_writes() {
    let mut logged = Logged::new();
    let session = logged.open(customer(0));
    logged.request(customer(0), session, 1, 0, deposit(0, 1));
    let request = |owner, number, acked, command| under(owner, session, number, acked, Action::Request(command));
    for number in [0, 1, 3, u64::MAX] {
        impossible(&mut logged, &request(customer(0), number, 0, deposit(0, 1)));
    }
    impossible(&mut logged, &request(customer(0), 2, 4, deposit(0, 1)));
    for stranger in [customer(1), teller(0), Owner::Nobody, super::support::OPERATOR] {
        impossible(&mut logged, &request(stranger, 2, 2, deposit(0, 1)));
        impossible(&mut logged, &under(stranger, session, 2, 2, Action::Cancel));
        impossible(&mut logged, &under(stranger, session, 0, 2, Action::Ack));
    }
    for stranger in [customer(1), teller(0), Owner::Nobody] {
        impossible(&mut logged, &under(stranger, session, 0, 0, Action::CloseSession));
    }
    for command in [deposit(1, 1), transfer(1, 0, 1), deposit(0, 0), transfer(0, 0, 1)] {
        impossible(&mut logged, &request(customer(0), 2, 2, command));
    }
    for acked in [3, u64::MAX] {
        impossible(&mut logged, &under(customer(0), session, 0, acked, Action::Ack));
    }
    for action in [Action::LoginAttempt(Box::new([1; 32])), Action::OpenSession { evicted: None }] {
        impossible(&mut logged, &under(customer(0), session, 2, 2, action));
    }
    assert_eq!(logged.request(customer(0), session, 2, 3, transfer(0, 1, 1)).outcome, Outcome::Done);
}

#[test]
fn acknowledging_is_a_maximum_and_keeps_the_last_reply() {
    let mut logged = Logged::new();
    let session = logged.open(customer(0));
    for number in 1..=4 {
        logged.request(customer(0), session, number, 0, deposit(0, number));
    }
    assert_eq!(logged.bank.session(Lsn(session)).unwrap().unacknowledged(), 4);
    let ack = |below| under(customer(0), session, 0, below, Action::Ack);
    assert_eq!(logged.apply(&ack(3)), Ok(Applied::Acked { acked_below: RequestNumber(3) }));
    assert_eq!(logged.apply(&ack(1)), Ok(Applied::Acked { acked_below: RequestNumber(3) }));
    assert_eq!((lookup(&logged, session, 2), logged.bank.session(Lsn(session)).unwrap().unacknowledged()), (Lookup::Acknowledged, 2));
    assert!(matches!(lookup(&logged, session, 3), Lookup::Recorded(_)));
    assert_eq!(logged.apply(&ack(5)), Ok(Applied::Acked { acked_below: RequestNumber(5) }));
    assert_eq!(lookup(&logged, session, 3), Lookup::Acknowledged);
    assert!(matches!(lookup(&logged, session, 4), Lookup::Recorded(Recorded { command: Some(_), .. })));
    assert_eq!(logged.bank.session(Lsn(session)).unwrap().unacknowledged(), 0);
}

#[test]
fn a_session_that_is_gone_stays_gone() {
    let mut logged = Logged::new();
    let sessions = [logged.open(customer(0)), logged.open(customer(0))];
    logged.request(customer(0), sessions[0], 1, 0, deposit(0, 1));
    let close = |owner, session| under(owner, session, 0, 0, Action::CloseSession);
    assert_eq!(logged.apply(&close(customer(0), sessions[0])), Ok(Applied::Closed));
    assert_eq!(logged.apply(&close(super::support::OPERATOR, sessions[1])), Ok(Applied::Closed));
    for session in [sessions[0], sessions[1], 1_000_000] {
        for action in [Action::Request(deposit(0, 1)), Action::Cancel, Action::Ack, Action::CloseSession] {
            assert_eq!(logged.apply(&under(customer(0), session, 2, 2, action)), Ok(Applied::UnknownSession));
        }
        assert_eq!(lookup(&logged, session, 1), Lookup::NoSession);
    }
    assert_eq!((logged.bank.session_count(), logged.bank.cash()), (0, 201));
}

#[test]
fn a_new_lineage_drops_all_sessions() {
    let mut logged = Logged::new();
    let session = logged.open(customer(0));
    logged.open(teller(0));
    logged.request(customer(0), session, 1, 0, deposit(0, 1));
    impossible(&mut logged, &plain(super::support::OPERATOR, lineage(1)));
    assert_eq!(logged.operate(lineage(2)), Applied::Done);
    assert_eq!((logged.bank.lineage(), logged.bank.session_count(), logged.bank.cash()), (Lineage(2), 0, 201));
    assert_eq!(lookup(&logged, session, 1), Lookup::NoSession);
}

#[test]
fn caps_make_victims() {
    let mut logged = Logged::new();
    for (setting, value) in [(Setting::SessionsPerCustomer, 2), (Setting::SessionsPerTeller, 3), (Setting::SessionsInAll, 4)] {
        logged.operate(Action::Setting { setting, value });
    }
    let (first, second) = (logged.open(customer(0)), logged.open(customer(0)));
    assert_eq!((room(&logged, customer(0)), room(&logged, teller(0))), (Room::Evict(Lsn(first)), Room::Free));
    logged.request(customer(0), first, 1, 1, deposit(0, 1));
    assert_eq!(room(&logged, customer(0)), Room::Evict(Lsn(second)));
    logged.request(customer(0), second, 1, 1, deposit(0, 1));
    assert_eq!(room(&logged, customer(0)), Room::None);
    let (third, fourth) = (logged.open(teller(0)), logged.open(teller(0)));
    assert_eq!((room(&logged, customer(1)), room(&logged, teller(0))), (Room::Evict(Lsn(third)), Room::Evict(Lsn(third))));
    // One whose last answer was acknowledged in advance is idle, but was used last.
    logged.request(teller(0), third, 1, 2, deposit(0, 1));
    assert_eq!(room(&logged, customer(1)), Room::Evict(Lsn(fourth)));
    let in_use = |used: u64| logged.bank.room_for_session(customer(1), &mut |session| session == Lsn(used));
    assert_eq!(in_use(fourth), Room::Evict(Lsn(third)));
    assert_eq!((room(&logged, Owner::Nobody), room(&logged, super::support::OPERATOR)), (Room::None, Room::None));

    impossible(&mut logged, &plain(customer(1), Action::OpenSession { evicted: Some(Lsn(first)) }));
    let evict = plain(customer(1), Action::OpenSession { evicted: Some(Lsn(fourth)) });
    assert_eq!(logged.apply(&evict), Ok(Applied::SessionOpened));
    assert_eq!((logged.bank.session(Lsn(fourth)), logged.bank.session_count()), (None, 4));
    // The victim may have been closed since it was chosen.
    assert_eq!(logged.apply(&evict), Ok(Applied::SessionOpened));
    assert_eq!(logged.bank.sessions_of(customer(1)).len(), 2);
}
