//! Many money requests in flight: a window of consecutive numbers of one session, on one connection.
//!
//! Each request is in the journal, synced, before it is first sent: one sync per group of requests, together with the
//! answers that came since. A copy that gets a retryable refusal leaves a gap, as a lost connection does. The pipeline then
//! waits for the replies in flight, goes back to the first number without an answer, and resends from there in order.
//! Left out: single requests (`request.rs`), the file (`journal/mod.rs`), showing answers (`cli/`).

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

/// Why a pipeline stopped early, and the state of the requests whose answers were not delivered by then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stopped {
    /// The error. [`ClientError::OutcomeUnknown`] and [`ClientError::AskTheBank`] name the first request whose outcome is unknown.
    pub failure: ClientError,
    /// One per command after the delivered ones, in order. Commands after these got no number.
    pub rest: Vec<Fate>,
}

/// The state of a request of a pipeline that stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Answered.
    Answered(Answer),
    /// Sent, outcome unknown; the journal holds it.
    InDoubt(RequestId),
    /// Sent, and only the bank's log shows the outcome.
    AskTheBank(RequestId),
    /// Every copy sent was refused: never executed.
    NotExecuted(RequestId),
    /// Not one byte of it was sent: never executed.
    NotSent(RequestId),
}

impl From<ClientError> for Stopped {
    fn from(failure: ClientError) -> Self {
        Self { failure, rest: Vec::new() }
    }
}

/// A running pipeline.
///
/// Invariants: the numbers in `slots` are consecutive and end before `next`; every number below them is in the
/// journal with its answer; the replies to `in_flight` come on the present connection, in order.
pub(super) struct Pipeline<'a> {
    pub(super) link: &'a mut Link,
    pub(super) journal: OpenJournal<'a>,
    pub(super) env: &'a Env,
    /// The longest wait for an answer.
    pub(super) timeout: Duration,
    /// Every request's intent, except number and command.
    pub(super) model: Intent,
    /// The most requests without a settled answer.
    pub(super) window: usize,
    /// The number of the next command.
    pub(super) next: RequestNumber,
    slots: VecDeque<Slot>,
    /// The next number to send on this connection.
    cursor: RequestNumber,
    in_flight: VecDeque<RequestNumber>,
    /// The refusal of a copy, until the replies to all copies after it have come; then the pipeline goes back to it.
    turned_away: Option<Refusal>,
    /// Whether to drop the connection at that point.
    is_out_of_step: bool,
    /// Whether answers could not be shown.
    is_unheard: bool,
    /// Whether an answer came since this was last checked.
    progressed: bool,
}

/// Receives the answers in order, group by group; returns whether they were shown. After false no further request is sent:
/// the pipeline waits for those in flight, and leaves the remaining commands.
pub type Tell<'a> = dyn FnMut(&[Answer]) -> bool + 'a;

struct Slot {
    number: RequestNumber,
    command: Command,
    was_sent: bool,
    /// Whether a copy of it was sent and never answered.
    is_adrift: bool,
    settled: Option<Settled>,
}

/// Why a round failed.
enum Trouble {
    /// Connection lost or login failed for now: retry from the first unanswered number.
    Again(String),
    /// A copy was refused for now, and the replies to all copies after it have come: retry from the first unanswered number.
    TurnedAway(Refusal),
    /// The bank refuses these numbers permanently.
    Refused(Refusal),
    /// An error that no retry can resolve.
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

    /// Sends all commands until each has a recorded outcome and was delivered, or no answer came within the timeout.
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

    /// The first number without a settled answer: every number below is in the journal with its answer.
    fn first(&self) -> RequestNumber {
        self.slots.front().map_or(self.next, |slot| slot.number)
    }

    /// Writes new answers and the next intents to the journal, under one sync, and delivers the answers.
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
            // The bank answered one request in two ways: trust neither answer.
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
            // If the mark fails, a later run shows the answers once more.
            let _ = self.journal.tell(&ids);
        }
        written
    }

    /// Sends the requests that are due, and reads the replies that have arrived, at least one.
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
            // A copy before it was refused. (A gap below `first` instead means that the bank lost requests that it had answered.)
            Reply::Refused(refusal @ Refusal::Gap { expected }) if expected >= first => {
                self.turned_away.get_or_insert(refusal);
                Ok(())
            }
            Reply::Refused(refusal) if refusal.is_retryable() => {
                self.turned_away.get_or_insert(refusal);
                Ok(())
            }
            // The connection has lost its session, so the copies after this one are refused as well. Resuming the session
            // shows whether it still exists.
            Reply::Refused(refusal) if refusal == Refusal::UnknownSession || self.link.is_out_of_step(refusal) => {
                self.turned_away.get_or_insert(refusal);
                self.is_out_of_step = true;
                Ok(())
            }
            Reply::Refused(refusal) => Err(Trouble::Refused(refusal)),
            other => {
                // A reply that does not match: no later reply on this connection can be trusted.
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

    /// Marks the copies in flight as adrift: their replies will never be read.
    fn set_adrift(&mut self) {
        let in_flight = std::mem::take(&mut self.in_flight);
        for slot in self.slots.iter_mut().filter(|slot| in_flight.contains(&slot.number)) {
            slot.is_adrift = true;
        }
    }

    /// Stops. The outcome of a request with a copy adrift is unknown; the others were not executed and never will be.
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
        // "Acknowledged" means that the number was executed, whichever copy got that reply.
        let is_executed = closed == Some(ClosedReason::Acknowledged);
        let slots = std::mem::take(&mut self.slots);
        // Numbers are executed in order. So every number below an answered one was executed. And after the first number
        // without a copy adrift no number is ever executed, even one with a copy adrift, since that first one is not resent.
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
        // If this write fails, the outcomes stay unknown in the journal until the next resolve.
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
