//! One client's connection without its socket: undecoded bytes, unsent bytes, who it is, and its deadlines.
//!
//! Left out: the socket (`event_loop.rs`), what the bytes mean (`native.rs`, `lab.rs`), what is done about it
//! (`arrival.rs`, `conversation.rs`).

use std::time::Duration;

use super::lab::Dialogue;
use crate::types::{Lsn, Owner};

/// Unsent bytes beyond which nothing more is read from a client.
pub const OUTPUT_LIMIT: usize = 256 * 1024;
/// Undecoded bytes beyond which nothing more is read from a client: two whole frames.
const INPUT_LIMIT: usize = 2 * (crate::wire::frame::HEADER + crate::wire::frame::MAX_PAYLOAD);
/// From connecting to `Hello`.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(5);
/// From connecting to a login, or to the only message, for who speaks the lab's text.
const LOGIN_DEADLINE: Duration = Duration::from_secs(60);
/// From a frame's first byte to its last, or a line's.
const FRAME_DEADLINE: Duration = Duration::from_secs(10);
/// Without a byte from the client.
const IDLE_DEADLINE: Duration = Duration::from_secs(600);
/// With unsent bytes and none taken.
const STALL_DEADLINE: Duration = Duration::from_secs(30);

/// What a connection speaks.
pub enum FrontEnd {
    /// The native protocol.
    Native,
    /// The lab's text.
    Lab(Box<Dialogue>),
}

impl FrontEnd {
    /// Whether it is a dialogue of the lab.
    #[must_use]
    pub const fn is_lab(&self) -> bool {
        matches!(self, Self::Lab(_))
    }

    /// Whether it has a question to ask without hearing more.
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
/// Invariants: `sent <= output.len()`, both zero where everything is sent; nothing is decoded while `is_blocked`;
/// a session only with an owner.
pub struct Connection {
    /// Tells this connection from an earlier one in the same slot.
    pub generation: u32,
    /// What it speaks.
    pub front_end: FrontEnd,
    /// Who it is, once logged in.
    pub owner: Option<Owner>,
    /// Its session, once opened or resumed.
    pub session: Option<Lsn>,
    /// Whether `Hello` came, where the front end has one.
    pub greeted: bool,
    /// A login or a session opening is under way, or any question of a dialogue: read no further in this turn.
    pub is_blocked: bool,
    /// It is to be closed as soon as its output is sent.
    pub is_closing: bool,
    /// The client will send no more.
    pub is_at_end: bool,
    /// Its questions in this turn's list, each of which will have a reply.
    pub unanswered: usize,
    /// Listed for writing in this turn.
    pub is_dirty: bool,
    /// Listed as having read bytes that an earlier turn left undecoded.
    pub is_waiting: bool,
    input: Vec<u8>,
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
    pub const fn new(generation: u32, front_end: FrontEnd, owner: Option<Owner>, now: Duration) -> Self {
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
            input: Vec::new(),
            output: Vec::new(),
            sent: 0,
            opened: now,
            last_input: now,
            frame_began: None,
            last_progress: now,
        }
    }

    /// Whether more may be read from the socket now.
    #[must_use]
    pub const fn may_read(&self) -> bool {
        !self.is_blocked && !self.is_closing && self.input.len() < INPUT_LIMIT && self.unsent_len() < OUTPUT_LIMIT
    }

    /// Whether what was read may be decoded now.
    #[must_use]
    pub const fn may_decode(&self) -> bool {
        !self.is_blocked && !self.is_closing && self.unsent_len() < OUTPUT_LIMIT
    }

