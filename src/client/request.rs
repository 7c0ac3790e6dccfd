//! Sends one money request, and retries until there is a recorded outcome or a refusal that decides it.
//!
//! Left out: choosing the request, and writing its intent to the journal (`client.rs`).

use crate::client::error::ClientError;
use crate::client::journal::record::{ClosedReason, Settled};
use crate::client::journal::{JournalError, OpenJournal};
use crate::client::link::{Fault, Link};
use crate::client::refusals::{Asking, History, Meaning, meaning};
use crate::client::retry::{Backoff, Deadline};
use crate::env::Env;
use crate::model::command::Body;
use crate::model::types::RequestId;
use crate::wire::message::{Ask, Receipt, Refusal, Reply};

/// A recorded outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The request that it answers.
    pub request: RequestId,
    /// The recorded body.
    pub body: Body,
    /// Whether the bank had executed it before and repeated the answer.
    pub replayed: bool,
    /// The bank's receipt.
    pub receipt: Receipt,
    /// Whether it comes from the journal, because the bank no longer keeps the answer.
    pub from_journal: bool,
    /// The error if the answer could not be written to the journal. The answer is valid all the same.
    pub journal_failure: Option<JournalError>,
}

impl Answer {
    /// An answer from the bank.
    pub(super) const fn of(request: RequestId, settled: Settled) -> Self {
        let Settled { body, replayed, receipt } = settled;
        Self { request, body, replayed, receipt, from_journal: false, journal_failure: None }
    }
}

/// A request whose intent is in the journal.
pub(super) struct Pursuit {
    pub(super) id: RequestId,
    pub(super) ask: Asking,
    pub(super) history: History,
    /// Whether the request must be resolved now, if necessary by closing its session.
    pub(super) must_end: bool,
    /// The answer, if the journal holds it already.
    pub(super) known: Option<Settled>,
}

/// The next step after a reply or refusal that does not end the request with an error.
enum Verdict {
    /// Retry.
    Again(String),
    /// The bank no longer keeps the answer, but the journal does.
    Told(Settled),
}

/// The state of the copies that this run sent.
#[derive(Default)]
struct Copies {
    /// Whether a copy was sent and never answered.
    adrift: bool,
    /// The latest refusal of a copy.
    refused: Option<Refusal>,
}

impl Pursuit {
    /// Sends and retries until there is a recorded outcome or a refusal that ends it, or the deadline has passed.
    pub(super) fn run(
        &self,
        link: &mut Link,
        env: &Env,
        journal: &mut OpenJournal<'_>,
        deadline: &Deadline,
    ) -> Result<Answer, ClientError> {
        let mut backoff = Backoff::new(&env.entropy);
        let mut copies = Copies::default();
        loop {
            let verdict = match link.once(&self.message(journal), Some(self.id.session), deadline) {
                Ok(Reply::Answer { number, body, replayed, receipt }) if number == self.id.number => {
                    return self.answered(journal, Settled { body, replayed, receipt });
                }
                Ok(Reply::Refused(refusal)) => {
                    copies.refused = Some(refusal);
                    self.refused((link, journal, deadline), refusal, &copies)?
                }
                Ok(other) => {
                    copies.adrift = true;
                    // A reply that does not match: no later reply on this connection can be trusted.
                    link.hang_up();
                    Verdict::Again(link.nonsense(&other).to_string())
                }
                Err(Fault::Refused(refusal)) => self.refused((link, journal, deadline), refusal, &copies)?,
                Err(Fault::NotSent(why)) => Verdict::Again(why),
                Err(Fault::TurnedAway(refusal)) => {
                    copies.refused = Some(refusal);
                    Verdict::Again(refusal.to_string())
                }
                Err(Fault::Lost(why)) => {
                    copies.adrift = true;
                    Verdict::Again(why)
                }
                Err(fault @ Fault::OtherStore(_)) => {
                    let failure = link.failure(fault);
                    let why = failure.to_string();
                    return Err(self.give_up(journal, failure, why, &copies));
                }
            };
            let why = match verdict {
                Verdict::Told(settled) => {
                    return Ok(Answer { replayed: true, from_journal: true, ..Answer::of(self.id, settled) });
                }
                Verdict::Again(why) => why,
            };
            if !backoff.wait(deadline) {
                let failure = match copies.refused {
                    Some(refusal) if !copies.adrift => ClientError::Refused(refusal),
                    _ => ClientError::Unreachable { address: link.address().to_owned(), why: why.clone() },
                };
                return Err(self.give_up(journal, failure, why, &copies));
            }
        }
    }

