//! Hand-written encoding and decoding of the most frequent messages: the same bytes as the codec's, but faster and without
//! allocation.
//!
//! Left out: all other messages, which the codec encodes and decodes.

pub mod asks;
pub mod received;
pub mod replies;

use super::frame::{self, HEADER};

/// The length in bytes of a message's or item's variant number.
const VARIANT: usize = 4;
/// The length in bytes of a recorded body: outcome, balance, LSN.
const BODY: usize = 20;
/// The length in bytes of a receipt: chain head, LSN.
const RECEIPT: usize = 40;
/// The length in bytes of the frame of an answer to a single request: header, variant, number, body, `replayed`, receipt.
const ANSWER_FRAME: usize = HEADER + VARIANT + 8 + BODY + 1 + RECEIPT;
/// The length in bytes of one answer in the answer to a run: variant, body, `replayed`.
pub const ITEM: usize = VARIANT + BODY + 1;

/// Begins a frame with a variant number. The caller appends the rest, and calls [`frame::end`] with the returned offset.
#[inline]
fn begin(variant: u32, out: &mut Vec<u8>) -> usize {
    let start = frame::begin(out);
    out.extend_from_slice(&variant.to_le_bytes());
    start
}
