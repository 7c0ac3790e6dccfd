//! Tests the pipeline against a scripted peer that refuses, loses and repeats messages.

use super::error::ClientError;
use super::pipeline::{Fate, Stopped};
use super::scripted::{Step, acked, answer, client, end, id, logged_in, refused, request, scripted, session, together, withdraw};
use crate::client::client::Client;
use crate::client::journal::index::End;
use crate::client::journal::record::ClosedReason;
use crate::model::command::Command;
use crate::model::types::{AccountId, RequestNumber};
use crate::wire::message::{Ask, Refusal};

/// Withdrawals of 1, 2, 3 and so on, so that each is distinct.
fn withdrawals(count: u64) -> Vec<Command> {
    (1..=count).map(withdraw).collect()
}

/// Runs them; returns the delivered answers (number and balance), and the result.
fn run(client: &mut Client, commands: &[Command], window: usize) -> (Vec<(u64, u64)>, Result<(), Stopped>) {
    let mut told = Vec::new();
    let ended = client.execute_all(commands, window, &mut |answers| {
        told.extend(answers.iter().map(|answer| (answer.request.number.0, answer.body.balance.get())));
        true
    });
    (told, ended)
}

/// The money requests that the peer received: number, `acked_below`, amount.
fn sent(asked: Vec<Ask>) -> Vec<(u64, u64, u64)> {
    let fields = |ask| match ask {
        Ask::Request { number, acked_below, command } => Some((number.0, acked_below.0, command.amount().get())),
        _ => None,
    };
    asked.into_iter().filter_map(fields).collect()
}

#[test]
fn a_window_is_under_way_and_moves_on_as_answers_are_journalled() {
    let dir = tempfile::tempdir().unwrap();
    let mut steps = vec![logged_in(), session()];
    // The peer reads all three of the window before it answers the first.
    steps.push(together([answer(1, 99, false), answer(2, 97, false), answer(3, 94, false)]));
    steps.extend([answer(4, 90, false), answer(5, 85, false), acked(6)]);
    let peer = scripted(vec![steps]);
    let mut client = client(&dir, &peer, 10_000);
    let (told, ended) = run(&mut client, &withdrawals(5), 3);
    assert_eq!((told, ended), (vec![(1, 99), (2, 97), (3, 94), (4, 90), (5, 85)], Ok(())));
    assert!(matches!(end(&mut client, 5), Some(End::Answered(_))));
    let deadline = client.deadline();
    assert_eq!(client.journal().open(&deadline).unwrap().undelivered().count(), 0, "and what was told is marked");
    drop(client);
    let asked = peer.join();
    assert_eq!(asked.last(), Some(&Ask::Ack { acked_below: RequestNumber(6) }), "the end acknowledges everything");
    let sent = sent(asked);
    assert_eq!(sent.iter().map(|sent| (sent.0, sent.2)).collect::<Vec<_>>(), (1..=5).map(|n| (n, n)).collect::<Vec<_>>());
    for (number, acked_below, _) in sent {
        assert!(number - acked_below < 3, "never more than the window unacknowledged");
    }
}

#[test]
fn what_is_turned_away_is_gone_back_to_and_sent_again_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let gap = || refused(Refusal::Gap { expected: RequestNumber(2) });
    let mut steps = vec![logged_in(), session()];
    steps.extend([answer(1, 99, false), refused(Refusal::Busy), gap(), gap()]);
    steps.extend([answer(2, 97, false), answer(3, 94, false), answer(4, 90, false)]);
    let peer = scripted(vec![steps]);
    let (told, ended) = run(&mut client(&dir, &peer, 10_000), &withdrawals(4), 4);
    assert_eq!((told, ended), (vec![(1, 99), (2, 97), (3, 94), (4, 90)], Ok(())));
    let sent: Vec<(u64, u64)> = sent(peer.asked()).iter().map(|sent| (sent.0, sent.2)).collect();
    assert_eq!(sent, [(1, 1), (2, 2), (3, 3), (4, 4), (2, 2), (3, 3), (4, 4)]);
}