    /// Takes the undecoded bytes out, to be given back by [`Connection::keep`].
    #[must_use]
    pub fn take_input(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.input)
    }

    /// Keeps what is left of the undecoded bytes: everything from `consumed` on.
    pub fn keep(&mut self, mut buffer: Vec<u8>, consumed: usize, now: Duration) {
        if consumed >= buffer.len() {
            // An idle connection holds no memory for input.
            self.input = Vec::new();
            self.frame_began = None;
            return;
        }
        buffer.drain(..consumed);
        if consumed > 0 || self.frame_began.is_none() {
            self.frame_began = Some(now);
        }
        self.input = buffer;
    }

    /// Keeps the end of bytes that came from the socket while nothing was kept before.
    pub fn keep_rest(&mut self, rest: &[u8], now: Duration) {
        debug_assert!(self.input.is_empty());
        if !rest.is_empty() {
            self.input.extend_from_slice(rest);
            self.frame_began = Some(now);
        }
    }

    /// Appends what a read brought to undecoded bytes that were taken out.
    pub fn join(&mut self, input: &mut Vec<u8>, read: &[u8]) {
        match &mut self.front_end {
            FrontEnd::Native => input.extend_from_slice(read),
            FrontEnd::Lab(dialogue) => dialogue.join(input, read),
        }
    }

    /// The dialogue and where it speaks, if it is one.
    pub fn dialogue(&mut self) -> Option<(&mut Dialogue, &mut Vec<u8>)> {
        match &mut self.front_end {
            FrontEnd::Native => None,
            FrontEnd::Lab(dialogue) => Some((dialogue, &mut self.output)),
        }
    }

    /// Whether there may be something to decode, or a question to ask without hearing more.
    #[must_use]
    pub const fn has_more(&self) -> bool {
        !self.input.is_empty() || self.front_end.has_question()
    }

    /// Undecoded bytes.
    #[must_use]
    pub const fn input_len(&self) -> usize {
        self.input.len()
    }

    /// Notes that bytes came.
    pub const fn heard(&mut self, now: Duration) {
        self.last_input = now;
    }

    /// Where replies are appended.
    pub const fn output(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }

    /// What is to be written to the socket.
    #[must_use]
    pub fn unsent(&self) -> &[u8] {
        self.output.get(self.sent..).unwrap_or_default()
    }

    const fn unsent_len(&self) -> usize {
        self.output.len().saturating_sub(self.sent)
    }

    /// Notes that the socket took this many bytes.
    pub fn wrote(&mut self, count: usize, now: Duration) {
        self.sent = self.sent.saturating_add(count).min(self.output.len());
        self.last_progress = now;
        if self.sent == self.output.len() {
            self.sent = 0;
            if self.output.capacity() > OUTPUT_LIMIT {
                self.output = Vec::new();
            } else {
                self.output.clear();
            }
        }
    }

    /// Notes that output waits from now on, for the stall deadline.
    pub const fn began_output(&mut self, now: Duration) {
        if self.unsent_len() == 0 {
            self.last_progress = now;
        }
    }

    /// So many of its questions are answered, at the end of its output.
    pub const fn begin_replies(&mut self, count: usize, now: Duration) {
        self.unanswered = self.unanswered.saturating_sub(count);
        self.began_output(now);
    }

    /// Whether the connection can be dropped: everything answered and sent, and either it is closing, or its client
    /// has ended it and nothing waits to be decoded.
    #[must_use]
    pub const fn is_finished(&self) -> bool {
        self.unsent_len() == 0 && self.unanswered == 0 && (self.is_closing || (self.is_at_end && !self.is_waiting))
    }

    /// Why the connection's time is up, if it is.
    #[must_use]
    pub fn overdue(&self, now: Duration) -> Option<&'static str> {
        let over = |since: Duration, limit: Duration| now.saturating_sub(since) >= limit;
        if !self.unsent().is_empty() {
            return over(self.last_progress, STALL_DEADLINE).then_some("it reads no replies");
        }
        if !self.greeted && over(self.opened, HANDSHAKE_DEADLINE) {
            return Some("no Hello came");
        }
        if self.front_end.is_lab() && self.owner.is_none() && over(self.opened, LOGIN_DEADLINE) {
            return Some("no login came");
        }
        if self.frame_began.is_some_and(|began| over(began, FRAME_DEADLINE)) && self.may_decode() {
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
        assert_eq!(connection.overdue(seconds(104)), None);
        assert_eq!(connection.overdue(seconds(105)), Some("no Hello came"));
        connection.greeted = true;
        assert_eq!(connection.overdue(seconds(105)), None);
        assert_eq!(connection.overdue(seconds(700)), Some("it was idle"));
        connection.heard(seconds(650));
        connection.keep_rest(b"half", seconds(650));
        assert_eq!(connection.overdue(seconds(660)), Some("a frame was not finished"));
        connection.began_output(seconds(655));
        connection.output().extend_from_slice(b"reply");
        assert_eq!(connection.overdue(seconds(684)), None);
        assert_eq!(connection.overdue(seconds(685)), Some("it reads no replies"));
        connection.wrote(2, seconds(684));
        assert_eq!(connection.overdue(seconds(690)), None);
        assert_eq!(connection.unsent(), b"ply");
    }

    #[test]
    fn deadlines_of_a_dialogue() {
        let terms = crate::server::lab::Terms { decimals: 0, max_transactions: None };
        let dialogue = Dialogue::start(crate::server::lab::Port::Atm, terms, &mut Vec::new());
        let mut connection = Connection::new(1, FrontEnd::Lab(Box::new(dialogue)), None, seconds(100));
        connection.heard(seconds(159));
        assert_eq!(connection.overdue(seconds(159)), None);
        assert_eq!(connection.overdue(seconds(160)), Some("no login came"));
        connection.owner = Some(Owner::Customer(crate::types::AccountId(0)));
        assert_eq!(connection.overdue(seconds(758)), None);
        assert_eq!(connection.overdue(seconds(759)), Some("it was idle"));
    }

    #[test]
    fn who_does_not_read_is_not_read() {
        let mut connection = Connection::new(1, FrontEnd::Native, None, seconds(0));
        connection.output().resize(OUTPUT_LIMIT, 0);
        assert!(!connection.may_read() && !connection.may_decode());
        connection.wrote(1, seconds(0));
        assert!(connection.may_read() && connection.may_decode());
    }

    #[test]
    fn a_frame_that_grows_keeps_its_first_deadline() {
        let mut connection = Connection::new(1, FrontEnd::Native, None, seconds(0));
        connection.keep_rest(b"ab", seconds(1));
        let mut input = connection.take_input();
        input.extend_from_slice(b"c");
        connection.keep(input, 0, seconds(5));
        assert_eq!(connection.frame_began, Some(seconds(1)));
        let input = connection.take_input();
        connection.keep(input, 2, seconds(6));
        assert_eq!((connection.frame_began, connection.input_len()), (Some(seconds(6)), 1));
        let input = connection.take_input();
        connection.keep(input, 1, seconds(7));
        assert_eq!((connection.frame_began, connection.input_len()), (None, 0));
    }
}
