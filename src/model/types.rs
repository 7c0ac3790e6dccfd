//! The newtypes that every layer speaks: who, which session, which number, where in the log, when.
//!
//! Left out: money (`amount.rs`), commands and their outcomes (`command.rs`), log entries (`entry/mod.rs`).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A customer's account: a dense index, given in order of opening, never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AccountId(pub u32);

/// A teller (a back office, a gateway): a dense index, never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TellerId(pub u32);

/// Log sequence number: the contiguous number of an entry in the log, from 1. 0 stands for "before the first".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Lsn(pub u64);

impl Lsn {
    /// The number after this one. A log of 2^64 entries cannot exist, so saturation is never seen.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The number of a request in its session: 1, 2, 3 ... without gaps. 0 stands for "before the first".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RequestNumber(pub u64);

impl RequestNumber {
    /// The number after this one, or none after the last that a `u64` holds.
    #[must_use]
    pub const fn next(self) -> Option<Self> {
        match self.0.checked_add(1) {
            Some(next) => Some(Self(next)),
            None => None,
        }
    }
}

impl fmt::Display for RequestNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The bank's time in microseconds since 1970-01-01 UTC. It never decreases, whatever the wall clock does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BankTime(pub u64);

/// 64 random bits, drawn when a store is created, repaired, or first started from a snapshot.
/// Drawing them anew ends every session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Lineage(pub u64);

impl fmt::Display for Lineage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// 64 random bits that name a stretch of a log: from the entry of one start to the entry of the next. Before the first such
/// entry it is the lineage. A copy of a store that is put back cannot draw them again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Epoch(pub u64);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl From<Lineage> for Epoch {
    fn from(lineage: Lineage) -> Self {
        Self(lineage.0)
    }
}

/// 128 random bits that name a store; every segment, batch and manifest carries them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct StoreId(pub [u8; 16]);

impl fmt::Display for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// SHA-256 over the whole logical history up to an entry: the log's chain head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Chain(pub [u8; 32]);

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A client's session: the epoch in which it was opened and the LSN of the entry that opened it. Never reused, not even by
/// a copy of the store that is put back.
///
/// Written as `EPOCH-LSN`: sixteen hexadecimal digits, a dash, a decimal number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SessionId {
    /// The random bits of the start that opened it; the lineage, where the log had no start's entry yet.
    pub epoch: Epoch,
    /// Where the log says that it was opened.
    pub lsn: Lsn,
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.lsn)
    }
}

impl FromStr for SessionId {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        let (epoch, lsn) = text.split_once('-').ok_or(BadId)?;
        if epoch.len() != 16 || !epoch.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(BadId);
        }
        if !lsn.bytes().all(|b| b.is_ascii_digit()) {
            return Err(BadId);
        }
        Ok(Self { epoch: Epoch(u64::from_str_radix(epoch, 16).map_err(|_| BadId)?), lsn: Lsn(lsn.parse().map_err(|_| BadId)?) })
    }
}

/// One request of one session: what a customer quotes to ask about it again. Written `SESSION/NUMBER`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId {
    /// The session.
    pub session: SessionId,
    /// The number in it, from 1.
    pub number: RequestNumber,
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.session, self.number)
    }
}

impl FromStr for RequestId {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        let (session, number) = text.split_once('/').ok_or(BadId)?;
        let session = session.parse()?;
        if !number.bytes().all(|b| b.is_ascii_digit()) {
            return Err(BadId);
        }
        match number.parse() {
            Ok(number) if number > 0 => Ok(Self { session, number: RequestNumber(number) }),
            _ => Err(BadId),
        }
    }
}

/// Text that is no session or request id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an id of the form EPOCH-LSN (sixteen hex digits, a dash, a number), with /NUMBER behind it for a request")]
pub struct BadId;

/// Who asks, as the log records it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Owner {
    /// The store itself (genesis), or somebody whose name is unknown.
    Nobody,
    /// A customer, for its own account.
    Customer(AccountId),
    /// A teller, for any account.
    Teller(TellerId),
    /// The operator, by the uid of the process on the other end of the Unix socket.
    Operator(u32),
}

/// The longest name of an account or teller, in bytes of UTF-8.
pub const MAX_NAME: usize = 64;

/// Whether `name` may name an account or a teller: 1 to 64 bytes of UTF-8 without control characters.
#[must_use]
pub fn is_valid_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= MAX_NAME && !name.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_survive_text() {
        let id = RequestId { session: SessionId { epoch: Epoch(0xabc), lsn: Lsn(77) }, number: RequestNumber(3) };
        assert_eq!(id.to_string(), "0000000000000abc-77/3");
        assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn malformed_ids_are_refused() {
        for text in [
            "",
            "/",
            "-/",
            "abc-1/1",
            "0000000000000abc-77/0",
            "0000000000000abc-77/",
            "0000000000000abc/1",
            "0000000000000abc-77/18446744073709551616",
            "0000000000000abc-+7/1",
            "0000000000000abc-77/+1",
            "+000000000000abc-7/1",
        ] {
            assert_eq!(text.parse::<RequestId>(), Err(BadId), "{text}");
        }
    }

    #[test]
    fn names_have_limits() {
        assert!(is_valid_name("Farhan") && is_valid_name("é") && is_valid_name(&"x".repeat(64)));
        assert!(!is_valid_name("") && !is_valid_name("a\nb") && !is_valid_name(&"x".repeat(65)) && !is_valid_name("a\u{85}b"));
    }
}
