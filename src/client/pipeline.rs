//! Many money requests under way at once: a window of consecutive numbers of one session, on one connection.
//!
//! Each is in the journal, synced, before it is first sent: a group under one sync, and with it the answers that came
//! since. A copy that is refused for the moment leaves a gap, as a lost connection does. Then the pipeline waits for what
//! is still under way, goes back to the first number without an answer, and sends the same again, in order.
//! Left out: the single request (`request.rs`), the file (`journal/mod.rs`), who is told what (`cli/`).

use std::collections::VecDeque;
use std::time::Duration;

use super::connection::AskError;
use super::error::ClientError;
use super::journal::{JournalError, OpenJournal};
use super::link::{Fault, Link};
use super::retry::{Backoff, Deadline};
use crate::client::journal::record::{ClosedReason, Intent, Record, Settled};
use crate::client::request::Answer;
use crate::env::Env;
use crate::model::command::Command;
use crate::model::types::{RequestId, RequestNumber, SessionId};
use crate::wire::message::{Ask, Refusal, Reply};

/// Why a pipeline came to no end, and what became of the requests whose answers were not told by then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stopped {
    /// Why. [`ClientError::OutcomeUnknown`] and [`ClientError::AskTheBank`] name the first request that is left open.
    pub failure: ClientError,
    /// One for each command behind those that were told, in order; commands behind these were not even numbered.
    pub rest: Vec<Fate>,
}

/// What became of a request of a pipeline that stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Answered all the same.
    Answered(Answer),
    /// Sent, and the outcome unknown; the journal keeps it.
    InDoubt(RequestId),
    /// Sent, and only the bank's log tells.
    AskTheBank(RequestId),
    /// Every copy that was sent was refused: not executed, and never will be.
    NotExecuted(RequestId),
    /// Not one byte of it was sent, and never will be.
    NotSent(RequestId),
}

impl From<ClientError> for Stopped {
    fn from(failure: ClientError) -> Self {
        Self { failure, rest: Vec::new() }
    }
}

/// A pipeline on its way.
///
/// Invariants: the numbers in `slots` are consecutive and end before `next`; everything below them is in the journal with
/// its answer; the replies to `in_flight` are still to come on the present connection, in order.
pub(super) struct Pipeline<'a> {
    pub(super) link: &'a mut Link,
    pub(super) journal: OpenJournal<'a>,
    pub(super) env: &'a Env,
    /// How long an answer may be waited for.
    pub(super) timeout: Duration,
    /// Every request's intent, but for number and command.
    pub(super) model: Intent,
    /// The most requests that are not settled.
    pub(super) window: usize,
    /// The number of the next command.
    pub(super) next: RequestNumber,
    slots: VecDeque<Slot>,
    /// What comes next on this connection.
    cursor: RequestNumber,
    in_flight: VecDeque<RequestNumber>,
    /// Why a copy was turned away, until everything behind it has come back and the pipeline goes back to it.
    turned_away: Option<Refusal>,
    /// Whether the connection is to be dropped then.
    is_out_of_step: bool,
    /// Whether answers could not be shown.
    is_unheard: bool,
    /// Whether an answer came since this was last looked at.
    progressed: bool,
}

/// Takes the answers, a group at a time, in order; returns whether they were shown. Once they were not, nothing more is sent
/// than was: what is under way is waited for, and the rest of the commands is left.
pub type Tell<'a> = dyn FnMut(&[Answer]) -> bool + 'a;

struct Slot {
    number: RequestNumber,
    command: Command,
    was_sent: bool,
    /// Whether a copy of it was sent and never answered.
    is_adrift: bool,
    settled: Option<Settled>,
}

/// What goes wrong.
enum Trouble {
    /// Worth going back for.
    Again(String),
    /// Worth going back for: a copy was refused, and everything behind it has come back.
    TurnedAway(Refusal),
    /// The bank will not answer these numbers any more.
    Refused(Refusal),
    /// Nothing more can be done here.
    Failed(ClientError),
}

