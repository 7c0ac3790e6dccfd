//! One money request on its way to a recorded outcome: sent, sent again, and judged by what comes back.
//!
//! Only a recorded outcome ends a doubt. Left out: which request, and its intent in the journal (`requests.rs`).

use super::error::ClientError;
use super::journal::{JournalError, OpenJournal};
use super::journal_record::{ClosedReason, Settled};
use super::link::{Fault, Link};
use super::retry::{Backoff, Deadline, World};
use crate::command::{Body, Command};
use crate::types::RequestId;
use crate::wire::message::{Ask, Receipt, Refusal, Reply};

/// A recorded outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The request that it answers.
    pub request: RequestId,
    /// The recorded body.
    pub body: Body,
    /// Whether the bank had executed it before and told it again.
    pub replayed: bool,
    /// The bank's evidence.
    pub receipt: Receipt,
    /// Whether it was the journal that told, because the bank no longer keeps the answer.
    pub from_journal: bool,
    /// What kept the answer from being written to the journal, where something did. It is true all the same.
    pub journal_failure: Option<JournalError>,
}

impl Answer {
    /// An answer that the bank gave.
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
    /// The answer, where the journal has it already.
    pub(super) known: Option<Settled>,
}

/// What is sent under the number.
#[derive(Clone, Copy)]
pub(super) enum Asking {
    Request(Command),
    Cancel,
    /// A command under a number that another one has used up, to be told so by the bank.
    Conflict(Command),
}

/// What came before.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum History {
    /// A new number of this run's own session: nothing was ever sent under it.
    Fresh,
    /// A number that somebody named and this journal did not know: whether it was sent before is not known here.
    Named,
    /// It was in the journal before, and so perhaps sent.
    Earlier,
}

/// What a refusal means, where it is not the end.
enum Verdict {
    /// Worth another try.
    Again(String),
    /// The bank no longer keeps the answer, but the journal does.
    Told(Settled),
}

