//! Hand-written encoding and decoding of the most frequent messages: the same bytes as the codec's, but faster and without
//! allocation.
//!
//! Left out: all other messages, which the codec encodes and decodes.

pub mod asks;
pub mod received;
pub mod replies;

use super::frame::HEADER;

/// The length in bytes of a recorded body: outcome, balance, LSN.
const BODY: usize = 20;
/// The length in bytes of a receipt: chain head, LSN.
const RECEIPT: usize = 40;
/// The length in bytes of the frame of an answer to a single request: header, variant, number, body, `replayed`, receipt.
const ANSWER_FRAME: usize = HEADER + 4 + 8 + BODY + 1 + RECEIPT;
/// The length in bytes of one answer in the answer to a run: variant, body, `replayed`.
pub const ITEM: usize = 4 + BODY + 1;