/// The bank says "busy" to a copy of 1 that it had executed before, so 2 is executed and answered: 2 is delivered after 1,
/// and not sent again.
#[test]
fn an_answer_behind_a_gap_is_kept_and_delivered_in_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let mut steps = vec![logged_in(), session()];
    steps.extend([refused(Refusal::WindowFull), answer(2, 97, false), refused(Refusal::NoSpace)]);
    steps.extend([answer(1, 99, true), answer(3, 94, false)]);
    let peer = scripted(vec![steps]);
    let (told, ended) = run(&mut client(&dir, &peer, 10_000), &withdrawals(3), 3);
    assert_eq!((told, ended), (vec![(1, 99), (2, 97), (3, 94)], Ok(())));
    assert_eq!(sent(peer.asked()), [(1, 1, 1), (2, 1, 2), (3, 1, 3), (1, 1, 1), (3, 1, 3)]);
}

#[test]
fn a_lost_connection_goes_back_to_the_first_without_an_answer() {
    let dir = tempfile::tempdir().unwrap();
    let peer = scripted(vec![
        vec![logged_in(), session(), answer(1, 99, false), Step::Drop],
        // A reply that does not match counts as a lost connection.
        vec![logged_in(), session(), answer(3, 94, false)],
        vec![logged_in(), session(), answer(2, 97, true), answer(3, 94, true)],
    ]);
    let (told, ended) = run(&mut client(&dir, &peer, 10_000), &withdrawals(3), 8);
    assert_eq!((told, ended), (vec![(1, 99), (2, 97), (3, 94)], Ok(())));
    let last: Vec<(u64, u64, u64)> = sent(peer.asked()).into_iter().rev().take(2).collect();
    assert_eq!(last, [(3, 2, 3), (2, 2, 2)], "with everything below acknowledged");
}

#[test]
fn past_the_deadline_what_was_sent_is_in_doubt_and_the_rest_never_sent() {
    let dir = tempfile::tempdir().unwrap();
    let peer = scripted(vec![vec![logged_in(), session(), answer(1, 99, false), Step::Drop]]);
    let mut run_one = client(&dir, &peer, 200);
    let (told, ended) = run(&mut run_one, &withdrawals(9), 3);
    assert_eq!(told, [(1, 99)]);
    let Err(Stopped { failure: ClientError::OutcomeUnknown { request: first, .. }, rest }) = ended else { panic!("{ended:?}") };
    assert_eq!((first, &rest[..2]), (id(2), [Fate::InDoubt(id(2)), Fate::InDoubt(id(3))].as_slice()));
    assert!(rest.len() <= 3, "what is beyond the window was not even numbered");
    assert_eq!((end(&mut run_one, 2), end(&mut run_one, 3)), (None, None));
    // Whether the fourth was sent depends on how fast the peer hung up.
    for (fate, number) in rest.iter().zip(2..) {
        match fate {
            Fate::InDoubt(of) => assert_eq!((*of, end(&mut run_one, number)), (id(number), None)),
            Fate::NotSent(of) => assert_eq!((*of, end(&mut run_one, number)), (id(number), Some(End::Closed(ClosedReason::NeverSent)))),
            other => panic!("{other:?}"),
        }
    }
}

/// Numbers are executed in order: after one that was refused and is not sent again, none is ever executed.
#[test]
fn behind_a_refused_number_nothing_is_in_doubt() {
    let dir = tempfile::tempdir().unwrap();
    let peer = scripted(vec![vec![logged_in(), session(), answer(1, 99, false), refused(Refusal::NoSpace), Step::Drop]]);
    let mut run_one = client(&dir, &peer, 200);
    let (told, ended) = run(&mut run_one, &withdrawals(3), 3);
    assert_eq!(told, [(1, 99)]);
    let Err(Stopped { failure, rest }) = ended else { panic!("{ended:?}") };
    assert!(matches!(failure, ClientError::Unreachable { .. } | ClientError::Refused(Refusal::NoSpace)), "{failure:?}");
    assert_eq!(rest, [Fate::NotExecuted(id(2)), Fate::NotExecuted(id(3))]);
    assert_eq!(end(&mut run_one, 3), Some(End::Closed(ClosedReason::Refused)));
    // It is not sent again under its number: a copy of 3 may still be adrift.
    assert!(matches!(run_one.request_again(id(2), withdraw(2)), Err(ClientError::NotThisRequest { .. })));
}

