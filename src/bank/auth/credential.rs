//! The store's key, and the credential tags that it computes from PINs and tokens.
//!
//! A tag is an HMAC-SHA256 under the key. The key is stored outside the data directory, so a stolen store alone does not
//! allow PINs to be guessed. Left out: reading and writing the key file, generating keys and salts (`engine/`), and judging
//! an attempt (`logins.rs`).

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::model::entry::Tag;
use crate::model::secret::Secret;
use crate::model::types::StoreId;

/// The beginning of the key file's only line.
const FORMAT: &str = "bankd-key-v1";
/// Replaces the kind of name in the message of a check value, so that no tag can equal a check value.
const CHECK: u8 = 0xFF;
/// The salt for unknown names, so that an attempt takes the same time.
const NO_SALT: [u8; 16] = [0x5A; 16];

/// The kind of owner of a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Party {
    /// An account; the secret is its PIN.
    Customer,
    /// A teller; the secret is its token.
    Teller,
}

impl Party {
    /// The code in a tag's message. Part of every tag: never renumber.
    const fn code(self) -> u8 {
        match self {
            Self::Customer => 0,
            Self::Teller => 1,
        }
    }
}

/// The key for a store's credential tags. Not printed by `Debug`; wiped when dropped.
#[derive(Clone)]
pub struct Key {
    id: u32,
    bytes: Zeroizing<[u8; 32]>,
}

impl Key {
    /// Creates a key from 32 random bytes and an id that is unique among the store's keys.
    #[must_use]
    pub const fn new(id: u32, bytes: Zeroizing<[u8; 32]>) -> Self {
        Self { id, bytes }
    }

    /// The key's id, unique among the store's keys.
    #[must_use]
    pub const fn id(&self) -> u32 {
        self.id
    }

    /// HMAC-SHA256 under the key over: key id (u32, little-endian), kind of name (0 customer, 1 teller), length of the name
    /// (u8), name, salt (16 bytes), secret. A name of more than 255 bytes, which is never valid, has the length byte 255.
    #[must_use]
    pub fn tag(&self, party: Party, name: &str, salt: &[u8; 16], secret: &Secret) -> [u8; 32] {
        let length = u8::try_from(name.len()).unwrap_or(u8::MAX);
        self.mac(&[&[party.code(), length], name.as_bytes(), salt, secret.bytes()])
    }

    /// Computes the tag to store for a new PIN or token.
    #[must_use]
    pub fn new_tag(&self, party: Party, name: &str, salt: [u8; 16], secret: &Secret) -> Tag {
        Tag { key_id: self.id, salt, tag: self.tag(party, name, &salt, secret) }
    }

    /// Computes the tag of a login attempt, for comparison with the `kept` tag. For an unknown name, without a `kept` tag, it
    /// takes the same time.
    #[must_use]
    pub fn attempt(&self, party: Party, name: &str, kept: Option<&Tag>, secret: &Secret) -> [u8; 32] {
        self.tag(party, name, kept.map_or(&NO_SALT, |kept| &kept.salt), secret)
    }

    /// The value that proves that the key is the store's without revealing it: HMAC-SHA256 under the key over key id (u32,
    /// little-endian), 0xFF, store id.
    #[must_use]
    pub fn check_value(&self, store: &StoreId) -> [u8; 32] {
        self.mac(&[&[CHECK], &store.0])
    }

    /// The content of the key file: one line, `bankd-key-v1 IIIIIIII KK..KK` with the id in 8 and the key in 64 lower-case
    /// hexadecimal digits, and a line feed.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        // Preallocated: a growing string would leave copies of the key in memory.
        let mut text = Zeroizing::new(String::with_capacity(TEXT));
        text.push_str(FORMAT);
        text.push(' ');
        push_hex(&mut text, &self.id.to_be_bytes());
        text.push(' ');
        push_hex(&mut text, self.bytes.as_slice());
        text.push('\n');
        assert!(text.len() == TEXT, "the length that was set aside");
        text
    }

    /// Parses the content of a key file.
    ///
    /// # Errors
    /// [`BadKey`] for anything but exactly the format of [`Key::to_text`]. It contains nothing of the text.
    pub fn parse(text: &str) -> Result<Self, BadKey> {
        let line = text.strip_suffix('\n').ok_or(BadKey)?;
        let (id, key) =
            line.strip_prefix(FORMAT).and_then(|rest| rest.strip_prefix(' ')).and_then(|rest| rest.split_once(' ')).ok_or(BadKey)?;
        let mut id_bytes = [0; 4];
        let mut bytes = Zeroizing::new([0; 32]);
        read_hex(id, &mut id_bytes)?;
        read_hex(key, bytes.as_mut_slice())?;
        Ok(Self::new(u32::from_be_bytes(id_bytes), bytes))
    }

    /// HMAC-SHA256 over the key's id and `parts`.
    fn mac(&self, parts: &[&[u8]]) -> [u8; 32] {
        // HMAC pads a key shorter than SHA-256's block with zeros.
        let mut block = Zeroizing::new([0; 64]);
        block.iter_mut().zip(self.bytes.iter()).for_each(|(to, from)| *to = *from);
        let mut mac = Hmac::<Sha256>::new((&*block).into());
        mac.update(&self.id.to_le_bytes());
        parts.iter().for_each(|part| mac.update(part));
        mac.finalize().into_bytes().into()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key {{ id: {:08x}, .. }}", self.id)
    }
}