impl<'a> Pipeline<'a> {
    pub(super) fn new(link: &'a mut Link, journal: OpenJournal<'a>, env: &'a Env, timeout: Duration, model: Intent, window: usize) -> Self {
        let next = model.id.number;
        let (slots, in_flight) = (VecDeque::with_capacity(window), VecDeque::with_capacity(window));
        Self {
            link,
            journal,
            env,
            timeout,
            model,
            window,
            next,
            slots,
            cursor: next,
            in_flight,
            turned_away: None,
            is_out_of_step: false,
            is_unheard: false,
            progressed: false,
        }
    }

    /// Sends all until each has a recorded outcome and was told, or nothing came for as long as may be waited.
    pub(super) fn run(&mut self, commands: &[Command], tell: &mut Tell<'_>) -> Result<(), Stopped> {
        let mut commands = commands.iter();
        let mut deadline = self.deadline();
        let mut backoff = Backoff::new(&self.env.entropy);
        loop {
            if let Err(error) = self.advance(&mut commands, tell) {
                return Err(self.stop(Trouble::Failed(error.into())));
            }
            if self.slots.is_empty() {
                return Ok(());
            }
            let outcome = self.round(&deadline);
            if std::mem::take(&mut self.progressed) {
                (deadline, backoff) = (self.deadline(), Backoff::new(&self.env.entropy));
            }
            match outcome {
                Ok(()) => {}
                Err(Trouble::Again(_) | Trouble::TurnedAway(_)) if backoff.wait(&deadline) => {}
                Err(trouble) => return Err(self.stop(trouble)),
            }
        }
    }

    fn deadline(&self) -> Deadline {
        Deadline::after(&self.env.clock, self.timeout)
    }

    fn session(&self) -> SessionId {
        self.model.id.session
    }

    fn id(&self, number: RequestNumber) -> RequestId {
        RequestId { session: self.session(), number }
    }

    /// The first number that is not settled: everything below is in the journal with its answer.
    fn first(&self) -> RequestNumber {
        self.slots.front().map_or(self.next, |slot| slot.number)
    }

    /// Writes what was answered and what comes next to the journal, under one sync, and tells what was answered.
    fn advance(&mut self, commands: &mut std::slice::Iter<'_, Command>, tell: &mut Tell<'_>) -> Result<(), JournalError> {
        let (mut records, mut answers) = (Vec::new(), Vec::new());
        while let Some(settled) = self.slots.front().and_then(|slot| slot.settled) {
            let id = self.id(self.first());
            records.push(Record::Reply(id, settled));
            answers.push(Answer::of(id, settled));
            self.slots.pop_front();
        }
        while !self.is_unheard
            && self.slots.len() < self.window
            && let Some(next) = self.next.next()
            && let Some(command) = commands.next()
        {
            records.push(Record::Intent(Intent { id: self.id(self.next), command: *command, ..self.model.clone() }));
            self.slots.push_back(Slot { number: self.next, command: *command, was_sent: false, is_adrift: false, settled: None });
            self.next = next;
        }
        let written = self.journal.write(&records);
        match &written {
            // Two answers to one request: neither is to be believed.
            Err(JournalError::Damaged { .. }) => return written,
            Err(error) => answers.iter_mut().for_each(|answer| answer.journal_failure = Some(error.clone())),
            Ok(()) => {}
        }
        if answers.is_empty() {
            return written;
        }
        let is_shown = tell(&answers);
        self.is_unheard |= !is_shown;
        if is_shown && written.is_ok() {
            let ids: Vec<RequestId> = answers.iter().map(|answer| answer.request).collect();
            // If it cannot be noted, they are told once more.
            let _ = self.journal.tell(&ids);
        }
        written
    }

