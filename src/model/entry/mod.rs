//! Log entries, which `apply` executes, and their encoding.
//!
//! Everything that can change an outcome is an entry. The layout is fixed, little-endian and described in
//! `docs/log-format.md`. Money commands have the same bytes as on the wire.
//! Left out: the record around entries, with length and checksum (`wal/`), and the effects of entries (`bank/`).
//!
//! ```text
//! 0  u8   kind                        16 u64 number
//! 1  u8   owner kind                  24 u64 acked_below
//! 2  u8   origin kind                 32 ...  body       (origin 1)
//! 3  u8   zero
//! 4  u32  owner id                    8  ...  body       (origin 0)
//! 8  u64  session (its LSN)
//! ```

mod joined;
mod setting;

pub use crate::model::entry::joined::{Entries, JOINED_BYTES, MAX_JOINED, Requests};
pub use crate::model::entry::setting::Setting;

use crate::model::amount::Amount;
use crate::model::bytes::Take;
use crate::model::command::Command;
use crate::model::types::{AccountId, Epoch, Lineage, Lsn, Owner, RequestNumber, TellerId, is_valid_name};

/// An entry of the log. Its LSN follows from its position, and so is not part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The owner of the request.
    pub owner: Owner,
    /// The session and request number, if any.
    pub origin: Origin,
    /// The action.
    pub action: Action,
}

/// The session and request number of an entry. Origin kind 2 is reserved for free-form keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Not a session's request.
    None,
    /// A session's request.
    Session {
        /// The LSN of the entry that opened the session. It determines the epoch.
        session: Lsn,
        /// The number in the session; 0 for actions without a number (`Ack`, `CloseSession`).
        number: RequestNumber,
        /// Every reply below this number is acknowledged: it is durable at the client.
        acked_below: RequestNumber,
    },
}

/// The action of an entry. The number in parentheses is the kind on disk: never renumber. 32 to 39 are reserved for holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// (1) The first entry of every store.
    Genesis {
        /// The decimals of every amount in this store.
        decimals: u8,
        /// The check value of the store's key: an HMAC of the store's id under the key.
        key_check: [u8; 32],
    },
    /// (2) Begins a new lineage, and removes all sessions.
    Lineage {
        /// The new lineage.
        lineage: Lineage,
        /// The cause.
        cause: LineageCause,
    },
    /// (3) Changes a setting.
    Setting {
        /// The setting.
        setting: Setting,
        /// Its new value.
        value: u64,
    },
    /// (4) Opens an account under the next dense id.
    AccountOpen(Box<AccountOpen>),
    /// (5) Closes an account permanently.
    AccountClose(AccountId),
    /// (6) Locks an account: its money commands are refused.
    AccountLock(AccountId),
    /// (7) Unlocks an account, and its login.
    AccountUnlock(AccountId),
    /// (8) Replaces an account's PIN tag, and unlocks its login.
    AccountPin(AccountId, Box<Tag>),
    /// (9) Adds a teller under the next dense id.
    TellerAdd(Box<TellerAdd>),
    /// (10) Revokes a teller: it cannot log in, and its sessions are closed.
    TellerRevoke(TellerId),
    /// (11) A login attempt as the entry's owner ([`Owner::Nobody`] for an unknown name), with the tag of the secret.
    LoginAttempt(Box<[u8; 32]>),
    /// (12) Opens a session, whose id is this entry's LSN.
    OpenSession {
        /// The session evicted to make room, if a cap was reached.
        evicted: Option<Lsn>,
    },
    /// (13) Closes the origin's session.
    CloseSession,
    /// (14) Acknowledges every reply below the origin's `acked_below`.
    Ack,
    /// (15) Consumes the origin's number with the outcome *cancelled*.
    Cancel,
    /// (16) A money command under the origin's number.
    Request(Command),
    /// (17) A start of the store: the first entry that it logs. Sessions opened from here on have this epoch.
    Start(Epoch),
}

/// A new account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountOpen {
    /// Its name; unique among accounts.
    pub name: Box<str>,
    /// The tag of its PIN.
    pub pin: Tag,
    /// Its opening balance, which counts as a deposit.
    pub balance: Amount,
}

/// A new teller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TellerAdd {
    /// Its name; unique among tellers.
    pub name: Box<str>,
    /// The tag of its token.
    pub token: Tag,
}

/// The credential tag of a PIN or token: an HMAC-SHA256 under the store's key, which is stored elsewhere.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Tag {
    /// The id of the key.
    pub key_id: u32,
    /// A random salt, new for each tag.
    pub salt: [u8; 16],
    /// The HMAC.
    pub tag: [u8; 32],
}

