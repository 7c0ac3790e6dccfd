//! What the entries under a session do: money commands, cancels, acknowledgements, closing.
//!
//! A session that is gone makes every one of them `UnknownSession`, without effect: it vanished earlier in the same
//! batch. Anything else that does not fit the session is an entry that admission never writes.
//! Left out: moving the money (`accounts.rs`), the numbers and replies themselves (`session.rs`).

use super::Bank;
use super::apply::{Applied, Step};
use super::session::{Recorded, Session};
use super::sessions::Place;
use crate::model::amount::Amount;
use crate::model::command::{Body, Command, Outcome};
use crate::model::types::{Lsn, Owner, RequestNumber};

/// The head of an entry under a session.
pub(super) struct Request {
    pub(super) lsn: Lsn,
    pub(super) owner: Owner,
    pub(super) session: Lsn,
    pub(super) number: RequestNumber,
    pub(super) acked_below: RequestNumber,
}

impl Request {
    /// Executes a money command under the session's next number, and records what became of it.
    pub(super) fn execute(&self, bank: &mut Bank, command: &Command) -> Step {
        let place = self.place(bank)?;
        self.execute_at(bank, place, command)
    }

    /// As [`Request::execute`], in the session that [`Request::place`] found.
    #[inline]
    pub(super) fn execute_at(&self, bank: &mut Bank, place: Option<Place>, command: &Command) -> Step {
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

    /// Takes the session's next number, so that no command ever can.
    pub(super) fn cancel(&self, bank: &mut Bank) -> Step {
        let Some(place) = self.place(bank)? else { return Ok(Applied::UnknownSession) };
        self.check_next(bank, place)?;
        Ok(self.record(bank, place, None, Outcome::Cancelled, Amount::ZERO))
    }

    /// Acknowledges replies.
    pub(super) fn acknowledge(&self, bank: &mut Bank) -> Step {
        let Some((place, session)) = self.find(bank)? else { return Ok(Applied::UnknownSession) };
        let mut view = session.view();
        if self.acked_below.0 > view.last.0.saturating_add(1) {
            return Err("it acknowledges numbers that were never executed");
        }
        view.acked_below = view.acked_below.max(self.acked_below);
        bank.sessions.update(place, self.lsn, |session| session.acknowledge(self.acked_below));
        Ok(Applied::Acked { acked_below: view.acked_below })
    }

    /// Closes the session, for its owner or the operator, whatever is unacknowledged in it.
    pub(super) fn close(&self, bank: &mut Bank) -> Step {
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

    /// The session, if it is still there.
    fn find<'a>(&self, bank: &'a Bank) -> Result<Option<(Place, &'a Session)>, &'static str> {
        match bank.sessions.find(self.session) {
            Some((_, session)) if session.owner != self.owner => Err(NOT_ITS_OWN),
            found => Ok(found),
        }
    }

    /// Where the session is, if it is still there.
    pub(super) fn place(&self, bank: &Bank) -> Result<Option<Place>, &'static str> {
        Ok(self.find(bank)?.map(|(place, _)| place))
    }

    /// Whether this entry's number is the session's next.
    #[inline]
    fn check_next(&self, bank: &Bank, place: Place) -> Result<(), &'static str> {
        bank.sessions.at(place).ok_or("its session is not where it was found")?.check_next(self.number, self.acked_below)
    }

    #[inline]
    fn record(&self, bank: &mut Bank, place: Place, command: Option<Command>, outcome: Outcome, balance: Amount) -> Applied {
        let body = Body { outcome, balance, lsn: self.lsn };
        bank.sessions.update(place, self.lsn, |session| session.record(self.acked_below, Recorded { command, body }));
        Applied::Answer { body, replayed: false }
    }
}

const NOT_ITS_OWN: &str = "it names a session of another owner's";
