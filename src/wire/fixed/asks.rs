//! The frequent requests: single requests, runs and balance inquiries, read and written.
//!
//! Left out: anything but a valid message of these kinds: the codec decodes it, or returns the error.

use super::begin;
use crate::model::codec::{take_u32, take_u64};
use crate::model::command::Command;
use crate::model::types::{AccountId, RequestNumber};
use crate::wire::frame;
use crate::wire::message::{Ask, MAX_RUN};
use crate::wire::numbers::{ASK_BALANCE, ASK_REQUEST, ASK_RUN};

/// Decodes `payload` as a request or balance inquiry. Returns `None` for anything else.
#[must_use]
#[inline]
pub fn ask(mut payload: &[u8]) -> Option<Ask> {
    if let Some((number, acked_below, command)) = request(payload) {
        return Some(Ask::Request { number, acked_below, command });
    }
    let rest = &mut payload;
    let ask = match take_u32(rest)? {
        ASK_BALANCE => Ask::Balance { account: AccountId(take_u32(rest)?) },
        _ => return None,
    };
    payload.is_empty().then_some(ask)
}

/// Whether a payload begins with the variant number of a single request.
#[must_use]
#[inline]
pub fn is_request(payload: &[u8]) -> bool {
    payload.starts_with(&ASK_REQUEST.to_le_bytes())
}

/// Decodes `payload` as a single request: its number, its `acked_below`, its command. Returns `None` for anything else.
#[must_use]
#[inline]
pub fn request(mut payload: &[u8]) -> Option<(RequestNumber, RequestNumber, Command)> {
    let rest = &mut payload;
    if take_u32(rest)? != ASK_REQUEST {
        return None;
    }
    let request = (RequestNumber(take_u64(rest)?), RequestNumber(take_u64(rest)?), Command::take(rest)?);
    payload.is_empty().then_some(request)
}

/// Decodes `payload` as a run of at most [`MAX_RUN`] commands: its first number and its `acked_below`. Appends its commands
/// to `commands`. Returns `None` for anything else, and leaves `commands` unchanged.
#[must_use]
pub fn run(mut payload: &[u8], commands: &mut Vec<Command>) -> Option<(RequestNumber, RequestNumber)> {
    let rest = &mut payload;
    if take_u32(rest)? != ASK_RUN {
        return None;
    }
    let (first, acked_below) = (RequestNumber(take_u64(rest)?), RequestNumber(take_u64(rest)?));
    let count = usize::try_from(take_u64(rest)?).ok().filter(|count| *count <= MAX_RUN)?;
    let before = commands.len();
    commands.extend(std::iter::from_fn(|| Command::take(rest)).take(count));
    if commands.len() - before != count || !payload.is_empty() {
        commands.truncate(before);
        return None;
    }
    Some((first, acked_below))
}

/// Appends the frame of an [`Ask::Request`] to `out`.
pub fn put_request(number: RequestNumber, acked_below: RequestNumber, command: &Command, out: &mut Vec<u8>) {
    let start = begin(ASK_REQUEST, out);
    out.extend_from_slice(&number.0.to_le_bytes());
    out.extend_from_slice(&acked_below.0.to_le_bytes());
    command.encode_into(out);
    frame::end(out, start);
}

/// Appends the frame of an [`Ask::Run`] of at most [`MAX_RUN`] commands to `out`.
pub fn put_run(first: RequestNumber, acked_below: RequestNumber, commands: &[Command], out: &mut Vec<u8>) {
    let start = begin(ASK_RUN, out);
    out.extend_from_slice(&first.0.to_le_bytes());
    out.extend_from_slice(&acked_below.0.to_le_bytes());
    out.extend_from_slice(&(commands.len() as u64).to_le_bytes());
    commands.iter().for_each(|command| command.encode_into(out));
    frame::end(out, start);
}

