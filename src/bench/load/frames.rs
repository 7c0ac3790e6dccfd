//! The frames of the hot path, encoded and decoded at fixed offsets: the same bytes as the codec's, but faster.
//!
//! Left out: every other message, which the codec decodes (`lane.rs`).

use crate::model::command::Command;
use crate::model::types::AccountId;
use crate::wire::frame::HEADER;

/// Length of a frame with the answer to a single request.
pub(super) const ANSWER: usize = HEADER + 73;
/// Length of a recorded body: outcome, balance, LSN.
pub(super) const BODY: usize = 20;
/// Length of one answer in a run: the variant, the body, the `replayed` flag.
pub(super) const ITEM: usize = 4 + BODY + 1;

/// Variant numbers of the protocol's enums.
const ASK_REQUEST: u32 = 4;
const ASK_RUN: u32 = 5;
const ASK_BALANCE: u32 = 10;
const REPLY_ANSWER: u32 = 3;
const REPLY_RUN: u32 = 4;

/// Appends `Ask::Request`.
pub(super) fn put_request(number: u64, acked_below: u64, command: &Command, out: &mut Vec<u8>) {
    framed(out, |out| {
        out.extend_from_slice(&ASK_REQUEST.to_le_bytes());
        out.extend_from_slice(&number.to_le_bytes());
        out.extend_from_slice(&acked_below.to_le_bytes());
        put_command(command, out);
    });
}

/// Appends `Ask::Run`.
pub(super) fn put_run(first: u64, acked_below: u64, commands: &[Command], out: &mut Vec<u8>) {
    framed(out, |out| {
        out.extend_from_slice(&ASK_RUN.to_le_bytes());
        out.extend_from_slice(&first.to_le_bytes());
        out.extend_from_slice(&acked_below.to_le_bytes());
        out.extend_from_slice(&(commands.len() as u64).to_le_bytes());
        commands.iter().for_each(|command| put_command(command, out));
    });
}

/// Appends `Ask::Balance`.
pub(super) fn put_balance(account: AccountId, out: &mut Vec<u8>) {
    framed(out, |out| {
        out.extend_from_slice(&ASK_BALANCE.to_le_bytes());
        out.extend_from_slice(&account.0.to_le_bytes());
    });
}

fn put_command(command: &Command, out: &mut Vec<u8>) {
    let amount = command.amount().get().to_le_bytes();
    let two = |variant: u32, account: AccountId| {
        let ([v0, v1, v2, v3], [a0, a1, a2, a3]) = (variant.to_le_bytes(), account.0.to_le_bytes());
        [v0, v1, v2, v3, a0, a1, a2, a3]
    };
    match command {
        Command::Deposit { account, .. } => out.extend_from_slice(&two(0, *account)),
        Command::Withdraw { account, .. } => out.extend_from_slice(&two(1, *account)),
        Command::Transfer { from, to, .. } => {
            out.extend_from_slice(&two(2, *from));
            out.extend_from_slice(&to.0.to_le_bytes());
        }
    }
    out.extend_from_slice(&amount);
}

fn framed(out: &mut Vec<u8>, payload: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; HEADER]);
    payload(out);
    if let Some((header, payload)) = out.get_mut(start..).and_then(|frame| frame.split_first_chunk_mut::<HEADER>()) {
        // The largest payload, a run of 1,024 transfers, has 20,508 bytes.
        let [l0, l1, l2, l3] = u32::try_from(payload.len()).unwrap_or(0).to_le_bytes();
        let [c0, c1, c2, c3] = crc32fast::hash(payload).to_le_bytes();
        *header = [l0, l1, l2, l3, c0, c1, c2, c3];
    }
}

/// A recorded answer, to a single request or as an item of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AnswerFrame<'a> {
    /// The encoded outcome, balance and LSN.
    pub(super) body: &'a [u8; BODY],
    /// Whether the bank had answered it before.
    pub(super) replayed: bool,
}

impl AnswerFrame<'_> {
    /// The outcome's variant number: 0 is done, 1 is insufficient balance.
    pub(super) const fn outcome(&self) -> u32 {
        let [o0, o1, o2, o3, ..] = *self.body;
        u32::from_le_bytes([o0, o1, o2, o3])
    }
}

/// A whole frame of answers at the front of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answers<'a> {
    /// The number of the first request.
    pub(super) first: u64,
    /// One item for each request: [`ITEM`] bytes, or the same without the variant in an answer to a single request.
    items: &'a [u8],
    is_run: bool,
    /// The receipt: a chain head and its LSN.
    pub(super) receipt: &'a [u8; 40],
    /// The frame's length in bytes.
    pub(super) length: usize,
}

impl<'a> Answers<'a> {
    /// The LSN of the receipt.
    pub(super) const fn receipt_lsn(&self) -> u64 {
        let [.., l0, l1, l2, l3, l4, l5, l6, l7] = *self.receipt;
        u64::from_le_bytes([l0, l1, l2, l3, l4, l5, l6, l7])
    }

    /// The bytes of all items, to compare with a duplicate's.
    pub(super) const fn bytes(&self) -> &'a [u8] {
        self.items
    }

    /// The recorded answers; `None` for an item that is a refusal.
    pub(super) fn told(&self) -> impl Iterator<Item = Option<AnswerFrame<'a>>> {
        let variant = if self.is_run { 4 } else { 0 };
        self.items.chunks(variant + BODY + 1).map(move |item| {
            let (variant, rest) = item.split_at_checked(variant)?;
            let (body, rest) = rest.split_first_chunk::<BODY>()?;
            match (variant, rest) {
                ([] | [0, 0, 0, 0], [replayed @ (0 | 1)]) => Some(AnswerFrame { body, replayed: *replayed == 1 }),
                _ => None,
            }
        })
    }
}