impl std::fmt::Debug for Tag {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tag(..)")
    }
}

/// Why a new lineage began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineageCause {
    /// The store was created.
    Created,
    /// The log was repaired: entries may have been dropped.
    Repaired,
    /// A snapshot was started: another bank with the same history may be running.
    SnapshotStarted,
}

/// Why bytes are not a valid entry of this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// It is too short or too long.
    #[error("an entry of the wrong length")]
    Length,
    /// A kind, owner, origin, cause or setting that this version does not support.
    #[error("an entry with an unknown {0}")]
    Unknown(&'static str),
    /// A field is out of range.
    #[error("an entry whose {0} is out of range")]
    Range(&'static str),
    /// Its command does not decode.
    #[error("an entry whose command does not decode")]
    Command,
}

/// The longest entry in bytes: the opening of an account with the longest name.
pub const MAX_ENTRY: usize = 32 + 1 + crate::model::types::MAX_NAME + 52 + 8;

impl Entry {
    /// Appends the encoded entry to `out`: at most [`MAX_ENTRY`] bytes.
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        let (owner_kind, owner_id) = match self.owner {
            Owner::Nobody => (0, 0),
            Owner::Customer(AccountId(id)) => (1, id),
            Owner::Teller(TellerId(id)) => (2, id),
            Owner::Operator(uid) => (3, uid),
        };
        let origin_kind = match self.origin {
            Origin::None => 0,
            Origin::Session { .. } => 1,
        };
        let [id0, id1, id2, id3] = owner_id.to_le_bytes();
        out.extend_from_slice(&[self.action.kind(), owner_kind, origin_kind, 0, id0, id1, id2, id3]);
        if let Origin::Session { session, number, acked_below } = self.origin {
            let place = u128::from(session.0) | u128::from(number.0) << 64;
            out.extend_from_slice(&place.to_le_bytes());
            put_u64(out, acked_below.0);
        }
        self.action.encode_into(out);
    }

    /// Decodes an entry that takes all of `bytes`.
    ///
    /// # Errors
    /// [`EntryError`] for anything but the output of [`Entry::encode_into`].
    pub fn decode(bytes: &[u8]) -> Result<Self, EntryError> {
        let mut reader = Reader(Take(bytes));
        let entry = Self::take(&mut reader)?;
        if reader.0.0.is_empty() { Ok(entry) } else { Err(EntryError::Length) }
    }

    /// Takes an entry from the front.
    fn take(reader: &mut Reader<'_>) -> Result<Self, EntryError> {
        let [kind, owner_kind, origin_kind, zero] = reader.array()?;
        if zero != 0 {
            return Err(EntryError::Range("reserved byte"));
        }
        let id = reader.u32()?;
        let owner = match (owner_kind, id) {
            (0, 0) => Owner::Nobody,
            (1, id) => Owner::Customer(AccountId(id)),
            (2, id) => Owner::Teller(TellerId(id)),
            (3, uid) => Owner::Operator(uid),
            _ => return Err(EntryError::Unknown("owner")),
        };
        let origin = match origin_kind {
            0 => Origin::None,
            1 => Origin::Session {
                session: Lsn(reader.u64()?),
                number: RequestNumber(reader.u64()?),
                acked_below: RequestNumber(reader.u64()?),
            },
            _ => return Err(EntryError::Unknown("origin")),
        };
        let action = Action::decode(kind, reader)?;
        if action.needs_session() != (origin_kind == 1) {
            return Err(EntryError::Range("origin"));
        }
        Ok(Self { owner, origin, action })
    }
}

impl Action {
    /// The kind on disk.
    #[must_use]
    pub const fn kind(&self) -> u8 {
        match self {
            Self::Genesis { .. } => 1,
            Self::Lineage { .. } => 2,
            Self::Setting { .. } => 3,
            Self::AccountOpen(_) => 4,
            Self::AccountClose(_) => 5,
            Self::AccountLock(_) => 6,
            Self::AccountUnlock(_) => 7,
            Self::AccountPin(..) => 8,
            Self::TellerAdd(_) => 9,
            Self::TellerRevoke(_) => 10,
            Self::LoginAttempt(_) => 11,
            Self::OpenSession { .. } => 12,
            Self::CloseSession => 13,
            Self::Ack => 14,
            Self::Cancel => 15,
            Self::Request(_) => 16,
            Self::Start(_) => 17,
        }
    }