    /// Sends what is to be sent, and takes in the replies that are there, at least one.
    fn round(&mut self, deadline: &Deadline) -> Result<(), Trouble> {
        if self.in_flight.is_empty() {
            self.link.ready(Some(self.session()), deadline).map_err(|fault| match fault {
                Fault::NotSent(why) | Fault::Lost(why) => Trouble::Again(why),
                Fault::TurnedAway(refusal) => Trouble::Again(refusal.to_string()),
                Fault::Refused(refusal) if refusal.is_retryable() => Trouble::Again(refusal.to_string()),
                Fault::Refused(refusal) => Trouble::Refused(refusal),
                fault @ Fault::OtherStore(_) => Trouble::Failed(self.link.failure(fault)),
            })?;
            self.cursor = self.first();
        }
        self.send(deadline)?;
        self.receive(deadline)
    }

    fn send(&mut self, deadline: &Deadline) -> Result<(), Trouble> {
        if self.turned_away.is_some() {
            return Ok(());
        }
        let (cursor, acked_below) = (self.cursor, self.first());
        let mut asks = Vec::new();
        for slot in self.slots.iter().filter(|slot| slot.number >= cursor && slot.settled.is_none()) {
            asks.push(Ask::Request { number: slot.number, acked_below, command: slot.command });
        }
        if asks.is_empty() {
            return Ok(());
        }
        let sent = self.link.send(&asks, deadline);
        if !matches!(sent, Err(AskError::NotSent(_))) {
            for slot in self.slots.iter_mut().filter(|slot| slot.number >= cursor && slot.settled.is_none()) {
                slot.was_sent = true;
                self.in_flight.push_back(slot.number);
            }
        }
        self.cursor = self.next;
        sent.map_err(|error| self.lost(&error))
    }

    fn receive(&mut self, deadline: &Deadline) -> Result<(), Trouble> {
        loop {
            let reply = self.link.receive(deadline).map_err(|error| self.lost(&error))?;
            self.judge(reply)?;
            if !self.link.has_reply() {
                break;
            }
        }
        match self.turned_away.take_if(|_| self.in_flight.is_empty()) {
            Some(refusal) => {
                if std::mem::take(&mut self.is_out_of_step) {
                    self.link.hang_up();
                }
                Err(Trouble::TurnedAway(refusal))
            }
            None => Ok(()),
        }
    }

    fn judge(&mut self, reply: Reply) -> Result<(), Trouble> {
        let (first, expected) = (self.first(), self.in_flight.pop_front());
        match reply {
            Reply::Answer { number, body, replayed, receipt } if Some(number) == expected => {
                let place = usize::try_from(number.0.saturating_sub(first.0)).unwrap_or(usize::MAX);
                if let Some(slot) = self.slots.get_mut(place) {
                    slot.settled = Some(Settled { body, replayed, receipt });
                    self.progressed = true;
                }
                Ok(())
            }
            // One before it was turned away. A bank that misses numbers that it answered has lost its memory.
            Reply::Refused(refusal @ Refusal::Gap { expected }) if expected >= first => {
                self.turned_away.get_or_insert(refusal);
                Ok(())
            }
            Reply::Refused(refusal) if refusal.is_retryable() => {
                self.turned_away.get_or_insert(refusal);
                Ok(())
            }
            // The session is not the connection's any more, and the copies behind this one are refused as well. What became
            // of the session is the answer to taking it up again.
            Reply::Refused(refusal) if refusal == Refusal::UnknownSession || self.link.is_out_of_step(refusal) => {
                self.turned_away.get_or_insert(refusal);
                self.is_out_of_step = true;
                Ok(())
            }
            Reply::Refused(refusal) => Err(Trouble::Refused(refusal)),
            other => {
                // Replies out of step: nothing more on this connection can be believed.
                self.link.hang_up();
                self.in_flight.extend(expected);
                Err(self.lost(&AskError::Lost(self.link.nonsense(&other).to_string())))
            }
        }
    }

    fn lost(&mut self, error: &AskError) -> Trouble {
        self.set_adrift();
        (self.turned_away, self.is_out_of_step) = (None, false);
        Trouble::Again(error.to_string())
    }

