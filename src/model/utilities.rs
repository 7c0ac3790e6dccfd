//! The utilities of the lab protocol: lower case, primality, palindromes. Pure functions of text.
//!
//! Integers are parsed like Python's `int()` and formatted like its `str()`.
//! Left out: limits on the wire, and the protocols (`wire/`, `server/`).

use num_bigint::BigUint;
use num_prime::{PrimalityTestConfig, nt_funcs};

/// The most digits of an integer, leading zeros included. It bounds the time of [`is_prime`].
pub const MAX_DIGITS: usize = 100;

/// Text that is not an integer of at most [`MAX_DIGITS`] digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an integer of at most {MAX_DIGITS} digits")]
pub struct NotAnInteger;

/// Converts to lower case by Unicode's rules: one letter may become several, and a final sigma is distinguished from others.
/// The result has at most 1.5 times as many bytes.
#[must_use]
pub fn lower(text: &str) -> String {
    text.to_lowercase()
}

/// Whether the integer in `number` is prime. 1, 0 and negative integers are not.
///
/// Exact below 2^64. Above that it is the Baillie-PSW test: it accepts every prime, and no composite that it accepts is
/// known. Its time is bounded: about a millisecond for the slowest primes of 100 digits.
///
/// # Errors
/// [`NotAnInteger`], as [`Integer::parse`].
pub fn is_prime(number: &str) -> Result<bool, NotAnInteger> {
    let integer = Integer::parse(number)?;
    if integer.negative {
        return Ok(false);
    }
    let value = BigUint::parse_bytes(integer.digits.as_bytes(), 10).ok_or(NotAnInteger)?;
    Ok(nt_funcs::is_prime(&value, Some(PrimalityTestConfig::bpsw())).probably())
}

/// Whether the shortest decimal form of the integer in `number` is a palindrome: true for `007`, which is 7, and for `-0`,
/// which is 0; false for `-5`.
///
/// # Errors
/// [`NotAnInteger`], as [`Integer::parse`].
pub fn is_palindrome(number: &str) -> Result<bool, NotAnInteger> {
    let integer = Integer::parse(number)?;
    Ok(!integer.negative && integer.digits.bytes().eq(integer.digits.bytes().rev()))
}

/// An integer of at most [`MAX_DIGITS`] digits, in decimal.
///
/// Invariants: `digits` are ASCII, at least one, without leading zeros but for zero itself; zero is not negative.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Integer {
    negative: bool,
    digits: String,
}