    /// Whether the action needs a session.
    #[must_use]
    pub const fn needs_session(&self) -> bool {
        matches!(self, Self::CloseSession | Self::Ack | Self::Cancel | Self::Request(_))
    }

    fn encode_into(&self, out: &mut Vec<u8>) {
        match self {
            Self::Genesis { decimals, key_check } => {
                out.push(*decimals);
                out.extend_from_slice(key_check);
            }
            Self::Lineage { lineage, cause } => {
                put_u64(out, lineage.0);
                out.push(cause.code());
            }
            Self::Setting { setting, value } => {
                out.extend_from_slice(&setting.code().to_le_bytes());
                put_u64(out, *value);
            }
            Self::AccountOpen(open) => {
                put_name(out, &open.name);
                put_tag(out, &open.pin);
                put_u64(out, open.balance.get());
            }
            Self::AccountClose(AccountId(id)) | Self::AccountLock(AccountId(id)) | Self::AccountUnlock(AccountId(id)) => put_u32(out, *id),
            Self::AccountPin(AccountId(id), tag) => {
                put_u32(out, *id);
                put_tag(out, tag);
            }
            Self::TellerAdd(add) => {
                put_name(out, &add.name);
                put_tag(out, &add.token);
            }
            Self::TellerRevoke(TellerId(id)) => put_u32(out, *id),
            Self::LoginAttempt(tag) => out.extend_from_slice(tag.as_slice()),
            Self::OpenSession { evicted } => put_u64(out, evicted.map_or(0, |lsn| lsn.0)),
            Self::CloseSession | Self::Ack | Self::Cancel => {}
            Self::Request(command) => command.encode_into(out),
            Self::Start(epoch) => put_u64(out, epoch.0),
        }
    }

    fn decode(kind: u8, reader: &mut Reader<'_>) -> Result<Self, EntryError> {
        Ok(match kind {
            1 => Self::Genesis { decimals: reader.u8()?, key_check: reader.array()? },
            2 => Self::Lineage { lineage: Lineage(reader.u64()?), cause: LineageCause::from_code(reader.u8()?)? },
            3 => Self::Setting { setting: Setting::from_code(reader.u16()?)?, value: reader.u64()? },
            4 => Self::AccountOpen(Box::new(AccountOpen {
                name: reader.name()?,
                pin: reader.tag()?,
                balance: Amount::new(reader.u64()?).ok_or(EntryError::Range("opening balance"))?,
            })),
            5 => Self::AccountClose(AccountId(reader.u32()?)),
            6 => Self::AccountLock(AccountId(reader.u32()?)),
            7 => Self::AccountUnlock(AccountId(reader.u32()?)),
            8 => Self::AccountPin(AccountId(reader.u32()?), Box::new(reader.tag()?)),
            9 => Self::TellerAdd(Box::new(TellerAdd { name: reader.name()?, token: reader.tag()? })),
            10 => Self::TellerRevoke(TellerId(reader.u32()?)),
            11 => Self::LoginAttempt(Box::new(reader.array()?)),
            12 => Self::OpenSession { evicted: Some(Lsn(reader.u64()?)).filter(|lsn| lsn.0 != 0) },
            13 => Self::CloseSession,
            14 => Self::Ack,
            15 => Self::Cancel,
            16 => Self::Request(Command::take(&mut reader.0.0).ok_or(EntryError::Command)?),
            17 => Self::Start(Epoch(reader.u64()?)),
            _ => return Err(EntryError::Unknown("kind")),
        })
    }
}

impl LineageCause {
    const fn code(self) -> u8 {
        match self {
            Self::Created => 1,
            Self::Repaired => 2,
            Self::SnapshotStarted => 3,
        }
    }

    const fn from_code(code: u8) -> Result<Self, EntryError> {
        match code {
            1 => Ok(Self::Created),
            2 => Ok(Self::Repaired),
            3 => Ok(Self::SnapshotStarted),
            _ => Err(EntryError::Unknown("cause")),
        }
    }
}

fn put_u32(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_le_bytes());
}

fn put_u64(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.to_le_bytes());
}

fn put_name(out: &mut Vec<u8>, name: &str) {
    assert!(is_valid_name(name), "names are checked before an entry is made");
    out.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
    out.extend_from_slice(name.as_bytes());
}

fn put_tag(out: &mut Vec<u8>, tag: &Tag) {
    put_u32(out, tag.key_id);
    out.extend_from_slice(&tag.salt);
    out.extend_from_slice(&tag.tag);
}

