//! What an invariant guarantees: lossless lengths, and values that are there. Where an invariant is broken, the process
//! ends, in release builds too; no default value takes the place of what is missing.
//!
//! Left out: bad input, which is an error of the layer that reads it.

/// A length in memory as a length in a file. Lossless: the crate compiles on machines of 64 bits only.
#[must_use]
pub const fn to_u64(length: usize) -> u64 {
    u64::from_ne_bytes(length.to_ne_bytes())
}

/// A length in a file as a length in memory. Lossless, as [`to_u64`].
#[must_use]
pub const fn to_len(length: u64) -> usize {
    usize::from_ne_bytes(length.to_ne_bytes())
}

/// The value that `rule` guarantees.
///
/// # Panics
/// If there is none. The message is `rule`, and the place is the caller's.
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
