//! Lab dialogues in the turn: their messages become requests like those of any client, one at a time, and no session
//! outlives its connection.
//!
//! Left out: the wording (`dialogue.rs`, `text.rs`), admitting and answering requests (`turn.rs`, `requests/`).

use std::collections::BTreeSet;
use std::time::Duration;

use crate::engine::{Admission, Fatal};
use crate::model::types::{Lsn, Owner};
use crate::server::budget::ANSWER;
use crate::server::connection::{Connection, FrontEnd};
use crate::server::lab::dialogue::{Dialogue, Heard, Port, Terms};
use crate::server::lab::rules::{Chance, LabRules};
use crate::server::service::{ConnectionId, Service, TICK};
use crate::server::turn::{Admitted, Item, Logged};
use crate::wal::Full;
use crate::wire::message::Reply;

/// A client that has never ended a line ends its message by sending nothing for this long.
const SILENCE: Duration = Duration::from_millis(100);

/// The state that all dialogues share.
pub(in crate::server) struct Lab {
    rules: LabRules,
    chance: Chance,
    /// Sessions whose connections are gone: each is closed as soon as a batch has room.
    abandoned: Vec<Abandoned>,
    /// Closing them is not tried again before this time.
    retry_at: Duration,
    /// When the turn began: what had arrived by then is read in this turn.
    turn_began: Duration,
    /// When clients with an incomplete message count as silent, with their slots. An element counts only if its
    /// dialogue has noted the same time.
    silences: BTreeSet<(Duration, usize)>,
}

struct Abandoned {
    /// The connection that is gone.
    id: ConnectionId,
    owner: Owner,
    session: Lsn,
}

impl Lab {
    pub(in crate::server) const fn new(rules: LabRules) -> Self {
        Self {
            rules,
            chance: Chance::new(&rules),
            abandoned: Vec::new(),
            retry_at: Duration::ZERO,
            turn_began: Duration::ZERO,
            silences: BTreeSet::new(),
        }
    }

    /// How long abandoned sessions and silent clients can wait; none if there are none.
    pub(in crate::server) fn patience(&self, now: Duration) -> Option<Duration> {
        let retry = (!self.abandoned.is_empty()).then_some(self.retry_at);
        let silence = self.silences.first().map(|(at, _)| *at);
        [retry, silence].into_iter().flatten().min().map(|at| at.saturating_sub(now))
    }

    /// Notes that a turn begins.
    pub(in crate::server) const fn begin_turn(&mut self, now: Duration) {
        self.turn_began = now;
    }

    /// Starts, or restarts, the wait for the rest of a message.
    fn await_rest(&mut self, slot: usize, dialogue: &mut Dialogue) {
        let at = self.turn_began.saturating_add(SILENCE);
        if let Some(before) = dialogue.note_silence(at) {
            self.silences.remove(&(before, slot));
        }
        self.silences.insert((at, slot));
    }
}

impl Service {
    /// Begins a dialogue; its first words are appended to `out`.
    pub(in crate::server) fn begin_dialogue(&self, port: Port, out: &mut Vec<u8>) -> FrontEnd {
        let terms = Terms { decimals: self.engine.bank().decimals(), max_transactions: self.lab.rules.max_transactions };
        FrontEnd::Lab(Box::new(Dialogue::start(port, terms, out)))
    }

    /// Handles messages at the front of `bytes` until one becomes a request; returns how many bytes they took.
    ///
    /// # Errors
    /// [`Fatal`], as `Engine::new_tag`, and [`Fatal::Broken`].
    pub(in crate::server) fn converse(&mut self, slot: usize, bytes: &[u8], now: Duration) -> Result<usize, Fatal> {
        let mut consumed = 0;
        while !self.is_full {
            let Some(connection) = self.connections.get_mut(slot).filter(|connection| connection.may_decode()) else { break };
            if !self.budget.has_question(connection) {
                self.pause(slot, ANSWER);
                break;
            }
            let id = ConnectionId { slot, generation: connection.generation };
            connection.began_output(now);
            let Some((dialogue, out)) = connection.dialogue() else { break };
            let (taken, heard) = dialogue.next(bytes.get(consumed..).unwrap_or_default(), &mut self.lab.chance, out)?;
            let question = dialogue.question().cloned();
            consumed = consumed.saturating_add(taken);
            match (heard, question) {
                (Heard::Nothing, _) => {
                    if consumed < bytes.len() && dialogue.is_undecided() {
                        self.lab.await_rest(slot, dialogue);
                    }
                    break;
                }
                (Heard::Question, Some(question)) => match self.admit(id, question)? {
                    Admitted::Yes => self.is_asked(id)?,
                    Admitted::NextTurn => self.is_full = true,
                    Admitted::Later(needs) => {
                        self.pause(slot, needs);
                        break;
                    }
                },
                (Heard::Answered, _) => {
                    self.budget.charge_questions(connection, 1);
                    self.mark_dirty(slot);
                }
                (Heard::Question, None) => return Err(Fatal::Broken("a dialogue asks without a question")),
                (Heard::Over, _) => {
                    connection.is_closing = true;
                    self.mark_dirty(slot);
                }
            }
        }
        Ok(consumed)
    }

