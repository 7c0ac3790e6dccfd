//! Requests that follow each other share a record of the log, and nothing else changes for them: what is new, what is
//! refused, what is answered, and what a start finds is as if each had a record of its own.

use bankd::engine;
use bankd::env::sim::SimDisk;
use bankd::model::command::Outcome;
use bankd::model::types::RequestNumber;
use bankd::wire::message::{Ask, Refusal, Reply};

use super::support::{Bank, deposit, dir, env, fresh_disk, open, request, withdraw};

/// How many entries each record of the log holds behind the first `skip` entries.
fn records(disk: &SimDisk, skip: u64) -> Vec<u32> {
    let mut counts = Vec::new();
    let mut count = |_: &bankd::bank::Bank, seen: &bankd::wal::Seen<'_>| {
        counts.extend(seen.batch.records().filter(|record| record.first.0 > skip).map(|record| record.count));
        Ok(())
    };
    engine::look(&env(disk, 5), dir(), &mut count).unwrap();
    counts
}

/// Sends all in one turn; returns how the log holds them, and the replies. A start finds the same bank.
fn turn(disk: &SimDisk, asks: &[(u32, Ask)]) -> (Vec<u32>, Vec<Reply>) {
    let mut bank = Bank::serve(disk, 1).unwrap();
    let before = bank.service.engine().bank().applied();
    for (customer, ask) in asks {
        bank.feed(*customer, std::slice::from_ref(ask));
    }
    bank.turn().unwrap();
    let mut heard: Vec<_> = (0..3).map(|customer| bank.hear(customer).into_iter()).collect();
    let replies = asks.iter().map(|(customer, _)| heard[*customer as usize].next().unwrap()).collect();
    bank.service.seal().unwrap();
    let served = bank.service.engine().bank().clone();
    drop(bank);
    let records = records(disk, before.0);
    assert!(*open(disk, 2).unwrap().bank() == served, "a start finds another bank");
    (records, replies)
}

fn outcomes(replies: &[Reply]) -> Vec<Result<Outcome, Refusal>> {
    let outcome = |reply: &Reply| match reply {
        Reply::Answer { body, replayed: false, .. } => Ok(body.outcome),
        Reply::Refused(refusal) => Err(*refusal),
        other => panic!("{other:?}"),
    };
    replies.iter().map(outcome).collect()
}

fn acked(number: u64, acked_below: u64) -> Ask {
    Ask::Request { number: RequestNumber(number), acked_below: RequestNumber(acked_below), command: deposit(0, 1) }
}

#[test]
fn requests_in_a_row_share_a_record_of_128_at_most() {
    let asks: Vec<_> = (1..=300).map(|number| (0, request(number, deposit(0, number)))).collect();
    let (records, replies) = turn(&fresh_disk(), &asks);
    assert_eq!(records, [128, 128, 44]);
    assert!(outcomes(&replies).iter().all(|outcome| *outcome == Ok(Outcome::Done)));
}

#[test]
fn a_run_is_one_record() {
    let commands = (1..=100).map(|units| withdraw(0, units)).collect();
    let (records, replies) =
        turn(&fresh_disk(), &[(0, Ask::Run { first: RequestNumber(1), acked_below: RequestNumber(1), commands }), (0, acked(101, 1))]);
    assert_eq!(records, [101]);
    assert!(matches!(&replies[0], Reply::RunAnswer { items, .. } if items.len() == 100));
}

#[test]
fn whatever_comes_between_ends_the_record() {
    let cancel = |number| Ask::Cancel { number: RequestNumber(number), acked_below: RequestNumber(1) };
    let ack = |acked_below| Ask::Ack { acked_below: RequestNumber(acked_below) };
    for (between, expected) in [
        // Another session, a cancellation, a login of [`Owner::Nobody`]: entries of their own.
        (vec![(1, request(1, deposit(1, 1)))], vec![2, 1, 2]),
        (vec![(0, cancel(3)), (1, request(1, deposit(1, 1)))], vec![2, 1, 1, 1]),
        (vec![(0, cancel(3))], vec![2, 1, 1]),
        // A reply that was not sent is not acknowledged, but it is known that all before are.
        (vec![(0, ack(2))], vec![2, 1, 2]),
        // What is no entry does not.
        (vec![(0, Ask::Ping), (1, Ask::Ping)], vec![4]),
        (vec![(0, request(2, deposit(0, 1)))], vec![4]),
        (vec![(0, request(9, deposit(0, 1)))], vec![4]),
        (vec![(0, cancel(9))], vec![4]),
        (vec![(0, ack(9))], vec![4]),
        (vec![(1, request(2, deposit(1, 1)))], vec![4]),
    ] {
        let asks = [
            vec![(0, request(1, deposit(0, 1))), (0, request(2, deposit(0, 1)))],
            between.clone(),
            vec![(0, request(3, deposit(0, 1))), (0, request(4, deposit(0, 1)))],
        ];
        assert_eq!(turn(&fresh_disk(), &asks.concat()).0, expected, "{between:?}");
    }
}

#[test]
fn a_record_has_one_acknowledgement() {
    let asks = [acked(1, 1), acked(2, 1), acked(3, 2), acked(4, 2), acked(5, 1)].map(|ask| (0, ask));
    let (records, replies) = turn(&fresh_disk(), &asks);
    assert_eq!(records, [2, 2, 1]);
    assert!(outcomes(&replies).iter().all(Result::is_ok));
}

#[test]
fn a_closed_session_takes_nothing_more() {
    let disk = fresh_disk();
    let mut bank = Bank::serve(&disk, 1).unwrap();
    let session = bank.sessions[0];
    let asks = [acked(1, 1), acked(2, 1), Ask::CloseSession { session }, acked(3, 1), acked(4, 1)];
    let replies = bank.talk(0, &asks).unwrap();
    assert!(matches!(replies[..], [Reply::Answer { .. }, Reply::Answer { .. }, Reply::Closed, Reply::Refused(_), Reply::Refused(_)]));
    bank.service.seal().unwrap();
    drop(bank);
    assert_eq!(records(&disk, 0).iter().rev().take(2).collect::<Vec<_>>(), [&1, &2]);
}

/// The window is the session's, however the requests share records; and what is beyond it can be asked again.
#[test]
fn the_window_ends_where_it_always_did() {
    let disk = fresh_disk();
    let mut bank = Bank::serve(&disk, 1).unwrap();
    let asks: Vec<Ask> = (1..=1_030).map(|number| request(number, deposit(0, 1))).collect();
    let replies = bank.talk(0, &asks).unwrap();
    let outcomes = outcomes(&replies);
    assert!(outcomes[..1_024].iter().all(|outcome| *outcome == Ok(Outcome::Done)));
    assert_eq!(outcomes[1_024], Err(Refusal::WindowFull));
    assert!(outcomes[1_025..].iter().all(|outcome| *outcome == Err(Refusal::Gap { expected: RequestNumber(1_025) })));
    // With five acknowledged there is room for five.
    let more: Vec<Ask> = (1_025..=1_030).map(|number| acked(number, 6)).collect();
    let replies = bank.talk(0, &more).unwrap();
    let outcomes = self::outcomes(&replies);
    assert!(outcomes[..5].iter().all(Result::is_ok));
    assert_eq!(outcomes[5], Err(Refusal::WindowFull));
    bank.service.seal().unwrap();
    drop(bank);
    assert_eq!(records(&disk, 0).iter().rev().take(2).collect::<Vec<_>>(), [&5, &128]);
}
