//! PINs and tokens in clear text: never printed, wiped when dropped.
//!
//! Left out: credential tags (`bank/`), and prompts (`cli/`).

use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// The longest PIN or token, in bytes.
pub const MAX_SECRET: usize = 128;

/// A PIN or token in clear text. `Debug` does not reveal it; there is no `Display`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Wraps the text unchanged.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The bytes, only for hashing.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", Secret::new("1234".to_owned())), "Secret(..)");
    }
}
