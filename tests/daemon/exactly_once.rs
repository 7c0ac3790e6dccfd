//! The exactly-once rules against the real daemon: duplicates, conflicts, gaps and cancellations, before, across and
//! after a kill and a restart, alone and with several copies in one turn.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use crate::support::daemon::{FARHAN, SAMI, Store, amount, answer, cancel, deposit, refusal, request, withdraw};
use bankd::model::command::Outcome;
use bankd::model::types::{Epoch, Lsn, RequestNumber, SessionId};
use bankd::wire::frame;
use bankd::wire::message::{Ask, Operation, Refusal, Reply, RunItem, VERSION};

#[test]
fn a_duplicate_gets_the_identical_body_before_and_after_a_kill() {
    let store = Store::new();
    let daemon = store.serve();
    let mut client = daemon.login("Sami");
    let session = client.open_session();
    let (first, replayed) = answer(&client.request(1, withdraw(SAMI, 720)));
    assert_eq!((first.outcome, first.balance, replayed), (Outcome::Done, amount(45_000), false));
    let (declined, _) = answer(&client.request(2, withdraw(SAMI, 45_001)));
    assert_eq!((declined.outcome, declined.balance), (Outcome::InsufficientBalance, amount(45_000)));
    assert_eq!(answer(&client.request(1, withdraw(SAMI, 720))), (first, true));

    daemon.kill();
    let daemon = store.serve();
    let mut client = daemon.login("Sami");
    assert!(matches!(client.resume(session), Reply::Session(info) if info.last == RequestNumber(2)));
    // The money that was missing arrives; the refusal stays what it was.
    let mut other = daemon.login("Sami");
    other.open_session();
    other.request(1, deposit(SAMI, 10));
    assert_eq!(answer(&client.request(1, withdraw(SAMI, 720))), (first, true));
    assert_eq!(answer(&client.request(2, withdraw(SAMI, 45_001))), (declined, true));
    assert_eq!(client.balance(SAMI), 45_010);
    assert_eq!(answer(&client.request(3, withdraw(SAMI, 45_001))).0.balance, amount(9));
}

#[test]
fn conflict_and_gap_execute_nothing_and_bind_nothing() {
    let store = Store::new();
    let daemon = store.serve();
    let mut client = daemon.login("Sami");
    let session = client.open_session();
    assert_eq!(refusal(&client.request(2, deposit(SAMI, 5))), Refusal::Gap { expected: RequestNumber(1) });
    client.request(1, deposit(SAMI, 5));
    assert_eq!(refusal(&client.request(1, deposit(SAMI, 6))), Refusal::Conflict);
    assert_eq!(refusal(&client.request(1, withdraw(SAMI, 5))), Refusal::Conflict);
    assert_eq!(refusal(&client.request(7, deposit(SAMI, 5))), Refusal::Gap { expected: RequestNumber(2) });
    assert_eq!(client.balance(SAMI), 45_725);

    daemon.kill();
    let daemon = store.serve();
    let mut client = daemon.login("Sami");
    client.resume(session);
    assert_eq!(refusal(&client.request(1, deposit(SAMI, 6))), Refusal::Conflict);
    assert_eq!(refusal(&client.request(7, deposit(SAMI, 5))), Refusal::Gap { expected: RequestNumber(2) });
    assert_eq!(client.balance(SAMI), 45_725);
    assert!(!answer(&client.request(2, deposit(SAMI, 1))).1);
}

#[test]
fn cancel_ends_a_doubt_either_way_and_for_good() {
    let store = Store::new();
    let daemon = store.serve();
    let mut client = daemon.login("Sami");
    let session = client.open_session();
    let (done, _) = answer(&client.request(1, withdraw(SAMI, 20)));
    // Executed before: the cancellation returns its outcome.
    assert_eq!(answer(&client.ask(&cancel(1))), (done, true));
    // Not executed: the number is consumed, and every late copy, whatever its command, gets that.
    let (cancelled, replayed) = answer(&client.ask(&cancel(2)));
    assert_eq!((cancelled.outcome, replayed), (Outcome::Cancelled, false));
    assert_eq!(answer(&client.request(2, withdraw(SAMI, 20))), (cancelled, true));
    assert_eq!(answer(&client.request(2, deposit(SAMI, 99))), (cancelled, true));
    assert_eq!(answer(&client.ask(&cancel(2))), (cancelled, true));
    assert_eq!(refusal(&client.ask(&cancel(4))), Refusal::Gap { expected: RequestNumber(3) });

    daemon.kill();
    let daemon = store.serve();
    let mut client = daemon.login("Sami");
    client.resume(session);
    assert_eq!(answer(&client.request(2, withdraw(SAMI, 20))), (cancelled, true));
    assert_eq!(answer(&client.ask(&cancel(1))), (done, true));
    assert_eq!(client.balance(SAMI), 45_700);
}

