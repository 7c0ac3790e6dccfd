//! The native front end: frames to questions, replies to frames.
//!
//! Left out: what is done about them. No bank logic here, as in any front end.

use std::ops::Range;

use crate::engine::Fatal;
use crate::model::codec;
use crate::model::command::Command;
use crate::model::types::RequestNumber;
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

/// Whether what stands at the front of `bytes` looks like a single request.
#[must_use]
#[inline]
pub fn is_request(bytes: &[u8]) -> bool {
    bytes.get(frame::HEADER..).is_some_and(fixed::is_request)
}

/// The requests at the front of `bytes` that follow each other from number `next` on and acknowledge the same: what they
/// acknowledge, and at most `most`. Their commands are appended to `commands`. None where another message stands there, or not a whole one.
#[inline]
pub fn requests(bytes: &[u8], next: RequestNumber, most: usize, commands: &mut Vec<Command>) -> Option<RequestNumber> {
    let mut acked = None;
    let (mut rest, mut next) = (bytes, Some(next));
    let end = commands.len().saturating_add(most);
    while commands.len() < end
        && let Ok(Front::Whole { payload, consumed }) = frame::front(rest)
        && let Some((number, acked_below, command)) = fixed::request(payload)
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
///
/// # Errors
/// [`Fatal::Broken`] for a reply that is longer than a frame: every list and text in a reply is bounded so that it fits
/// (`MAX_RUN`, `MAX_PAGE`, `MAX_SESSIONS`, `MAX_TEXT`).
pub fn put(reply: &Reply, out: &mut Vec<u8>) -> Result<(), Fatal> {
    match reply {
        Reply::Answer { number, body, replayed, receipt } => fixed::put_answer(*number, body, *replayed, receipt, out),
        Reply::Balance { balance, lsn } => fixed::put_balance(*balance, *lsn, out),
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

    /// What is taken from these questions, when 5 is the next number: the acknowledgement, and the amounts, which are numbers.
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
