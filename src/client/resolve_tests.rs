//! Tests that resolving always ends, over all states of a journal entry and all answers, and that the table in
//! `docs/exactly-once.md` is correct.

use super::error::ClientError;
use super::refusals::{Asking, History, Meaning, meaning};
use super::scripted::{Step, acked, answer, client, end, id, logged_in, refused, scripted, session, withdraw};
use crate::client::client::Client;
use crate::client::journal::index::End;
use crate::client::journal::record::samples::intent;
use crate::client::journal::record::{ClosedReason, Record};
use crate::client::request::Answer;
use crate::model::command::Malformed;
use crate::model::types::RequestNumber;
use crate::wire::message::{Ask, Refusal, Reply};

/// Every refusal. A new one fails to compile in `covered`.
fn all() -> Vec<Refusal> {
    use Refusal::*;
    let all = vec![
        Busy,
        NoSpace,
        WindowFull,
        Gap { expected: RequestNumber(1) },
        Conflict,
        Malformed(self::Malformed::ZeroAmount),
        Malformed(self::Malformed::SameAccount),
        BadNumbers,
        NotPermitted,
        UnknownSession,
        StoreRolledBack,
        Acknowledged,
        NoSession,
        NotLoggedIn,
        AlreadyLoggedIn,
        HelloFirst,
        BadMessage,
        BadLogin,
        LoginLocked,
        UnsupportedVersion { supported: 9 },
        TooManySessions,
        NoStatement,
        NoSuchAccount,
        NoSuchTeller,
        NameTaken,
        BadName,
        BalanceNotZero,
        AccountClosed,
        NotAnInteger,
        TextTooLong,
    ];
    all.iter().copied().for_each(covered);
    all
}

fn covered(refusal: Refusal) {
    use Refusal::*;
    match refusal {
        Busy | NoSpace | NoStatement | WindowFull | Conflict | BadNumbers | NotPermitted | UnknownSession | StoreRolledBack
        | Acknowledged | NoSession | NotLoggedIn | AlreadyLoggedIn | HelloFirst | BadMessage | BadLogin | LoginLocked | TooManySessions
        | NoSuchAccount | NoSuchTeller | NameTaken | BadName | BalanceNotZero | AccountClosed | NotAnInteger | TextTooLong => {}
        Gap { .. } | Malformed(_) | UnsupportedVersion { .. } => {}
    }
}

/// Whether the client drops the connection after this refusal, and resends on another.
fn is_out_of_step(refusal: Refusal) -> bool {
    use Refusal::{AlreadyLoggedIn, BadMessage, HelloFirst, NoSession, NotLoggedIn};
    matches!(refusal, NoSession | NotLoggedIn | AlreadyLoggedIn | HelloFirst | BadMessage)
}

fn in_words(meaning: Meaning, refusal: Refusal) -> &'static str {
    match meaning {
        _ if is_out_of_step(refusal) => "sent again",
        Meaning::Again => "sent again",
        Meaning::NotExecuted(_) => "ends: not executed",
        Meaning::AskTheBank(_) => "ends: ask the bank",
        Meaning::Ahead => "ends with the session",
        Meaning::Stays => "stays",
    }
}

/// A table row: the meaning of a refusal of a copy sent first by this run, named by `--request`, adrift and resent, adrift
/// and cancelled.
fn row(refusal: Refusal) -> String {
    let request = Asking::Request(withdraw(20));
    let cells = [
        (request, History::Fresh, false),
        (request, History::Named, false),
        (request, History::Earlier, true),
        (Asking::Cancel, History::Earlier, true),
    ];
    let cells = cells.map(|(ask, history, adrift)| in_words(meaning(ask, history, adrift, refusal), refusal));
    format!("| `{}` | {} |", refusal.name(), cells.join(" | "))
}

#[test]
fn the_page_has_the_table() {
    let page = include_str!("../../docs/exactly-once.md");
    let rows: Vec<String> = all().into_iter().map(row).collect();
    let missing: Vec<&String> = rows.iter().filter(|row| !page.contains(row.as_str())).collect();
    assert!(missing.is_empty(), "docs/exactly-once.md lacks:\n{}", missing.into_iter().cloned().collect::<Vec<_>>().join("\n"));
}

/// If every copy was answered, none is adrift; then every refusal that is not retryable decides the outcome.
#[test]
fn a_request_whose_every_copy_was_refused_is_in_no_doubt() {
    for refusal in all().into_iter().filter(|refusal| !refusal.is_retryable()) {
        for history in [History::Fresh, History::Named] {
            let meaning = meaning(Asking::Request(withdraw(20)), history, false, refusal);
            assert!(matches!(meaning, Meaning::NotExecuted(_) | Meaning::AskTheBank(_)), "{refusal:?}, {history:?}: {meaning:?}");
        }
    }
}