impl Integer {
    /// Parses an integer like Python's `int()`: an optional ASCII sign directly before the digits, single underscores between
    /// digits, leading zeros, surrounding Unicode white space, and decimal digits of every script in Unicode 14, which may be
    /// mixed.
    ///
    /// # Errors
    /// [`NotAnInteger`] for anything else, and for more than [`MAX_DIGITS`] digits.
    pub fn parse(text: &str) -> Result<Self, NotAnInteger> {
        let text = text.trim();
        let (minus, body) = match text.strip_prefix('-') {
            Some(body) => (true, body),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let mut digits = String::new();
        let mut seen = 0;
        let mut after_digit = false;
        for letter in body.chars() {
            if letter == '_' && after_digit {
                after_digit = false;
                continue;
            }
            let digit = ascii_digit(letter).ok_or(NotAnInteger)?;
            after_digit = true;
            seen += 1;
            if seen > MAX_DIGITS {
                return Err(NotAnInteger);
            }
            if digit != '0' || !digits.is_empty() {
                digits.push(digit);
            }
        }
        if !after_digit {
            return Err(NotAnInteger);
        }
        if digits.is_empty() {
            return Ok(Self { negative: false, digits: "0".to_owned() });
        }
        Ok(Self { negative: minus, digits })
    }
}

/// The ASCII digit with the same value as a decimal digit of any script; `None` for any other character.
fn ascii_digit(letter: char) -> Option<char> {
    if letter.is_ascii() {
        return letter.is_ascii_digit().then_some(letter);
    }
    let after = ZEROS.partition_point(|zero| *zero <= letter);
    let zero = ZEROS.get(after.checked_sub(1)?)?;
    char::from_digit(u32::from(letter) - u32::from(*zero), 10)
}

/// The zeros beyond ASCII. The digits 1 to 9 of the same script follow each of them.
#[rustfmt::skip]
const ZEROS: [char; 65] = [
    '\u{660}', '\u{6f0}', '\u{7c0}', '\u{966}', '\u{9e6}', '\u{a66}', '\u{ae6}', '\u{b66}', '\u{be6}', '\u{c66}', '\u{ce6}',
    '\u{d66}', '\u{de6}', '\u{e50}', '\u{ed0}', '\u{f20}', '\u{1040}', '\u{1090}', '\u{17e0}', '\u{1810}', '\u{1946}', '\u{19d0}',
    '\u{1a80}', '\u{1a90}', '\u{1b50}', '\u{1bb0}', '\u{1c40}', '\u{1c50}', '\u{a620}', '\u{a8d0}', '\u{a900}', '\u{a9d0}', '\u{a9f0}',
    '\u{aa50}', '\u{abf0}', '\u{ff10}', '\u{104a0}', '\u{10d30}', '\u{11066}', '\u{110f0}', '\u{11136}', '\u{111d0}', '\u{112f0}', '\u{11450}',
    '\u{114d0}', '\u{11650}', '\u{116c0}', '\u{11730}', '\u{118e0}', '\u{11950}', '\u{11c50}', '\u{11d50}', '\u{11da0}', '\u{16a60}', '\u{16ac0}',
    '\u{16b50}', '\u{1d7ce}', '\u{1d7d8}', '\u{1d7e2}', '\u{1d7ec}', '\u{1d7f6}', '\u{1e140}', '\u{1e2f0}', '\u{1e950}', '\u{1fbf0}',
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Texts, and the results of Python 3.11's `str(int(text))`.
    const PYTHON: [(&str, Option<&str>); 42] = [
        ("", None),
        (" ", None),
        ("+", None),
        ("-", None),
        ("5", Some("5")),
        ("+5", Some("5")),
        ("-5", Some("-5")),
        ("--5", None),
        ("+-5", None),
        ("- 5", None),
        ("+ 5", None),
        ("5-", None),
        ("007", Some("7")),
        ("-007", Some("-7")),
        ("0", Some("0")),
        ("-0", Some("0")),
        ("+0", Some("0")),
        ("000", Some("0")),
        ("5_0", Some("50")),
        ("1_2_3", Some("123")),
        ("0_0", Some("0")),
        ("00_7", Some("7")),
        ("_5", None),
        ("-_5", None),
        ("5_", None),
        ("5__0", None),
        (" 5_ ", None),
        ("5 0", None),
        ("1,000", None),
        ("1e3", None),
        ("5.0", None),
        ("0x10", None),
        ("five", None),
        (" \t\n\u{b}\u{c}\r12\r\n", Some("12")),
        ("\u{85}\u{a0}\u{2003}\u{3000}-12\u{2028}", Some("-12")),
        ("\u{1c}5", None),
        ("5\0", None),
        ("\u{661}\u{662}_3", Some("123")),
        ("\u{ff10}\u{1d7ff}", Some("9")),
        ("\u{2212}5", None),
        ("\u{b2}", None),
        ("\u{200b}5", None),
    ];

    /// The last ones have 100 digits. For the last two, p - 1 or p + 1 is divisible by 2^300.
    #[rustfmt::skip]
    const LARGE_PRIMES: [&str; 7] = [
        "618970019642690137449562111",
        "170141183460469231731687303715884105727",
        "100000000000000000000000000000000000000000000000151",
        "1000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000289",
        "9999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999203",
        "1000000699661209900919355929678884426134546423179342728359550010789020024008616695798112688998973441",
        "1000000025402301734204461374823361562630375115143304424934651050226531287708406474133662942294441983",
    ];

    /// Strong pseudoprimes to many bases, squares, products of two near primes, a Carmichael number.
    #[rustfmt::skip]
    const LARGE_COMPOSITES: [&str; 12] = [
        "18446744073709551617",
        "318665857834031151167461",
        "3317044064679887385961981",
        "9903520300447984150353281023",
        "100000000000000000000000000000000000000000000000180000000000000000000000000000000000000000000000081",
        "100000000000000000000000100000000000000000000001160000000000000000000000090000000000000000000000963",
        "999999999999999999999999999999999999999999999993730000000000000000000000000000000000000000000003249",
        "340282366920938463463374607431768211457",
        "2535301200456458802993406410751",
        "1000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000",
        "9999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999",
        "1296000000000000000000000000115866360000000000000000000003452935539600000000000000000034300331977681",
    ];

    #[test]
    fn integers_are_read_as_python_reads_them() {
        for (text, expected) in PYTHON {
            let shown = Integer::parse(text).map(|i| format!("{}{}", if i.negative { "-" } else { "" }, i.digits));
            assert_eq!(shown.as_deref().ok(), expected, "{text:?}");
        }
    }

    #[test]
    fn a_hundred_digits_and_no_more() {
        let hundred = "9".repeat(100);
        assert!(Integer::parse(&hundred).is_ok() && Integer::parse(&format!(" -{hundred} ")).is_ok());
        assert_eq!(Integer::parse(&format!("{hundred}9")), Err(NotAnInteger));
        assert_eq!(Integer::parse(&"0".repeat(101)), Err(NotAnInteger));
    }

    #[test]
    fn zeros_are_in_order_with_nine_numeric_characters_behind_each() {
        assert!(ZEROS.is_sorted());
        for zero in ZEROS {
            for value in 0..10 {
                let letter = char::from_u32(u32::from(zero) + value).unwrap();
                assert!(letter.is_numeric());
                assert_eq!(ascii_digit(letter), char::from_digit(value, 10), "{letter:?}");
            }
            let before = char::from_u32(u32::from(zero) - 1).unwrap();
            assert!(ascii_digit(before).is_none_or(|digit| digit == '9'), "{before:?}");
        }
    }

    /// Expected values from Python 3.11 with an independent primality test.
    #[test]
    fn primes() {
        for text in ["2", "3", "007", "+97", "1_009", "2147483647", "18446744073709551557", "18446744073709551629"] {
            assert_eq!(is_prime(text), Ok(true), "{text}");
        }
        for prime in LARGE_PRIMES {
            assert_eq!(is_prime(prime), Ok(true), "{prime}");
            assert_eq!(is_prime(&format!("-{prime}")), Ok(false), "-{prime}");
        }
        for text in ["0", "-0", "1", "-2", "-7", "4", "561", "1194649", "3215031751", "18446744073709551556", "18446744073709551617"] {
            assert_eq!(is_prime(text), Ok(false), "{text}");
        }
        for composite in LARGE_COMPOSITES {
            assert_eq!(is_prime(composite), Ok(false), "{composite}");
        }
        assert_eq!(is_prime("seven"), Err(NotAnInteger));
    }

    #[test]
    fn small_numbers_agree_with_trial_division() {
        for n in 0..5000_u32 {
            let expected = n >= 2 && (2..n).take_while(|d| d * d <= n).all(|d| n % d != 0);
            assert_eq!(is_prime(&n.to_string()), Ok(expected), "{n}");
        }
    }

    #[test]
    fn palindromes() {
        for text in ["0", "-0", "7", "007", "+11", "12_21", " 12321 "] {
            assert_eq!(is_palindrome(text), Ok(true), "{text}");
        }
        for text in ["-5", "-11", "10", "12", "0110", "00100100"] {
            assert_eq!(is_palindrome(text), Ok(false), "{text}");
        }
        assert_eq!(is_palindrome(&"1".repeat(100)), Ok(true));
        assert_eq!(is_palindrome("1.1"), Err(NotAnInteger));
    }

    #[test]
    fn lower_case_is_unicodes() {
        for (text, expected) in [
            ("Hello, WORLD", "hello, world"),
            ("\u{c9}\u{df}", "\u{e9}\u{df}"),
            ("\u{39f}\u{394}\u{39f}\u{3a3}", "\u{3bf}\u{3b4}\u{3bf}\u{3c2}"),
        ] {
            assert_eq!(lower(text), expected);
        }
        assert_eq!(lower("\u{130}"), "i\u{307}");
        for letter in '\0'..=char::MAX {
            assert!(lower(letter.encode_utf8(&mut [0; 4])).len() * 2 <= letter.len_utf8() * 3, "{letter:?}");
        }
    }
}
