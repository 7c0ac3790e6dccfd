//! Money requests: single, consecutive, or a run; cancellations and acknowledgements. Each is admitted to the batch
//! here, and answered once the batch is applied.
//!
//! Left out: the turn's list (`turn.rs`), and the execution of an entry (`bank/`).

use std::ops::Range;
use std::time::Duration;

use crate::bank::{Applied, Lookup};
use crate::engine::{Admission, Fatal};
use crate::model::command::{Body, Command};
use crate::model::entry::{Requests, Setting};
use crate::model::types::{Lsn, Owner, RequestNumber};
use crate::server::native;
use crate::server::service::{ConnectionId, Service};
use crate::server::turn::{Admitted, Item, Logged};
use crate::wire::fixed::replies::{Answers, RunAnswer};
use crate::wire::frame;
use crate::wire::message::{Ask, MAX_RUN, Receipt, Refusal, Reply};

impl Service {
    /// Admits one money request.
    pub(in crate::server) fn admit_request(
        &mut self,
        id: ConnectionId,
        owner: Option<Owner>,
        session: Option<Lsn>,
        number: RequestNumber,
        acked_below: RequestNumber,
        command: Command,
    ) -> Admitted {
        let (owner, session) = match (owner, session) {
            (Some(owner), Some(session)) => (owner, session),
            (None, _) => return self.refused(id, Refusal::NotLoggedIn),
            (Some(Owner::Operator(_)), None) => return self.refused(id, Refusal::NotPermitted),
            (_, None) => return self.refused(id, Refusal::NoSession),
        };
        // A lab dialogue's request may acknowledge its own reply.
        let is_lab = self.connection(id).is_some_and(|connection| connection.front_end.is_lab());
        let numbers = if is_lab { Ok(()) } else { check_numbers(number, acked_below) };
        if let Err(refusal) = numbers.and_then(|()| check_command(&command, owner)) {
            return self.refused(id, refusal);
        }
        match self.engine.submit_request(owner, session, number, acked_below, command) {
            Ok(Admission::Logged) => {
                self.list(id, Item::Requests { id, first: number, count: 1 });
                if let Some(connection) = self.connections.get_mut(id.slot) {
                    self.budget.charge_questions(connection, 1);
                }
            }
            Ok(Admission::Listed) => self.list(id, Item::Ask { id, ask: Ask::Request { number, acked_below, command } }),
            Err(full) => return self.full(id, full),
        }
        Admitted::Yes
    }

    /// Admits the new requests of consecutive numbers at the front of `bytes`, at most `most`, up to the first that
    /// needs a decision of its own; returns how many bytes they took.
    pub(in crate::server) fn admit_following(&mut self, id: ConnectionId, owner: Owner, session: Lsn, bytes: &[u8], most: usize) -> usize {
        let Some(first) = self.engine.next_number(owner, session) else { return 0 };
        self.following.clear();
        let acked_below = native::requests(bytes, first, most, &mut self.following).filter(|acked| check_numbers(first, *acked).is_ok());
        let Some(acked_below) = acked_below else { return 0 };
        let sound = self.following.iter().take_while(|command| check_command(command, owner).is_ok()).count();
        let commands = self.following.get(..sound).unwrap_or_default();
        let count = self.engine.submit_requests(Requests { owner, session, first, acked_below }, commands);
        if count > 0 {
            self.list_many(id, Item::Requests { id, first, count }, count);
        }
        frame::length_of(bytes, count)
    }

    /// Admits a run whose commands are the last in `run_commands`.
    pub(in crate::server) fn admit_run(
        &mut self,
        id: ConnectionId,
        first: RequestNumber,
        acked_below: RequestNumber,
        commands: Range<usize>,
    ) -> Admitted {
        let Some(connection) = self.connection(id) else { return Admitted::Yes };
        if !connection.greeted {
            return self.refuse_hello_first(id);
        }
        let start = commands.start;
        if let Admitted::Later(needs) = self.pay_run(id, commands.len()) {
            self.run_commands.truncate(start);
            return Admitted::Later(needs);
        }
        let refusal = match self.put_run(id, first, acked_below, commands.clone()) {
            Ok(Some(admitted)) => {
                self.list(id, Item::Run { id, first, commands, admitted });
                return Admitted::Yes;
            }
            Ok(None) => None,
            Err(refusal) => Some(refusal),
        };
        self.run_commands.truncate(start);
        refusal.map_or(Admitted::NextTurn, |refusal| self.refused(id, refusal))
    }

