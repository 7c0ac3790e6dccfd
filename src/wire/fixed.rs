//! Hand-written encoding and decoding of the most frequent messages: the same bytes as the codec's, but faster and without
//! allocation.
//!
//! Left out: all other messages, and errors: anything but a valid message of these kinds is left to the codec.

use super::frame;
use super::message::{Ask, MAX_RUN, Receipt, Refusal};
use crate::model::amount::Amount;
use crate::model::codec;
use crate::model::codec::{take_u32, take_u64};
use crate::model::command::{Body, Command};
use crate::model::types::{AccountId, Lsn, RequestNumber};

/// The variant number of [`Ask::Request`].
const REQUEST: u32 = 4;

/// Decodes `payload` as a request or balance inquiry. Returns `None` for anything else.
#[must_use]
#[inline]
pub fn ask(mut payload: &[u8]) -> Option<Ask> {
    if let Some((number, acked_below, command)) = request(payload) {
        return Some(Ask::Request { number, acked_below, command });
    }
    let rest = &mut payload;
    let ask = match take_u32(rest)? {
        10 => Ask::Balance { account: AccountId(take_u32(rest)?) },
        _ => return None,
    };
    payload.is_empty().then_some(ask)
}

/// Whether a payload begins with the variant number of a single request.
#[must_use]
#[inline]
pub fn is_request(payload: &[u8]) -> bool {
    payload.starts_with(&REQUEST.to_le_bytes())
}

