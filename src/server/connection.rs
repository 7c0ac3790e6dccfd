//! One client's connection without its socket: undecoded bytes, unsent bytes, owner, session and deadlines.
//!
//! Left out: the socket (`event_loop.rs`), decoding (`native.rs`, `lab/`), admitting and answering requests (`turn.rs`,
//! `lab/session.rs`).

use std::time::Duration;

use super::spent::Spent;
use crate::model::types::{Lsn, Owner};
use crate::server::lab::dialogue::Dialogue;

/// From connecting to `Hello`.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(5);
/// From connecting to a login, or to the only message, for the lab's text protocol.
const LOGIN_DEADLINE: Duration = Duration::from_secs(60);
/// From a frame's first byte to its last, or a line's.
const FRAME_DEADLINE: Duration = Duration::from_secs(10);
/// Without a byte from the client.
const IDLE_DEADLINE: Duration = Duration::from_secs(600);
/// With unsent bytes of which the client takes none.
const STALL_DEADLINE: Duration = Duration::from_secs(30);
/// Replaces the frame and the stall deadline while the memory of all connections together is short.
const SHORT_DEADLINE: Duration = Duration::from_secs(5);

/// The protocol of a connection.
pub enum FrontEnd {
    /// The native protocol.
    Native,
    /// The lab's text.
    Lab(Box<Dialogue>),
}

impl FrontEnd {
    /// Whether it is a lab dialogue.
    #[must_use]
    pub const fn is_lab(&self) -> bool {
        matches!(self, Self::Lab(_))
    }

    /// Whether a dialogue has a request to send without reading more.
    #[must_use]
    pub const fn has_question(&self) -> bool {
        match self {
            Self::Native => false,
            Self::Lab(dialogue) => dialogue.question().is_some(),
        }
    }
}

/// A connection.
///
/// Invariants: `sent <= output.len()`, and both are zero once everything is sent; `decoded < input.len()`, or both are
/// zero; nothing is decoded while `is_blocked`; there is a session only with an owner. All times are by the clock of
/// `deadlines.rs`, which stands still while the loop is not ready to read.
pub struct Connection {
    /// Distinguishes this connection from an earlier one in the same slot.
    pub generation: u32,
    /// Its protocol.
    pub front_end: FrontEnd,
    /// Its owner, once logged in.
    pub owner: Option<Owner>,
    /// Its session, once opened or resumed.
    pub session: Option<Lsn>,
    /// Whether `Hello` came. Always true for the lab, which has none.
    pub greeted: bool,
    /// A login, an opening of a session or any request of a dialogue is in flight: nothing more is read in this turn.
    pub is_blocked: bool,
    /// It closes as soon as its output is sent.
    pub is_closing: bool,
    /// The client will send no more.
    pub is_at_end: bool,
    /// Its requests in this turn's list; each will have a reply.
    pub unanswered: usize,
    /// Listed for writing in this turn.
    pub is_dirty: bool,
    /// On the list of connections with undecoded bytes from an earlier turn.
    pub is_waiting: bool,
    /// It has used its share of this turn: nothing more of it is decoded before the next one.
    pub is_paused: bool,
    /// Its socket may hold more than was read.
    pub is_unread: bool,
    /// Length in bytes of the answer that it is paused for, or zero.
    pub needs: usize,
    /// What it has used of a turn.
    pub spent: Spent,
    /// Its memory for input and output, as last added to the totals.
    pub noted_memory: (usize, usize),
    input: Vec<u8>,
    /// Decoded bytes at the front of `input`.
    decoded: usize,
    output: Vec<u8>,
    sent: usize,
    opened: Duration,
    last_input: Duration,
    frame_began: Option<Duration>,
    last_progress: Duration,
}

impl Connection {
    /// A connection that was just accepted.
    #[must_use]
    pub fn new(generation: u32, front_end: FrontEnd, owner: Option<Owner>, now: Duration) -> Self {
        let greeted = front_end.is_lab();
        Self {
            generation,
            front_end,
            owner,
            session: None,
            greeted,
            is_blocked: false,
            is_closing: false,
            is_at_end: false,
            unanswered: 0,
            is_dirty: false,
            is_waiting: false,
            is_paused: false,
            is_unread: false,
            needs: 0,
            spent: Spent::default(),
            noted_memory: (0, 0),
            input: Vec::new(),
            decoded: 0,
            output: Vec::new(),
            sent: 0,
            opened: now,
            last_input: now,
            frame_began: None,
            last_progress: now,
        }
    }

    /// Whether its bytes may be decoded, by its own state.
    #[must_use]
    pub const fn may_decode(&self) -> bool {
        !self.is_blocked && !self.is_closing
    }

    /// Takes the input and the length of its decoded front; [`Connection::keep`] puts them back.
    #[must_use]
    pub fn take_input(&mut self) -> (Vec<u8>, usize) {
        (std::mem::take(&mut self.input), std::mem::take(&mut self.decoded))
    }