    /// Puts the new commands of a run into the batch. Returns their range in the run, or none if the run no longer fits
    /// the batch.
    fn put_run(
        &mut self,
        id: ConnectionId,
        first: RequestNumber,
        acked_below: RequestNumber,
        commands: Range<usize>,
    ) -> Result<Option<Range<usize>>, Refusal> {
        let who = self.connection(id).map(|connection| (connection.owner, connection.session));
        let (owner, session) = match who {
            Some((Some(Owner::Operator(_)), _)) => return Err(Refusal::NotPermitted),
            Some((Some(owner), Some(session))) => (owner, session),
            Some((Some(_), None)) => return Err(Refusal::NoSession),
            Some((None, _)) | None => return Err(Refusal::NotLoggedIn),
        };
        let commands = self.run_commands.get(commands).unwrap_or_default();
        let length = u64::try_from(commands.len()).unwrap_or(u64::MAX);
        if commands.is_empty() || commands.len() > MAX_RUN || first.0.checked_add(length).is_none() {
            return Err(Refusal::BadNumbers);
        }
        check_numbers(first, acked_below)?;
        if self.engine.pending() > 0 && !self.engine.has_batch_room(commands.len()) {
            return Ok(None);
        }
        // Numbers are consecutive, so the new commands are, too: behind the duplicates, before the first that is not
        // admitted.
        let next = self.engine.next_number(owner, session).and_then(|next| next.0.checked_sub(first.0));
        let start = next.and_then(|next| usize::try_from(next).ok()).filter(|start| *start < commands.len()).unwrap_or(commands.len());
        let new = commands.get(start..).unwrap_or_default();
        let sound = new.iter().take_while(|command| check_command(command, owner).is_ok()).count();
        let requests = Requests { owner, session, first, acked_below }.after(start).ok_or(Refusal::BadNumbers)?;
        let count = self.engine.submit_requests(requests, new.get(..sound).unwrap_or_default());
        Ok(Some(start..start + count))
    }

    /// Admits a cancellation.
    pub(in crate::server) fn admit_cancel(
        &mut self,
        id: ConnectionId,
        owner: Owner,
        session: Lsn,
        number: RequestNumber,
        acked_below: RequestNumber,
    ) -> Admitted {
        if let Err(refusal) = check_numbers(number, acked_below) {
            return self.refused(id, refusal);
        }
        let admission = self.engine.submit_cancel(owner, session, number, acked_below);
        self.list_admission(id, admission, Logged::Cancel(number), Ask::Cancel { number, acked_below })
    }

    /// Admits an acknowledgement.
    pub(in crate::server) fn admit_ack(&mut self, id: ConnectionId, owner: Owner, session: Lsn, acked_below: RequestNumber) -> Admitted {
        let admission = self.engine.submit_ack(owner, session, acked_below);
        self.list_admission(id, admission, Logged::Ack, Ask::Ack { acked_below })
    }

    pub(in crate::server) fn answer_requests(
        &mut self,
        id: ConnectionId,
        first: RequestNumber,
        count: usize,
        receipt: &Receipt,
        now: Duration,
    ) -> Result<(), Fatal> {
        let mut output = match self.connection(id) {
            Some(connection) if connection.front_end.is_lab() => return self.answer_in_words(id, first, receipt, now),
            Some(connection) => {
                connection.begin_replies(count, now);
                std::mem::take(connection.output())
            }
            // The connection is gone; its answers are dropped.
            None => Vec::new(),
        };
        let mut number = first;
        let mut answers = Answers::begin(receipt, &output);
        let mut broken = Ok(());
        self.engine.apply_requests(count, |applied| {
            match applied {
                Applied::Answer { body, replayed } => answers.put(number, &body, replayed, &mut output),
                Applied::UnknownSession => {
                    answers.end(&mut output);
                    if let Err(fatal) = native::put(&Reply::Refused(Refusal::UnknownSession), &mut output) {
                        broken = Err(fatal);
                    }
                    answers = Answers::begin(receipt, &output);
                }
                _ => broken = NOT_A_REQUESTS_RESULT,
            }
            // There is no number after the largest.
            number = number.next().unwrap_or(number);
        })?;
        broken?;
        answers.end(&mut output);
        self.give_back(id, output);
        Ok(())
    }

