//! A customer or teller that uses [`Client`] and a journal: repeated runs of single and pipelined requests. Some runs are
//! abandoned with requests in flight; the next run resolves their outcomes by resending or cancelling.
//!
//! Left out: customers that are processes (`commander.rs`).

use std::path::Path;
use std::time::Duration;

use crate::client::{Answer, Client, ClientError, Fate, JournalError, Login, Request, Stopped};
use crate::env::sim::Random;
use crate::model::command::Command;
use crate::model::types::{Owner, RequestId, RequestNumber, SessionId};
use crate::prove::actors::arena::{Arena, Posted, any_account, any_command, count};
use crate::prove::check::history::{Answered, Event, Read, Write};

/// The client's timeout in milliseconds, drawn for each run: mostly too short for a bank that was just killed.
const PATIENCE: [u64; 4] = [25, 60, 300, 2000];
/// The most steps in a run.
const STEPS: u64 = 50;
/// The most requests in a pipelined step.
const MANY: u64 = 60;
/// The largest window of a pipelined step.
const WINDOW: usize = 24;

/// Sends requests until the run is over.
pub(in crate::prove) fn run(arena: &Arena, login: &Login, seed: u64) {
    let mut random = Random::new(seed);
    let mut journal = arena.new_journal("run", login);
    while !arena.is_over() {
        let patience = PATIENCE.get(random.index(PATIENCE.len())).copied().unwrap_or(1000);
        let mut client = Client::new(&arena.env, &arena.server, &journal, Duration::from_millis(patience));
        if let Ok(owner) = client.log_in(login.clone()) {
            one_run(arena, &mut client, owner, &mut random);
        }
        if arena.is_long(&journal) {
            // A session with unacknowledged replies is never evicted, and counts against the login's limit for good.
            resolve(arena, &mut client, &mut random);
            acknowledge(&mut client, &mut random);
            journal = arena.new_journal("run", login);
        }
    }
}

/// Resolves the unknown outcomes of a journal. Returns how many are still unknown.
pub(in crate::prove) fn settle(arena: &Arena, journal: &Path, login: &Login, patience: Duration, random: &mut Random) -> usize {
    let mut client = Client::new(&arena.env, &arena.server, journal, patience);
    let _ = client.log_in(login.clone());
    resolve(arena, &mut client, random)
}

fn one_run(arena: &Arena, client: &mut Client, owner: Owner, random: &mut Random) {
    if !random.one_in(3) {
        resolve(arena, client, random);
        acknowledge(client, random);
    }
    for _ in 0..=random.below(STEPS) {
        if arena.is_over() || !step(arena, client, owner, random) {
            return;
        }
    }
}

/// One request or balance inquiry. Returns whether the run continues.
fn step(arena: &Arena, client: &mut Client, owner: Owner, random: &mut Random) -> bool {
    if random.one_in(4) {
        let account = if let Owner::Customer(own) = owner { own } else { any_account(random) };
        let sent = arena.now();
        if let Ok((balance, lsn)) = client.balance(account) {
            arena.history.note(Event::Read(Read { account, sent, at: arena.now(), balance, lsn }));
        }
        return true;
    }
    if random.one_in(16) {
        return step_of_many(arena, client, owner, random);
    }
    let command = any_command(random, owner);
    let sent = arena.now();
    match client.execute(command) {
        Ok(answer) => {
            note(arena, Some(command), Some(sent), &answer);
            arena.post(Posted { owner, id: answer.request, command });
            true
        }
        Err(ClientError::OutcomeUnknown { request, .. }) => {
            arena.history.note(Event::Write(Write { id: request, command: Some(command), sent: Some(sent), answered: None }));
            arena.post(Posted { owner, id: request, command });
            if random.one_in(2) {
                count(&arena.deeds.runs_abandoned);
                return false;
            }
            end_doubt(arena, client, request, command, random);
            true
        }
        Err(ClientError::AskTheBank { request, .. }) => {
            arena.history.note(Event::Write(Write { id: request, command: Some(command), sent: Some(sent), answered: None }));
            false
        }
        Err(error) => {
            doubt_of_the_bank(arena, &error, None);
            false
        }
    }
}

