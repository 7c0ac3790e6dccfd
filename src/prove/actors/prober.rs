//! The prober: a client that tests the rules of request numbers one by one: duplicates, another command under a used number,
//! numbers ahead of the next, late copies after a cancellation.
//!
//! It uses each number for one command, as every client must, except to test the rule on used numbers.
//! Left out: rules about the owner of a session (`intruder.rs`).

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use crate::env::sim::Random;
use crate::model::amount::Amount;
use crate::model::command::{Body, Command, Outcome};
use crate::model::types::{Owner, RequestId, RequestNumber, SessionId};
use crate::prove::actors::arena::{Arena, Posted, any_account, any_command, teller};
use crate::prove::actors::caller::Caller;
use crate::prove::check::history::{Answered, Event, Read, Write};
use crate::wire::message::{Ask, Refusal, Reply};

/// The auditor's pause between two inquiries; it also limits reconnecting to a bank that is down.
const AUDIT_PAUSE: Duration = Duration::from_millis(1);
/// How many of the latest answers stay unacknowledged.
const KEPT: u64 = 8;

struct Prober<'a> {
    arena: &'a Arena,
    caller: Caller<'a>,
    random: Random,
    session: SessionId,
    owner: Owner,
    /// The next new number.
    next: u64,
    /// The command of each number, used or yet to be used.
    bound: BTreeMap<u64, Command>,
    /// The last request that was answered.
    last: Option<(u64, Command, Body)>,
}

/// Tests the rules until the run is over.
pub(in crate::prove) fn run(arena: &Arena, number: u32, seed: u64) {
    let mut seeds = Random::new(seed);
    while !arena.is_over() {
        let mut caller = Caller::new(arena, teller(number));
        let Some((Reply::Session(info), owner)) = caller.ask(&Ask::OpenSession, None) else { continue };
        let random = Random::new(seeds.next_u64());
        let mut prober = Prober { arena, caller, random, session: info.session, owner, next: 1, bound: BTreeMap::new(), last: None };
        for _ in 0..400 {
            if arena.is_over() || !prober.step() {
                break;
            }
        }
    }
}

/// Reads balances until the run is over; the checker compares each with the log.
pub(in crate::prove) fn audit(arena: &Arena, number: u32, seed: u64) {
    let mut random = Random::new(seed);
    let mut caller = Caller::new(arena, teller(number));
    while !arena.is_over() {
        read(arena, &mut caller, &mut random);
        thread::sleep(AUDIT_PAUSE);
    }
}

/// Reads a balance without retry: the recorded times must enclose this one inquiry.
fn read(arena: &Arena, caller: &mut Caller<'_>, random: &mut Random) {
    let account = any_account(random);
    let sent = arena.now();
    if let Some((Reply::Balance { balance, lsn }, _)) = caller.once(&Ask::Balance { account }, None) {
        arena.history.note(Event::Read(Read { account, sent, at: arena.now(), balance, lsn }));
    }
}

impl Prober<'_> {
    /// One test. Returns whether the session is still usable.
    fn step(&mut self) -> bool {
        match (self.random.below(9), self.last) {
            (0, Some(last)) => self.copy(last),
            (1, Some(last)) => self.other_command(last),
            (2, _) => self.number_ahead(),
            (3, _) => self.cancel_and_late_copy(),
            (4 | 5, _) => self.read(),
            _ => self.request(),
        }
    }

    /// A new request under the next number.
    fn request(&mut self) -> bool {
        let (number, command) = (self.next, self.command_of(self.next));
        let Some(body) = self.numbered(number, Some(command), true) else { return false };
        self.next += 1;
        self.last = Some((number, command, body));
        true
    }

    /// A copy of a request must get the same answer.
    fn copy(&mut self, (number, command, body): (u64, Command, Body)) -> bool {
        let Some(again) = self.numbered(number, Some(command), false) else { return false };
        if again != body {
            self.breach(number, format!("a copy was answered {again:?}, the first {body:?}"));
        }
        true
    }

    /// Another command under a used number must be refused.
    fn other_command(&mut self, (number, command, body): (u64, Command, Body)) -> bool {
        let amount = Amount::new(command.amount().get() + 1).unwrap_or_default();
        let other = Command::Deposit { account: any_account(&mut self.random), amount };
        match self.send(number, Some(other)) {
            Some(Reply::Refused(Refusal::Conflict)) => true,
            Some(Reply::Answer { body: again, .. }) if again == body && body.outcome == Outcome::Cancelled => true,
            Some(reply) => {
                self.breach(number, format!("it was {command:?}, and {other:?} under it was answered {reply:?}"));
                false
            }
            None => false,
        }
    }

    /// A number ahead of the next must be refused, and keeps its command.
    fn number_ahead(&mut self) -> bool {
        let number = self.next + 1 + self.random.below(3);
        let command = self.command_of(number);
        let sent = self.arena.now();
        let reply = self.send(number, Some(command));
        self.arena.history.note(Event::Write(Write { id: self.id(number), command: Some(command), sent: Some(sent), answered: None }));
        match reply {
            Some(Reply::Refused(Refusal::Gap { expected })) if expected == RequestNumber(self.next) => true,
            Some(reply) => {
                self.breach(number, format!("number {} comes next, and yet it was answered {reply:?}", self.next));
                false
            }
            None => false,
        }
    }

    /// A copy that arrives after the cancellation must be answered with the cancellation.
    fn cancel_and_late_copy(&mut self) -> bool {
        let (number, command) = (self.next, self.command_of(self.next));
        let Some(body) = self.numbered(number, None, true) else { return false };
        self.next += 1;
        self.last = Some((number, command, body));
        self.copy((number, command, body))
    }

    fn read(&mut self) -> bool {
        read(self.arena, &mut self.caller, &mut self.random);
        true
    }

    /// Sends a request, or a cancellation if there is no command, until it is answered.
    fn numbered(&mut self, number: u64, command: Option<Command>, is_first: bool) -> Option<Body> {
        let id = self.id(number);
        let sent = is_first.then(|| self.arena.now());
        let reply = self.send(number, command);
        let answered = match &reply {
            Some(Reply::Answer { number: told, body, replayed, receipt }) if *told == id.number => {
                Some(Answered { at: self.arena.now(), body: *body, replayed: *replayed, receipt: Some(*receipt) })
            }
            Some(reply) => {
                self.breach(number, format!("{} was refused for good: {reply:?}", command.map_or("a cancellation", |_| "a request")));
                None
            }
            None => None,
        };
        self.arena.history.note(Event::Write(Write { id, command, sent, answered }));
        if let Some(command) = command {
            self.arena.post(Posted { owner: self.owner, id, command });
        }
        answered.map(|answered| answered.body)
    }

    fn send(&mut self, number: u64, command: Option<Command>) -> Option<Reply> {
        let acked_below = RequestNumber(self.next.saturating_sub(KEPT).max(1).min(number));
        let number = RequestNumber(number);
        let ask = match command {
            Some(command) => Ask::Request { number, acked_below, command },
            None => Ask::Cancel { number, acked_below },
        };
        self.caller.ask(&ask, Some(self.session)).map(|(reply, _)| reply)
    }

    fn command_of(&mut self, number: u64) -> Command {
        let (random, owner) = (&mut self.random, self.owner);
        *self.bound.entry(number).or_insert_with(|| any_command(random, owner))
    }

    const fn id(&self, number: u64) -> RequestId {
        RequestId { session: self.session, number: RequestNumber(number) }
    }

    fn breach(&self, number: u64, what: String) {
        self.arena.history.note(Event::Breach { rule: "answer", request: Some(self.id(number)), what });
    }
}