    pub(in crate::server) fn answer_run(
        &mut self,
        id: ConnectionId,
        first: RequestNumber,
        commands: &[Command],
        admitted: &Range<usize>,
        receipt: &Receipt,
        now: Duration,
    ) -> Result<(), Fatal> {
        // A connection that is gone has no output; its answers are dropped.
        let (owner, session, mut output) = match self.connection(id) {
            Some(connection) => {
                connection.begin_replies(1, now);
                (connection.owner, connection.session, std::mem::take(connection.output()))
            }
            None => (None, None, Vec::new()),
        };
        let answer = RunAnswer::begin(first, u64::try_from(commands.len()).unwrap_or(u64::MAX), &mut output);
        let mut numbered = (first.0..).map(RequestNumber).zip(commands);
        let before = admitted.start;
        for (number, command) in numbered.by_ref().take(before) {
            answer.item(self.decide_command(owner.zip(session), number, command), &mut output);
        }
        let mut broken = Ok(());
        self.engine.apply_requests(admitted.len(), |applied| match applied {
            Applied::Answer { body, replayed } => answer.item(Ok((body, replayed)), &mut output),
            Applied::UnknownSession => answer.item(Err(Refusal::UnknownSession), &mut output),
            _ => broken = NOT_A_REQUESTS_RESULT,
        })?;
        broken?;
        for (number, command) in numbered.skip(admitted.len()) {
            answer.item(self.decide_command(owner.zip(session), number, command), &mut output);
        }
        answer.end(receipt, &mut output);
        self.give_back(id, output);
        Ok(())
    }

    /// Applies one request of a dialogue and answers it in words.
    fn answer_in_words(&mut self, id: ConnectionId, number: RequestNumber, receipt: &Receipt, now: Duration) -> Result<(), Fatal> {
        let reply = match self.engine.apply_next()?.1 {
            Applied::Answer { body, replayed } => Reply::Answer { number, body, replayed, receipt: *receipt },
            Applied::UnknownSession => Reply::Refused(Refusal::UnknownSession),
            _ => return NOT_A_REQUESTS_RESULT,
        };
        self.reply(id, &reply, now)
    }

    /// Puts the output back into its connection, if that is still there.
    fn give_back(&mut self, id: ConnectionId, output: Vec<u8>) {
        if let Some(connection) = self.connection(id) {
            *connection.output() = output;
            self.mark_dirty(id.slot);
        }
    }

    /// The outcome of a run's command that is not new.
    fn decide_command(&mut self, who: Option<(Owner, Lsn)>, number: RequestNumber, command: &Command) -> Result<(Body, bool), Refusal> {
        // The connection is gone or has lost its session: the answer is dropped.
        let (owner, session) = who.ok_or(Refusal::NoSession)?;
        check_command(command, owner)?;
        self.decide_numbered(session, number, Some(command))
    }

    /// The outcome of a number that is not new. `command` is none for a cancellation.
    pub(in crate::server) fn decide_numbered(
        &mut self,
        session: Lsn,
        number: RequestNumber,
        command: Option<&Command>,
    ) -> Result<(Body, bool), Refusal> {
        match self.engine.bank().lookup(session, number) {
            Lookup::Recorded(recorded) => match (recorded.command, command) {
                (Some(executed), Some(asked)) if executed != *asked => Err(Refusal::Conflict),
                // Every late copy of a cancelled number receives the cancellation, whatever its command; a cancellation
                // that came too late receives the number's outcome.
                _ => Ok((recorded.body, true)),
            },
            Lookup::Acknowledged => Err(Refusal::Acknowledged),
            Lookup::Ahead { expected } => Err(Refusal::Gap { expected }),
            Lookup::NoSession => Err(Refusal::UnknownSession),
            // The number is the next, and yet was not admitted: the window, the disk or the batch had no room.
            Lookup::Next if !self.engine.has_room() => Err(Refusal::NoSpace),
            Lookup::Next => {
                let bank = self.engine.bank();
                let acked = bank.session(session).map_or(RequestNumber(0), |view| view.acked_below);
                let is_full = number.0.saturating_sub(acked.0) >= bank.setting(Setting::Window);
                Err(if is_full { Refusal::WindowFull } else { Refusal::Busy })
            }
        }
    }

    pub(in crate::server) fn decide_ack(&self, session: Lsn, acked_below: RequestNumber) -> Result<Reply, Refusal> {
        let view = self.engine.bank().session(session).ok_or(Refusal::UnknownSession)?;
        match view.last.next() {
            Some(expected) if acked_below > expected => Err(Refusal::Gap { expected }),
            _ if acked_below > view.acked_below => Err(Refusal::Busy),
            _ => Ok(Reply::Acked { acked_below: view.acked_below }),
        }
    }
}

const NOT_A_REQUESTS_RESULT: Result<(), Fatal> = Err(Fatal::Broken("a request has a result that no request can have"));

fn check_command(command: &Command, owner: Owner) -> Result<(), Refusal> {
    command.check().map_err(Refusal::Malformed)?;
    if command.is_permitted_to(owner) { Ok(()) } else { Err(Refusal::NotPermitted) }
}

fn check_numbers(number: RequestNumber, acked_below: RequestNumber) -> Result<(), Refusal> {
    if number.0 == 0 || acked_below > number { Err(Refusal::BadNumbers) } else { Ok(()) }
}