/// "Not executed" is never concluded from a refusal while a copy adrift could still be executed.
#[test]
fn a_copy_adrift_is_given_up_only_where_no_copy_can_be_executed() {
    for refusal in all() {
        for (ask, history) in [(Asking::Request(withdraw(20)), History::Earlier), (Asking::Cancel, History::Earlier)] {
            let by_content = matches!(refusal, Refusal::Malformed(_) | Refusal::NotPermitted | Refusal::BadNumbers | Refusal::Conflict);
            let is_given_up = matches!(meaning(ask, history, true, refusal), Meaning::NotExecuted(_));
            assert!(!is_given_up || by_content, "{ask:?}, {refusal:?}");
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Mode {
    Resend,
    Cancel,
}

impl Mode {
    fn resolve(self, client: &mut Client) -> Result<Answer, ClientError> {
        match self {
            Self::Resend => client.resend(id(1), withdraw(20)),
            Self::Cancel => client.cancel(id(1)),
        }
    }
}

/// A journal with one request whose outcome is unknown; or, with `reason`, one that was closed without an answer.
fn journal(dir: &tempfile::TempDir, reason: Option<ClosedReason>) {
    let env = crate::env::Env::os();
    let deadline = super::retry::Deadline::after(&env.clock, std::time::Duration::from_secs(20));
    let mut journal = super::journal::Journal::new(&env, &dir.path().join("journal"));
    let mut open = journal.open(&deadline).unwrap();
    open.intend(intent(1)).unwrap();
    if let Some(reason) = reason {
        open.write(&[Record::Closed(id(1), reason)]).unwrap();
    }
}

/// For every answer of the bank, resolve closes the request, or the next resolve does once the bank can answer.
#[test]
fn resolving_ends_every_doubt() {
    let mut ended = 0;
    for mode in [Mode::Resend, Mode::Cancel] {
        for refusal in all() {
            let dir = tempfile::tempdir().unwrap();
            journal(&dir, None);
            let is_ahead = matches!(refusal, Refusal::Gap { .. });
            let mut steps = vec![logged_in(), session()];
            if is_ahead {
                steps.extend([refused(refusal), Step::Reply(Reply::Closed)]);
            } else {
                steps.extend((0..200).map(|_| refused(refusal)));
            }
            let connections = if is_out_of_step(refusal) { 200 } else { 1 };
            let peer = scripted(vec![steps; connections]);
            let mut run = client(&dir, &peer, 60);
            let outcome = mode.resolve(&mut run);
            assert!(outcome.is_err(), "{mode:?}, {refusal:?}");
            let ask = match mode {
                Mode::Resend => Asking::Request(withdraw(20)),
                Mode::Cancel => Asking::Cancel,
            };
            let stays = is_out_of_step(refusal) || matches!(meaning(ask, History::Earlier, true, refusal), Meaning::Again | Meaning::Stays);
            assert_eq!(end(&mut run, 1).is_none(), stays, "{mode:?}, {refusal:?}: {outcome:?}");
            if is_ahead {
                assert!(peer.asked().contains(&Ask::CloseSession { session: id(1).session }));
            }
            ended += usize::from(!stays);
            drop(run);
            if stays {
                let peer = scripted(vec![vec![logged_in(), session(), answer(1, 160, true), acked(2)]]);
                let mut run = client(&dir, &peer, 10_000);
                assert!(mode.resolve(&mut run).is_ok());
                assert!(matches!(end(&mut run, 1), Some(End::Answered(_))));
            }
        }
    }
    assert_eq!(ended, 9 + 4);
}

/// A request that was closed without an answer and is sent again by its id ends closed as well.
#[test]
fn asking_once_more_ends_as_well() {
    use ClosedReason::{Acknowledged, Conflict, Gap, NeverSent, Refused, StoreRolledBack, UnknownSession};
    for reason in [UnknownSession, StoreRolledBack, Acknowledged, Gap, Conflict, Refused, NeverSent] {
        for refusal in [Refusal::Gap { expected: RequestNumber(1) }, Refusal::UnknownSession, Refusal::Conflict, Refusal::Acknowledged] {
            let dir = tempfile::tempdir().unwrap();
            journal(&dir, Some(reason));
            let peer = scripted(vec![vec![logged_in(), session(), refused(refusal), Step::Reply(Reply::Closed)]]);
            let mut run = client(&dir, &peer, 10_000);
            assert!(run.resend(id(1), withdraw(20)).is_err());
            assert!(matches!(end(&mut run, 1), Some(End::Closed(_))), "{reason:?}, {refusal:?}");
        }
    }
}
