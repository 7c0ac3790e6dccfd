//! Frames: a length, a checksum and a payload. No sockets here; an incomplete frame is no error.
//!
//! ```text
//! 0  u32  length of the payload in bytes, 1 to 65,536
//! 4  u32  CRC-32 (IEEE) of the payload
//! 8  ...  the payload: one message
//! ```
//! Left out: what the payload says (`message.rs`).

use crate::model::codec;
use crate::model::codec::CodecError;

/// The largest payload in bytes. Checked before anything is allocated.
pub const MAX_PAYLOAD: usize = codec::LIMIT;
/// The bytes before the payload.
pub const HEADER: usize = 8;

/// What the front of a buffer holds.
#[derive(Debug, PartialEq, Eq)]
pub enum Front<'a> {
    /// Not a whole frame yet; at least this many more bytes are needed.
    Incomplete(usize),
    /// A whole frame, whose checksum holds.
    Whole {
        /// Its payload.
        payload: &'a [u8],
        /// The frame's length, header included.
        consumed: usize,
    },
}

/// Bytes that are no frame. The connection cannot be trusted any further: close it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A length of zero or beyond [`MAX_PAYLOAD`].
    #[error("a frame with a payload of {0} bytes (1 to {MAX_PAYLOAD} are allowed)")]
    Length(u32),
    /// The checksum does not match the payload.
    #[error("a frame whose checksum does not match")]
    Checksum,
}

/// Looks at the front of `bytes`.
///
/// # Errors
/// [`FrameError`], as soon as the header shows it.
pub fn front(bytes: &[u8]) -> Result<Front<'_>, FrameError> {
    let Some((header, rest)) = bytes.split_first_chunk::<HEADER>() else {
        return Ok(Front::Incomplete(HEADER - bytes.len()));
    };
    let [l0, l1, l2, l3, c0, c1, c2, c3] = *header;
    let announced = u32::from_le_bytes([l0, l1, l2, l3]);
    let length = match usize::try_from(announced) {
        Ok(length @ 1..=MAX_PAYLOAD) => length,
        _ => return Err(FrameError::Length(announced)),
    };
    let Some(payload) = rest.get(..length) else {
        return Ok(Front::Incomplete(length - rest.len()));
    };
    if crc32fast::hash(payload) != u32::from_le_bytes([c0, c1, c2, c3]) {
        return Err(FrameError::Checksum);
    }
    Ok(Front::Whole { payload, consumed: HEADER + length })
}

/// The bytes of the first `count` frames in `bytes`, all of which are there.
#[must_use]
pub fn length_of(bytes: &[u8], count: usize) -> usize {
    (0..count).fold(0, |at, _| {
        let announced = bytes.get(at..).and_then(|rest| rest.first_chunk::<4>()).map_or(0, |length| u32::from_le_bytes(*length));
        at.saturating_add(HEADER).saturating_add(usize::try_from(announced).unwrap_or(usize::MAX))
    })
}

/// Appends a frame that carries `message` to `out`.
///
/// # Errors
/// [`CodecError::TooLarge`] if the message does not fit a frame; `out` is then as it was.
pub fn put<T: serde::Serialize>(message: &T, out: &mut Vec<u8>) -> Result<(), CodecError> {
    let start = begin(out);
    if let Err(error) = codec::encode_into(message, out) {
        out.truncate(start);
        return Err(error);
    }
    end(out, start);
    Ok(())
}

/// Begins a frame whose payload, at most [`MAX_PAYLOAD`], the caller appends to `out` before it calls [`end`] with what
/// this gives.
#[must_use]
pub fn begin(out: &mut Vec<u8>) -> usize {
    let start = out.len();
    out.extend_from_slice(&[0; HEADER]);
    start
}

/// Ends a frame: writes the header before the payload.
pub fn end(out: &mut [u8], start: usize) {
    if let Some((header, payload)) = out.get_mut(start..).and_then(|frame| frame.split_first_chunk_mut::<HEADER>()) {
        assert!(payload.len() <= MAX_PAYLOAD, "a payload too large for its frame");
        let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        *header = (u64::from(length) | u64::from(crc32fast::hash(payload)) << 32).to_le_bytes();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(message: &str) -> Vec<u8> {
        let mut out = Vec::new();
        put(&message, &mut out).unwrap();
        out
    }

    #[test]
    fn golden_frame() {
        assert_eq!(framed("hi"), [10, 0, 0, 0, 24, 128, 53, 126, 2, 0, 0, 0, 0, 0, 0, 0, b'h', b'i']);
    }

    #[test]
    fn a_frame_split_at_every_byte_is_incomplete_until_its_last() {
        let bytes = framed("hello");
        for cut in 0..bytes.len() {
            assert!(matches!(front(&bytes[..cut]), Ok(Front::Incomplete(n)) if n > 0 && n <= bytes.len() - cut));
        }
        assert!(matches!(front(&bytes), Ok(Front::Whole { consumed, .. }) if consumed == bytes.len()));
    }

    #[test]
    fn the_length_of_several() {
        let bytes = [framed("hello"), framed("hi"), framed("good morning")].concat();
        assert_eq!([0, 1, 2, 3].map(|count| length_of(&bytes, count)), [0, 21, 39, bytes.len()]);
    }

    #[test]
    fn every_bit_of_the_payload_is_covered() {
        let good = framed("hello");
        for bit in 32..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(front(&bad), Err(FrameError::Checksum), "bit {bit}");
        }
    }

    #[test]
    fn lengths_are_refused_before_the_payload_arrives() {
        for length in [0, 65_537, u32::MAX] {
            let mut bytes = length.to_le_bytes().to_vec();
            bytes.extend_from_slice(&[0; 4]);
            assert_eq!(front(&bytes), Err(FrameError::Length(length)));
        }
    }

    #[test]
    fn what_does_not_fit_leaves_the_buffer_alone() {
        let mut out = vec![1];
        assert!(put(&"x".repeat(MAX_PAYLOAD), &mut out).is_err());
        assert_eq!(out, [1]);
    }
}