    /// Keeps the input from `decoded` on. `has_gone_on`: some of it was decoded just now.
    pub fn keep(&mut self, buffer: Vec<u8>, decoded: usize, has_gone_on: bool, now: Duration) {
        if decoded >= buffer.len() {
            // An idle connection holds no memory for input.
            self.input = Vec::new();
            self.decoded = 0;
            self.frame_began = None;
            return;
        }
        if has_gone_on || self.frame_began.is_none() {
            self.frame_began = Some(now);
        }
        self.input = buffer;
        self.decoded = decoded;
    }

    /// Keeps the undecoded rest of a read, where nothing was kept before.
    pub fn keep_rest(&mut self, rest: &[u8], now: Duration) {
        assert!(self.input.is_empty(), "a rest is kept where nothing was kept before");
        if !rest.is_empty() {
            self.input.extend_from_slice(rest);
            self.frame_began = Some(now);
        }
    }

    /// Appends the bytes of a read to the input that was taken.
    pub fn join(&mut self, input: &mut Vec<u8>, decoded: &mut usize, read: &[u8]) {
        // Once a read, not after each share of a turn: this moves the undecoded bytes.
        input.drain(..std::mem::take(decoded).min(input.len()));
        match &mut self.front_end {
            FrontEnd::Native => input.extend_from_slice(read),
            FrontEnd::Lab(dialogue) => dialogue.join(input, read),
        }
    }

    /// Notes that the client has sent nothing more up to `at`. Returns whether that ends a message.
    pub fn end_by_silence(&mut self, at: Duration) -> bool {
        match &mut self.front_end {
            FrontEnd::Native => false,
            FrontEnd::Lab(dialogue) => dialogue.end_by_silence(at, &mut self.input),
        }
    }

    /// Notes that the client sends no more. Returns whether that ends a message.
    pub fn end_by_end(&mut self) -> bool {
        self.is_at_end = true;
        self.front_end.is_lab() && Dialogue::end_by_end(&mut self.input)
    }

    /// The dialogue and its output, if this is a lab connection.
    pub fn dialogue(&mut self) -> Option<(&mut Dialogue, &mut Vec<u8>)> {
        match &mut self.front_end {
            FrontEnd::Native => None,
            FrontEnd::Lab(dialogue) => Some((dialogue, &mut self.output)),
        }
    }

    /// Whether there may be something to decode, or a dialogue's request to send without reading more.
    #[must_use]
    pub const fn has_more(&self) -> bool {
        !self.input.is_empty() || self.front_end.has_question()
    }

    /// Undecoded bytes.
    #[must_use]
    pub const fn input_len(&self) -> usize {
        self.input.len().saturating_sub(self.decoded)
    }

    /// Notes that bytes came.
    pub const fn heard(&mut self, now: Duration) {
        self.last_input = now;
    }

    /// Where replies are appended.
    pub const fn output(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }

    /// The bytes to write to the socket.
    #[must_use]
    pub fn unsent(&self) -> &[u8] {
        self.output.get(self.sent..).unwrap_or_default()
    }

    /// Their number.
    #[must_use]
    pub const fn unsent_len(&self) -> usize {
        self.output.len().saturating_sub(self.sent)
    }

    /// Memory for input and for output, in bytes.
    #[must_use]
    pub const fn memory(&self) -> (usize, usize) {
        (self.input.capacity(), self.output.capacity())
    }

    /// Notes that the socket took this many bytes. `keeps_memory`: the memory of sent output is kept for later output.
    pub fn wrote(&mut self, count: usize, keeps_memory: bool, now: Duration) {
        self.sent = self.sent.saturating_add(count).min(self.output.len());
        self.last_progress = now;
        if self.sent == self.output.len() {
            self.sent = 0;
            if keeps_memory {
                self.output.clear();
            } else {
                self.output = Vec::new();
            }
        }
    }

    /// Drops all output: the client does not read it.
    pub fn discard_output(&mut self) {
        (self.output, self.sent) = (Vec::new(), 0);
    }

    /// Notes that output is appended: if none waited before, the stall deadline starts now.
    pub const fn began_output(&mut self, now: Duration) {
        if self.unsent_len() == 0 {
            self.last_progress = now;
        }
    }

    /// Notes that the replies to `count` of its requests are appended to its output.
    pub const fn begin_replies(&mut self, count: usize, now: Duration) {
        self.unanswered = self.unanswered.saturating_sub(count);
        self.began_output(now);
    }

    /// Whether the connection can be dropped: everything is answered and sent, and either it is closing, or the client
    /// has ended it and nothing waits to be decoded.
    #[must_use]
    pub const fn is_finished(&self) -> bool {
        self.unsent_len() == 0 && self.unanswered == 0 && (self.is_closing || (self.is_at_end && !self.is_waiting))
    }

