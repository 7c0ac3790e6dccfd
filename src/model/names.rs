//! The rule for names of new accounts and tellers, which applies to accounts files, operator commands and the socket.
//!
//! It applies to new names only. A name in an older log needs to satisfy only [`is_valid_name`], and its owner logs in with it.
//! Left out: which names are in use (`bank/`).

use unicode_normalization::is_nfc;
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

use crate::model::types::is_valid_name;

/// The text of the rule.
pub const RULE: &str = "1 to 64 bytes of UTF-8 in normal form C, without control or format characters and without a blank at an end";

/// Whether `name` is valid for a new account or teller. Names that look the same then have the same bytes, as far as Unicode
/// allows: there are no invisible characters, and each letter has only one form.
#[must_use]
pub fn is_new_name(name: &str) -> bool {
    is_valid_name(name)
        && name.trim() == name
        && !name.chars().any(|letter| letter.general_category() == GeneralCategory::Format)
        && is_nfc(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_name_is_what_it_looks_like() {
        for good in ["Sami", "Jos\u{e9}", "\u{1f600}", "O'Brien, Ltd", "\u{5d0}\u{5d1}", "two words"] {
            assert!(is_new_name(good), "{good:?}");
        }
        for bad in [
            "",
            " Sami",
            "Sami ",
            "Sami\u{a0}",
            "Sami\u{3000}",
            "Jose\u{301}",
            "Sa\u{200b}mi",
            "Sa\u{ad}mi",
            "\u{feff}Sami",
            "Sami\u{202e}",
            "Sa\u{e0041}mi",
            "Sa\nmi",
            &"x".repeat(65),
        ] {
            assert!(!is_new_name(bad), "{bad:?}");
            assert!(bad.is_empty() || bad.len() > 64 || bad.contains('\n') || is_valid_name(bad), "an old log may hold {bad:?}");
        }
    }
}