/// [`Take`] with the error of an entry that is too short.
struct Reader<'a>(Take<'a>);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], EntryError> {
        self.0.bytes(count).ok_or(EntryError::Length)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], EntryError> {
        self.0.array().ok_or(EntryError::Length)
    }

    fn u8(&mut self) -> Result<u8, EntryError> {
        self.0.u8().ok_or(EntryError::Length)
    }

    fn u16(&mut self) -> Result<u16, EntryError> {
        self.0.u16().ok_or(EntryError::Length)
    }

    fn u32(&mut self) -> Result<u32, EntryError> {
        self.0.u32().ok_or(EntryError::Length)
    }

    fn u64(&mut self) -> Result<u64, EntryError> {
        self.0.u64().ok_or(EntryError::Length)
    }

    fn name(&mut self) -> Result<Box<str>, EntryError> {
        let length = self.u8()?;
        let name = std::str::from_utf8(self.take(usize::from(length))?).map_err(|_| EntryError::Range("name"))?;
        if is_valid_name(name) { Ok(name.into()) } else { Err(EntryError::Range("name")) }
    }

    fn tag(&mut self) -> Result<Tag, EntryError> {
        Ok(Tag { key_id: self.u32()?, salt: self.array()?, tag: self.array()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn examples() -> Vec<Entry> {
        let tag = Tag { key_id: 1, salt: [2; 16], tag: [3; 32] };
        let session = Origin::Session { session: Lsn(9), number: RequestNumber(4), acked_below: RequestNumber(3) };
        let plain = |action| Entry { owner: Owner::Operator(1000), origin: Origin::None, action };
        let under = |action| Entry { owner: Owner::Customer(AccountId(5)), origin: session, action };
        vec![
            plain(Action::Genesis { decimals: 2, key_check: [7; 32] }),
            plain(Action::Lineage { lineage: Lineage(8), cause: LineageCause::Created }),
            plain(Action::Setting { setting: Setting::Window, value: 12 }),
            plain(Action::AccountOpen(Box::new(AccountOpen { name: "Sami".into(), pin: tag, balance: Amount::MAX }))),
            plain(Action::AccountClose(AccountId(1))),
            plain(Action::AccountLock(AccountId(1))),
            plain(Action::AccountUnlock(AccountId(1))),
            plain(Action::AccountPin(AccountId(1), Box::new(tag))),
            plain(Action::TellerAdd(Box::new(TellerAdd { name: "x".repeat(64).into(), token: tag }))),
            plain(Action::TellerRevoke(TellerId(1))),
            plain(Action::LoginAttempt(Box::new([9; 32]))),
            plain(Action::OpenSession { evicted: None }),
            plain(Action::OpenSession { evicted: Some(Lsn(3)) }),
            under(Action::CloseSession),
            under(Action::Ack),
            under(Action::Cancel),
            under(Action::Request(Command::Deposit { account: AccountId(5), amount: Amount::MAX })),
        ]
    }

    #[test]
    fn every_kind_survives_its_bytes_and_no_part_of_them() {
        for entry in examples() {
            let mut bytes = Vec::new();
            entry.encode_into(&mut bytes);
            assert!(bytes.len() <= MAX_ENTRY, "{entry:?}");
            assert_eq!(Entry::decode(&bytes).as_ref(), Ok(&entry));
            for cut in 0..bytes.len() {
                assert!(Entry::decode(&bytes[..cut]).is_err(), "{entry:?} cut at {cut}");
            }
            bytes.push(0);
            assert!(Entry::decode(&bytes).is_err(), "{entry:?} with a byte too many");
        }
    }

    /// Golden bytes of a version 1 log.
    #[test]
    fn golden_withdrawal() {
        let entry = Entry {
            owner: Owner::Customer(AccountId(1)),
            origin: Origin::Session { session: Lsn(12), number: RequestNumber(1), acked_below: RequestNumber(1) },
            action: Action::Request(Command::Withdraw { account: AccountId(1), amount: Amount::new(1000).unwrap() }),
        };
        let mut bytes = Vec::new();
        entry.encode_into(&mut bytes);
        assert_eq!(
            bytes,
            [
                16, 1, 1, 0, 1, 0, 0, 0, 12, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, // head
                1, 0, 0, 0, 1, 0, 0, 0, 232, 3, 0, 0, 0, 0, 0, 0, // the command
            ]
        );
    }

    #[test]
    fn tags_are_not_printed() {
        let shown = format!("{:?}", Tag { key_id: 1, salt: [0xAB; 16], tag: [0xCD; 32] });
        assert_eq!(shown, "Tag(..)");
    }
}
