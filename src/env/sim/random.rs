//! A small deterministic random number generator (SplitMix64): equal seeds produce equal runs on every machine.
//!
//! Left out: unpredictable random numbers ([`Entropy`](crate::env::Entropy)).

/// The generator's state.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Creates a generator from a seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub const fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`, uniform enough for tests; 0 for a limit of 0.
    pub const fn below(&mut self, limit: u64) -> u64 {
        match self.next_u64().checked_rem(limit) {
            Some(number) => number,
            None => 0,
        }
    }

    /// An index below `limit`; 0 for a limit of 0.
    pub fn index(&mut self, limit: usize) -> usize {
        usize::try_from(self.below(u64::try_from(limit).unwrap_or(u64::MAX))).unwrap_or(0)
    }

    /// True with probability `1 / chances`.
    pub const fn one_in(&mut self, chances: u64) -> bool {
        self.below(chances) == 0
    }
}
