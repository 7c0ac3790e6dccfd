//! The limits of a turn, per connection and in all: requests, processor time, answer bytes; and the memory for
//! undecoded and unsent bytes.
//!
//! A connection that has used its share waits for the next turn; the others go on. A share shrinks with the number of
//! waiting connections, so that each of them is served every turn. A connection may hold a fixed part of the free
//! memory, so that a new one always finds room, however much the others hold.
//! Left out: which connections wait, and in which order (`service.rs`).

use super::connection::Connection;
use super::spent::Spent;
use crate::wire::frame;

/// Bytes that a usual answer is counted as, frame included: at least the longest of them.
pub const ANSWER: usize = 96;
/// Requests in a turn that the batch does not bound: a quarter of a microsecond each.
const QUESTIONS: usize = 8192;
/// The smallest share of them.
const FEW_QUESTIONS: usize = 32;
/// New money requests of one connection in a turn, shared by all that wait.
const REQUESTS: usize = 16_384;
/// The smallest share of them.
const FEW_REQUESTS: usize = 128;
/// Nanoseconds of long queries in a turn: utilities, lists, logins.
const LONG: u64 = 2_000_000;
/// Bytes of answers in a turn.
const ANSWERS: usize = 8 << 20;
/// Unsent bytes of one connection, with those that the turn's answers will add.
const OUTPUT_LIMIT: usize = 256 << 10;
/// Unsent bytes of all connections.
const OUTPUT_POOL: usize = 24 << 20;
/// Unsent bytes that a connection may always have.
const SMALL_OUTPUT: usize = 512;
/// Output memory up to which buffers are kept for reuse once everything in them is sent.
const OUTPUT_KEPT: usize = 8 << 20;
/// Undecoded bytes of one connection: two whole frames.
const INPUT_LIMIT: usize = 2 * (frame::HEADER + frame::MAX_PAYLOAD);
/// Undecoded bytes of all connections.
const INPUT_POOL: usize = 12 << 20;
/// Undecoded bytes that a connection may always have.
const SMALL_INPUT: usize = 1024;
/// A connection may hold this fraction (one in `PART`) of the free memory.
const PART: usize = 64;

/// The share of each connection in a turn.
#[derive(Clone, Copy, Debug, Default)]
struct Share {
    questions: usize,
    requests: usize,
    long: u64,
}

impl Share {
    /// The share of each connection when `waiting` connections wait and one more comes.
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

/// The use of the turn and of the memory.
///
/// Invariants: `input` and `output` are the sums of the connections' memory, as last noted by [`Budget::note_memory`].
#[derive(Debug, Default)]
pub struct Budget {
    turn: u64,
    /// The share of each connection, by how many waited when the turn began.
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

    /// Begins a turn for which `waiting` connections wait. Every answer of the last turn is in its connection's output.
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

    /// Whether one more usual request of the connection fits this turn.
    #[must_use]
    pub fn has_question(&self, connection: &Connection) -> bool {
        self.questions < QUESTIONS && self.spent(connection).questions < self.share.questions && self.fits(connection, ANSWER)
    }

    /// How many new money requests of the connection fit this turn.
    #[must_use]
    pub fn requests(&self, connection: &Connection) -> usize {
        let share = self.share.requests.saturating_sub(self.spent(connection).requests);
        let room = self.output_room(connection).min(ANSWERS.saturating_sub(self.answers));
        share.min(room / ANSWER)
    }

    /// Whether a run of `commands` commands fits this turn. A connection's first always does, if its answer fits.
    #[must_use]
    pub fn has_run(&self, connection: &Connection, commands: usize) -> bool {
        let spent = self.spent(connection);
        spent.requests == 0 || spent.requests.saturating_add(commands) <= self.share.requests
    }

    /// Whether a long query of `nanos` nanoseconds fits this turn. A connection's first is not held to its share, only
    /// to what is left of the turn; the turn's first always fits.
    #[must_use]
    pub fn has_long(&self, connection: &Connection, nanos: u64) -> bool {
        let own = self.spent(connection).long;
        // The turn's first always fits.
        let left = self.long == 0 || self.long.saturating_add(nanos) <= LONG;
        left && (own == 0 || own.saturating_add(nanos) <= self.share.long)
    }

    /// Whether an answer of `bytes` bytes fits the turn, the connection's limit and the memory.
    #[must_use]
    pub fn fits(&self, connection: &Connection, bytes: usize) -> bool {
        let is_first = self.own_output(connection) == 0;
        let turn = self.answers == 0 || self.answers.saturating_add(bytes) <= ANSWERS;
        // A single answer may be longer than a connection's part, but must leave room for others.
        turn && (bytes <= self.output_room(connection) || (is_first && bytes <= self.free_output() / 4))
    }

    /// How many bytes may be read from the connection now, by the memory for input.
    #[must_use]
    pub fn input_room(&self, connection: &Connection) -> usize {
        let free = INPUT_POOL.saturating_sub(self.input);
        (free / PART).clamp(SMALL_INPUT, INPUT_LIMIT).saturating_sub(connection.input_len())
    }

    /// Whether memory is so short that connections that hold it without progress have shorter deadlines.
    #[must_use]
    pub const fn is_short(&self) -> bool {
        self.output > OUTPUT_POOL / 4 * 3 || self.input > INPUT_POOL / 4 * 3
    }

    /// Whether a connection may keep the memory of sent output.
    #[must_use]
    pub const fn keeps_output(&self) -> bool {
        self.output <= OUTPUT_KEPT
    }

    /// Charges usual requests to the turn.
    pub fn charge_questions(&mut self, connection: &mut Connection, count: usize) {
        let spent = self.begin(connection);
        spent.questions = spent.questions.saturating_add(count);
        self.questions = self.questions.saturating_add(count);
    }

    /// Charges new money requests to the turn.
    pub fn charge_requests(&mut self, connection: &mut Connection, count: usize) {
        let spent = self.begin(connection);
        spent.requests = spent.requests.saturating_add(count);
    }

    /// Charges a long query to the turn.
    pub fn charge_long(&mut self, connection: &mut Connection, nanos: u64) {
        let spent = self.begin(connection);
        spent.long = spent.long.saturating_add(nanos);
        self.long = self.long.saturating_add(nanos);
    }

    /// Charges answer bytes to the turn.
    pub fn charge_answers(&mut self, connection: &mut Connection, bytes: usize) {
        let spent = self.begin(connection);
        spent.answers = spent.answers.saturating_add(bytes);
        self.answers = self.answers.saturating_add(bytes);
    }

    /// Updates the totals with the connection's present memory.
    #[inline]
    pub fn note_memory(&mut self, connection: &mut Connection) {
        let (input, output) = connection.memory();
        let (input_before, output_before) = std::mem::replace(&mut connection.noted_memory, (input, output));
        self.input = self.input.saturating_sub(input_before).saturating_add(input);
        self.output = self.output.saturating_sub(output_before).saturating_add(output);
    }

    /// Removes a closed connection's memory from the totals.
    pub const fn forget_memory(&mut self, connection: &Connection) {
        let (input, output) = connection.noted_memory;
        self.input = self.input.saturating_sub(input);
        self.output = self.output.saturating_sub(output);
    }

    #[inline]
    fn spent<'a>(&self, connection: &'a Connection) -> &'a Spent {
        if connection.spent.turn == self.turn { &connection.spent } else { &Spent::NOTHING }
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