    /// Notes that the replies to what is in flight will never be read.
    fn set_adrift(&mut self) {
        let in_flight = std::mem::take(&mut self.in_flight);
        for slot in self.slots.iter_mut().filter(|slot| in_flight.contains(&slot.number)) {
            slot.is_adrift = true;
        }
    }

    /// Gives up: what has a copy adrift stays in doubt, the rest was not executed and never will be.
    fn stop(&mut self, trouble: Trouble) -> Stopped {
        if !self.in_flight.is_empty() {
            self.link.hang_up();
            self.set_adrift();
        }
        let closed = match trouble {
            Trouble::Refused(Refusal::UnknownSession) => Some(ClosedReason::UnknownSession),
            Trouble::Refused(Refusal::StoreRolledBack) => Some(ClosedReason::StoreRolledBack),
            Trouble::Refused(Refusal::Acknowledged) => Some(ClosedReason::Acknowledged),
            _ => None,
        };
        let (mut records, mut rest) = (Vec::new(), Vec::new());
        // A number that was acknowledged was executed, whichever copy of it was answered so.
        let is_executed = closed == Some(ClosedReason::Acknowledged);
        let slots = std::mem::take(&mut self.slots);
        // Numbers are executed in order. So those below an answered one were executed; and behind one of which no copy is
        // adrift, none is ever executed, adrift or not, for it is not sent again.
        let answered = slots.iter().rposition(|slot| slot.settled.is_some()).map_or(0, |last| last + 1);
        let dead = slots.iter().skip(answered).position(|slot| !slot.is_adrift && !is_executed).map_or(slots.len(), |at| answered + at);
        for (at, Slot { number, was_sent, settled, .. }) in slots.into_iter().enumerate() {
            let id = self.id(number);
            let (record, fate) = match (settled, at < dead && was_sent, closed) {
                (Some(settled), ..) => (Some(Record::Reply(id, settled)), Fate::Answered(Answer::of(id, settled))),
                (None, true, Some(reason)) => (Some(Record::Closed(id, reason)), Fate::AskTheBank(id)),
                (None, true, None) => (None, Fate::InDoubt(id)),
                (None, false, _) if was_sent => (Some(Record::Closed(id, ClosedReason::Refused)), Fate::NotExecuted(id)),
                (None, false, _) => (Some(Record::Closed(id, ClosedReason::NeverSent)), Fate::NotSent(id)),
            };
            records.extend(record);
            rest.push(fate);
        }
        // If this cannot be written, they only stay in doubt, and the next resolving ends it.
        if let Err(error) = self.journal.write(&records) {
            for fate in &mut rest {
                if let Fate::Answered(answer) = fate {
                    answer.journal_failure = Some(error.clone());
                }
            }
        }
        Stopped { failure: self.failure(trouble, &rest), rest }
    }

    fn failure(&self, trouble: Trouble, rest: &[Fate]) -> ClientError {
        let open = rest.iter().find_map(|fate| match fate {
            Fate::InDoubt(id) | Fate::AskTheBank(id) => Some(*id),
            Fate::Answered(_) | Fate::NotExecuted(_) | Fate::NotSent(_) => None,
        });
        let unknown = |request: RequestId, why: String| ClientError::OutcomeUnknown { request, why };
        match (trouble, open) {
            (Trouble::Again(why), Some(request)) => unknown(request, why),
            (Trouble::TurnedAway(refusal), Some(request)) => unknown(request, refusal.to_string()),
            (Trouble::TurnedAway(refusal), None) => ClientError::Refused(refusal),
            (Trouble::Again(why), None) => ClientError::Unreachable { address: self.link.address().to_owned(), why },
            (Trouble::Refused(refusal), Some(request)) if refusal.ends_resending() => ClientError::AskTheBank { request, refusal },
            (Trouble::Refused(refusal), Some(request)) => unknown(request, refusal.to_string()),
            (Trouble::Refused(refusal), None) => ClientError::Refused(refusal),
            (Trouble::Failed(error), Some(request)) => unknown(request, error.to_string()),
            (Trouble::Failed(error), None) => error,
        }
    }
}
