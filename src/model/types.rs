//! Newtypes that all layers share: ids of accounts, tellers, sessions and requests, log positions, and times.
//!
//! Left out: money (`amount.rs`), commands and their outcomes (`command.rs`), log entries (`entry/mod.rs`).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The id of an account: a dense index in the order of opening, never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AccountId(pub u32);

/// The id of a teller (a back office, a gateway): a dense index, never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TellerId(pub u32);

/// A log sequence number: the number of an entry in the log, from 1, without gaps. 0 means "before the first".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Lsn(pub u64);

impl Lsn {
    /// The next number. A log of 2^64 entries is impossible, so it never saturates.
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

/// The number of a request in its session, from 1, without gaps. 0 means "before the first".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RequestNumber(pub u64);

impl RequestNumber {
    /// The next number; `None` after `u64::MAX`.
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

/// The bank's time in microseconds since 1970-01-01 UTC. It never decreases, even if the wall clock does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BankTime(pub u64);

/// 64 random bits, generated when a store is created, repaired, or first started from a snapshot. A new lineage ends all
/// sessions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Lineage(pub u64);

impl fmt::Display for Lineage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// 64 random bits that identify a section of the log, from the entry of one start to that of the next. Before the first such
/// entry the epoch equals the lineage. A restored copy of a store cannot generate the same bits again.
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

/// 128 random bits that identify a store. Every segment, batch and manifest contains them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct StoreId(pub [u8; 16]);

impl fmt::Display for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The log's chain head: a SHA-256 over the whole logical history up to an entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Chain(pub [u8; 32]);

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The id of a session: the epoch in which it was opened and the LSN of the entry that opened it. Never reused, not even by a
/// restored copy of the store.
///
/// Its text form is `EPOCH-LSN`: sixteen hexadecimal digits, a dash, a decimal number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SessionId {
    /// The epoch in which it was opened.
    pub epoch: Epoch,
    /// The LSN of the entry that opened it.
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

/// The id of a request, which a customer quotes in an inquiry. Its text form is `SESSION/NUMBER`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RequestId {
    /// The session.
    pub session: SessionId,
    /// The number in the session, from 1.
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

/// Text that is not a session id or request id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an id of the form EPOCH-LSN (sixteen hex digits, a dash, a number), with /NUMBER behind it for a request")]
pub struct BadId;

/// The principal that a request or entry belongs to, as recorded in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Owner {
    /// The store itself (genesis, for example), or a login attempt with an unknown name.
    Nobody,
    /// A customer, identified by its account.
    Customer(AccountId),
    /// A teller, who may use any account.
    Teller(TellerId),
    /// The operator, with the user id of the process at the other end of the Unix socket.
    Operator(u32),
}

/// The longest name of an account or teller, in bytes of UTF-8.
pub const MAX_NAME: usize = 64;

/// Whether `name` is valid for an account or a teller: 1 to 64 bytes of UTF-8 without control characters.
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
