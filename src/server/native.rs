//! The native front end: frames to questions, replies to frames.
//!
//! Left out: what is done about them. No bank logic here, as in any front end.

use crate::codec;
use crate::wire::frame::{self, Front};
use crate::wire::message::{Ask, Refusal, Reply};

/// The next question in `bytes` and the bytes that it takes, or none if it is not whole yet.
///
/// # Errors
/// [`Refusal::BadMessage`]: the bytes cannot be trusted any further.
pub fn next(bytes: &[u8]) -> Result<Option<(Ask, usize)>, Refusal> {
    match frame::front(bytes) {
        Ok(Front::Incomplete(_)) => Ok(None),
        Ok(Front::Whole { payload, consumed }) => codec::decode(payload).map(|ask| Some((ask, consumed))).map_err(|_| Refusal::BadMessage),
        Err(_) => Err(Refusal::BadMessage),
    }
}

/// Appends a reply to a connection's output.
pub fn put(reply: &Reply, out: &mut Vec<u8>) {
    let fits = frame::put(reply, out);
    // Every list in a reply is bounded so that it fits (`MAX_RUN`, `MAX_PAGE`, `MAX_TEXT`, the session caps), but a
    // bound that is wrong must not leave a client without an answer.
    if fits.is_err() && frame::put(&Reply::Refused(Refusal::Busy), out).is_err() {
        debug_assert!(false, "a refusal fits a frame");
    }
}
