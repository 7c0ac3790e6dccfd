//! The native front end: decodes frames to requests, encodes replies to frames.
//!
//! Left out: admitting and answering them (`turn.rs`). No front end has bank logic.

use std::ops::Range;

use crate::engine::Fatal;
use crate::model::codec;
use crate::model::command::Command;
use crate::model::types::RequestNumber;
use crate::wire::fixed::{asks, replies};
use crate::wire::frame::{self, Front};
use crate::wire::message::{Ask, Refusal, Reply};

/// A decoded request.
pub enum Question {
    /// A run. Its commands are in a list apart, so they take no allocation of their own.
    Run {
        /// The number of the first.
        first: RequestNumber,
        /// As in `Ask::Run`.
        acked_below: RequestNumber,
        /// The range of its commands in the list that was passed to [`next`].
        commands: Range<usize>,
    },
    /// Anything else.
    Ask(Ask),
}

/// Whether `bytes` begins like a single money request.
#[must_use]
#[inline]
pub fn is_request(bytes: &[u8]) -> bool {
    bytes.get(frame::HEADER..).is_some_and(asks::is_request)
}

/// Decodes the money requests at the front of `bytes` that have consecutive numbers from `next` on and the same
/// acknowledgement, at most `most`. Appends their commands to `commands`; returns the acknowledgement. None if another
/// message is there, or not a whole one.
#[inline]
pub fn requests(bytes: &[u8], next: RequestNumber, most: usize, commands: &mut Vec<Command>) -> Option<RequestNumber> {
    let mut acked = None;
    let (mut rest, mut next) = (bytes, Some(next));
    let end = commands.len().saturating_add(most);
    while commands.len() < end
        && let Ok(Front::Whole { payload, consumed }) = frame::front(rest)
        && let Some((number, acked_below, command)) = asks::request(payload)
        && next == Some(number)
        && acked.is_none_or(|acked| acked == acked_below)
    {
        acked = Some(acked_below);
        commands.push(command);
        next = number.next();
        rest = rest.get(consumed..).unwrap_or_default();
    }
    acked
}

/// The next request in `bytes` and its length, or none if it is not whole yet. The commands of a run are appended to
/// `commands`.
///
/// # Errors
/// [`Refusal::BadMessage`]: neither these bytes nor any after them can be decoded.
#[inline]
pub fn next(bytes: &[u8], commands: &mut Vec<Command>) -> Result<Option<(Question, usize)>, Refusal> {
    let Front::Whole { payload, consumed } = frame::front(bytes).map_err(|_| Refusal::BadMessage)? else { return Ok(None) };
    if let Some(ask) = asks::ask(payload) {
        return Ok(Some((Question::Ask(ask), consumed)));
    }
    let before = commands.len();
    let question = match asks::run(payload, commands) {
        Some((first, acked_below)) => Question::Run { first, acked_below, commands: before..commands.len() },
        None => match codec::decode(payload).map_err(|_| Refusal::BadMessage)? {
            // A run that is too long for `asks::run`: refused later, like any other, by its content.
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
///
/// # Errors
/// [`Fatal::Broken`] for a reply that is longer than a frame, which is a bug: every list and text in a reply is bounded
/// (`MAX_RUN`, `MAX_PAGE`, `MAX_SESSIONS`, `MAX_TEXT`).
pub fn put(reply: &Reply, out: &mut Vec<u8>) -> Result<(), Fatal> {
    match reply {
        Reply::Answer { number, body, replayed, receipt } => replies::put_answer(*number, body, *replayed, receipt, out),
        Reply::Balance { balance, lsn } => replies::put_balance(*balance, *lsn, out),
        reply => frame::put(reply, out).map_err(|_| Fatal::Broken("a reply is longer than a frame"))?,
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::amount::Amount;
    use crate::model::types::AccountId;

    fn request(number: u64, acked_below: u64) -> Ask {
        let command = Command::Deposit { account: AccountId(1), amount: Amount::new(number).unwrap() };
        Ask::Request { number: RequestNumber(number), acked_below: RequestNumber(acked_below), command }
    }

    /// Decodes these requests with 5 as the next number: the acknowledgement, and the amounts, which equal the numbers.
    fn taken(asks: &[Ask]) -> (Option<u64>, Vec<u64>) {
        let take = |bytes: &[u8]| {
            let mut commands = Vec::new();
            let acked = requests(bytes, RequestNumber(5), 3, &mut commands);
            (acked.map(|acked| acked.0), commands.iter().map(|command| command.amount().get()).collect())
        };
        let mut bytes = Vec::new();
        asks.split_last().unwrap().1.iter().for_each(|ask| frame::put(ask, &mut bytes).unwrap());
        let before_the_last = take(&bytes);
        frame::put(asks.last().unwrap(), &mut bytes).unwrap();
        assert_eq!(take(&bytes[..bytes.len() - 1]), before_the_last, "the last one has not come whole yet");
        take(&bytes)
    }

    #[test]
    fn requests_are_taken_as_far_as_they_follow_each_other() {
        assert_eq!(taken(&[request(5, 2), request(6, 2), request(7, 2)]), (Some(2), vec![5, 6, 7]));
        assert_eq!(taken(&[request(5, 2), request(6, 2), request(7, 2), request(8, 2)]), (Some(2), vec![5, 6, 7]));
        assert_eq!(taken(&[request(5, 2), request(6, 3), request(7, 3)]), (Some(2), vec![5]));
        assert_eq!(taken(&[request(5, 2), request(7, 2)]), (Some(2), vec![5]));
        assert_eq!(taken(&[request(5, 2), Ask::Ping, request(6, 2)]), (Some(2), vec![5]));
        assert_eq!(taken(&[request(5, 2), request(5, 2)]), (Some(2), vec![5]));
        for other in [request(4, 2), request(6, 2), Ask::Ping] {
            assert_eq!(taken(&[other, request(5, 2)]), (None, vec![]));
        }
        assert_eq!(requests(&[], RequestNumber(5), 3, &mut Vec::new()), None);
        let mut bad = Vec::new();
        frame::put(&request(5, 2), &mut bad).unwrap();
        bad[20] ^= 1;
        assert!(is_request(&bad) && requests(&bad, RequestNumber(5), 3, &mut Vec::new()).is_none());
    }
}
