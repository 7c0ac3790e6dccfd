//! The service: bytes and the time in, bytes out. No sockets, so that a simulator can drive it and everything below.
//!
//! A turn is any number of [`Service::receive`], then one [`Service::finish_turn`], which commits the batch and answers
//! the list. Left out: admitting and answering requests (`turn.rs`, `requests/`, `lab/session.rs`), which are parts of
//! this type.

use std::time::Duration;

use rustc_hash::FxHashMap;
use slab::Slab;

use super::budget::{ANSWER, Budget};
use super::connection::{Connection, FrontEnd};
use super::deadlines::Deadlines;
use crate::engine::{Engine, Fatal, Query};
use crate::model::command::Command;
use crate::model::types::{Lsn, Owner};
use crate::server::lab::dialogue::Port;
use crate::server::lab::rules::LabRules;
use crate::server::lab::session::Lab;
use crate::server::turn::Item;
use crate::wal::InFlight;

/// A seal follows the last answer after this time.
const SEAL_DELAY: Duration = Duration::from_millis(100);
/// How often deadlines are checked, and writes that the disk had no room for are retried.
pub(super) const TICK: Duration = Duration::from_secs(1);

/// The kind of a connection's peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A client over TCP.
    Client,
    /// The operator, over the Unix socket, with its uid.
    Operator(u32),
    /// A client over TCP that speaks the lab's text.
    Lab(Port),
}

/// A connection by its slot; the generation distinguishes it from an earlier one in the same slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ConnectionId {
    pub slot: usize,
    pub generation: u32,
}

/// Whether a turn's answers may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Delivery {
    /// They may be sent.
    Flush,
    /// The batch is in flight: they wait for [`Service::finish_commit`].
    Withhold,
}

/// The daemon without its sockets.
///
/// Invariants: `turn` holds every request of the turn, in order of arrival, and as many logged ones as the engine's
/// open batch has entries; `live` maps a session to the one connection that has it.
pub struct Service {
    pub(super) engine: Engine,
    pub(super) connections: Slab<Connection>,
    pub(super) turn: Vec<Item>,
    /// The commands of the turn's runs, one run after the other.
    pub(super) run_commands: Vec<Command>,
    /// Those of consecutive single requests, during their admission.
    pub(super) following: Vec<Command>,
    pub(super) live: FxHashMap<Lsn, ConnectionId>,
    /// The batch has no more room: nothing further is decoded in this turn.
    pub(super) is_full: bool,
    pub(super) budget: Budget,
    pub(super) deadlines: Deadlines,
    pub(super) lab: Lab,
    /// The turn's questions for statements, until its batch is durable.
    pub(super) statement_asks: Vec<(ConnectionId, Query)>,
    /// Those that no thread answers.
    pub(super) unanswered_statements: Vec<ConnectionId>,
    /// Connections to write to.
    dirty: Vec<usize>,
    /// Connections with undecoded bytes.
    waiting: Vec<usize>,
    /// The same, of those that were served in this turn: `waiting` goes first.
    served: Vec<usize>,
    generation: u32,
    operators: usize,
    /// The last turn's commit, until it is confirmed.
    in_flight: Option<InFlight>,
    /// A commit that was begun is not confirmed: nothing may be sent. It stays so if a commit fails.
    is_withheld: bool,
    /// When a seal is due, if there is something to seal.
    seal_at: Duration,
}

impl Service {
    /// A service over an opened store.
    #[must_use]
    pub fn new(engine: Engine) -> Self {
        Self::with_lab(engine, LabRules::default())
    }

    /// A service over an opened store, with rules for the lab's dialogues.
    #[must_use]
    pub fn with_lab(engine: Engine, rules: LabRules) -> Self {
        Self {
            engine,
            connections: Slab::new(),
            turn: Vec::new(),
            run_commands: Vec::new(),
            following: Vec::new(),
            live: FxHashMap::default(),
            is_full: false,
            budget: Budget::new(),
            deadlines: Deadlines::default(),
            lab: Lab::new(rules),
            statement_asks: Vec::new(),
            unanswered_statements: Vec::new(),
            dirty: Vec::new(),
            waiting: Vec::new(),
            served: Vec::new(),
            generation: 0,
            operators: 0,
            in_flight: None,
            is_withheld: false,
            seal_at: Duration::ZERO,
        }
    }