    /// Why the connection is overdue, if it is. `is_behind`: bytes of it may wait to be read or decoded here, so the
    /// client is not to blame for what did not come. `is_short`: the memory of all connections together is short.
    #[must_use]
    pub fn overdue(&self, now: Duration, is_behind: bool, is_short: bool) -> Option<&'static str> {
        let over = |since: Duration, limit: Duration| now.saturating_sub(since) >= limit;
        let shortened = |limit: Duration| if is_short { SHORT_DEADLINE } else { limit };
        if !self.unsent().is_empty() {
            return over(self.last_progress, shortened(STALL_DEADLINE)).then_some("it reads no replies");
        }
        if is_behind {
            return None;
        }
        if !self.greeted && over(self.opened, HANDSHAKE_DEADLINE) {
            return Some("no Hello came");
        }
        if self.front_end.is_lab() && self.owner.is_none() && over(self.opened, LOGIN_DEADLINE) {
            return Some("no login came");
        }
        if self.frame_began.is_some_and(|began| over(began, shortened(FRAME_DEADLINE))) && self.may_decode() {
            return Some("a frame was not finished");
        }
        over(self.last_input, IDLE_DEADLINE).then_some("it was idle")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn deadlines() {
        let mut connection = Connection::new(1, FrontEnd::Native, None, seconds(100));
        assert_eq!(connection.overdue(seconds(104), false, false), None);
        assert_eq!(connection.overdue(seconds(105), false, false), Some("no Hello came"));
        connection.greeted = true;
        assert_eq!(connection.overdue(seconds(105), false, false), None);
        assert_eq!(connection.overdue(seconds(700), false, false), Some("it was idle"));
        connection.heard(seconds(650));
        connection.keep_rest(b"half", seconds(650));
        assert_eq!(connection.overdue(seconds(660), false, false), Some("a frame was not finished"));
        connection.began_output(seconds(655));
        connection.output().extend_from_slice(b"reply");
        assert_eq!(connection.overdue(seconds(684), false, false), None);
        assert_eq!(connection.overdue(seconds(685), false, false), Some("it reads no replies"));
        connection.wrote(2, true, seconds(684));
        assert_eq!(connection.overdue(seconds(690), false, false), None);
        assert_eq!(connection.unsent(), b"ply");
    }

    #[test]
    fn deadlines_of_a_dialogue() {
        let terms = crate::server::lab::dialogue::Terms { decimals: 0, max_transactions: None };
        let dialogue = Dialogue::start(crate::server::lab::dialogue::Port::Atm, terms, &mut Vec::new());
        let mut connection = Connection::new(1, FrontEnd::Lab(Box::new(dialogue)), None, seconds(100));
        connection.heard(seconds(159));
        assert_eq!(connection.overdue(seconds(159), false, false), None);
        assert_eq!(connection.overdue(seconds(160), false, false), Some("no login came"));
        connection.owner = Some(Owner::Customer(crate::model::types::AccountId(0)));
        assert_eq!(connection.overdue(seconds(758), false, false), None);
        assert_eq!(connection.overdue(seconds(759), false, false), Some("it was idle"));
    }

    /// Bytes that the bank has not read or decoded yet are not the client's delay; output that the client does not read
    /// is.
    #[test]
    fn no_deadline_passes_while_the_bank_is_behind() {
        let mut connection = Connection::new(1, FrontEnd::Native, None, seconds(100));
        connection.keep_rest(b"half", seconds(100));
        assert_eq!(connection.overdue(seconds(900), true, false), None);
        assert_eq!(connection.overdue(seconds(900), false, false), Some("no Hello came"));
        connection.began_output(seconds(900));
        connection.output().extend_from_slice(b"reply");
        assert_eq!(connection.overdue(seconds(930), true, false), Some("it reads no replies"));
    }

    #[test]
    fn short_memory_shortens_the_time_to_hold_it() {
        let mut connection = Connection::new(1, FrontEnd::Native, None, seconds(100));
        connection.greeted = true;
        connection.keep_rest(b"half", seconds(100));
        assert_eq!((connection.overdue(seconds(105), false, false), connection.overdue(seconds(104), false, true)), (None, None));
        assert_eq!(connection.overdue(seconds(105), false, true), Some("a frame was not finished"));
        connection.began_output(seconds(105));
        connection.output().extend_from_slice(b"reply");
        assert_eq!(connection.overdue(seconds(110), false, true), Some("it reads no replies"));
    }

    #[test]
    fn a_frame_that_grows_keeps_its_first_deadline() {
        let mut connection = Connection::new(1, FrontEnd::Native, None, seconds(0));
        connection.keep_rest(b"ab", seconds(1));
        let (mut input, mut decoded) = connection.take_input();
        connection.join(&mut input, &mut decoded, b"c");
        connection.keep(input, decoded, false, seconds(5));
        assert_eq!(connection.frame_began, Some(seconds(1)));
        let (input, decoded) = connection.take_input();
        connection.keep(input, decoded + 2, true, seconds(6));
        assert_eq!((connection.frame_began, connection.input_len()), (Some(seconds(6)), 1));
        let (mut input, mut decoded) = connection.take_input();
        connection.join(&mut input, &mut decoded, b"d");
        assert_eq!((&input[..], decoded), (&b"cd"[..], 0));
        connection.keep(input, 2, true, seconds(7));
        assert_eq!((connection.frame_began, connection.memory()), (None, (0, 0)));
    }
}
