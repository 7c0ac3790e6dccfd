//! The settings of `serve --lab`: how often a transaction fails on purpose, and after how many transactions a login
//! ends.
//!
//! Left out: the dialogue that follows these rules (`dialogue.rs`).

use std::str::FromStr;

use crate::model::amount::Amount;

/// Shares are counted in billionths.
const DECIMALS: u8 = 9;
const WHOLE: u64 = 1_000_000_000;

/// The rules of the lab's teller machine. By default nothing fails on purpose, and a login ends when its customer
/// leaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LabRules {
    /// The share of deposits and withdrawals that are answered with an error and not executed.
    pub error_rate: ErrorRate,
    /// A login ends after this many successful deposits and withdrawals.
    pub max_transactions: Option<u64>,
    /// Random seed: the same seed draws the same errors.
    pub seed: u64,
}

/// A share from 0 to 1, exact to a billionth. Its text form is a decimal number such as `0.3`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ErrorRate(u64);

/// Text that is no share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a number from 0 to 1 with at most {DECIMALS} decimals, such as 0.3")]
pub struct NoShare;

impl FromStr for ErrorRate {
    type Err = NoShare;

    fn from_str(text: &str) -> Result<Self, NoShare> {
        // Decimals are read exactly, as those of amounts are.
        let billionths = Amount::parse(text, DECIMALS).map_err(|_| NoShare)?.get();
        if billionths <= WHOLE { Ok(Self(billionths)) } else { Err(NoShare) }
    }
}

/// Random numbers from the seed (splitmix64), one sequence for the whole daemon: whether the n-th transaction fails
/// does not depend on the client.
#[derive(Debug)]
pub struct Chance {
    rate: ErrorRate,
    state: u64,
}

impl Chance {
    /// The sequence of the rules' seed.
    pub const fn new(rules: &LabRules) -> Self {
        Self { rate: rules.error_rate, state: rules.seed }
    }

    /// Whether the next transaction fails.
    pub const fn strikes(&mut self) -> bool {
        self.draw() % WHOLE < self.rate.0
    }

    const fn draw(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.state;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strikes(rate: &str, seed: u64, count: usize) -> usize {
        let mut chance = Chance::new(&LabRules { error_rate: rate.parse().unwrap(), max_transactions: None, seed });
        (0..count).filter(|_| chance.strikes()).count()
    }

    #[test]
    fn shares_are_read_exactly_and_only_from_0_to_1() {
        for (text, billionths) in [("0", 0), ("1", WHOLE), ("1.0", WHOLE), ("0.3", 300_000_000), ("0.000000001", 1)] {
            assert_eq!(text.parse(), Ok(ErrorRate(billionths)), "{text}");
        }
        for text in ["", "1.000000001", "2", "-0.1", "0.0000000001", "1e-3", "30%", "nan"] {
            assert_eq!(text.parse::<ErrorRate>(), Err(NoShare), "{text}");
        }
    }

    #[test]
    fn chance_keeps_the_rate_and_the_seed() {
        for seed in 0..20 {
            assert_eq!((strikes("0", seed, 1_000), strikes("1", seed, 1_000)), (0, 1_000));
            let struck = strikes("0.3", seed, 100_000);
            assert!((29_000..31_000).contains(&struck), "{struck} with seed {seed}");
            assert_eq!(struck, strikes("0.3", seed, 100_000));
        }
        assert_ne!(strikes("0.3", 1, 100_000), strikes("0.3", 2, 100_000));
    }

    /// Published values of splitmix64 for the seed 1234567.
    #[test]
    fn the_generator_is_splitmix64() {
        let mut chance = Chance::new(&LabRules { seed: 1_234_567, ..LabRules::default() });
        assert_eq!(chance.draw(), 6_457_827_717_110_365_317);
        assert_eq!(chance.draw(), 3_203_168_211_198_807_973);
    }
}
