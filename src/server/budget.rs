//! The bounds of a turn, for each connection and for all together: questions, processor time, answer bytes; and the
//! memory that undecoded and unsent bytes take in all.
//!
//! Whoever has had its share waits for the next turn; the others go on. A share shrinks with the number of connections
//! that wait, so that each of them is served every turn. Memory is dealt out by what is free: a connection may hold a
//! fixed part of the rest, so that however many hold much, a newcomer finds room.
//! Left out: who waits, and in which order (`service.rs`).

use super::connection::Connection;
use crate::wire::frame;

/// Bytes of answer that a usual question is taken to need, frame included: at least the longest of them.
pub const ANSWER: usize = 96;
/// Questions in a turn that the batch does not bound: a quarter of a microsecond each.
const QUESTIONS: usize = 8192;
/// The fewest of them that a connection may ask in a turn.
const FEW_QUESTIONS: usize = 32;
/// New money requests of one connection in a turn, shared by all that wait.
const REQUESTS: usize = 16_384;
/// The fewest of them.
const FEW_REQUESTS: usize = 128;
/// Nanoseconds of long questions in a turn: utilities and lists.
const LONG: u64 = 2_000_000;
/// Bytes of answers that are made in a turn.
const ANSWERS: usize = 8 << 20;
/// Unsent bytes of one connection, with those that the turn's answers will add.
const OUTPUT_LIMIT: usize = 256 << 10;
/// Unsent bytes of all.
const OUTPUT_POOL: usize = 24 << 20;
/// Unsent bytes that a connection may always have.
const SMALL_OUTPUT: usize = 512;
/// Memory for output that is kept though everything is sent.
const OUTPUT_KEPT: usize = 8 << 20;
/// Undecoded bytes of one connection: two whole frames.
const INPUT_LIMIT: usize = 2 * (frame::HEADER + frame::MAX_PAYLOAD);
/// Undecoded bytes of all.
const INPUT_POOL: usize = 12 << 20;
/// Undecoded bytes that a connection may always have.
const SMALL_INPUT: usize = 1024;
/// The part of what is free that one connection may hold.
const PART: usize = 64;

/// What one connection has used of a turn.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spent {
    /// Which turn.
    turn: u64,
    questions: usize,
    requests: usize,
    long: u64,
    answers: usize,
}

/// What each connection may have of a turn.
#[derive(Clone, Copy, Debug, Default)]
struct Share {
    questions: usize,
    requests: usize,
    long: u64,
}

impl Share {
    /// The share of each connection where so many wait, and one more comes.
    fn of(waiting: usize) -> Self {
        let sharers = waiting.saturating_add(1);
        let (questions, requests) = (QUESTIONS / sharers, REQUESTS / sharers);
        Self {
            questions: questions.max(FEW_QUESTIONS),
            requests: requests.max(FEW_REQUESTS),
            long: LONG / u64::try_from(sharers).unwrap_or(u64::MAX),
        }
    }
}

/// What a connection has spent that was not served in this turn yet.
const NOTHING: Spent = Spent { turn: 0, questions: 0, requests: 0, long: 0, answers: 0 };

/// What is left of the turn and of the memory.
///
/// Invariants: `input` and `output` are the sums of the connections' memory, as last noted by [`Budget::note_memory`].
#[derive(Debug, Default)]
pub struct Budget {
    turn: u64,
    /// What a connection may have of it, by how many waited when the turn began.
    share: Share,
    questions: usize,
    long: u64,
    answers: usize,
    input: usize,
    output: usize,
}

impl Budget {
    /// A budget at its first turn.
    #[must_use]
    pub fn new() -> Self {
        Self { turn: 1, share: Share::of(0), questions: 0, long: 0, answers: 0, input: 0, output: 0 }
    }

    /// Begins a turn for which so many connections wait. Every answer of the last one is in its connection's output.
    pub fn begin_turn(&mut self, waiting: usize) {
        self.turn = self.turn.wrapping_add(1);
        self.share = Share::of(waiting);
        self.questions = 0;
        self.long = 0;
        self.answers = 0;
    }

    /// Whether the connection has been served in this turn.
    #[must_use]
    pub fn has_served(&self, connection: &Connection) -> bool {
        self.spent(connection).answers > 0
    }

    /// Whether one more usual question of the connection may be taken in this turn.
    #[must_use]
    pub fn has_question(&self, connection: &Connection) -> bool {
        self.questions < QUESTIONS && self.spent(connection).questions < self.share.questions && self.fits(connection, ANSWER)
    }

    /// How many new money requests of the connection may be taken in this turn.
    #[must_use]
    pub fn requests(&self, connection: &Connection) -> usize {
        let share = self.share.requests.saturating_sub(self.spent(connection).requests);
        let room = self.output_room(connection).min(ANSWERS.saturating_sub(self.answers));
        share.min(room / ANSWER)
    }