    /// Notes that the request is in the turn's list: nothing is read before it is answered.
    fn is_asked(&mut self, id: ConnectionId) -> Result<(), Fatal> {
        let Some(connection) = self.connection(id) else { return Ok(()) };
        connection.is_blocked = true;
        connection.dialogue().map_or(Ok(()), |(dialogue, _)| dialogue.asked())
    }

    /// Ends the messages of clients that are silent. What had arrived when the turn began is read by now, or is noted
    /// as unread, so the bank's own delays do not count as silence.
    pub(in crate::server) fn end_silences(&mut self) {
        while let Some((at, slot)) = self.lab.silences.pop_first() {
            if at > self.lab.turn_began {
                self.lab.silences.insert((at, slot));
                return;
            }
            let Some(connection) = self.connections.get_mut(slot) else { continue };
            let is_unread = connection.is_unread;
            if is_unread
                && let Some((dialogue, _)) = connection.dialogue()
                && dialogue.is_undecided()
            {
                self.lab.await_rest(slot, dialogue);
            } else if connection.end_by_silence(at) {
                self.wait(slot);
            }
        }
    }

    /// Puts a reply into words. A request that follows from it waits for the next turn, since the batch is closed.
    ///
    /// # Errors
    /// [`Fatal::Broken`], as [`Dialogue::reply`].
    pub(in crate::server) fn say(&mut self, id: ConnectionId, reply: &Reply) -> Result<(), Fatal> {
        let Some(connection) = self.connection(id) else { return Ok(()) };
        let Some((dialogue, out)) = connection.dialogue() else { return Ok(()) };
        let is_over = dialogue.reply(reply, out)?;
        let has_question = dialogue.question().is_some();
        connection.is_blocked = false;
        connection.is_closing |= is_over;
        if has_question {
            self.wait(id.slot);
        }
        Ok(())
    }

    /// Notes a session whose connection is gone.
    pub(in crate::server) fn abandon(&mut self, id: ConnectionId, owner: Owner, session: Lsn) {
        self.lab.abandoned.push(Abandoned { id, owner, session });
    }

    /// Notes a session that was opened for a connection that is gone.
    pub(in crate::server) fn abandon_opened(&mut self, id: ConnectionId, session: Lsn) {
        if let Some(view) = self.engine.bank().session(session) {
            self.abandon(id, view.owner, session);
        }
    }

    /// Puts the closing of abandoned sessions into the batch, as many as fit.
    pub(in crate::server) fn close_abandoned(&mut self, now: Duration) {
        if self.lab.retry_at > now {
            return;
        }
        while let Some(Abandoned { id, owner, session }) = self.lab.abandoned.pop() {
            match self.engine.submit_close(owner, session) {
                Ok(Admission::Logged) => self.list(id, Item::Logged { id, logged: Logged::Close(session) }),
                // Closed already, by the owner or the operator.
                Ok(Admission::Listed) => {}
                Err(full) => {
                    self.lab.abandoned.push(Abandoned { id, owner, session });
                    match full {
                        Full::Batch => self.is_full = true,
                        Full::NoSpace => self.lab.retry_at = now.saturating_add(TICK),
                    }
                    return;
                }
            }
        }
    }

    /// Ends all dialogues and closes their sessions before the daemon ends, as far as the disk has room.
    ///
    /// # Errors
    /// [`Fatal`], as [`Service::finish_turn`].
    pub(in crate::server) fn end_dialogues(&mut self, now: Duration) -> Result<(), Fatal> {
        let is_lab = |(_, connection): &(usize, &Connection)| connection.front_end.is_lab();
        let slots: Vec<usize> = self.connections.iter().filter(is_lab).map(|(slot, _)| slot).collect();
        for slot in slots {
            self.close(slot);
        }
        self.lab.retry_at = Duration::ZERO;
        while !self.lab.abandoned.is_empty() && self.lab.retry_at <= now {
            self.close_abandoned(now);
            let _ = self.finish_turn(now)?;
            self.finish_commit()?;
        }
        Ok(())
    }
}
