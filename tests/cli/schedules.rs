//! The schedules that the exactly-once rules exclude, each played out against the real daemon: what must never happen
//! when copies overtake one another, journals are copied, and replies of the small messages are lost.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::fs;

use crate::support::daemon::{SAMI, Store, amount, answer, cancel, deposit, refusal, request, withdraw};
use crate::support::desk::{Desk, Lose, Proxy};
use bankd::model::command::Outcome;
use bankd::model::types::RequestNumber;
use bankd::wire::message::{Ask, Refusal, Reply};

/// A withdrawal is in flight, its client abandons and cancels it, and only then does the copy in flight arrive. If the
/// cancellation only looked whether the number was executed, the late copy would move money after the customer received
/// the answer that it had not moved.
#[test]
fn a_cancellation_overtakes_the_copy_in_flight() {
    let store = Store::new();
    let daemon = store.serve();
    let mut first = daemon.login("Sami");
    let session = first.open_session();
    // The copy in flight: written by the client, not yet read by the bank.
    let late = [request(1, withdraw(SAMI, 20))];
    let mut second = daemon.login("Sami");
    second.resume(session);
    let (cancelled, _) = answer(&second.ask(&cancel(1)));
    assert_eq!(cancelled.outcome, Outcome::Cancelled);
    // It arrives on the connection that was taken over: no client reads there any more.
    first.stream.set_nonblocking(false).unwrap();
    let mut bytes = Vec::new();
    bankd::wire::frame::put(&late[0], &mut bytes).unwrap();
    let _ = std::io::Write::write_all(&mut first.stream, &bytes);
    assert_eq!(first.try_receive(), None);
    // It arrives by another way: the cancellation is what it gets, across a kill as well.
    assert_eq!(answer(&second.ask(&late[0])), (cancelled, true));
    daemon.kill();
    let daemon = store.serve();
    let mut third = daemon.login("Sami");
    third.resume(session);
    assert_eq!(answer(&third.ask(&late[0])), (cancelled, true));
    assert_eq!(third.balance(SAMI), 45_720);
}

/// The other way round: a resend overtakes the copy in flight, and the copy is a duplicate when it comes.
#[test]
fn a_resend_overtakes_the_copy_in_flight() {
    let store = Store::new();
    let daemon = store.serve();
    let mut first = daemon.login("Sami");
    let session = first.open_session();
    let mut second = daemon.login("Sami");
    second.resume(session);
    let (done, replayed) = answer(&second.request(1, withdraw(SAMI, 20)));
    assert!(!replayed);
    let mut late = daemon.login("Sami");
    late.resume(session);
    assert_eq!(answer(&late.request(1, withdraw(SAMI, 20))), (done, true));
    // And a cancellation that comes too late changes nothing and returns the recorded outcome.
    assert_eq!(answer(&late.ask(&cancel(1))), (done, true));
    assert_eq!(late.balance(SAMI), 45_700);
}

/// One copy is refused without a record (its window was full), another copy of the same request is executed. The
/// refusal must not stand for the request.
#[test]
fn one_copy_is_turned_away_and_another_executed() {
    let store = Store::new();
    let daemon = store.serve();
    let mut client = daemon.login("Sami");
    client.open_session();
    let commands = vec![deposit(SAMI, 1); 1024];
    client.ask(&Ask::Run { first: RequestNumber(1), acked_below: RequestNumber(1), commands });
    let copy = |acked: u64| Ask::Request { number: RequestNumber(1025), acked_below: RequestNumber(acked), command: withdraw(SAMI, 20) };
    client.send(&[copy(1), copy(1025), copy(1)]);
    assert_eq!(refusal(&client.receive()), Refusal::WindowFull);
    let (done, replayed) = answer(&client.receive());
    assert_eq!((done.outcome, replayed), (Outcome::Done, false));
    assert_eq!(answer(&client.receive()), (done, true));
    assert_eq!(client.balance(SAMI), 45_720 + 1024 - 20);
}

