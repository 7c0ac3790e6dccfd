//! The turn: bytes and the time in, bytes out. No sockets, so that a simulator can drive it and everything below.
//!
//! A turn is any number of [`Service::receive`], then one [`Service::finish_turn`]: it commits the batch and walks the
//! list. Left out: judging what arrives (`arrival.rs`, `conversation.rs`) and answering it (`walk.rs`), which are parts of this
//! type.

use std::time::Duration;

use rustc_hash::FxHashMap;
use slab::Slab;

use super::connection::{Connection, FrontEnd};
use super::conversation::Lab;
use super::lab::Port;
use super::lab_rules::LabRules;
use super::walk::Item;
use crate::command::Command;
use crate::engine::{Engine, Fatal};
use crate::types::{Lsn, Owner};

/// A seal follows the last answer after this long.
const SEAL_DELAY: Duration = Duration::from_millis(100);
/// How often deadlines are looked at, and what the disk had no room for is tried again.
pub(super) const TICK: Duration = Duration::from_secs(1);

/// What kind of peer a connection has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// Anybody, over TCP.
    Client,
    /// The operator, over the Unix socket, with its uid.
    Operator(u32),
    /// Anybody, over TCP, who speaks the lab's text.
    Lab(Port),
}

/// A connection by its slot, told from an earlier one in the same slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ConnectionId {
    pub slot: usize,
    pub generation: u32,
}

