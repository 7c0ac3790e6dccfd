//! The bank's answers, as a client reads them: the fields stay in the buffer and are read at fixed offsets.
//!
//! Left out: writing them (`replies.rs`).

use super::{ANSWER_FRAME, BODY, ITEM, RECEIPT, VARIANT};
use crate::model::codec;
use crate::model::command::Body;
use crate::wire::frame::{self, Front};
use crate::wire::message::Receipt;
use crate::wire::numbers::{ITEM_ANSWER, REPLY_ANSWER, REPLY_RUN};

/// A recorded answer, to a single request or as an item of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnswerFrame<'a> {
    /// The encoded outcome, balance and LSN.
    body: &'a [u8; BODY],
    /// Whether the bank had answered it before.
    pub replayed: bool,
}

impl AnswerFrame<'_> {
    /// The outcome's variant number: 0 is done, 1 is insufficient balance.
    #[must_use]
    pub const fn outcome(&self) -> u32 {
        let [o0, o1, o2, o3, ..] = *self.body;
        u32::from_le_bytes([o0, o1, o2, o3])
    }

    /// The recorded body, decoded by the codec. `None` if it is invalid.
    #[must_use]
    pub fn body(&self) -> Option<Body> {
        codec::decode(self.body).ok()
    }
}

/// A whole frame of answers at the front of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answers<'a> {
    /// The number of the first request.
    pub first: u64,
    /// One item for each request: [`ITEM`] bytes, or the same without the variant in an answer to a single request.
    items: &'a [u8],
    is_run: bool,
    /// The encoded receipt: a chain head and its LSN.
    receipt: &'a [u8; RECEIPT],
    /// The frame's length in bytes.
    pub length: usize,
}

impl<'a> Answers<'a> {
    /// The LSN of the receipt.
    #[must_use]
    pub const fn receipt_lsn(&self) -> u64 {
        let [.., l0, l1, l2, l3, l4, l5, l6, l7] = *self.receipt;
        u64::from_le_bytes([l0, l1, l2, l3, l4, l5, l6, l7])
    }

    /// The receipt, decoded by the codec. `None` if it is invalid.
    #[must_use]
    pub fn receipt(&self) -> Option<Receipt> {
        codec::decode(self.receipt).ok()
    }

    /// The bytes of all items, to compare with a duplicate's.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.items
    }

    /// The recorded answers; `None` for an item that is a refusal.
    pub fn items(&self) -> impl Iterator<Item = Option<AnswerFrame<'a>>> {
        let variant = if self.is_run { VARIANT } else { 0 };
        self.items.chunks(variant + BODY + 1).map(move |item| {
            let (variant, rest) = item.split_at_checked(variant)?;
            let (body, rest) = rest.split_first_chunk::<BODY>()?;
            let is_answer = variant.is_empty() || variant == ITEM_ANSWER.to_le_bytes();
            match rest {
                [replayed @ (0 | 1)] if is_answer => Some(AnswerFrame { body, replayed: *replayed == 1 }),
                _ => None,
            }
        })
    }
}

/// Parses the frame of answers at the front of `bytes`. Returns `None` if it is incomplete, invalid, or another message: then the
/// codec decides.
#[must_use]
pub fn answers(bytes: &[u8]) -> Option<Answers<'_>> {
    let Ok(Front::Whole { payload, consumed: length }) = frame::front(bytes) else { return None };
    let (variant, rest) = payload.split_first_chunk::<VARIANT>()?;
    let (first, rest) = rest.split_first_chunk::<8>()?;
    let (items, receipt) = rest.split_last_chunk::<RECEIPT>()?;
    let first = u64::from_le_bytes(*first);
    match u32::from_le_bytes(*variant) {
        REPLY_ANSWER if length == ANSWER_FRAME => Some(Answers { first, items, is_run: false, receipt, length }),
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
    use crate::model::command::Outcome;
    use crate::model::types::{Chain, Lsn, RequestNumber};
    use crate::wire::message::{Refusal, Reply, RunItem};

    fn coded<T: serde::Serialize>(message: &T) -> Vec<u8> {
        let mut out = Vec::new();
        frame::put(message, &mut out).unwrap();
        out
    }

    fn body(outcome: Outcome) -> Body {
        Body { outcome, balance: Amount::new(500).unwrap(), lsn: Lsn(33) }
    }

    #[test]
    fn answers_are_read_as_the_codec_reads_them() {
        let receipt = Receipt { chain: Chain([8; 32]), lsn: Lsn(99) };
        let bytes = coded(&Reply::Answer { number: RequestNumber(4), body: body(Outcome::Done), replayed: true, receipt });
        assert_eq!(bytes.len(), ANSWER_FRAME);
        let seen = answers(&bytes).unwrap();
        assert_eq!((seen.first, seen.receipt_lsn(), seen.length), (4, 99, ANSWER_FRAME));
        let items: Vec<_> = seen.items().map(|item| item.map(|item| (item.outcome(), item.replayed))).collect();
        assert_eq!(items, [Some((0, true))]);
        assert_eq!(
            (seen.receipt(), seen.items().next().flatten().and_then(|item| item.body())),
            (Some(receipt), Some(body(Outcome::Done)))
        );

        let item = |outcome, replayed| RunItem::Answer { body: body(outcome), replayed };
        let items = vec![item(Outcome::Done, false), RunItem::Refused(Refusal::Busy)];
        let run = coded(&Reply::RunAnswer { first: RequestNumber(5), items, receipt });
        assert_eq!(answers(&run), None, "a refusal has another length: the codec's to read");
        let items = vec![item(Outcome::Done, false), item(Outcome::InsufficientBalance, true)];
        let run = coded(&Reply::RunAnswer { first: RequestNumber(5), items, receipt });
        let seen = answers(&run).unwrap();
        assert_eq!((seen.first, seen.receipt_lsn(), seen.length), (5, 99, run.len()));
        let items: Vec<_> = seen.items().map(|item| item.map(|item| (item.outcome(), item.replayed))).collect();
        assert_eq!(items, [Some((0, false)), Some((1, true))]);
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