impl Pursuit {
    /// Sends until there is a recorded outcome, or a refusal that ends it, or the deadline has passed.
    pub(super) fn run(
        &self,
        link: &mut Link,
        world: &World,
        journal: &mut OpenJournal<'_>,
        deadline: &Deadline,
    ) -> Result<Answer, ClientError> {
        let mut backoff = Backoff::new(&world.entropy);
        let mut sent = false;
        loop {
            let verdict = match link.once(&self.message(journal), Some(self.id.session), deadline) {
                Ok(Reply::Answer { number, body, replayed, receipt }) if number == self.id.number => {
                    return self.answered(journal, Settled { body, replayed, receipt });
                }
                Ok(Reply::Refused(refusal)) => {
                    sent = true;
                    self.refused(journal, refusal, sent)?
                }
                Ok(other) => {
                    sent = true;
                    // Replies out of step: nothing more on this connection can be believed.
                    link.hang_up();
                    Verdict::Again(link.nonsense(&other).to_string())
                }
                Err(Fault::Refused(refusal)) => self.refused(journal, refusal, sent)?,
                Err(Fault::NotSent(why)) => Verdict::Again(why),
                Err(Fault::Lost(why)) => {
                    sent = true;
                    Verdict::Again(why)
                }
                Err(fault @ Fault::OtherStore(_)) => {
                    let failure = link.failure(fault);
                    let why = failure.to_string();
                    return Err(self.give_up(journal, failure, why, sent));
                }
            };
            let why = match verdict {
                Verdict::Told(settled) => {
                    return Ok(Answer { replayed: true, from_journal: true, ..Answer::of(self.id, settled) });
                }
                Verdict::Again(why) => why,
            };
            if !backoff.wait(deadline) {
                let unreachable = ClientError::Unreachable { address: link.address().to_owned(), why: why.clone() };
                return Err(self.give_up(journal, unreachable, why, sent));
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
            // Two answers to one request: the bank or the journal is not what it was, and neither is to be believed.
            Err(error @ JournalError::Damaged { .. }) => return Err(error.into()),
            Err(error) => answer.journal_failure = Some(error),
        }
        Ok(answer)
    }

    fn refused(&self, journal: &mut OpenJournal<'_>, refusal: Refusal, sent: bool) -> Result<Verdict, ClientError> {
        use Refusal::{Acknowledged, BadNumbers, Conflict, Gap, Malformed, NotPermitted, StoreRolledBack, UnknownSession};
        if refusal.is_retryable() {
            return Ok(Verdict::Again(refusal.to_string()));
        }
        if let Some(settled) = self.known {
            // The bank may forget what is on this disk; to have been rolled back behind it is another matter.
            return if matches!(refusal, Acknowledged | UnknownSession) {
                Ok(Verdict::Told(settled))
            } else {
                Err(ClientError::Refused(refusal))
            };
        }
        let request = self.id;
        let unsent = self.history != History::Earlier && !sent;
        let reason = match (self.ask, refusal) {
            (Asking::Conflict(_), _) => return Err(ClientError::Refused(refusal)),
            (_, UnknownSession | StoreRolledBack) if self.history == History::Fresh && !sent => ClosedReason::NeverSent,
            (_, UnknownSession) => ClosedReason::UnknownSession,
            (_, StoreRolledBack) => ClosedReason::StoreRolledBack,
            (_, Acknowledged) => ClosedReason::Acknowledged,
            (Asking::Request(_), Conflict) => ClosedReason::Conflict,
            (Asking::Request(_), Gap { .. }) if self.history == History::Named => ClosedReason::Gap,
            (Asking::Request(_), Malformed(_) | NotPermitted | BadNumbers) => ClosedReason::Refused,
            _ if unsent => ClosedReason::NeverSent,
            _ => return Err(ClientError::OutcomeUnknown { request, why: refusal.to_string() }),
        };
        // If this cannot be written, the request only stays in doubt, and the next resolving ends it.
        let _ = journal.close(request, reason);
        let only_the_bank = matches!(reason, ClosedReason::UnknownSession | ClosedReason::StoreRolledBack | ClosedReason::Acknowledged);
        Err(if only_the_bank { ClientError::AskTheBank { request, refusal } } else { ClientError::Refused(refusal) })
    }

    /// Out of time, or out of hope.
    fn give_up(&self, journal: &mut OpenJournal<'_>, failure: ClientError, why: String, sent: bool) -> ClientError {
        if self.known.is_some() || matches!(self.ask, Asking::Conflict(_)) {
            return failure;
        }
        if self.history != History::Earlier && !sent {
            // As above.
            let _ = journal.close(self.id, ClosedReason::NeverSent);
            return failure;
        }
        ClientError::OutcomeUnknown { request: self.id, why }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::journal_book::End;
    use super::super::link::Login;
    use super::super::requests::Client;
    use super::super::scripted::{SESSION, Step, acked, answer, client, end, id, logged_in, refused, request, scripted, session, withdraw};
    use super::*;
    use crate::secret::Secret;
    use crate::types::{AccountId, RequestNumber};
    use crate::wire::message::Role;

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
    fn a_busy_bank_is_asked_again_and_then_the_outcome_is_unknown() {
        let dir = tempfile::tempdir().unwrap();
        let mut steps = vec![logged_in(), session()];
        steps.extend((0..1000).map(|_| refused(Refusal::NoSpace)));
        let peer = scripted(vec![steps]);
        let mut run = client(&dir, &peer, 120);
        let Err(ClientError::OutcomeUnknown { why, .. }) = run.execute(withdraw(20)) else { panic!("another copy may be under way") };
        assert!(why.contains("disk is full"), "{why}");
        assert!(peer.asked().iter().filter(|ask| **ask == request(1, 1, 20)).count() > 1);
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
        let mut other = Client::new(&World::real(), &peer.address, &dir.path().join("journal"), Duration::from_secs(5));
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