    /// Whether a run of so many commands may be taken in this turn. The first one always may, if its answer fits.
    #[must_use]
    pub fn has_run(&self, connection: &Connection, commands: usize) -> bool {
        let spent = self.spent(connection);
        spent.requests == 0 || spent.requests.saturating_add(commands) <= self.share.requests
    }

    /// Whether a long question may be taken in this turn, which takes so many nanoseconds. One of a connection always may,
    /// while there is anything left.
    #[must_use]
    pub fn has_long(&self, connection: &Connection, nanos: u64) -> bool {
        let own = self.spent(connection).long;
        // What is not the turn's first must fit what is left.
        let left = self.long == 0 || self.long.saturating_add(nanos) <= LONG;
        left && (own == 0 || own.saturating_add(nanos) <= self.share.long)
    }

    /// Whether an answer of so many bytes fits: the turn, the connection's limit and all memory.
    #[must_use]
    pub fn fits(&self, connection: &Connection, bytes: usize) -> bool {
        let is_first = self.own_output(connection) == 0;
        let turn = self.answers == 0 || self.answers.saturating_add(bytes) <= ANSWERS;
        // A single answer may be longer than a connection's part, but leaves room for others.
        turn && (bytes <= self.output_room(connection) || (is_first && bytes <= self.free_output() / 4))
    }

    /// How many bytes may be read from the connection now, by the memory for input.
    #[must_use]
    pub fn input_room(&self, connection: &Connection) -> usize {
        let free = INPUT_POOL.saturating_sub(self.input);
        (free / PART).clamp(SMALL_INPUT, INPUT_LIMIT).saturating_sub(connection.input_len())
    }

    /// Whether memory is so short that who holds it without going on has less time.
    #[must_use]
    pub const fn is_short(&self) -> bool {
        self.output > OUTPUT_POOL / 4 * 3 || self.input > INPUT_POOL / 4 * 3
    }

    /// Whether a connection may keep the memory of output that is sent.
    #[must_use]
    pub const fn keeps_output(&self) -> bool {
        self.output <= OUTPUT_KEPT
    }

    /// Takes usual questions out of the turn.
    pub fn charge_questions(&mut self, connection: &mut Connection, count: usize) {
        let spent = self.begin(connection);
        spent.questions = spent.questions.saturating_add(count);
        self.questions = self.questions.saturating_add(count);
    }

    /// Takes new money requests out of the turn.
    pub fn charge_requests(&mut self, connection: &mut Connection, count: usize) {
        let spent = self.begin(connection);
        spent.requests = spent.requests.saturating_add(count);
    }

    /// Takes a long question out of the turn.
    pub fn charge_long(&mut self, connection: &mut Connection, nanos: u64) {
        let spent = self.begin(connection);
        spent.long = spent.long.saturating_add(nanos);
        self.long = self.long.saturating_add(nanos);
    }

    /// Takes bytes of answers out of the turn.
    pub fn charge_answers(&mut self, connection: &mut Connection, bytes: usize) {
        let spent = self.begin(connection);
        spent.answers = spent.answers.saturating_add(bytes);
        self.answers = self.answers.saturating_add(bytes);
    }

    /// Notes how much memory the connection has now.
    #[inline]
    pub fn note_memory(&mut self, connection: &mut Connection) {
        let (input, output) = connection.memory();
        let (input_before, output_before) = std::mem::replace(&mut connection.noted_memory, (input, output));
        self.input = self.input.saturating_sub(input_before).saturating_add(input);
        self.output = self.output.saturating_sub(output_before).saturating_add(output);
    }

    /// Notes that the connection is gone.
    pub const fn forget_memory(&mut self, connection: &Connection) {
        let (input, output) = connection.noted_memory;
        self.input = self.input.saturating_sub(input);
        self.output = self.output.saturating_sub(output);
    }

    #[inline]
    fn spent<'a>(&self, connection: &'a Connection) -> &'a Spent {
        if connection.spent.turn == self.turn { &connection.spent } else { &NOTHING }
    }

    fn begin<'a>(&self, connection: &'a mut Connection) -> &'a mut Spent {
        if connection.spent.turn != self.turn {
            connection.spent = Spent { turn: self.turn, ..Spent::default() };
        }
        &mut connection.spent
    }

    fn own_output(&self, connection: &Connection) -> usize {
        connection.unsent_len().saturating_add(self.spent(connection).answers)
    }

    const fn free_output(&self) -> usize {
        OUTPUT_POOL.saturating_sub(self.output.saturating_add(self.answers))
    }

    fn output_room(&self, connection: &Connection) -> usize {
        (self.free_output() / PART).clamp(SMALL_OUTPUT, OUTPUT_LIMIT).saturating_sub(self.own_output(connection))
    }
}
