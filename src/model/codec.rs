//! Exact, size-limited encoding and decoding. The only user of bincode.
//!
//! Integers are little-endian with fixed width, enum variants are `u32`, lengths are `u64`. Decoding must consume all bytes,
//! at most [`LIMIT`]. Encoded values contain no version.
//! Left out: the hand-written encoding of commands and frequent messages, with the same bytes (`command.rs`,
//! `wire/fixed.rs`).

use bincode::config::{Configuration, Fixint, Limit, LittleEndian};
use serde::{Serialize, de::DeserializeOwned};

/// The largest encoded value, in bytes: a wire frame's payload.
pub const LIMIT: usize = 64 * 1024;

const CONFIG: Configuration<LittleEndian, Fixint, Limit<LIMIT>> =
    bincode::config::standard().with_fixed_int_encoding().with_limit::<LIMIT>();

/// Invalid bytes, or a value that is too large.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The bytes do not decode.
    #[error("bytes that do not decode")]
    Invalid,
    /// The value decodes, but more bytes follow.
    #[error("{0} bytes left over after the value")]
    LeftOver(usize),
    /// The value takes more than [`LIMIT`] bytes.
    #[error("a value larger than {LIMIT} bytes")]
    TooLarge,
}

/// Appends the encoded `value` to `out`.
///
/// # Errors
/// [`CodecError::TooLarge`]; `out` is then unchanged.
pub fn encode_into<T: Serialize>(value: &T, out: &mut Vec<u8>) -> Result<(), CodecError> {
    let start = out.len();
    let encoded = bincode::serde::encode_into_std_write(value, out, CONFIG);
    match encoded {
        Ok(written) if written <= LIMIT => Ok(()),
        _ => {
            out.truncate(start);
            Err(CodecError::TooLarge)
        }
    }
}

/// Decodes a value that takes all of `bytes`.
///
/// # Errors
/// [`CodecError`] for anything but exactly one value of at most [`LIMIT`] bytes.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    if bytes.len() > LIMIT {
        return Err(CodecError::TooLarge);
    }
    let (value, consumed) = bincode::serde::decode_from_slice(bytes, CONFIG).map_err(|_| CodecError::Invalid)?;
    match bytes.len().saturating_sub(consumed) {
        0 => Ok(value),
        left => Err(CodecError::LeftOver(left)),
    }
}

/// Takes a little-endian integer from the front of `bytes`, for hand-written decoders.
#[inline]
pub fn take_u32(bytes: &mut &[u8]) -> Option<u32> {
    let (head, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(u32::from_le_bytes(*head))
}

/// Takes a little-endian integer from the front of `bytes`, as [`take_u32`].
#[inline]
pub fn take_u64(bytes: &mut &[u8]) -> Option<u64> {
    let (head, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(u64::from_le_bytes(*head))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::amount::Amount;
    use crate::model::command::Command;
    use crate::model::types::AccountId;

    fn bytes(command: Command) -> Vec<u8> {
        let mut out = Vec::new();
        encode_into(&command, &mut out).unwrap();
        out
    }

    /// Golden bytes of commands, which wire and log formats guarantee.
    #[test]
    fn golden_commands() {
        let amount = Amount::new(0x0102_0304).unwrap();
        assert_eq!(bytes(Command::Deposit { account: AccountId(7), amount }), [0, 0, 0, 0, 7, 0, 0, 0, 4, 3, 2, 1, 0, 0, 0, 0]);
        assert_eq!(bytes(Command::Withdraw { account: AccountId(7), amount }), [1, 0, 0, 0, 7, 0, 0, 0, 4, 3, 2, 1, 0, 0, 0, 0]);
        assert_eq!(
            bytes(Command::Transfer { from: AccountId(7), to: AccountId(8), amount }),
            [2, 0, 0, 0, 7, 0, 0, 0, 8, 0, 0, 0, 4, 3, 2, 1, 0, 0, 0, 0]
        );
    }

    #[test]
    fn only_exact_bytes_decode() {
        let good = bytes(Command::Deposit { account: AccountId(7), amount: Amount::MAX });
        assert!(decode::<Command>(&good).is_ok());
        for cut in 0..good.len() {
            assert_eq!(decode::<Command>(&good[..cut]), Err(CodecError::Invalid));
        }
        let mut long = good.clone();
        long.push(0);
        assert_eq!(decode::<Command>(&long), Err(CodecError::LeftOver(1)));
        let mut over = good;
        over[15] = 0x80; // an amount of 2^63 and more
        assert_eq!(decode::<Command>(&over), Err(CodecError::Invalid));
    }

    #[test]
    fn a_length_that_lies_allocates_nothing() {
        let mut bytes = u64::MAX.to_le_bytes().to_vec();
        bytes.extend_from_slice(b"abc");
        assert_eq!(decode::<String>(&bytes), Err(CodecError::Invalid));
        assert_eq!(decode::<Vec<Command>>(&bytes), Err(CodecError::Invalid));
    }

    #[test]
    fn what_is_too_large_leaves_the_buffer_alone() {
        let mut out = vec![1, 2, 3];
        assert_eq!(encode_into(&"x".repeat(LIMIT + 1), &mut out), Err(CodecError::TooLarge));
        assert_eq!(out, [1, 2, 3]);
    }
}