    /// The engine, for reading.
    #[must_use]
    pub const fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Opens a connection; returns its slot, which names it from now on.
    pub fn open(&mut self, peer: Peer, now: Duration) -> usize {
        self.generation = self.generation.wrapping_add(1);
        // Only a lab dialogue sends first.
        let mut first_words = Vec::new();
        let (front_end, owner) = match peer {
            Peer::Client => (FrontEnd::Native, None),
            Peer::Operator(uid) => (FrontEnd::Native, Some(Owner::Operator(uid))),
            Peer::Lab(port) => (self.begin_dialogue(port, &mut first_words), None),
        };
        self.operators += usize::from(matches!(peer, Peer::Operator(_)));
        let mut connection = Connection::new(self.generation, front_end, owner, self.deadlines.ready_time(now));
        connection.output().append(&mut first_words);
        let is_speaking = !connection.unsent().is_empty();
        let slot = self.connections.insert(connection);
        if is_speaking {
            self.mark_dirty(slot);
        }
        slot
    }

    /// How many connections there are.
    #[must_use]
    pub fn connection_count(&self) -> usize {
        self.connections.len()
    }

    /// How many of them are the operator's.
    #[must_use]
    pub const fn operator_count(&self) -> usize {
        self.operators
    }

    /// Whether the loop should read more from that connection's socket in this turn.
    #[must_use]
    pub fn may_read(&self, slot: usize) -> bool {
        self.input_room(slot) > 0
    }

    /// How many bytes the loop should read from that connection's socket now.
    #[must_use]
    pub fn input_room(&self, slot: usize) -> usize {
        match self.connections.get(slot) {
            Some(connection) if !self.is_full && !connection.is_paused && self.may_go_on(connection) => self.budget.input_room(connection),
            _ => 0,
        }
    }

    /// Notes whether that connection's socket may hold unread bytes. Returns whether that was noted before.
    pub fn note_unread(&mut self, slot: usize, is_unread: bool) -> bool {
        self.connections.get_mut(slot).is_some_and(|connection| std::mem::replace(&mut connection.is_unread, is_unread))
    }

    /// Whether the connection's next request may be decoded, by its own state and its output.
    fn may_go_on(&self, connection: &Connection) -> bool {
        connection.may_decode() && self.budget.fits(connection, connection.needs.max(ANSWER))
    }

    /// Takes bytes that a connection sent.
    ///
    /// # Errors
    /// [`Fatal`], as [`Engine::new_tag`].
    pub fn receive(&mut self, slot: usize, bytes: &[u8], now: Duration) -> Result<(), Fatal> {
        let now = self.deadlines.ready_time(now);
        let Some(connection) = self.connections.get_mut(slot) else { return Ok(()) };
        connection.heard(now);
        if connection.input_len() == 0 && !connection.front_end.is_lab() {
            let consumed = self.decode(slot, bytes)?;
            if let (Some(connection), Some(rest)) = (self.connections.get_mut(slot), bytes.get(consumed..)) {
                connection.keep_rest(rest, now);
            }
        } else {
            let (mut input, mut decoded) = connection.take_input();
            connection.join(&mut input, &mut decoded, bytes);
            self.decode_kept(slot, input, decoded, now)?;
        }
        self.note_undecoded(slot);
        Ok(())
    }

    /// Notes that a connection sends no more. What it has sent is still answered.
    pub fn end_of_input(&mut self, slot: usize) {
        if let Some(connection) = self.connections.get_mut(slot) {
            if connection.end_by_end() {
                self.wait(slot);
            }
            self.mark_dirty(slot);
        }
    }

    /// Begins a turn: goes on with bytes that an earlier one left undecoded.
    ///
    /// # Errors
    /// [`Fatal`], as [`Service::receive`].
    pub fn resume(&mut self, now: Duration) -> Result<(), Fatal> {
        self.is_busy(now);
        self.lab.begin_turn(now);
        self.close_abandoned(now);
        if self.waiting.is_empty() && self.served.is_empty() {
            return Ok(());
        }
        let now = self.deadlines.ready_time(now);
        let mut waiting = std::mem::take(&mut self.waiting);
        let mut served = std::mem::take(&mut self.served);
        for slot in waiting.drain(..).chain(served.drain(..)) {
            let Some(connection) = self.connections.get_mut(slot).filter(|connection| connection.is_waiting) else { continue };
            connection.is_waiting = false;
            connection.is_paused = false;
            if connection.may_decode() && !self.is_full {
                let (input, decoded) = connection.take_input();
                self.decode_kept(slot, input, decoded, now)?;
            }
            self.note_undecoded(slot);
        }
        // Reuse their memory.
        if self.waiting.is_empty() {
            self.waiting = waiting;
        }
        if self.served.is_empty() {
            self.served = served;
        }
        Ok(())
    }

