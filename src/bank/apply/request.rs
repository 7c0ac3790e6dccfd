//! The effects of entries under a session: money commands, cancels, acknowledgements, closing.
//!
//! If the session does not exist any more, the outcome is `UnknownSession`, without effect: it was removed earlier in the
//! same batch. Any other mismatch is an error, because admission never writes such an entry.
//! Left out: moving money (`accounts/mod.rs`), and the numbers and replies of a session (`session.rs`).

use crate::bank::Bank;
use crate::bank::apply::{Applied, Step};
use crate::bank::sessions::SlotIndex;
use crate::bank::sessions::session::{Recorded, Session};
use crate::model::amount::Amount;
use crate::model::command::{Body, Command, Outcome};
use crate::model::types::{Lsn, Owner, RequestNumber};

/// The head of an entry under a session.
pub(in crate::bank) struct Request {
    pub(in crate::bank) lsn: Lsn,
    pub(in crate::bank) owner: Owner,
    pub(in crate::bank) session: Lsn,
    pub(in crate::bank) number: RequestNumber,
    pub(in crate::bank) acked_below: RequestNumber,
}

impl Request {
    /// Executes a money command under the session's next number, and records the outcome.
    pub(in crate::bank) fn execute(&self, bank: &mut Bank, command: &Command) -> Step {
        let place = self.place(bank)?;
        self.execute_at(bank, place, command)
    }

    /// As [`Request::execute`], with the session that [`Request::place`] found.
    #[inline]
    pub(in crate::bank) fn execute_at(&self, bank: &mut Bank, place: Option<SlotIndex>, command: &Command) -> Step {
        if command.check().is_err() {
            return Err("a command that is refused by its content");
        }
        if !command.is_permitted_to(self.owner) {
            return Err("a command that its owner is not permitted");
        }
        let Some(place) = place else { return Ok(Applied::UnknownSession) };
        self.check_next(bank, place)?;
        let (outcome, balance) = bank.accounts.execute(command);
        Ok(self.record(bank, place, Some(*command), outcome, balance))
    }

    /// Consumes the session's next number, so that no command can be executed under it.
    pub(in crate::bank) fn cancel(&self, bank: &mut Bank) -> Step {
        let Some(place) = self.place(bank)? else { return Ok(Applied::UnknownSession) };
        self.check_next(bank, place)?;
        Ok(self.record(bank, place, None, Outcome::Cancelled, Amount::ZERO))
    }

    /// Acknowledges replies.
    pub(in crate::bank) fn acknowledge(&self, bank: &mut Bank) -> Step {
        let Some((place, session)) = self.find(bank)? else { return Ok(Applied::UnknownSession) };
        let mut view = session.view();
        if self.acked_below.0 > view.last.0.saturating_add(1) {
            return Err("it acknowledges numbers that were never executed");
        }
        view.acked_below = view.acked_below.max(self.acked_below);
        bank.sessions.update(place, self.lsn, |session| session.acknowledge(self.acked_below));
        Ok(Applied::Acked { acked_below: view.acked_below })
    }

    /// Closes the session for its owner or the operator, even with unacknowledged replies.
    pub(in crate::bank) fn close(&self, bank: &mut Bank) -> Step {
        let is_operator = matches!(self.owner, Owner::Operator(_));
        match bank.sessions.find(self.session) {
            None => Ok(Applied::UnknownSession),
            Some((_, session)) if session.owner != self.owner && !is_operator => Err(NOT_ITS_OWN),
            Some(_) => {
                bank.sessions.remove(self.session);
                Ok(Applied::Closed)
            }
        }
    }

    /// The session, if it still exists.
    fn find<'a>(&self, bank: &'a Bank) -> Result<Option<(SlotIndex, &'a Session)>, &'static str> {
        match bank.sessions.find(self.session) {
            Some((_, session)) if session.owner != self.owner => Err(NOT_ITS_OWN),
            found => Ok(found),
        }
    }

    /// The slot of the session, if it still exists.
    pub(in crate::bank) fn place(&self, bank: &Bank) -> Result<Option<SlotIndex>, &'static str> {
        Ok(self.find(bank)?.map(|(place, _)| place))
    }

    /// Checks that this entry's number is the session's next one.
    #[inline]
    fn check_next(&self, bank: &Bank, place: SlotIndex) -> Result<(), &'static str> {
        bank.sessions.at(place).ok_or("its session is not where it was found")?.check_next(self.number, self.acked_below)
    }

    // Called on each request: the compiler's own choice changes with unrelated code, and costs 5 % of the instructions.
    #[inline(always)]
    fn record(&self, bank: &mut Bank, place: SlotIndex, command: Option<Command>, outcome: Outcome, balance: Amount) -> Applied {
        let body = Body { outcome, balance, lsn: self.lsn };
        bank.sessions.update(place, self.lsn, |session| session.record(self.acked_below, Recorded { command, body }));
        Applied::Answer { body, replayed: false }
    }
}

const NOT_ITS_OWN: &str = "it names a session of another owner's";
