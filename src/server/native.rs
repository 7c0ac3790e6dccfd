//! The native front end: frames to questions, replies to frames.
//!
//! Left out: what is done about them. No bank logic here, as in any front end.

use std::ops::Range;

use crate::codec;
use crate::command::Command;
use crate::types::RequestNumber;
use crate::wire::fixed;
use crate::wire::frame::{self, Front};
use crate::wire::message::{Ask, Refusal, Reply};

/// What a client asks.
pub enum Question {
    /// A run: its commands stand apart, so that they take no memory of their own.
    Run {
        /// The number of the first.
        first: RequestNumber,
        /// As in `Ask::Run`.
        acked_below: RequestNumber,
        /// Where its commands are in the list that [`next`] was given.
        commands: Range<usize>,
    },
    /// Anything else.
    Ask(Ask),
}

/// The next question in `bytes` and the bytes that it takes, or none if it is not whole yet. The commands of a run are
/// appended to `commands`.
///
/// # Errors
/// [`Refusal::BadMessage`]: the bytes cannot be trusted any further.
#[inline]
pub fn next(bytes: &[u8], commands: &mut Vec<Command>) -> Result<Option<(Question, usize)>, Refusal> {
    let Front::Whole { payload, consumed } = frame::front(bytes).map_err(|_| Refusal::BadMessage)? else { return Ok(None) };
    if let Some(ask) = fixed::ask(payload) {
        return Ok(Some((Question::Ask(ask), consumed)));
    }
    let before = commands.len();
    let question = match fixed::run(payload, commands) {
        Some((first, acked_below)) => Question::Run { first, acked_below, commands: before..commands.len() },
        None => match codec::decode(payload).map_err(|_| Refusal::BadMessage)? {
            // One that is too long: refused for that later, as any other by its content.
            Ask::Run { first, acked_below, commands: more } => {
                commands.extend(more);
                Question::Run { first, acked_below, commands: before..commands.len() }
            }
            ask => Question::Ask(ask),
        },
    };
    Ok(Some((question, consumed)))
}

/// Appends a reply to a connection's output.
pub fn put(reply: &Reply, out: &mut Vec<u8>) {
    match reply {
        Reply::Answer { number, body, replayed, receipt } => fixed::put_answer(*number, body, *replayed, receipt, out),
        Reply::Balance { balance, lsn } => fixed::put_balance(*balance, *lsn, out),
        reply => {
            let fits = frame::put(reply, out);
            // Every list in a reply is bounded so that it fits (`MAX_RUN`, `MAX_PAGE`, `MAX_TEXT`, the session caps), but
            // a bound that is wrong must not leave a client without an answer.
            if fits.is_err() && frame::put(&Reply::Refused(Refusal::Busy), out).is_err() {
                debug_assert!(false, "a refusal fits a frame");
            }
        }
    }
}