/// Decodes `payload` as a single request: its number, its `acked_below`, its command. Returns `None` for anything else.
#[must_use]
#[inline]
pub fn request(mut payload: &[u8]) -> Option<(RequestNumber, RequestNumber, Command)> {
    let rest = &mut payload;
    if take_u32(rest)? != REQUEST {
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
    if take_u32(rest)? != 5 {
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

/// Appends the frame of a `Reply::Answer` to `out`.
pub fn put_answer(number: RequestNumber, body: &Body, replayed: bool, receipt: &Receipt, out: &mut Vec<u8>) {
    let answers = Answers::begin(receipt, out);
    answers.put(number, body, replayed, out);
    answers.end(out);
}

/// Writes consecutive frames of `Reply::Answer` with one receipt. All checksums are computed at the end: a checksum reads with
/// wider loads than the stores that wrote the bytes, and the processor stalls if such a load follows too soon.
#[derive(Clone, Copy)]
#[must_use = "the frames need their end"]
pub struct Answers<'a> {
    receipt: &'a Receipt,
    start: usize,
}

impl<'a> Answers<'a> {
    /// The length of each frame in bytes.
    const FRAME: usize = frame::HEADER + 73;

    /// Begins at the end of `out`.
    pub const fn begin(receipt: &'a Receipt, out: &[u8]) -> Self {
        Self { receipt, start: out.len() }
    }

    /// Appends one answer.
    #[inline]
    pub fn put(&self, number: RequestNumber, body: &Body, replayed: bool, out: &mut Vec<u8>) {
        let mut bytes = [0; Self::FRAME];
        let mut rest = bytes.as_mut_slice();
        let mut put = |field: &[u8]| {
            if let Some((head, tail)) = std::mem::take(&mut rest).split_at_mut_checked(field.len()) {
                head.copy_from_slice(field);
                rest = tail;
            }
        };
        put(&73_u32.to_le_bytes());
        put(&0_u32.to_le_bytes());
        put(&3_u32.to_le_bytes());
        put(&number.0.to_le_bytes());
        put(&u32::from(body.outcome.code()).to_le_bytes());
        put(&body.balance.get().to_le_bytes());
        put(&body.lsn.0.to_le_bytes());
        put(&[u8::from(replayed)]);
        put(&self.receipt.chain.0);
        put(&self.receipt.lsn.0.to_le_bytes());
        assert!(rest.is_empty());
        out.extend_from_slice(&bytes);
    }

    /// Writes the checksums.
    pub fn end(self, out: &mut [u8]) {
        for frame in out.get_mut(self.start..).unwrap_or_default().chunks_exact_mut(Self::FRAME) {
            frame::end(frame, 0);
        }
    }
}

/// Appends the frame of a `Reply::Balance` to `out`.
pub fn put_balance(balance: Amount, lsn: Lsn, out: &mut Vec<u8>) {
    let start = frame::begin(out);
    out.extend_from_slice(&8_u32.to_le_bytes());
    out.extend_from_slice(&balance.get().to_le_bytes());
    out.extend_from_slice(&lsn.0.to_le_bytes());
    frame::end(out, start);
}

/// Writes the frame of a `Reply::RunAnswer` item by item.
#[must_use = "a frame needs its end"]
pub struct RunAnswer {
    start: usize,
}

impl RunAnswer {
    /// Begins at the end of `out`. Exactly `count` items, at most [`MAX_RUN`], must follow.
    pub fn begin(first: RequestNumber, count: u64, out: &mut Vec<u8>) -> Self {
        let start = frame::begin(out);
        out.extend_from_slice(&4_u32.to_le_bytes());
        out.extend_from_slice(&first.0.to_le_bytes());
        out.extend_from_slice(&count.to_le_bytes());
        Self { start }
    }

    /// Appends one item: an answer and whether it is a replay, or a refusal.
    pub fn item(&self, item: Result<(Body, bool), Refusal>, out: &mut Vec<u8>) {
        match item {
            Ok((body, replayed)) => {
                out.extend_from_slice(&0_u32.to_le_bytes());
                put_body(&body, replayed, out);
            }
            Err(refusal) => {
                out.extend_from_slice(&1_u32.to_le_bytes());
                // Exceeding the limit is the codec's only error, and a refusal takes only a few bytes.
                let encoded = codec::encode_into(&refusal, out);
                assert!(encoded.is_ok(), "a refusal fits the codec's limit");
            }
        }
    }

    /// Ends the frame.
    pub fn end(self, receipt: &Receipt, out: &mut Vec<u8>) {
        put_receipt(receipt, out);
        frame::end(out, self.start);
    }
}

fn put_body(body: &Body, replayed: bool, out: &mut Vec<u8>) {
    let amounts = u128::from(body.balance.get()) | u128::from(body.lsn.0) << 64;
    out.extend_from_slice(&u32::from(body.outcome.code()).to_le_bytes());
    out.extend_from_slice(&amounts.to_le_bytes());
    out.push(u8::from(replayed));
}

fn put_receipt(receipt: &Receipt, out: &mut Vec<u8>) {
    out.extend_from_slice(&receipt.chain.0);
    out.extend_from_slice(&receipt.lsn.0.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::command::Outcome;
    use crate::model::types::Chain;
    use crate::wire::message::{Reply, RunItem};

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
    fn replies_are_the_codecs() {
        let receipt = Receipt { chain: Chain(std::array::from_fn(|at| u8::try_from(at).unwrap())), lsn: Lsn(0x0102_0304) };
        let outcomes = [
            Outcome::Done,
            Outcome::InsufficientBalance,
            Outcome::NoSuchAccount,
            Outcome::AccountClosed,
            Outcome::AccountLocked,
            Outcome::BalanceOverflow,
            Outcome::Cancelled,
        ];
        let check = |reply: &Reply, by_hand: &[u8]| {
            let mut by_codec = vec![9];
            frame::put(reply, &mut by_codec).unwrap();
            assert_eq!(by_hand, by_codec, "{reply:?}");
        };
        let mut items = vec![RunItem::Refused(Refusal::Gap { expected: RequestNumber(9) }), RunItem::Refused(Refusal::Busy)];
        for (outcome, replayed) in outcomes.into_iter().flat_map(|outcome| [(outcome, false), (outcome, true)]) {
            let (number, body) = (RequestNumber(77), Body { outcome, balance: Amount::MAX, lsn: Lsn(99) });
            let mut out = vec![9];
            put_answer(number, &body, replayed, &receipt, &mut out);
            check(&Reply::Answer { number, body, replayed, receipt }, &out);
            items.push(RunItem::Answer { body, replayed });
        }
        let (mut out, mut one_by_one) = (vec![9], vec![9]);
        let answers = Answers::begin(&receipt, &out);
        for (number, outcome) in (77..).map(RequestNumber).zip(outcomes) {
            let (body, replayed) = (Body { outcome, balance: Amount::MAX, lsn: Lsn(99) }, number.0 % 2 == 0);
            answers.put(number, &body, replayed, &mut out);
            put_answer(number, &body, replayed, &receipt, &mut one_by_one);
        }
        answers.end(&mut out);
        assert_eq!(out, one_by_one);
        let mut out = vec![9];
        let answer = RunAnswer::begin(RequestNumber(3), items.len() as u64, &mut out);
        for item in &items {
            match *item {
                RunItem::Answer { body, replayed } => answer.item(Ok((body, replayed)), &mut out),
                RunItem::Refused(refusal) => answer.item(Err(refusal), &mut out),
            }
        }
        answer.end(&receipt, &mut out);
        check(&Reply::RunAnswer { first: RequestNumber(3), items, receipt }, &out);
        let mut out = vec![9];
        put_balance(Amount::MAX, Lsn(5), &mut out);
        check(&Reply::Balance { balance: Amount::MAX, lsn: Lsn(5) }, &out);
    }
}