    /// Whether [`Service::resume`] has anything to do.
    #[must_use]
    pub fn has_waiting(&self) -> bool {
        let mut slots = self.waiting.iter().chain(&self.served);
        slots.any(|slot| self.connections.get(*slot).is_some_and(|connection| self.may_go_on(connection)))
    }

    /// Whether this turn's list has any request.
    #[must_use]
    pub const fn has_work(&self) -> bool {
        !self.turn.is_empty()
    }

    /// Whether the batch is full: nothing more should be read before it is committed.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.is_full
    }

    /// Ends the turn: commits the batch, applies it and answers every request in order. A large batch may then still be
    /// in flight: its answers are withheld until [`Service::finish_commit`], and the next turn may begin before that.
    ///
    /// # Errors
    /// [`Fatal`]: the process must end; no reply of this turn may leave.
    pub fn finish_turn(&mut self, now: Duration) -> Result<Delivery, Fatal> {
        if self.in_flight.is_some() {
            return Err(Fatal::Broken("a turn ends while the commit of the one before is in flight"));
        }
        self.end_silences();
        // `is_full` without an item means that the log has failed; `begin_commit` returns its error.
        if !self.turn.is_empty() || self.is_full {
            self.is_withheld = true;
            let commit = self.engine.begin_commit()?;
            // The batch may be in flight; no answer leaves before it is durable.
            self.answer_all(self.deadlines.ready_time(now))?;
            self.in_flight = Some(commit);
            self.seal_at = now.saturating_add(SEAL_DELAY);
        } else if now >= self.seal_at && self.engine.needs_seal() {
            self.engine.seal()?;
            // If the seal is still due then, the disk has no room for it.
            self.seal_at = now.saturating_add(TICK);
        }
        self.is_full = false;
        self.budget.begin_turn(self.waiting.len().saturating_add(self.served.len()));
        self.close_overdue(now);
        if self.in_flight.as_ref().is_some_and(|commit| !commit.is_durable()) {
            return Ok(Delivery::Withhold);
        }
        self.finish_commit()?;
        Ok(Delivery::Flush)
    }

    /// Whether the last turn's batch is in flight, so that nothing may be sent.
    #[must_use]
    pub const fn is_in_flight(&self) -> bool {
        self.in_flight.is_some()
    }

    /// Waits until the last turn's batch is durable, if it is in flight.
    ///
    /// # Errors
    /// [`Fatal`]: the process must end; no reply of that turn may leave.
    pub fn finish_commit(&mut self) -> Result<(), Fatal> {
        if let Some(commit) = self.in_flight.take() {
            self.engine.finish_commit(commit)?;
            self.is_withheld = false;
            self.ask_for_statements();
        }
        Ok(())
    }

    /// Seals the log.
    ///
    /// # Errors
    /// [`Fatal`], as [`Engine::seal`].
    pub fn seal(&mut self) -> Result<(), Fatal> {
        self.engine.seal()
    }

    /// Ends cleanly: closes the sessions that end with their connections, seals the log and writes its end to the
    /// manifest. Nothing can be served afterwards.
    ///
    /// # Errors
    /// [`Fatal`], as [`Engine::seal`].
    pub fn end(&mut self, now: Duration) -> Result<(), Fatal> {
        self.end_dialogues(now)?;
        self.engine.close()
    }

    /// How long the loop may sleep if nothing arrives.
    #[must_use]
    pub fn patience(&self, now: Duration) -> Option<Duration> {
        if self.has_waiting() || self.has_statements() {
            return Some(Duration::ZERO);
        }
        let seal = self.engine.needs_seal().then(|| self.seal_at.saturating_sub(now));
        let tick = (!self.connections.is_empty()).then(|| self.deadlines.patience(now));
        [seal, tick, self.lab.patience(now)].into_iter().flatten().min()
    }

    /// The connections to write to, or to drop if they are finished. The caller returns the list by
    /// [`Service::give_back_dirty`].
    #[must_use]
    pub fn take_dirty(&mut self) -> Vec<usize> {
        for slot in &self.dirty {
            if let Some(connection) = self.connections.get_mut(*slot) {
                connection.is_dirty = false;
            }
        }
        std::mem::take(&mut self.dirty)
    }

    /// Takes back the list of [`Service::take_dirty`], to reuse its memory.
    pub fn give_back_dirty(&mut self, mut list: Vec<usize>) {
        list.clear();
        if self.dirty.is_empty() {
            self.dirty = list;
        }
    }

    /// The bytes that may be written to a connection's socket now.
    #[must_use]
    pub fn unsent(&self, slot: usize) -> &[u8] {
        if self.is_withheld {
            return &[];
        }
        self.connections.get(slot).map(Connection::unsent).unwrap_or_default()
    }

    /// Notes that a connection's socket took this many bytes.
    pub fn wrote(&mut self, slot: usize, count: usize, now: Duration) {
        let now = self.deadlines.ready_time(now);
        if let Some(connection) = self.connections.get_mut(slot) {
            connection.wrote(count, self.budget.keeps_output(), now);
            self.budget.note_memory(connection);
        }
    }

    /// Whether a connection can be dropped: everything is decoded and sent, and one side has ended it.
    #[must_use]
    pub fn is_finished(&self, slot: usize) -> bool {
        self.connections.get(slot).is_none_or(Connection::is_finished)
    }

    /// Drops a connection. Its requests of this turn are still executed; their answers are dropped.
    pub fn close(&mut self, slot: usize) {
        if let Some(connection) = self.connections.try_remove(slot) {
            let id = ConnectionId { slot, generation: connection.generation };
            self.budget.forget_memory(&connection);
            self.operators = self.operators.saturating_sub(usize::from(matches!(connection.owner, Some(Owner::Operator(_)))));
            if let Some(session) = connection.session
                && self.live.get(&session) == Some(&id)
            {
                self.live.remove(&session);
                if let Some(owner) = connection.owner.filter(|_| connection.front_end.is_lab()) {
                    self.abandon(id, owner, session);
                }
            }
        }
    }

    pub(super) fn connection(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        self.connections.get_mut(id.slot).filter(|connection| connection.generation == id.generation)
    }

    /// Lists a request; its connection is not finished until it is answered.
    pub(super) fn list(&mut self, id: ConnectionId, item: Item) {
        self.list_many(id, item, 1);
    }

    /// Lists `count` requests in one item, each charged with a usual answer.
    pub(super) fn list_many(&mut self, id: ConnectionId, item: Item, count: usize) {
        if let Some(connection) = self.connections.get_mut(id.slot).filter(|connection| connection.generation == id.generation) {
            connection.unanswered = connection.unanswered.saturating_add(count);
            self.budget.charge_answers(connection, count.saturating_mul(ANSWER));
            match &item {
                Item::Requests { .. } => self.budget.charge_requests(connection, count),
                _ => self.budget.charge_questions(connection, count),
            }
        }
        self.turn.push(item);
    }

    /// Puts a connection on the list of [`Service::take_dirty`].
    pub fn mark_dirty(&mut self, slot: usize) {
        let Some(connection) = self.connections.get_mut(slot) else { return };
        self.budget.note_memory(connection);
        if !connection.is_dirty {
            connection.is_dirty = true;
            self.dirty.push(slot);
        }
    }

    /// Decodes `input` from `decoded` on, and keeps the rest.
    fn decode_kept(&mut self, slot: usize, input: Vec<u8>, decoded: usize, now: Duration) -> Result<(), Fatal> {
        let is_lab = self.connections.get(slot).is_some_and(|connection| connection.front_end.is_lab());
        let rest = input.get(decoded..).unwrap_or_default();
        let consumed = if is_lab { self.converse(slot, rest, now)? } else { self.decode(slot, rest)? };
        if let Some(connection) = self.connections.get_mut(slot) {
            connection.keep(input, decoded.saturating_add(consumed), consumed > 0, now);
        }
        Ok(())
    }

    /// Lists a connection as waiting if its undecoded bytes may hold a whole request for the next turn.
    fn note_undecoded(&mut self, slot: usize) {
        let Some(connection) = self.connections.get_mut(slot) else { return };
        self.budget.note_memory(connection);
        connection.is_paused &= connection.has_more();
        if connection.has_more() && (self.is_full || connection.is_paused || !connection.may_decode()) {
            self.wait(slot);
        }
    }

    /// Pauses the connection until a turn has room for an answer of `needs` bytes.
    pub(super) fn pause(&mut self, slot: usize, needs: usize) {
        if let Some(connection) = self.connections.get_mut(slot) {
            connection.is_paused = true;
            connection.needs = needs;
        }
    }

    /// Lists a connection for [`Service::resume`].
    pub(super) fn wait(&mut self, slot: usize) {
        let Some(connection) = self.connections.get_mut(slot).filter(|connection| !connection.is_waiting) else { return };
        connection.is_waiting = true;
        if self.budget.has_served(connection) {
            self.served.push(slot);
        } else {
            self.waiting.push(slot);
        }
    }
}
