//! A lane: one connection of the generator with its session and its requests in flight, and the check of every answer.
//!
//! Left out: when to send (`generator.rs`), encoding (`frames.rs`).

use std::collections::VecDeque;
use std::io::{self, Read, Write};

use mio::net::TcpStream;

use super::audit::Audit;
use super::draw::{Draw, Wish};
use super::plan::Plan;
use super::tally::Tally;
use crate::bench::BenchError;
use crate::model::codec;
use crate::model::command::Command;
use crate::model::types::{RequestNumber, SessionId};
use crate::wire::fixed::received::{self, Answers};
use crate::wire::fixed::{ITEM, asks};
use crate::wire::frame::{self, Front};
use crate::wire::message::{Ask, Reply};

/// The most bytes that a command adds to the output.
const QUESTION: usize = 48;

/// The source of requests, shared by all lanes.
pub(super) struct Source {
    pub(super) draw: Draw,
    pub(super) audit: Option<Audit>,
    pub(super) run: usize,
    pub(super) depth: usize,
}

/// One connection.
///
/// Invariants: `flight` has one item for each frame in flight; numbers up to `answered` are answered, those from `next` are
/// unused.
pub(super) struct Lane {
    pub(super) stream: TcpStream,
    session: SessionId,
    next: u64,
    answered: u64,
    in_flight: usize,
    flight: VecDeque<Flight>,
    /// The commands of the last frame, which may be sent again.
    commands: Vec<Command>,
    is_repeat_due: bool,
    /// The items of the last answers, to which the answers to a duplicate must be equal.
    last: Vec<u8>,
    output: Vec<u8>,
    written: usize,
    /// The beginning of an incomplete frame.
    rest: Vec<u8>,
}

#[derive(Clone, Copy)]
struct Flight {
    at: u64,
    what: What,
}

#[derive(Clone, Copy)]
enum What {
    New,
    Again,
    Balance,
    Farewell,
}

impl Lane {
    pub(super) fn new(stream: TcpStream, session: SessionId, plan: &Plan) -> Self {
        Self {
            stream,
            session,
            next: 1,
            answered: 0,
            in_flight: 0,
            flight: VecDeque::with_capacity(plan.depth + 1),
            commands: Vec::with_capacity(plan.run),
            is_repeat_due: false,
            last: Vec::with_capacity(plan.run * ITEM),
            output: Vec::with_capacity(plan.depth * QUESTION),
            written: 0,
            rest: Vec::new(),
        }
    }

    pub(super) const fn in_flight(&self) -> usize {
        self.in_flight
    }

    pub(super) const fn has_room(&self, source: &Source) -> bool {
        self.in_flight + source.run <= source.depth
    }

    /// Appends the next frame to the output. Its latency counts from `at`, in nanoseconds.
    pub(super) fn send(&mut self, at: u64, source: &mut Source) -> Result<(), BenchError> {
        let (what, count) = self.put(source)?;
        self.flight.push_back(Flight { at, what });
        self.in_flight += count;
        Ok(())
    }

    /// Appends the closing of the session to the output; it is the last message.
    pub(super) fn say_farewell(&mut self) -> Result<(), BenchError> {
        let ask = Ask::CloseSession { session: self.session };
        frame::put(&ask, &mut self.output).map_err(|error| BenchError::Bank(error.to_string()))?;
        self.flight.push_back(Flight { at: 0, what: What::Farewell });
        self.in_flight += 1;
        Ok(())
    }

    fn put(&mut self, source: &mut Source) -> Result<(What, usize), BenchError> {
        let run = source.run;
        if std::mem::take(&mut self.is_repeat_due) {
            let first = self.next - run as u64;
            // At depth 1 the original is answered already, but no request may acknowledge itself.
            self.put_commands(first, (self.answered + 1).min(first));
            return Ok((What::Again, run));
        }
        self.commands.clear();
        if run == 1 {
            match source.draw.wish() {
                Wish::Balance(account) => {
                    asks::put_balance(account, &mut self.output);
                    return Ok((What::Balance, 1));
                }
                Wish::Money(command) => self.commands.push(command),
            }
        } else {
            self.commands.extend((0..run).map(|_| source.draw.command()));
        }
        self.is_repeat_due = source.draw.is_repeated();
        if let Some(audit) = &mut source.audit {
            audit.intend(self.session, self.next, &self.commands)?;
        }
        self.put_commands(self.next, self.answered + 1);
        self.next += run as u64;
        Ok((What::New, run))
    }

    fn put_commands(&mut self, first: u64, acked_below: u64) {
        let (first, acked_below) = (RequestNumber(first), RequestNumber(acked_below));
        match self.commands.as_slice() {
            [command] => asks::put_request(first, acked_below, command, &mut self.output),
            commands => asks::put_run(first, acked_below, commands, &mut self.output),
        }
    }

    /// Writes as much of the output as the socket accepts.
    pub(super) fn flush(&mut self) -> Result<(), BenchError> {
        while let Some(unsent) = self.output.get(self.written..).filter(|unsent| !unsent.is_empty()) {
            match self.stream.write(unsent) {
                Ok(0) => return Err(broken(&io::ErrorKind::WriteZero.into())),
                Ok(count) => self.written += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(broken(&error)),
            }
        }
        self.output.clear();
        self.written = 0;
        Ok(())
    }

