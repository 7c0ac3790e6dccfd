//! Helpers for invariants: lossless length conversions, and values that must exist. A broken invariant ends the process, also
//! in release builds; no default value replaces a missing one.
//!
//! Left out: invalid input, which is an error of the layer that reads it.

/// Converts a length in memory to a length in a file. Lossless, because the crate compiles only for 64-bit targets.
#[must_use]
pub const fn to_u64(length: usize) -> u64 {
    u64::from_ne_bytes(length.to_ne_bytes())
}

/// Converts a length in a file to a length in memory. Lossless, as [`to_u64`].
#[must_use]
pub const fn to_len(length: u64) -> usize {
    usize::from_ne_bytes(length.to_ne_bytes())
}

/// Unwraps a value that the invariant `rule` guarantees.
///
/// # Panics
/// If the value is `None`. The message is `rule`, and the location is the caller's.
#[track_caller]
#[inline]
#[allow(clippy::panic, reason = "a broken invariant ends the process")]
pub fn held<T>(value: Option<T>, rule: &'static str) -> T {
    match value {
        Some(value) => value,
        None => panic!("{rule}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_go_both_ways_without_loss() {
        for length in [0, 1, u64::from(u32::MAX) + 1, u64::MAX] {
            assert_eq!(to_u64(to_len(length)), length);
        }
    }

    #[test]
    #[should_panic(expected = "a batch begins within its memory")]
    fn a_missing_value_ends_the_process() {
        let bytes = [0_u8; 2];
        held(bytes.get(3..), "a batch begins within its memory");
    }
}