/// Appends the frame of an [`Ask::Balance`] to `out`.
pub fn put_balance(account: AccountId, out: &mut Vec<u8>) {
    let start = begin(ASK_BALANCE, out);
    out.extend_from_slice(&account.0.to_le_bytes());
    frame::end(out, start);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::amount::Amount;
    use crate::model::codec;

    fn encoded(ask: &Ask) -> Vec<u8> {
        let mut bytes = Vec::new();
        codec::encode_into(ask, &mut bytes).unwrap();
        bytes
    }

    fn commands() -> Vec<Command> {
        let amount = Amount::new(0x0102_0304_0506).unwrap();
        let (a, b) = (AccountId(7), AccountId(0x0A0B_0C0D));
        vec![
            Command::Deposit { account: a, amount },
            Command::Withdraw { account: b, amount },
            Command::Transfer { from: a, to: b, amount },
        ]
    }

    /// The hand-written decoder's result as the codec's type.
    fn by_hand(payload: &[u8]) -> Option<Ask> {
        let mut read = vec![commands()[0]];
        let found = ask(payload).or_else(|| {
            let (first, acked_below) = run(payload, &mut read)?;
            Some(Ask::Run { first, acked_below, commands: read.split_off(1) })
        });
        assert_eq!(read, commands()[..1], "nothing is left behind");
        found
    }

    /// For every frequent message, truncated at each length, extended, and with each byte changed in five ways: what the
    /// hand-written decoder accepts, the codec decodes to the same value; what it rejects, the codec decodes to no such message.
    #[test]
    fn questions_are_the_codecs() {
        let (number, acked_below) = (RequestNumber(5), RequestNumber(4));
        let mut asks = vec![Ask::Balance { account: AccountId(0x0A0B_0C0D) }];
        asks.extend(commands().into_iter().map(|command| Ask::Request { number, acked_below, command }));
        asks.push(Ask::Run { first: number, acked_below, commands: commands() });
        asks.push(Ask::Run { first: number, acked_below, commands: Vec::new() });
        for ask in asks {
            let bytes = encoded(&ask);
            assert_eq!(by_hand(&bytes).as_ref(), Some(&ask));
            for cut in 0..bytes.len() {
                assert_eq!(by_hand(&bytes[..cut]), None);
            }
            assert_eq!(by_hand(&[&bytes[..], &[0]].concat()), None);
            for (at, change) in (0..bytes.len()).flat_map(|at| [1, 2, 4, 0x80, 0xFF].map(|change| (at, change))) {
                let mut changed = bytes.clone();
                changed[at] ^= change;
                if let Some(read) = by_hand(&changed) {
                    assert_eq!(codec::decode::<Ask>(&changed).as_ref(), Ok(&read), "byte {at}");
                } else {
                    let read = codec::decode::<Ask>(&changed);
                    assert!(!matches!(read, Ok(Ask::Request { .. } | Ask::Balance { .. } | Ask::Run { .. })), "byte {at}: {read:?}");
                }
            }
        }
    }

    #[test]
    fn a_run_that_is_too_long_is_for_the_codec() {
        for (length, is_read) in [(MAX_RUN, true), (MAX_RUN + 1, false)] {
            let commands = vec![commands()[0]; length];
            let bytes = encoded(&Ask::Run { first: RequestNumber(1), acked_below: RequestNumber(1), commands });
            assert_eq!(run(&bytes, &mut Vec::new()).is_some(), is_read);
        }
    }

    #[test]
    fn written_requests_have_the_codecs_bytes() {
        let framed = |ask: &Ask| {
            let mut out = vec![9];
            frame::put(ask, &mut out).unwrap();
            out
        };
        let (number, acked_below) = (RequestNumber(1 << 40), RequestNumber(77));
        for command in commands() {
            let mut out = vec![9];
            put_request(number, acked_below, &command, &mut out);
            assert_eq!(out, framed(&Ask::Request { number, acked_below, command }));
        }
        let mut out = vec![9];
        put_run(number, acked_below, &commands(), &mut out);
        assert_eq!(out, framed(&Ask::Run { first: number, acked_below, commands: commands() }));
        let mut out = vec![9];
        put_balance(AccountId(5), &mut out);
        assert_eq!(out, framed(&Ask::Balance { account: AccountId(5) }));
    }
}
