//! The frequent replies, as the bank writes them: answers to single requests and to runs, and balances.
//!
//! Left out: reading them (`received.rs`).

use super::{ANSWER_FRAME, begin};
use crate::model::amount::Amount;
use crate::model::codec;
use crate::model::command::Body;
use crate::model::types::{Lsn, RequestNumber};
use crate::wire::frame;
#[cfg(doc)]
use crate::wire::message::MAX_RUN;
use crate::wire::message::{Receipt, Refusal};
use crate::wire::numbers::{ITEM_ANSWER, ITEM_REFUSED, REPLY_ANSWER, REPLY_BALANCE, REPLY_RUN};

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
    /// Begins at the end of `out`.
    pub const fn begin(receipt: &'a Receipt, out: &[u8]) -> Self {
        Self { receipt, start: out.len() }
    }

    /// Appends one answer.
    #[inline]
    pub fn put(&self, number: RequestNumber, body: &Body, replayed: bool, out: &mut Vec<u8>) {
        let mut bytes = [0; ANSWER_FRAME];
        let mut rest = bytes.as_mut_slice();
        let mut put = |field: &[u8]| {
            if let Some((head, tail)) = std::mem::take(&mut rest).split_at_mut_checked(field.len()) {
                head.copy_from_slice(field);
                rest = tail;
            }
        };
        // `end` fills in the header.
        put(&[0; frame::HEADER]);
        put(&REPLY_ANSWER.to_le_bytes());
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
        for frame in out.get_mut(self.start..).unwrap_or_default().chunks_exact_mut(ANSWER_FRAME) {
            frame::end(frame, 0);
        }
    }
}

/// Appends the frame of a `Reply::Balance` to `out`.
pub fn put_balance(balance: Amount, lsn: Lsn, out: &mut Vec<u8>) {
    let start = begin(REPLY_BALANCE, out);
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
        let start = begin(REPLY_RUN, out);
        out.extend_from_slice(&first.0.to_le_bytes());
        out.extend_from_slice(&count.to_le_bytes());
        Self { start }
    }

    /// Appends one item: an answer and whether it is a replay, or a refusal.
    pub fn item(&self, item: Result<(Body, bool), Refusal>, out: &mut Vec<u8>) {
        match item {
            Ok((body, replayed)) => {
                out.extend_from_slice(&ITEM_ANSWER.to_le_bytes());
                put_body(&body, replayed, out);
            }
            Err(refusal) => {
                out.extend_from_slice(&ITEM_REFUSED.to_le_bytes());
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