/// Two machines run from copies of one journal, in which one withdrawal is in doubt. Both resolve it, both withdraw
/// anew: the one in doubt ends as one withdrawal, with the same outcome on both, and neither takes the other's new one
/// for its own.
#[test]
fn two_machines_run_from_copies_of_one_journal() {
    let store = Store::new();
    let daemon = store.serve();
    let machine = |name: &str| {
        let dir = store.root().join(name);
        fs::create_dir(&dir).unwrap();
        Desk::new(&dir, daemon.address)
    };
    let (mut one, two) = (machine("one"), machine("two"));
    let proxy = Proxy::start(daemon.address, Lose::Request, usize::MAX);
    one.server = proxy.address;
    let lost = one.pin(&["withdraw", "Sami", "20", "--timeout", "1"]);
    assert_eq!(lost.code, 5, "{lost:?}");
    one.server = daemon.address;
    fs::copy(one.journal(), two.journal()).unwrap();

    let (first, second) = std::thread::scope(|scope| {
        let [first, second] = [&one, &two].map(|desk| scope.spawn(|| desk.pin(&["resolve", "Sami", "--json"])));
        (first.join().unwrap(), second.join().unwrap())
    });
    let told = [first.json(), second.json()];
    assert_eq!((first.code, second.code), (0, 0), "{first:?} {second:?}");
    for field in ["outcome", "balance", "session", "number", "lsn"] {
        assert_eq!(told[0][0][field], told[1][0][field], "{told:?}");
    }
    assert_eq!(told[0][0]["balance"], "45700");
    // New requests are of each machine's own session.
    let new = [one.pin(&["withdraw", "Sami", "100", "--json"]).json(), two.pin(&["withdraw", "Sami", "100", "--json"]).json()];
    assert_ne!(new[0]["session"], new[1]["session"]);
    assert_eq!((&new[0]["replayed"], &new[1]["replayed"]), (&false.into(), &false.into()));
    assert_eq!(one.balance("Sami"), "45500");
}

/// The replies to the small messages are lost: the client does not know whether its session was opened, acknowledged
/// or closed. Each may be sent again, and none moves money or holds a place for ever.
#[test]
fn replies_to_opening_acknowledging_and_closing_are_lost() {
    let store = Store::new();
    let daemon = store.serve();
    // Opened and never heard of, more often than a customer may hold sessions: each makes room for the next.
    for _ in 0..70 {
        let mut client = daemon.login("Sami");
        client.send(&[Ask::OpenSession]);
        drop(client);
    }
    let mut client = daemon.login("Sami");
    let session = client.open_session();
    let (done, _) = answer(&client.request(1, withdraw(SAMI, 20)));
    answer(&client.request(2, withdraw(SAMI, 20)));

    // The acknowledgement arrived, its reply did not: sent again, it says the same.
    client.send(&[Ask::Ack { acked_below: RequestNumber(2) }]);
    drop(client);
    let mut client = daemon.login("Sami");
    let Reply::Session(info) = client.resume(session) else { panic!("the session is gone") };
    assert!(info.acked_below <= RequestNumber(2), "{info:?}");
    let again = client.ask(&Ask::Ack { acked_below: RequestNumber(2) });
    assert_eq!(again, Reply::Acked { acked_below: RequestNumber(2) });
    assert_eq!(refusal(&client.request(1, withdraw(SAMI, 20))), Refusal::Acknowledged);
    assert_eq!(client.balance(SAMI), done.balance.get() - 20);

    // The closing arrived, its reply did not: sent again, the session is unknown, and nothing under it executes.
    client.send(&[Ask::CloseSession { session }]);
    assert_eq!(client.receive(), Reply::Closed);
    assert_eq!(refusal(&client.ask(&Ask::CloseSession { session })), Refusal::UnknownSession);
    assert_eq!(refusal(&client.resume(session)), Refusal::UnknownSession);
    assert_eq!(refusal(&client.request(3, withdraw(SAMI, 20))), Refusal::NoSession);
    assert_eq!(client.balance(SAMI), amount(45_680).get());
}