#[test]
fn several_copies_in_one_turn_are_one_execution() {
    let store = Store::new();
    let daemon = store.serve();
    let mut client = daemon.login("Sami");
    client.open_session();
    client.send(&[
        request(1, withdraw(SAMI, 20)),
        request(1, withdraw(SAMI, 20)),
        request(1, withdraw(SAMI, 21)),
        cancel(1),
        cancel(2),
        request(2, deposit(SAMI, 1)),
        request(4, deposit(SAMI, 1)),
        request(3, deposit(SAMI, 1)),
        request(4, deposit(SAMI, 2)),
        Ask::Balance { account: SAMI },
    ]);
    let (first, replayed) = answer(&client.receive());
    assert_eq!((first.balance, replayed), (amount(45_700), false));
    assert_eq!(answer(&client.receive()), (first, true));
    assert_eq!(refusal(&client.receive()), Refusal::Conflict);
    assert_eq!(answer(&client.receive()), (first, true));
    let (cancelled, replayed) = answer(&client.receive());
    assert_eq!((cancelled.outcome, replayed), (Outcome::Cancelled, false));
    assert_eq!(answer(&client.receive()), (cancelled, true));
    assert_eq!(refusal(&client.receive()), Refusal::Gap { expected: RequestNumber(3) });
    assert_eq!(answer(&client.receive()).0.balance, amount(45_701));
    // The number that was ahead was not bound to the command that came with it.
    assert_eq!(answer(&client.receive()).0.balance, amount(45_703));
    assert!(matches!(client.receive(), Reply::Balance { balance, .. } if balance == amount(45_703)));
}

#[test]
fn pipelined_numbers_and_a_balance_in_one_read_are_answered_in_their_place() {
    let store = Store::new();
    let daemon = store.serve();
    let mut client = daemon.login("Farhan");
    client.open_session();
    client.send(&[
        Ask::Balance { account: FARHAN },
        request(1, deposit(FARHAN, 1)),
        Ask::Balance { account: FARHAN },
        request(2, deposit(FARHAN, 10)),
        request(3, withdraw(FARHAN, 2_000)),
        Ask::Balance { account: FARHAN },
    ]);
    let balance = |reply: Reply| match reply {
        Reply::Balance { balance, .. } => balance.get(),
        other => panic!("{other:?}"),
    };
    assert_eq!(balance(client.receive()), 1_169);
    let (one, _) = answer(&client.receive());
    assert_eq!(balance(client.receive()), 1_170);
    let (two, _) = answer(&client.receive());
    let (three, _) = answer(&client.receive());
    assert_eq!(balance(client.receive()), 1_180);
    assert_eq!((one.lsn.next(), two.lsn.next()), (two.lsn, three.lsn));
    assert_eq!(three.outcome, Outcome::InsufficientBalance);
}

#[test]
fn a_run_is_judged_command_by_command() {
    let store = Store::new();
    let daemon = store.serve();
    let mut client = daemon.login("Sami");
    client.open_session();
    let (first, _) = answer(&client.request(1, deposit(SAMI, 1)));
    let commands = vec![deposit(SAMI, 1), withdraw(SAMI, 99_999), deposit(SAMI, 2), deposit(FARHAN, 1), deposit(SAMI, 3)];
    let run = Ask::Run { first: RequestNumber(1), acked_below: RequestNumber(1), commands };
    let Reply::RunAnswer { items, .. } = client.ask(&run) else { panic!("no answer") };
    assert_eq!(items[0], RunItem::Answer { body: first, replayed: true });
    assert!(matches!(items[1], RunItem::Answer { body, replayed: false } if body.outcome == Outcome::InsufficientBalance));
    assert!(matches!(items[2], RunItem::Answer { body, replayed: false } if body.balance == amount(45_723)));
    assert_eq!(items[3], RunItem::Refused(Refusal::NotPermitted));
    assert_eq!(items[4], RunItem::Refused(Refusal::Gap { expected: RequestNumber(4) }));
    let Reply::RunAnswer { items: again, .. } = client.ask(&run) else { panic!("no answer") };
    assert!(matches!((items[2], again[2]), (RunItem::Answer { body: a, .. }, RunItem::Answer { body: b, replayed: true }) if a == b));
    assert_eq!(client.balance(SAMI), 45_723);
}