/// Many pipelined requests. Returns whether the run continues.
fn step_of_many(arena: &Arena, client: &mut Client, owner: Owner, random: &mut Random) -> bool {
    let commands: Vec<Command> = (0..2 + random.below(MANY)).map(|_| any_command(random, owner)).collect();
    let window = 1 + random.index(WINDOW);
    let sent = arena.now();
    let mut undelivered = commands.iter();
    let ended = client.execute_all(&commands, window, &mut |answers| {
        // `answers` comes first: when it ends, `zip` takes no further item from `undelivered`.
        for (answer, command) in answers.iter().zip(undelivered.by_ref()) {
            note(arena, Some(*command), Some(sent), answer);
            count(&arena.deeds.in_windows);
        }
        true
    });
    let Err(Stopped { failure, rest }) = ended else { return true };
    for (command, fate) in undelivered.zip(rest) {
        match fate {
            Fate::Answered(answer) => note(arena, Some(*command), Some(sent), &answer),
            Fate::InDoubt(id) | Fate::AskTheBank(id) => {
                arena.history.note(Event::Write(Write { id, command: Some(*command), sent: Some(sent), answered: None }));
                arena.post(Posted { owner, id, command: *command });
            }
            Fate::NotExecuted(_) | Fate::NotSent(_) => {}
        }
    }
    doubt_of_the_bank(arena, &failure, None);
    if random.one_in(2) {
        count(&arena.deeds.runs_abandoned);
        return false;
    }
    resolve(arena, client, random);
    true
}

/// Resolves an unknown outcome by a resend or a cancellation, at random. Returns whether it is known now.
fn end_doubt(arena: &Arena, client: &mut Client, id: RequestId, command: Command, random: &mut Random) -> bool {
    let is_cancelled = random.one_in(2);
    let outcome = if is_cancelled { client.cancel(id) } else { client.request_again(id, command) };
    match outcome {
        Ok(answer) => {
            count(&arena.deeds.doubts_resolved);
            note(arena, (!is_cancelled).then_some(command), None, &answer);
            true
        }
        Err(error) => {
            doubt_of_the_bank(arena, &error, Some(id));
            false
        }
    }
}

fn resolve(arena: &Arena, client: &mut Client, random: &mut Random) -> usize {
    let deadline = client.deadline();
    let doubts: Vec<Request> = match client.journal().open(&deadline) {
        Ok(journal) => journal.in_doubt().cloned().collect(),
        Err(error) => {
            doubt_of_the_bank(arena, &ClientError::Journal(error), None);
            return 0;
        }
    };
    doubts.iter().filter(|doubt| !end_doubt(arena, client, doubt.intent.id, doubt.intent.command, random)).count()
}

/// Acknowledges the replies that the journal holds, and now and then closes an idle session.
fn acknowledge(client: &mut Client, random: &mut Random) {
    let Ok(sessions) = client.sessions() else { return };
    let deadline = client.deadline();
    let held: Vec<(SessionId, RequestNumber)> = match client.journal().open(&deadline) {
        Ok(journal) => sessions.iter().map(|info| (info.session, journal.acked_below(info.session))).collect(),
        Err(_) => return,
    };
    for (info, (session, below)) in sessions.iter().zip(held) {
        let is_idle = info.acked_below > info.last;
        // A session of another run of the same login may be idle for a moment only.
        if below > info.acked_below && client.acknowledge(session, below).is_err() {
            return;
        }
        if is_idle && below > RequestNumber(1) && random.one_in(4) {
            // No outcome depends on it, so a failure is ignored.
            let _ = client.close_session(session);
        }
    }
}

fn note(arena: &Arena, command: Option<Command>, sent: Option<Duration>, answer: &Answer) {
    let Answer { request: id, body, replayed, receipt, .. } = *answer;
    let answered = Answered { at: arena.now(), body, replayed, receipt: Some(receipt) };
    arena.history.note(Event::Write(Write { id, command, sent, answered: Some(answered) }));
}

/// Records a violation if a journal refuses a second answer that differs from the first: the bank has sent two.
fn doubt_of_the_bank(arena: &Arena, error: &ClientError, request: Option<RequestId>) {
    if let ClientError::Journal(JournalError::Damaged { why, .. }) = error {
        arena.history.note(Event::Breach {
            rule: "answer",
            request,
            what: format!("the client's journal refuses what the bank answered: {why}"),
        });
    }
}