    /// Reads once into `buffer`, after the incomplete frame of the last read. Returns the bytes, and whether more may be
    /// available; none if nothing is.
    pub(super) fn read<'a>(&mut self, buffer: &'a mut [u8]) -> Result<Option<(&'a [u8], bool)>, BenchError> {
        let held = self.rest.len();
        let (count, is_full) = loop {
            let (front, space) = buffer.split_at_mut_checked(held).ok_or_else(|| unexpected("a frame of no end"))?;
            front.copy_from_slice(&self.rest);
            match self.stream.read(space) {
                Ok(0) => return Err(BenchError::Bank("it closed a connection".to_owned())),
                Ok(count) => break (count, count == space.len()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(broken(&error)),
            }
        };
        self.rest.clear();
        Ok(buffer.get(..held + count).map(|bytes| (bytes, is_full)))
    }

    /// Checks every whole answer in `bytes`, which arrived at `now`, and keeps the rest.
    pub(super) fn take(&mut self, bytes: &[u8], now: u64, tally: &mut Tally, source: &mut Source) -> Result<(), BenchError> {
        let mut left = bytes;
        while !left.is_empty() {
            let length = match received::answers(left) {
                Some(answers) => {
                    self.judge(&answers, now, tally, source)?;
                    answers.length
                }
                None => match self.judge_other(left, now, tally)? {
                    Some(length) => length,
                    None => break,
                },
            };
            left = left.get(length..).unwrap_or_default();
        }
        self.rest.extend_from_slice(left);
        Ok(())
    }

    fn judge(&mut self, answers: &Answers<'_>, now: u64, tally: &mut Tally, source: &mut Source) -> Result<(), BenchError> {
        let run = source.run as u64;
        tally.receipt(answers.receipt_lsn());
        let Some(Flight { at, what }) = self.flight.pop_front() else { return Err(unexpected("an answer to no request")) };
        let (is_again, expected) = match what {
            What::New => (false, self.answered + 1),
            What::Again => (true, self.answered + 1 - run),
            What::Balance | What::Farewell => return Err(unexpected("an answer to a command where none was sent")),
        };
        self.in_flight -= source.run;
        if answers.first != expected {
            return Err(unexpected(&format!("an answer to request {} where {expected} was the next", answers.first)));
        }
        let (mut count, mut declined) = (0, 0);
        for item in answers.items() {
            match item.map(|item| (item.replayed == is_again, item.outcome())) {
                Some((true, 0)) => {}
                Some((true, 1)) => declined += 1,
                other => return Err(unexpected(&format!("an answer in {self:?} that makes no sense: {other:?}"))),
            }
            count += 1;
        }
        if count != run {
            return Err(unexpected(&format!("{count} answers to {run} commands")));
        }
        if is_again {
            let size = answers.bytes().len() / source.run;
            let same = |one: &[u8], other: &[u8]| one.split_last().map(|(_, body)| body) == other.split_last().map(|(_, body)| body);
            if !answers.bytes().chunks(size).zip(self.last.chunks(size)).all(|(one, other)| same(one, other)) {
                return Err(unexpected(&format!("another answer to request {expected} than before")));
            }
            tally.answered(at, now, run, |measured| &mut measured.replayed);
            return Ok(());
        }
        if let Some(audit) = &mut source.audit {
            audit.settle(self.session, answers)?;
        }
        self.answered += run;
        self.last.clear();
        self.last.extend_from_slice(answers.bytes());
        tally.answered(at, now, run, |measured| &mut measured.done);
        if declined > 0 {
            tally.declined(at, declined);
        }
        Ok(())
    }

    /// Checks a message other than an answer to a command. Returns its length; none if it is incomplete.
    fn judge_other(&mut self, bytes: &[u8], now: u64, tally: &mut Tally) -> Result<Option<usize>, BenchError> {
        match frame::front(bytes).map_err(|error| unexpected(&error.to_string()))? {
            Front::Incomplete(_) => Ok(None),
            Front::Whole { payload, consumed } => {
                let reply: Reply = codec::decode(payload).map_err(|error| unexpected(&error.to_string()))?;
                match (reply, self.flight.pop_front()) {
                    (Reply::Balance { .. }, Some(Flight { at, what: What::Balance })) => {
                        self.in_flight -= 1;
                        tally.answered(at, now, 1, |measured| &mut measured.balances);
                        Ok(Some(consumed))
                    }
                    (Reply::Closed, Some(Flight { what: What::Farewell, .. })) => {
                        self.in_flight -= 1;
                        Ok(Some(consumed))
                    }
                    (Reply::Refused(refusal), _) => Err(BenchError::Bank(format!("it refuses a request: {refusal}"))),
                    (other, _) => Err(unexpected(&format!("{other:?}"))),
                }
            }
        }
    }
}

impl std::fmt::Debug for Lane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "session {} with {} answered", self.session, self.answered)
    }
}

fn broken(error: &io::Error) -> BenchError {
    BenchError::Bank(format!("a connection broke: {error}"))
}

fn unexpected(what: &str) -> BenchError {
    BenchError::Bank(format!("it sends what makes no sense here: {what}"))
}