/// Decodes the frame of answers at the front of `bytes`. None if it is incomplete, invalid, or another message: then the codec
/// decides.
pub(super) fn answers(bytes: &[u8]) -> Option<Answers<'_>> {
    let (header, rest) = bytes.split_first_chunk::<HEADER>()?;
    let [l0, l1, l2, l3, c0, c1, c2, c3] = *header;
    let length = usize::try_from(u32::from_le_bytes([l0, l1, l2, l3])).ok()?;
    let payload = rest.get(..length)?;
    if crc32fast::hash(payload) != u32::from_le_bytes([c0, c1, c2, c3]) {
        return None;
    }
    let (variant, rest) = payload.split_first_chunk::<4>()?;
    let (first, rest) = rest.split_first_chunk::<8>()?;
    let (items, receipt) = rest.split_last_chunk::<40>()?;
    let first = u64::from_le_bytes(*first);
    let length = HEADER + length;
    match u32::from_le_bytes(*variant) {
        REPLY_ANSWER if length == ANSWER => Some(Answers { first, items, is_run: false, receipt, length }),
        REPLY_RUN => {
            let (count, items) = items.split_first_chunk::<8>()?;
            let count = usize::try_from(u64::from_le_bytes(*count)).ok()?;
            (count.checked_mul(ITEM) == Some(items.len())).then_some(Answers { first, items, is_run: true, receipt, length })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::amount::Amount;
    use crate::model::command::{Body, Outcome};
    use crate::model::types::{Chain, Lsn, RequestNumber};
    use crate::wire::frame;
    use crate::wire::message::{Ask, Receipt, Refusal, Reply, RunItem};

    fn commands() -> [Command; 3] {
        let amount = Amount::new(0x0102_0304_0506).unwrap();
        let (account, to) = (AccountId(7), AccountId(0x0A0B_0C0D));
        [Command::Deposit { account, amount }, Command::Withdraw { account: to, amount }, Command::Transfer { from: account, to, amount }]
    }

    fn coded<T: serde::Serialize>(message: &T) -> Vec<u8> {
        let mut out = Vec::new();
        frame::put(message, &mut out).unwrap();
        out
    }

    #[test]
    fn questions_are_the_codecs_bytes() {
        let (number, acked_below) = (RequestNumber(1 << 40), RequestNumber(77));
        for command in commands() {
            let mut out = Vec::new();
            put_request(number.0, acked_below.0, &command, &mut out);
            assert_eq!(out, coded(&Ask::Request { number, acked_below, command }));
        }
        let mut out = vec![9];
        put_run(number.0, acked_below.0, &commands(), &mut out);
        assert_eq!(out[1..], coded(&Ask::Run { first: number, acked_below, commands: commands().to_vec() }));
        let mut out = Vec::new();
        put_balance(AccountId(5), &mut out);
        assert_eq!(out, coded(&Ask::Balance { account: AccountId(5) }));
    }

    fn body(outcome: Outcome) -> Body {
        Body { outcome, balance: Amount::new(500).unwrap(), lsn: Lsn(33) }
    }

    #[test]
    fn answers_are_read_as_the_codec_reads_them() {
        let receipt = Receipt { chain: Chain([8; 32]), lsn: Lsn(99) };
        let bytes = coded(&Reply::Answer { number: RequestNumber(4), body: body(Outcome::Done), replayed: true, receipt });
        assert_eq!(bytes.len(), ANSWER);
        let seen = answers(&bytes).unwrap();
        assert_eq!((seen.first, seen.receipt_lsn(), seen.length), (4, 99, ANSWER));
        let told: Vec<_> = seen.told().map(|told| told.map(|told| (told.outcome(), told.replayed))).collect();
        assert_eq!(told, [Some((0, true))]);

        let item = |outcome, replayed| RunItem::Answer { body: body(outcome), replayed };
        let items = vec![item(Outcome::Done, false), RunItem::Refused(Refusal::Busy)];
        let run = coded(&Reply::RunAnswer { first: RequestNumber(5), items, receipt });
        assert_eq!(answers(&run), None, "a refusal has another length: the codec's to read");
        let items = vec![item(Outcome::Done, false), item(Outcome::InsufficientBalance, true)];
        let run = coded(&Reply::RunAnswer { first: RequestNumber(5), items, receipt });
        let seen = answers(&run).unwrap();
        assert_eq!((seen.first, seen.receipt_lsn(), seen.length), (5, 99, run.len()));
        let told: Vec<_> = seen.told().map(|told| told.map(|told| (told.outcome(), told.replayed))).collect();
        assert_eq!(told, [Some((0, false)), Some((1, true))]);
    }

    #[test]
    fn only_whole_sound_answers_are_read() {
        let receipt = Receipt::default();
        let good = coded(&Reply::Answer { number: RequestNumber(4), body: body(Outcome::Done), replayed: false, receipt });
        for cut in 0..good.len() {
            assert_eq!(answers(&good[..cut]), None);
        }
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(answers(&bad), None, "bit {bit}");
        }
        assert_eq!(answers(&coded(&Reply::Pong)), None);
    }
}
