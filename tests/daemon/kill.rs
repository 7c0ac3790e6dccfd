//! SIGKILL and other signals under load: everything that was answered is there after recovery, with the same answer, and nothing twice.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    missing_docs
)]

use std::net::SocketAddr;
use std::time::Duration;

use crate::support::daemon::{Client, Daemon, Store, answer, deposit, refusal, withdraw};
use bankd::model::command::{Body, Outcome};
use bankd::model::types::{AccountId, RequestNumber, SessionId};
use bankd::wire::message::{Ask, Refusal, Reply};

/// A client's own memory: what it asked, and what it was answered.
struct Customer {
    name: &'static str,
    account: AccountId,
    session: SessionId,
    answered: Vec<Body>,
    asked: u64,
}

const PIPELINE: u64 = 8;
const KEPT: u64 = 500;

fn command(account: AccountId, number: u64) -> bankd::model::command::Command {
    if number.is_multiple_of(3) { withdraw(account, number) } else { deposit(account, number) }
}

/// Asks in windows until the connection breaks.
fn ask_until_killed(customer: &mut Customer, address: SocketAddr) {
    let mut client = Client::connect(address);
    assert!(matches!(client.login(customer.name, "1234"), Reply::LoggedIn { .. }));
    assert!(matches!(client.resume(customer.session), Reply::Session(_)));
    loop {
        let first = customer.answered.len() as u64 + 1;
        // The last few hundred replies stay unacknowledged, to be asked for again at the end.
        let acked_below = RequestNumber(first.saturating_sub(KEPT).max(1));
        let window: Vec<_> = (first..first + PIPELINE)
            .map(|number| Ask::Request { number: RequestNumber(number), acked_below, command: command(customer.account, number) })
            .collect();
        customer.asked = first + PIPELINE - 1;
        let mut bytes = Vec::new();
        for ask in &window {
            bankd::wire::frame::put(ask, &mut bytes).unwrap();
        }
        if std::io::Write::write_all(&mut client.stream, &bytes).is_err() {
            return;
        }
        for _ in window {
            match client.try_receive() {
                Some(reply) => customer.answered.push(answer(&reply).0),
                None => return,
            }
        }
    }
}

#[test]
fn kill_under_load_loses_nothing_and_repeats_nothing() {
    under_load(12, |daemon| {
        daemon.kill();
    });
}

#[test]
fn signals_during_commits_end_it_cleanly_or_not_at_all() {
    under_load(6, |daemon| {
        daemon.signal("HUP");
        daemon.signal("PIPE");
        std::thread::sleep(Duration::from_millis(50));
        let began = std::time::Instant::now();
        let (code, said) = daemon.stop();
        assert_eq!(code, Some(0), "{said}");
        // A bound far above what it takes: not a measure of speed.
        assert!(began.elapsed() < Duration::from_secs(20), "it took its time: {said}");
        assert!(said.contains("SIGHUP"), "{said}");
    });
}

/// Four customers ask as fast as they can, in `rounds` lives of the daemon, each of which `end` ends; then every answer
/// is checked.
fn under_load(rounds: u64, end: impl Fn(Daemon)) {
    let store = Store::new();
    let mut customers = Vec::new();
    {
        let daemon = store.serve();
        for (index, name) in ["Farhan", "Sami", "Moyeed", "Kader"].into_iter().enumerate() {
            let session = daemon.login(name).open_session();
            customers.push(Customer { name, account: AccountId(index as u32), session, answered: Vec::new(), asked: 0 });
        }
    }
    for round in 0..rounds {
        let daemon = store.serve();
        let address = daemon.address;
        std::thread::scope(|scope| {
            for customer in &mut customers {
                scope.spawn(move || ask_until_killed(customer, address));
            }
            std::thread::sleep(Duration::from_millis(40 + round * 17));
            end(daemon);
        });
    }
    let daemon = store.serve();
    for customer in &mut customers {
        let mut client = daemon.login(customer.name);
        let Reply::Session(info) = client.resume(customer.session) else { panic!("the session is gone") };
        let executed = info.last.0;
        assert!(executed >= customer.answered.len() as u64, "an answered request is not in the log");
        assert!(executed <= customer.asked, "more was executed than was ever asked");
        // Every answer that was not acknowledged is sent again, byte for byte; what was executed unanswered is answered
        // now.
        let mut answers = customer.answered.clone();
        // Of the acknowledged ones a few: each is asked for by itself.
        for number in info.acked_below.0.saturating_sub(20).max(1)..=executed {
            let reply = client.request(number, command(customer.account, number));
            if number < info.acked_below.0 && number < executed {
                assert_eq!(refusal(&reply), Refusal::Acknowledged);
                continue;
            }
            let (body, replayed) = answer(&reply);
            assert!(replayed);
            match answers.get(number as usize - 1) {
                Some(before) => assert_eq!(*before, body, "{} request {number} has another answer now", customer.name),
                None => answers.push(body),
            }
        }
        assert_eq!(answers.len() as u64, executed);
        // The balance is what the answers add up to, each counted once.
        let start = [1_169_i64, 45_720, 70_000, 1_200][customer.account.0 as usize];
        let mut balance = start;
        for (number, body) in (1_i64..).zip(&answers) {
            if body.outcome == Outcome::Done {
                balance += if number % 3 == 0 { -number } else { number };
            }
            assert_eq!(body.balance.get(), balance as u64, "{} after request {number}", customer.name);
        }
        assert_eq!(client.balance(customer.account), balance as u64);
        // And the session goes on where it stood.
        assert!(!answer(&client.request(executed + 1, deposit(customer.account, 1))).1);
        assert_eq!(info.last, RequestNumber(executed));
        assert!(executed > 20, "the load was no load: {executed} requests");
    }
}