/// The daemon without its sockets.
///
/// Invariants: `turn` holds every question, in order of arrival, and as many logged ones as the engine's open batch has
/// entries; `live` maps a session to the one connection that has it.
pub struct Service {
    pub(super) engine: Engine,
    pub(super) connections: Slab<Connection>,
    pub(super) turn: Vec<Item>,
    /// The commands of the turn's runs, one run after the other.
    pub(super) run_commands: Vec<Command>,
    /// Those of single requests that follow each other, while they are judged.
    pub(super) following: Vec<Command>,
    pub(super) live: FxHashMap<Lsn, ConnectionId>,
    /// The batch took no more: nothing further is decoded in this turn.
    pub(super) is_full: bool,
    /// Primality questions in this turn: each may take a millisecond.
    pub(super) primes: usize,
    pub(super) lab: Lab,
    /// Connections to write to.
    dirty: Vec<usize>,
    /// Connections with bytes that were read but not decoded.
    waiting: Vec<usize>,
    generation: u32,
    last_answer: Duration,
    next_tick: Duration,
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
            primes: 0,
            lab: Lab::new(rules),
            dirty: Vec::new(),
            waiting: Vec::new(),
            generation: 0,
            last_answer: Duration::ZERO,
            next_tick: Duration::ZERO,
        }
    }

    /// The engine below, to look at.
    #[must_use]
    pub const fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Takes a new connection and gives the slot by which it is called from now on.
    pub fn open(&mut self, peer: Peer, now: Duration) -> usize {
        self.generation = self.generation.wrapping_add(1);
        // Only a dialogue begins with words from here.
        let mut first_words = Vec::new();
        let (front_end, owner) = match peer {
            Peer::Client => (FrontEnd::Native, None),
            Peer::Operator(uid) => (FrontEnd::Native, Some(Owner::Operator(uid))),
            Peer::Lab(port) => (self.begin_dialogue(port, &mut first_words), None),
        };
        let mut connection = Connection::new(self.generation, front_end, owner, now);
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

    /// Whether more should be read from that connection's socket in this turn.
    #[must_use]
    pub fn may_read(&self, slot: usize) -> bool {
        !self.is_full && self.connections.get(slot).is_some_and(Connection::may_read)
    }

    /// Takes bytes that a connection sent.
    ///
    /// # Errors
    /// [`Fatal`], as [`Engine::new_tag`].
    pub fn receive(&mut self, slot: usize, bytes: &[u8], now: Duration) -> Result<(), Fatal> {
        let Some(connection) = self.connections.get_mut(slot) else { return Ok(()) };
        connection.heard(now);
        if connection.input_len() == 0 && !connection.front_end.is_lab() {
            let consumed = self.decode(slot, bytes)?;
            if let (Some(connection), Some(rest)) = (self.connections.get_mut(slot), bytes.get(consumed..)) {
                connection.keep_rest(rest, now);
            }
        } else {
            let mut input = connection.take_input();
            connection.join(&mut input, bytes);
            self.decode_kept(slot, input, now)?;
        }
        self.note_waiting(slot);
        Ok(())
    }

    /// Notes that a connection sends no more. What it sent is still answered.
    pub fn end_of_input(&mut self, slot: usize) {
        if let Some(connection) = self.connections.get_mut(slot) {
            connection.is_at_end = true;
            self.mark_dirty(slot);
        }
    }

    /// Begins a turn: goes on with what an earlier one left undone.
    ///
    /// # Errors
    /// [`Fatal`], as [`Service::receive`].
    pub fn resume(&mut self, now: Duration) -> Result<(), Fatal> {
        self.close_abandoned(now);
        let mut waiting = std::mem::take(&mut self.waiting);
        for slot in waiting.drain(..) {
            let Some(connection) = self.connections.get_mut(slot).filter(|connection| connection.is_waiting) else { continue };
            connection.is_waiting = false;
            if connection.may_decode() && !self.is_full {
                let input = connection.take_input();
                self.decode_kept(slot, input, now)?;
            }
            self.note_waiting(slot);
        }
        if self.waiting.is_empty() {
            self.waiting = waiting;
        }
        Ok(())
    }

    /// Whether [`Service::resume`] has something to go on with.
    #[must_use]
    pub fn has_waiting(&self) -> bool {
        self.waiting.iter().any(|slot| self.connections.get(*slot).is_some_and(Connection::may_decode))
    }

    /// Whether anything arrived in this turn.
    #[must_use]
    pub const fn has_work(&self) -> bool {
        !self.turn.is_empty()
    }

    /// Whether the batch is full, so that nothing more should be read before it is committed.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.is_full
    }

    /// Ends the turn: commits the batch, and applies and answers everything in its place. A large batch is then still
    /// under way to the disk: its answers are withheld until [`Service::end_commit`], and the next turn may begin before.
    ///
    /// # Errors
    /// [`Fatal`]: the process must end; no reply of this turn may leave.
    pub fn finish_turn(&mut self, now: Duration) -> Result<(), Fatal> {
        // A batch that takes nothing though it is empty is a log that has failed: the commit tells.
        if !self.turn.is_empty() || self.is_full {
            self.engine.begin_commit()?;
            // The answers are made beside the disk; none leaves before it is done.
            self.walk(now)?;
            self.last_answer = now;
        } else if self.engine.needs_seal() && now.saturating_sub(self.last_answer) >= SEAL_DELAY {
            self.engine.seal()?;
        }
        self.is_full = false;
        self.primes = 0;
        if now >= self.next_tick {
            self.next_tick = now.saturating_add(TICK);
            self.close_overdue(now);
        }
        Ok(())
    }

    /// Whether a batch is under way to the disk, and so nothing may leave.
    #[must_use]
    pub const fn is_under_way(&self) -> bool {
        self.engine.is_under_way()
    }

    /// Waits until the last turn's batch is durable.
    ///
    /// # Errors
    /// [`Fatal`]: the process must end; no reply of that turn may leave.
    pub fn end_commit(&mut self) -> Result<(), Fatal> {
        self.engine.end_commit()
    }

    /// Seals the log.
    ///
    /// # Errors
    /// [`Fatal`], as [`Engine::seal`].
    pub fn seal(&mut self) -> Result<(), Fatal> {
        self.engine.seal()
    }

    /// Ends cleanly: closes the sessions that end with their connections, seals the log and names its end. Nothing can be
    /// served afterwards.
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
        if self.has_waiting() {
            return Some(Duration::ZERO);
        }
        let seal = self.engine.needs_seal().then(|| self.last_answer.saturating_add(SEAL_DELAY).saturating_sub(now));
        let tick = (!self.connections.is_empty()).then(|| self.next_tick.saturating_sub(now));
        [seal, tick, self.lab.patience(now)].into_iter().flatten().min()
    }

    /// The connections to write to, or to drop if they are finished. The caller gives the list back by
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

    /// Gives back the list that [`Service::take_dirty`] gave, so that its memory is used again.
    pub fn give_back_dirty(&mut self, mut list: Vec<usize>) {
        list.clear();
        if self.dirty.is_empty() {
            self.dirty = list;
        }
    }

    /// What may be written to a connection's socket now.
    #[must_use]
    pub fn unsent(&self, slot: usize) -> &[u8] {
        if self.is_under_way() {
            return &[];
        }
        self.connections.get(slot).map(Connection::unsent).unwrap_or_default()
    }

    /// Notes that a connection's socket took this many bytes.
    pub fn wrote(&mut self, slot: usize, count: usize, now: Duration) {
        if let Some(connection) = self.connections.get_mut(slot) {
            connection.wrote(count, now);
        }
    }

    /// Whether a connection is done with: everything decoded, everything sent, and one side has ended it.
    #[must_use]
    pub fn is_finished(&self, slot: usize) -> bool {
        self.connections.get(slot).is_none_or(Connection::is_finished)
    }

    /// Drops a connection. What it asked in this turn is still executed; nobody hears the answer.
    pub fn close(&mut self, slot: usize) {
        if let Some(connection) = self.connections.try_remove(slot) {
            let id = ConnectionId { slot, generation: connection.generation };
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

    /// Lists a question; its connection lives on until it is answered.
    pub(super) fn list(&mut self, id: ConnectionId, item: Item) {
        self.list_many(id, item, 1);
    }

    /// Lists so many questions in one item.
    pub(super) fn list_many(&mut self, id: ConnectionId, item: Item, count: usize) {
        if let Some(connection) = self.connection(id) {
            connection.unanswered = connection.unanswered.saturating_add(count);
        }
        self.turn.push(item);
    }

    /// Puts a connection on the list that [`Service::take_dirty`] gives.
    pub fn mark_dirty(&mut self, slot: usize) {
        if let Some(connection) = self.connections.get_mut(slot)
            && !connection.is_dirty
        {
            connection.is_dirty = true;
            self.dirty.push(slot);
        }
    }

    fn decode_kept(&mut self, slot: usize, input: Vec<u8>, now: Duration) -> Result<(), Fatal> {
        let is_lab = self.connections.get(slot).is_some_and(|connection| connection.front_end.is_lab());
        let consumed = if is_lab { self.converse(slot, &input, now)? } else { self.decode(slot, &input)? };
        if let Some(connection) = self.connections.get_mut(slot) {
            connection.keep(input, consumed, now);
        }
        Ok(())
    }

    /// Remembers a connection whose undecoded bytes may hold a whole question that waits for the next turn.
    fn note_waiting(&mut self, slot: usize) {
        let is_full = self.is_full;
        if let Some(connection) = self.connections.get(slot)
            && connection.has_more()
            && (is_full || !connection.may_decode())
        {
            self.wait(slot);
        }
    }

    /// Remembers a connection for [`Service::resume`].
    pub(super) fn wait(&mut self, slot: usize) {
        if let Some(connection) = self.connections.get_mut(slot)
            && !connection.is_waiting
        {
            connection.is_waiting = true;
            self.waiting.push(slot);
        }
    }

    fn close_overdue(&mut self, now: Duration) {
        let mut overdue = Vec::new();
        for (slot, connection) in &mut self.connections {
            if let Some(why) = connection.overdue(now) {
                log::debug!("closing a connection: {why}");
                connection.is_closing = true;
                connection.wrote(usize::MAX, now);
                overdue.push(slot);
            }
        }
        for slot in overdue {
            self.mark_dirty(slot);
        }
    }
}