/// Text that is not a valid key file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a key file: it needs one line, {FORMAT}, 8 hexadecimal digits and 64 more, all lower-case, and a line feed")]
pub struct BadKey;

/// The length of the key file in bytes.
const TEXT: usize = FORMAT.len() + 1 + 8 + 1 + 64 + 1;

fn push_hex(text: &mut String, bytes: &[u8]) {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    text.extend(digits.filter_map(|digit| char::from_digit(digit.into(), 16)));
}

fn read_hex(text: &str, out: &mut [u8]) -> Result<(), BadKey> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Ok(byte - b'0'),
        b'a'..=b'f' => Ok(byte - b'a' + 10),
        _ => Err(BadKey),
    };
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() || pairs.len() != out.len() {
        return Err(BadKey);
    }
    for (byte, &[high, low]) in out.iter_mut().zip(pairs) {
        *byte = digit(high)? << 4 | digit(low)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Key {
        Key::new(0x0102_0304, Zeroizing::new(std::array::from_fn(|at| at as u8)))
    }

    fn secret(text: &str) -> Secret {
        Secret::new(text.to_owned())
    }

    fn hex(bytes: &[u8]) -> String {
        let mut text = String::new();
        push_hex(&mut text, bytes);
        text
    }

    /// Golden values, computed with another implementation of HMAC-SHA256 over the bytes in the doc comments.
    #[test]
    fn golden_tags() {
        let salt = std::array::from_fn(|at| 0xA0 + at as u8);
        assert_eq!(
            hex(&key().tag(Party::Customer, "Farhan", &salt, &secret("1234"))),
            "7efbacbc7fc269fa246f07e934ef81a50543475910bbd5ecb0c50b462a0b952a"
        );
        assert_eq!(
            hex(&key().tag(Party::Teller, "é", &salt, &secret(""))),
            "064ce77b93e668286aaeff477be582d320746bec8ac8e8d1a1ba328f5fb16e5e"
        );
        assert_eq!(hex(&key().check_value(&StoreId(salt))), "2df721820970aef9598e60977c71b61dfe93c70ff6f440903915ba2750b527cd");
    }

    #[test]
    fn whatever_goes_in_changes_a_tag() {
        let (salt, pin) = ([1; 16], secret("1234"));
        let tag = key().tag(Party::Customer, "Sami", &salt, &pin);
        assert_eq!(tag, key().new_tag(Party::Customer, "Sami", salt, &pin).tag);
        let other_id = Key::new(9, key().bytes);
        let other_bytes = Key::new(key().id, Zeroizing::new([0; 32]));
        for other in [
            other_id.tag(Party::Customer, "Sami", &salt, &pin),
            other_bytes.tag(Party::Customer, "Sami", &salt, &pin),
            key().tag(Party::Teller, "Sami", &salt, &pin),
            key().tag(Party::Customer, "sami", &salt, &pin),
            key().tag(Party::Customer, "Sami", &[2; 16], &pin),
            key().tag(Party::Customer, "Sami", &salt, &secret("1235")),
            key().attempt(Party::Customer, "Sami", None, &pin),
        ] {
            assert_ne!(tag, other);
        }
        let kept = key().new_tag(Party::Customer, "Sami", salt, &pin);
        assert_eq!(key().attempt(Party::Customer, "Sami", Some(&kept), &pin), kept.tag);
        assert_ne!(key().check_value(&StoreId([0; 16])), key().check_value(&StoreId([1; 16])));
    }

    #[test]
    fn text_and_back() {
        let text = key().to_text();
        assert_eq!(*text, "bankd-key-v1 01020304 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n");
        let read = Key::parse(&text).unwrap();
        assert_eq!((read.id, read.bytes), (key().id, key().bytes));
    }

    #[test]
    fn only_exact_text_is_a_key() {
        let good = key().to_text();
        for cut in 0..good.len() {
            assert_eq!(Key::parse(&good[..cut]).unwrap_err(), BadKey);
        }
        for bad in [
            good.replace('a', "A"),
            good.replace('a', "g"),
            good.replace("v1", "v2"),
            good.replace(' ', "  "),
            good.replace('\n', "\r\n"),
            format!("{}\n", &*good),
            format!(" {}", &*good),
            good.replace("0f10", "é10"),
            good.replace("01020304", "0102030"),
            good.replace("01020304", "+1020304"),
        ] {
            assert_eq!(Key::parse(&bad).unwrap_err(), BadKey, "{bad}");
        }
    }

    #[test]
    fn debug_shows_nothing_of_the_key() {
        assert_eq!(format!("{:?}", key()), "Key { id: 01020304, .. }");
    }
}