#[test]
fn a_session_closed_behind_a_pipeline_leaves_nothing_in_doubt() {
    for refusal in [Refusal::NoSession, Refusal::UnknownSession] {
        let dir = tempfile::tempdir().unwrap();
        let gone = together([refused(refusal), refused(Refusal::NoSession), refused(Refusal::NoSession)]);
        let peer = scripted(vec![vec![logged_in(), session(), gone], vec![logged_in(), refused(Refusal::UnknownSession)]]);
        let mut run_one = client(&dir, &peer, 10_000);
        let (told, ended) = run(&mut run_one, &withdrawals(3), 3);
        let rest: Vec<Fate> = (1..=3).map(|number| Fate::NotExecuted(id(number))).collect();
        let failure = ClientError::Refused(Refusal::UnknownSession);
        assert_eq!((told, ended), (Vec::new(), Err(Stopped { failure, rest })), "{refusal:?}");
        assert_eq!(end(&mut run_one, 3), Some(End::Closed(ClosedReason::Refused)));
    }
}

#[test]
fn nothing_is_in_doubt_where_nothing_was_sent() {
    let dir = tempfile::tempdir().unwrap();
    let peer = scripted(vec![vec![logged_in(), session()]]);
    let mut run_one = client(&dir, &peer, 200);
    let other = Command::Deposit { account: AccountId(7), amount: withdraw(5).amount() };
    for (commands, refusal) in [
        (vec![withdraw(1), other], Refusal::NotPermitted),
        (vec![withdraw(1), withdraw(0)], Refusal::Malformed(crate::model::command::Malformed::ZeroAmount)),
    ] {
        let stopped = Stopped { failure: ClientError::Refused(refusal), rest: Vec::new() };
        assert_eq!(run(&mut run_one, &commands, 3), (Vec::new(), Err(stopped)));
    }
    assert_eq!(sent(peer.asked()), []);
    assert_eq!(run(&mut run_one, &[], 3), (Vec::new(), Ok(())));
}

#[test]
fn a_session_that_is_gone_leaves_the_answers_to_the_bank() {
    let dir = tempfile::tempdir().unwrap();
    let peer =
        scripted(vec![vec![logged_in(), session(), answer(1, 99, false), Step::Drop], vec![logged_in(), refused(Refusal::UnknownSession)]]);
    let mut run_one = client(&dir, &peer, 10_000);
    let (told, ended) = run(&mut run_one, &withdrawals(3), 3);
    let refusal = Refusal::UnknownSession;
    let rest = vec![Fate::AskTheBank(id(2)), Fate::AskTheBank(id(3))];
    assert_eq!((told, ended), (vec![(1, 99)], Err(Stopped { failure: ClientError::AskTheBank { request: id(2), refusal }, rest })));
    assert_eq!(end(&mut run_one, 3), Some(End::Closed(ClosedReason::UnknownSession)));
}

#[test]
fn the_session_goes_on_behind_a_pipeline() {
    let dir = tempfile::tempdir().unwrap();
    let steps = [answer(1, 99, false), answer(2, 97, false), answer(3, 94, false), answer(4, 93, false)];
    let peer = scripted(vec![[logged_in(), session()].into_iter().chain(steps).collect()]);
    let mut client = client(&dir, &peer, 10_000);
    assert_eq!(run(&mut client, &withdrawals(2), 2).1, Ok(()));
    assert_eq!(client.execute(withdraw(3)).map(|answer| answer.request), Ok(id(3)));
    assert_eq!(run(&mut client, &[withdraw(1)], 2).1, Ok(()));
    assert!(peer.asked().contains(&request(3, 3, 3)) && peer.asked().contains(&request(4, 4, 1)));
}