#[test]
fn acknowledged_replies_are_forgotten_but_never_executed_again() {
    let store = Store::new();
    let daemon = store.serve();
    let mut client = daemon.login("Sami");
    let session = client.open_session();
    for number in 1..=3 {
        client.request(number, deposit(SAMI, 1));
    }
    assert_eq!(refusal(&client.ask(&Ask::Ack { acked_below: RequestNumber(5) })), Refusal::Gap { expected: RequestNumber(4) });
    assert!(matches!(client.ask(&Ask::Ack { acked_below: RequestNumber(4) }), Reply::Acked { .. }));
    assert!(
        matches!(client.ask(&Ask::Ack { acked_below: RequestNumber(2) }), Reply::Acked { acked_below } if acked_below == RequestNumber(4))
    );
    let check = |client: &mut crate::support::daemon::Client| {
        assert_eq!(refusal(&client.request(2, deposit(SAMI, 1))), Refusal::Acknowledged);
        // The last reply is kept, acknowledged or not.
        assert!(answer(&client.request(3, deposit(SAMI, 1))).1);
        assert_eq!(client.balance(SAMI), 45_723);
    };
    check(&mut client);
    daemon.kill();
    let daemon = store.serve();
    let mut client = daemon.login("Sami");
    client.resume(session);
    check(&mut client);
}

#[test]
fn the_window_is_limited_until_acknowledged() {
    let store = Store::new();
    let daemon = store.serve();
    let mut client = daemon.login("Sami");
    client.open_session();
    let run = |first: u64, count: usize, acked: u64| Ask::Run {
        first: RequestNumber(first),
        acked_below: RequestNumber(acked),
        commands: vec![deposit(SAMI, 1); count],
    };
    let Reply::RunAnswer { items, .. } = client.ask(&run(1, 1024, 1)) else { panic!("no answer") };
    assert!(items.iter().all(|item| matches!(item, RunItem::Answer { replayed: false, .. })));
    assert_eq!(refusal(&client.request(1025, deposit(SAMI, 1))), Refusal::WindowFull);
    assert_eq!(client.balance(SAMI), 45_720 + 1024);
    let late = Ask::Request { number: RequestNumber(1025), acked_below: RequestNumber(3), command: deposit(SAMI, 1) };
    assert!(!answer(&client.ask(&late)).1);
    assert_eq!(refusal(&client.request(2, deposit(SAMI, 1))), Refusal::Acknowledged);
}

#[test]
fn a_session_belongs_to_its_login_and_to_its_newest_connection() {
    let store = Store::new();
    let daemon = store.serve();
    let mut sami = daemon.login("Sami");
    let session = sami.open_session();
    sami.request(1, deposit(SAMI, 1));
    let mut farhan = daemon.login("Farhan");
    assert_eq!(refusal(&farhan.resume(session)), Refusal::UnknownSession);
    assert_eq!(refusal(&farhan.ask(&Ask::CloseSession { session })), Refusal::UnknownSession);
    assert_eq!(refusal(&farhan.request(1, deposit(FARHAN, 1))), Refusal::NoSession);
    farhan.open_session();
    assert_eq!(refusal(&farhan.request(1, withdraw(SAMI, 1))), Refusal::NotPermitted);

    let mut newer = daemon.login("Sami");
    assert!(matches!(newer.resume(session), Reply::Session(_)));
    assert_eq!(sami.try_receive(), None, "the older connection is closed");
    assert!(answer(&newer.request(1, deposit(SAMI, 1))).1);

    assert!(matches!(newer.ask(&Ask::CloseSession { session }), Reply::Closed));
    assert_eq!(refusal(&newer.resume(session)), Refusal::UnknownSession);
    let elsewhere = SessionId { epoch: Epoch(session.epoch.0 ^ 1), lsn: session.lsn };
    assert_eq!(refusal(&newer.resume(elsewhere)), Refusal::StoreRolledBack);
    assert_eq!(refusal(&newer.resume(SessionId { epoch: session.epoch, lsn: Lsn(999_999) })), Refusal::StoreRolledBack);
}

