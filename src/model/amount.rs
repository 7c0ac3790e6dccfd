//! Amounts of money as integers of minor units, and their text form.
//!
//! There are no floats, no signs and no currencies. Left out: balances and rules (`bank/`).

use std::fmt;

use serde::{Deserialize, Serialize};

/// An amount of money in minor units: cents in a store with two decimals.
///
/// Invariant: at most [`Amount::MAX`] (2^63 - 1). Decoding from wire or disk checks it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct Amount(u64);

impl Amount {
    /// The amount of zero.
    pub const ZERO: Self = Self(0);
    /// The largest amount and the largest balance: 2^63 - 1.
    pub const MAX: Self = Self(i64::MAX as u64);

    /// The amount of `minor_units`; `None` if it exceeds [`Amount::MAX`].
    #[must_use]
    pub const fn new(minor_units: u64) -> Option<Self> {
        if minor_units <= Self::MAX.0 { Some(Self(minor_units)) } else { None }
    }

    /// The number of minor units.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The sum; `None` if it exceeds [`Amount::MAX`].
    #[must_use]
    pub const fn checked_add(self, other: Self) -> Option<Self> {
        // Two numbers below 2^63 cannot overflow a u64.
        Self::new(self.0 + other.0)
    }

    /// The difference; `None` if `other` is larger.
    #[must_use]
    pub const fn checked_sub(self, other: Self) -> Option<Self> {
        match self.0.checked_sub(other.0) {
            Some(rest) => Some(Self(rest)),
            None => None,
        }
    }

    /// The text form in a store with `decimals` decimals: `1169` without decimals, `11.69` with two.
    #[must_use]
    pub const fn display(self, decimals: u8) -> DisplayAmount {
        DisplayAmount { amount: self, decimals }
    }

    /// Parses user input in a store with `decimals` decimals.
    ///
    /// The format is ASCII digits, optionally followed by a point and at most `decimals` digits. Surrounding white space is
    /// ignored. No sign, no exponent, no separators. Zero is accepted here; [`Command::check`](super::command::Command::check)
    /// rejects it.
    ///
    /// # Errors
    /// [`AmountError`], whose text can be shown to a customer.
    pub fn parse(text: &str, decimals: u8) -> Result<Self, AmountError> {
        let text = text.trim();
        let (whole, fraction) = match text.split_once('.') {
            Some((whole, fraction)) => (whole, Some(fraction)),
            None => (text, None),
        };
        if let Some(rest) = whole.strip_prefix('-') {
            let number = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
            if !rest.is_empty() && number(rest) && fraction.is_none_or(number) {
                return Err(AmountError::Negative);
            }
        }
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || fraction.is_some_and(|f| !digits(f)) {
            return Err(AmountError::NotANumber);
        }
        let fraction = fraction.unwrap_or("");
        if fraction.len() > usize::from(decimals) {
            return Err(AmountError::TooManyDecimals { decimals });
        }
        let padding = usize::from(decimals) - fraction.len();
        whole
            .bytes()
            .chain(fraction.bytes())
            .chain(std::iter::repeat_n(b'0', padding))
            .try_fold(0_u64, |sum, digit| sum.checked_mul(10)?.checked_add(u64::from(digit - b'0')))
            .and_then(Self::new)
            .ok_or(AmountError::TooLarge)
    }
}

impl TryFrom<u64> for Amount {
    type Error = AmountError;

    fn try_from(minor_units: u64) -> Result<Self, AmountError> {
        Self::new(minor_units).ok_or(AmountError::TooLarge)
    }
}

impl From<Amount> for u64 {
    fn from(amount: Amount) -> Self {
        amount.0
    }
}

/// An [`Amount`] with the store's decimals, for display.
#[derive(Clone, Copy, Debug)]
pub struct DisplayAmount {
    amount: Amount,
    decimals: u8,
}

impl fmt::Display for DisplayAmount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (units, decimals) = (self.amount.0, usize::from(self.decimals));
        if decimals == 0 {
            return write!(f, "{units}");
        }
        let digits = format!("{units:0>width$}", width = decimals + 1);
        let (whole, fraction) = digits.split_at(digits.len() - decimals);
        write!(f, "{whole}.{fraction}")
    }
}

/// The most decimals of a store: 10^18 minor units still fit into an [`Amount`].
pub const MAX_DECIMALS: u8 = 18;

/// Why a text or a number is not a valid amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// It contains something other than digits.
    #[error("the amount is not a number")]
    NotANumber,
    /// A number with a minus sign.
    #[error("the amount must not be negative")]
    Negative,
    /// More than 2^63 - 1 minor units.
    #[error("the amount is too large")]
    TooLarge,
    /// More decimals than the store has.
    #[error("the amount has more decimals than this bank keeps ({decimals})")]
    TooManyDecimals {
        /// The store's decimals.
        decimals: u8,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_forms() {
        for (text, decimals, units) in [
            ("0", 0, 0),
            ("1169", 0, 1169),
            (" 7 ", 0, 7),
            ("007", 0, 7),
            ("11.69", 2, 1169),
            ("11.6", 2, 1160),
            ("11", 2, 1100),
            ("0.01", 2, 1),
            ("9223372036854775807", 0, i64::MAX as u64),
        ] {
            assert_eq!(Amount::parse(text, decimals), Ok(Amount::new(units).unwrap()), "{text}");
        }
        for (text, error) in [
            ("", AmountError::NotANumber),
            ("ten", AmountError::NotANumber),
            ("-5", AmountError::Negative),
            ("-5.5", AmountError::Negative),
            ("-", AmountError::NotANumber),
            ("--5", AmountError::NotANumber),
            ("+5", AmountError::NotANumber),
            ("1e3", AmountError::NotANumber),
            ("1.", AmountError::NotANumber),
            (".5", AmountError::NotANumber),
            ("1.2.3", AmountError::NotANumber),
            ("1.5", AmountError::TooManyDecimals { decimals: 0 }),
            ("9223372036854775808", AmountError::TooLarge),
            ("99999999999999999999999999", AmountError::TooLarge),
            ("\u{664}", AmountError::NotANumber),
        ] {
            assert_eq!(Amount::parse(text, 0), Err(error), "{text}");
        }
        assert_eq!(Amount::parse("1.234", 2), Err(AmountError::TooManyDecimals { decimals: 2 }));
    }

    #[test]
    fn display_is_the_inverse_of_parse() {
        for units in [0, 1, 9, 10, 99, 100, 12_345, i64::MAX as u64] {
            for decimals in 0..=MAX_DECIMALS {
                let amount = Amount::new(units).unwrap();
                assert_eq!(Amount::parse(&amount.display(decimals).to_string(), decimals), Ok(amount));
            }
        }
        assert_eq!(Amount::new(5).unwrap().display(2).to_string(), "0.05");
    }

    #[test]
    fn arithmetic_is_checked() {
        let one = Amount::new(1).unwrap();
        assert_eq!(Amount::MAX.checked_add(one), None);
        assert_eq!(Amount::MAX.checked_add(Amount::MAX), None);
        assert_eq!(Amount::ZERO.checked_sub(one), None);
        assert_eq!(Amount::new(1 << 63), None);
        assert_eq!(one.checked_add(one), Amount::new(2));
    }
}