    fn message(&self, journal: &OpenJournal<'_>) -> Ask {
        let number = self.id.number;
        let acked_below = journal.acked_below(self.id.session).min(number);
        match self.ask {
            Asking::Request(command) | Asking::Conflict(command) => Ask::Request { number, acked_below, command },
            Asking::Cancel => Ask::Cancel { number, acked_below },
        }
    }

    fn answered(&self, journal: &mut OpenJournal<'_>, settled: Settled) -> Result<Answer, ClientError> {
        let mut answer = Answer::of(self.id, settled);
        match journal.settle(self.id, settled) {
            Ok(()) => {}
            // The bank and the journal hold two different answers: trust neither.
            Err(error @ JournalError::Damaged { .. }) => return Err(error.into()),
            Err(error) => answer.journal_failure = Some(error),
        }
        Ok(answer)
    }

    fn refused(
        &self,
        (link, journal, deadline): (&mut Link, &mut OpenJournal<'_>, &Deadline),
        refusal: Refusal,
        copies: &Copies,
    ) -> Result<Verdict, ClientError> {
        let meaning = meaning(self.ask, self.history, copies.adrift, refusal);
        if meaning == Meaning::Again {
            return Ok(Verdict::Again(refusal.to_string()));
        }
        if let Some(settled) = self.known {
            // The bank may discard an answer that this journal holds; a bank that was rolled back to before it is an error.
            return if matches!(refusal, Refusal::Acknowledged | Refusal::UnknownSession) {
                Ok(Verdict::Told(settled))
            } else {
                Err(ClientError::Refused(refusal))
            };
        }
        if matches!(self.ask, Asking::Conflict(_)) {
            return Err(ClientError::Refused(refusal));
        }
        let request = self.id;
        // If closing it in the journal fails, its outcome stays unknown there until the next resolve.
        match meaning {
            Meaning::NotExecuted(reason) => {
                let _ = journal.close(request, reason);
                Err(ClientError::Refused(refusal))
            }
            Meaning::AskTheBank(reason) => {
                let _ = journal.close(request, reason);
                Err(ClientError::AskTheBank { request, refusal })
            }
            Meaning::Ahead if self.must_end => self.end_session(link, journal, deadline),
            Meaning::Ahead | Meaning::Stays | Meaning::Again => Err(ClientError::OutcomeUnknown { request, why: refusal.to_string() }),
        }
    }

    /// Closes the request's session, so that no copy adrift can be executed any more.
    fn end_session(&self, link: &mut Link, journal: &mut OpenJournal<'_>, deadline: &Deadline) -> Result<Verdict, ClientError> {
        let request = self.id;
        let session = request.session;
        match link.ask(&Ask::CloseSession { session }, None, deadline) {
            Ok(Reply::Closed) | Err(ClientError::Refused(Refusal::UnknownSession)) => {
                let _ = journal.close(request, ClosedReason::UnknownSession);
                Err(ClientError::AskTheBank { request, refusal: Refusal::UnknownSession })
            }
            Err(ClientError::Refused(refusal @ Refusal::StoreRolledBack)) => {
                let _ = journal.close(request, ClosedReason::StoreRolledBack);
                Err(ClientError::AskTheBank { request, refusal })
            }
            Ok(other) => Err(ClientError::OutcomeUnknown { request, why: link.nonsense(&other).to_string() }),
            Err(error) => Err(ClientError::OutcomeUnknown { request, why: error.to_string() }),
        }
    }

    /// The error when no retry is left: the deadline has passed, or another bank answers.
    fn give_up(&self, journal: &mut OpenJournal<'_>, failure: ClientError, why: String, copies: &Copies) -> ClientError {
        if self.known.is_some() || matches!(self.ask, Asking::Conflict(_)) {
            return failure;
        }
        if self.history != History::Earlier && !copies.adrift {
            let reason = if copies.refused.is_some() { ClosedReason::Refused } else { ClosedReason::NeverSent };
            // If closing it fails, its outcome stays unknown in the journal until the next resolve.
            let _ = journal.close(self.id, reason);
            return failure;
        }
        ClientError::OutcomeUnknown { request: self.id, why }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::client::client::Client;
    use crate::client::journal::index::End;
    use crate::client::link::Login;
    use crate::client::scripted::{
        SESSION, Step, acked, answer, client, end, id, logged_in, refused, request, scripted, session, withdraw,
    };
    use crate::model::secret::Secret;
    use crate::model::types::{AccountId, Epoch, Lsn, RequestNumber, SessionId};
    use crate::wire::message::{Role, SessionInfo};

    const OTHER_SESSION: SessionId = SessionId { epoch: Epoch(0xabc), lsn: Lsn(99) };

    #[test]
    fn a_lost_reply_is_asked_for_under_the_same_number() {
        let dir = tempfile::tempdir().unwrap();
        let peer = scripted(vec![
            vec![logged_in(), session(), answer(1, 180, false), Step::Drop],
            vec![logged_in(), session(), answer(2, 160, true), acked(3)],
        ]);
        let mut run = client(&dir, &peer, 10_000);
        assert_eq!(run.execute(withdraw(20)).map(|a| (a.request, a.body.balance.get(), a.replayed)), Ok((id(1), 180, false)));
        assert_eq!(run.execute(withdraw(20)).map(|a| (a.request, a.body.balance.get(), a.replayed)), Ok((id(2), 160, true)));
        drop(run);
        let asked: Vec<Ask> = peer.join().into_iter().filter(|ask| !matches!(ask, Ask::Login { .. })).collect();
        let resume = Ask::ResumeSession { session: SESSION };
        let ack = Ask::Ack { acked_below: RequestNumber(3) };
        assert_eq!(asked, [Ask::OpenSession, request(1, 1, 20), request(2, 2, 20), resume, request(2, 2, 20), ack]);
    }

    #[test]
    fn past_the_deadline_the_outcome_is_unknown_until_a_later_run_resolves_it() {
        let dir = tempfile::tempdir().unwrap();
        let lost = scripted(vec![vec![logged_in(), session(), Step::Drop]]);
        let mut run = client(&dir, &lost, 150);
        let Err(ClientError::OutcomeUnknown { request, .. }) = run.execute(withdraw(20)) else { panic!("unknown") };
        assert_eq!((request, end(&mut run, 1)), (id(1), None));
        drop(run);
        let back = scripted(vec![vec![logged_in(), session(), answer(1, 160, false), acked(2)]]);
        let mut run = client(&dir, &back, 10_000);
        assert_eq!(run.request_again(id(1), withdraw(20)).unwrap().body.balance.get(), 160);
        assert!(matches!(end(&mut run, 1), Some(End::Answered(settled)) if settled.body.balance.get() == 160));
        assert!(matches!(run.request_again(id(1), withdraw(0)), Err(ClientError::Refused(Refusal::Malformed(_)))));
    }

    #[test]
    fn a_doubt_can_be_cancelled() {
        let dir = tempfile::tempdir().unwrap();
        let lost = scripted(vec![vec![logged_in(), session(), Step::Drop]]);
        assert!(client(&dir, &lost, 150).execute(withdraw(20)).is_err());
        let back = scripted(vec![vec![logged_in(), session(), Step::Drop], vec![logged_in(), session(), answer(1, 0, false)]]);
        let mut run = client(&dir, &back, 10_000);
        assert!(run.cancel(id(1)).is_ok());
        assert!(matches!(run.cancel(id(2)), Err(ClientError::NotThisRequest { .. })));
        let cancel = Ask::Cancel { number: RequestNumber(1), acked_below: RequestNumber(1) };
        assert_eq!(back.join().into_iter().filter(|ask| *ask == cancel).count(), 2);
    }

    #[test]
    fn what_resending_cannot_end_is_closed_and_left_to_the_bank() {
        let dir = tempfile::tempdir().unwrap();
        let peer = scripted(vec![vec![logged_in(), session(), Step::Drop], vec![logged_in(), refused(Refusal::UnknownSession)]]);
        let mut run = client(&dir, &peer, 10_000);
        let refusal = Refusal::UnknownSession;
        assert_eq!(run.execute(withdraw(20)), Err(ClientError::AskTheBank { request: id(1), refusal }));
        assert_eq!(end(&mut run, 1), Some(End::Closed(ClosedReason::UnknownSession)));
    }

    #[test]
    fn a_bank_that_refuses_every_copy_has_not_executed_it() {
        let dir = tempfile::tempdir().unwrap();
        let mut steps = vec![logged_in(), session()];
        steps.extend((0..1000).map(|_| refused(Refusal::NoSpace)));
        let peer = scripted(vec![steps]);
        let mut run = client(&dir, &peer, 120);
        let ended = run.execute(withdraw(20));
        assert!(peer.asked().iter().filter(|ask| **ask == request(1, 1, 20)).count() > 1);
        // If the deadline passes while waiting for a reply, that copy is adrift.
        match ended {
            Err(ClientError::Refused(Refusal::NoSpace)) => {
                assert_eq!(end(&mut run, 1), Some(End::Closed(ClosedReason::Refused)));
            }
            Err(ClientError::OutcomeUnknown { .. }) => assert_eq!(end(&mut run, 1), None),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_busy_bank_and_a_copy_adrift_leave_a_doubt() {
        let dir = tempfile::tempdir().unwrap();
        let mut steps = vec![logged_in(), session()];
        steps.extend((0..1000).map(|_| refused(Refusal::Busy)));
        let peer = scripted(vec![vec![logged_in(), session(), Step::Drop], steps]);
        let mut run = client(&dir, &peer, 300);
        assert!(matches!(run.execute(withdraw(20)), Err(ClientError::OutcomeUnknown { .. })));
        assert_eq!(end(&mut run, 1), None);
    }

    /// The session was closed while the client was idle: the only copy was refused, so nothing was executed.
    #[test]
    fn a_session_closed_behind_an_idle_client_is_no_doubt_and_another_is_opened() {
        for refusal in [Refusal::NoSession, Refusal::UnknownSession] {
            let dir = tempfile::tempdir().unwrap();
            let info = SessionInfo { session: OTHER_SESSION, last: RequestNumber(0), acked_below: RequestNumber(1) };
            let opened = || Step::Reply(Reply::Session(info));
            let begin = vec![logged_in(), session(), answer(1, 180, false), refused(refusal)];
            let connections = if refusal == Refusal::NoSession {
                vec![begin, vec![logged_in(), refused(Refusal::UnknownSession), opened(), answer(1, 160, false)]]
            } else {
                vec![[begin, vec![opened(), answer(1, 160, false)]].concat()]
            };
            let peer = scripted(connections);
            let mut run = client(&dir, &peer, 10_000);
            run.execute(withdraw(20)).unwrap();
            let second = run.execute(withdraw(20)).unwrap();
            assert_eq!((second.request.session, second.body.balance.get()), (OTHER_SESSION, 160), "{refusal:?}");
            assert_eq!(end(&mut run, 2), Some(End::Closed(ClosedReason::Refused)), "{refusal:?}");
        }
    }

    #[test]
    fn a_number_ahead_stays_in_no_doubt_however_often_it_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let gap = Refusal::Gap { expected: RequestNumber(2) };
        let peer = scripted(vec![vec![logged_in(), session(), refused(gap), refused(gap), refused(gap)]]);
        let mut run = client(&dir, &peer, 10_000);
        for _ in 0..3 {
            assert_eq!(run.request_again(id(51), withdraw(20)), Err(ClientError::Refused(gap)));
            assert_eq!(end(&mut run, 51), Some(End::Closed(ClosedReason::Gap)));
        }
    }

    #[test]
    fn a_gap_or_conflict_to_a_named_number_leaves_nothing_in_doubt() {
        for refusal in [Refusal::Gap { expected: RequestNumber(2) }, Refusal::Conflict] {
            let dir = tempfile::tempdir().unwrap();
            let peer = scripted(vec![vec![logged_in(), session(), refused(refusal)]]);
            let mut run = client(&dir, &peer, 10_000);
            assert_eq!(run.request_again(id(9), withdraw(20)), Err(ClientError::Refused(refusal)));
            let deadline = run.deadline();
            assert_eq!(run.journal().open(&deadline).unwrap().in_doubt().count(), 0);
        }
    }

    #[test]
    fn a_number_in_doubt_is_never_sent_with_another_command_or_as_somebody_else() {
        let dir = tempfile::tempdir().unwrap();
        let lost = scripted(vec![vec![logged_in(), session(), Step::Drop]]);
        assert!(client(&dir, &lost, 150).execute(withdraw(20)).is_err());
        let peer = scripted(vec![vec![logged_in(), logged_in()]]);
        let mut run = client(&dir, &peer, 10_000);
        assert!(matches!(run.request_again(id(1), withdraw(21)), Err(ClientError::NotThisRequest { .. })));
        assert_eq!(peer.asked().len(), 1, "the login alone");
        drop(run);
        let peer = scripted(vec![vec![logged_in()]]);
        let mut other = Client::new(&Env::os(), &peer.address, &dir.path().join("journal"), Duration::from_secs(5));
        other.log_in(Login { role: Role::Teller, name: "Sami".to_owned(), secret: Secret::new("1234".to_owned()) }).unwrap();
        assert!(matches!(other.request_again(id(1), withdraw(20)), Err(ClientError::NotThisRequest { .. })));
    }

    #[test]
    fn what_the_bank_forgot_the_journal_tells_and_two_truths_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let peer = scripted(vec![vec![logged_in(), session(), answer(1, 180, false), refused(Refusal::Acknowledged), answer(1, 7, true)]]);
        let mut run = client(&dir, &peer, 10_000);
        run.execute(withdraw(20)).unwrap();
        let told = run.request_again(id(1), withdraw(20)).unwrap();
        assert_eq!((told.body.balance.get(), told.replayed, told.from_journal), (180, true, true));
        assert!(matches!(run.request_again(id(1), withdraw(20)), Err(ClientError::Journal(JournalError::Damaged { .. }))));
    }

    #[test]
    fn what_was_never_sent_is_in_no_doubt() {
        let dir = tempfile::tempdir().unwrap();
        let peer = scripted(vec![vec![logged_in(), Step::Drop]]);
        let mut run = client(&dir, &peer, 150);
        assert!(matches!(run.balance(AccountId(1)), Err(ClientError::Unreachable { .. })));
        assert!(matches!(run.request_again(id(1), withdraw(20)), Err(ClientError::Unreachable { .. })));
        assert_eq!(end(&mut run, 1), Some(End::Closed(ClosedReason::NeverSent)));
    }
}
