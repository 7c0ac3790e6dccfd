//! Frames: a length, a checksum and a payload. An incomplete frame is not an error.
//!
//! ```text
//! 0  u32  length of the payload in bytes, 1 to 65,536
//! 4  u32  CRC-32 (IEEE) of the payload
//! 8  ...  the payload: one message
//! ```
//! Left out: the contents of the payload (`message.rs`), and sockets.

use crate::model::codec;
use crate::model::codec::CodecError;

/// The largest payload in bytes. Checked before any allocation.
pub const MAX_PAYLOAD: usize = codec::LIMIT;
/// The length of a frame's header in bytes.
pub const HEADER: usize = 8;

/// The contents of the front of a buffer.
#[derive(Debug, PartialEq, Eq)]
pub enum Front<'a> {
    /// An incomplete frame: at least this many more bytes are needed.
    Incomplete(usize),
    /// A complete frame with a valid checksum.
    Whole {
        /// Its payload.
        payload: &'a [u8],
        /// The frame's length, header included.
        consumed: usize,
    },
}

/// Bytes that are not a valid frame. The rest of the stream cannot be interpreted: close the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The length is zero or above [`MAX_PAYLOAD`].
    #[error("a frame with a payload of {0} bytes (1 to {MAX_PAYLOAD} are allowed)")]
    Length(u32),
    /// The checksum does not match the payload.
    #[error("a frame whose checksum does not match")]
    Checksum,
}

/// Parses the frame at the front of `bytes`.
///
/// # Errors
/// [`FrameError`]; an invalid length is detected as soon as the header is complete.
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

/// The total length in bytes of the first `count` frames in `bytes`. All of them must be complete.
#[must_use]
pub fn length_of(bytes: &[u8], count: usize) -> usize {
    (0..count).fold(0, |at, _| {
        let announced = bytes.get(at..).and_then(|rest| rest.first_chunk::<4>()).map_or(0, |length| u32::from_le_bytes(*length));
        at.saturating_add(HEADER).saturating_add(usize::try_from(announced).unwrap_or(usize::MAX))
    })
}

/// Appends a frame with `message` to `out`.
///
/// # Errors
/// [`CodecError::TooLarge`] if the message does not fit into a frame; `out` is then unchanged.
pub fn put<T: serde::Serialize>(message: &T, out: &mut Vec<u8>) -> Result<(), CodecError> {
    let start = begin(out);
    if let Err(error) = codec::encode_into(message, out) {
        out.truncate(start);
        return Err(error);
    }
    end(out, start);
    Ok(())
}

/// Begins a frame. The caller appends the payload, at most [`MAX_PAYLOAD`] bytes, to `out`, and calls [`end`] with the
/// returned offset.
#[must_use]
pub fn begin(out: &mut Vec<u8>) -> usize {
    let start = out.len();
    out.extend_from_slice(&[0; HEADER]);
    start
}

/// Ends a frame: fills in the header in front of the payload.
#[inline]
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