#[test]
fn closing_and_using_a_session_in_one_turn() {
    let store = Store::new();
    let daemon = store.serve();
    let mut client = daemon.login("Sami");
    let session = client.open_session();
    client.send(&[request(1, deposit(SAMI, 1)), Ask::CloseSession { session }, request(2, deposit(SAMI, 1)), request(1, deposit(SAMI, 1))]);
    assert!(!answer(&client.receive()).1);
    assert_eq!(client.receive(), Reply::Closed);
    assert!(matches!(refusal(&client.receive()), Refusal::UnknownSession | Refusal::NoSession));
    assert!(matches!(refusal(&client.receive()), Refusal::UnknownSession | Refusal::NoSession));
    assert_eq!(client.balance(SAMI), 45_721);
}

#[test]
fn sessions_are_evicted_only_when_nothing_is_lost() {
    let store = Store::new();
    let daemon = store.serve();
    let mut client = daemon.login("Sami");
    // 64 sessions with an unacknowledged reply each: no room for another.
    let mut sessions = Vec::new();
    for _ in 0..64 {
        sessions.push(client.open_session());
        client.request(1, deposit(SAMI, 1));
    }
    assert_eq!(refusal(&client.ask(&Ask::OpenSession)), Refusal::TooManySessions);
    client.resume(sessions[5]);
    assert!(matches!(client.ask(&Ask::Ack { acked_below: RequestNumber(2) }), Reply::Acked { .. }));
    // Acknowledged, but in use by this very connection.
    assert_eq!(refusal(&client.ask(&Ask::OpenSession)), Refusal::TooManySessions);
    client.resume(sessions[6]);
    client.open_session();
    assert_eq!(refusal(&client.resume(sessions[5])), Refusal::UnknownSession);
    client.resume(sessions[7]);
    assert!(answer(&client.request(1, deposit(SAMI, 1))).1);
    let Reply::Sessions(listed) = client.ask(&Ask::ListSessions) else { panic!("no list") };
    assert_eq!(listed.len(), 64);
    let after = |client: &mut crate::support::daemon::Client, after: Lsn| match client.ask(&Ask::ListSessionsAfter { after }) {
        Reply::Sessions(page) => page,
        other => panic!("{other:?}"),
    };
    assert_eq!(after(&mut client, Lsn(0)), listed);
    assert_eq!(after(&mut client, listed[9].session.lsn), listed[10..]);
    assert_eq!(after(&mut client, listed[63].session.lsn), []);
}

/// What depends on a command before it in the same write sees what that one did.
#[test]
fn commands_in_one_write_see_the_ones_before_them() {
    use std::io::{Read, Write};
    let store = Store::new();
    let daemon = store.serve();
    let zoe = || "Zoe".to_owned();
    let secret = bankd::model::secret::Secret::new("445566".to_owned());
    let operations = [
        Operation::OpenAccount { name: zoe(), pin: secret, balance: amount(0) },
        Operation::LockAccount { name: zoe() },
        Operation::UnlockAccount { name: zoe() },
        Operation::CloseAccount { name: zoe() },
    ];
    let mut bytes = Vec::new();
    frame::put(&Ask::Hello { version: VERSION }, &mut bytes).unwrap();
    operations.into_iter().for_each(|operation| frame::put(&Ask::Operate(operation), &mut bytes).unwrap());
    let mut operator = std::os::unix::net::UnixStream::connect(store.data().join("operator.sock")).unwrap();
    operator.set_read_timeout(Some(std::time::Duration::from_secs(30))).unwrap();
    operator.write_all(&bytes).unwrap();
    let mut reply = || {
        let mut head = [0; frame::HEADER];
        operator.read_exact(&mut head).unwrap();
        let mut payload = vec![0; u32::from_le_bytes(head[..4].try_into().unwrap()) as usize];
        operator.read_exact(&mut payload).unwrap();
        bankd::model::codec::decode::<Reply>(&payload).unwrap()
    };
    assert!(matches!(reply(), Reply::Welcome(_)));
    for _ in 0..4 {
        let said = reply();
        assert!(matches!(said, Reply::Operated { .. }), "{said:?}");
    }

    let mut client = daemon.login("Sami");
    let session = client.open_session();
    client.send(&[request(1, deposit(SAMI, 1)), Ask::CloseSession { session }, request(2, deposit(SAMI, 1)), Ask::OpenSession]);
    assert!(answer(&client.receive()).0.outcome == Outcome::Done);
    assert!(matches!(client.receive(), Reply::Closed));
    assert_eq!(refusal(&client.receive()), Refusal::NoSession);
    assert!(matches!(client.receive(), Reply::Session(_)));
}
