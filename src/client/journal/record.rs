//! The journal's records, and the bytes of their fields.
//!
//! Left out: frames and damage (`format.rs`).

use crate::model::amount::Amount;
use crate::model::bytes::Take;
use crate::model::codec;
use crate::model::command::{Body, Command, Outcome};
use crate::model::types::{Chain, Epoch, Lsn, RequestId, RequestNumber, SessionId, StoreId, is_valid_name};
use crate::wire::message::{Receipt, Role};

/// The longest server address in a journal, in bytes.
pub(in crate::client) const MAX_ADDRESS: usize = 255;

/// The kind of a frame that holds several records.
pub(in crate::client) const GROUP: u8 = 4;

/// A money request that is about to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intent {
    /// The bank's store.
    pub store: StoreId,
    /// Session and number.
    pub id: RequestId,
    /// Wall clock, in microseconds since 1970-01-01 UTC.
    pub at: u64,
    /// The owner's role.
    pub role: Role,
    /// The owner's login name.
    pub name: String,
    /// The server's address, as named by the user.
    pub address: String,
    /// The command.
    pub command: Command,
}

/// A recorded outcome that the bank returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settled {
    /// The recorded body.
    pub body: Body,
    /// Whether the bank had answered it before.
    pub replayed: bool,
    /// The bank's receipt.
    pub receipt: Receipt,
}

/// Why a request was closed without a recorded outcome, and is not resent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClosedReason {
    /// (1) The bank does not know the session: only the bank's log shows whether the request was executed.
    UnknownSession,
    /// (2) The bank's store was rolled back: only the bank's log shows whether the request was executed.
    StoreRolledBack,
    /// (3) Executed, answered and acknowledged; the answer is in the bank's log.
    Acknowledged,
    /// (4) Its number is not the session's next, and no copy of it is adrift: not executed.
    Gap,
    /// (5) Its number was executed with another command: not executed.
    Conflict,
    /// (6) Every copy sent was refused, or the bank refuses its content: not executed.
    Refused,
    /// (7) Not one byte of it was sent: not executed.
    NeverSent,
}

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// (1) Synced before the first send.
    Intent(Intent),
    /// (2) Synced before the reply is acknowledged.
    Reply(RequestId, Settled),
    /// (3) Closed without a reply.
    Closed(RequestId, ClosedReason),
}

impl Record {
    /// Whether it records the end of a request.
    pub(in crate::client) const fn is_end(&self) -> bool {
        matches!(self, Self::Reply(..) | Self::Closed(..))
    }
}

/// Appends a record's fields. If a field is too long, returns `None` and may leave a part of the record in `out`.
pub(in crate::client) fn put(record: &Record, out: &mut Vec<u8>) -> Option<()> {
    match record {
        Record::Intent(intent) => {
            if !is_valid_name(&intent.name) || intent.address.len() > MAX_ADDRESS {
                return None;
            }
            out.push(1);
            put_id(intent.id, out);
            out.extend_from_slice(&intent.store.0);
            out.extend_from_slice(&intent.at.to_le_bytes());
            out.push(match intent.role {
                Role::Customer => 0,
                Role::Teller => 1,
            });
            put_text(&intent.name, out)?;
            put_text(&intent.address, out)?;
            codec::encode_into(&intent.command, out).ok()
        }
        Record::Reply(id, settled) => {
            out.push(2);
            put_id(*id, out);
            out.push(settled.body.outcome.code());
            out.extend_from_slice(&settled.body.balance.get().to_le_bytes());
            out.extend_from_slice(&settled.body.lsn.0.to_le_bytes());
            out.push(u8::from(settled.replayed));
            out.extend_from_slice(&settled.receipt.chain.0);
            out.extend_from_slice(&settled.receipt.lsn.0.to_le_bytes());
            Some(())
        }
        Record::Closed(id, reason) => {
            out.push(3);
            put_id(*id, out);
            out.push(reason.code());
            Some(())
        }
    }
}

/// Reads a record that spans all of `bytes`.
pub(in crate::client) fn read(bytes: &[u8]) -> Option<Record> {
    let mut reader = Take(bytes);
    let [kind] = reader.array()?;
    let id = RequestId {
        session: SessionId { epoch: Epoch(reader.u64()?), lsn: Lsn(reader.u64()?) },
        number: RequestNumber(reader.u64().filter(|number| *number > 0)?),
    };
    let record = match kind {
        1 => Record::Intent(Intent {
            id,
            store: StoreId(reader.array()?),
            at: reader.u64()?,
            role: match reader.array()? {
                [0] => Role::Customer,
                [1] => Role::Teller,
                _ => return None,
            },
            name: text(&mut reader).filter(|name| is_valid_name(name))?,
            address: text(&mut reader)?,
            command: codec::decode(std::mem::take(&mut reader.0)).ok()?,
        }),
        2 => Record::Reply(
            id,
            Settled {
                body: Body {
                    outcome: reader.array().and_then(|[code]| outcome(code))?,
                    balance: Amount::new(reader.u64()?)?,
                    lsn: Lsn(reader.u64()?),
                },
                replayed: match reader.array()? {
                    [0] => false,
                    [1] => true,
                    _ => return None,
                },
                receipt: Receipt { chain: Chain(reader.array()?), lsn: Lsn(reader.u64()?) },
            },
        ),
        3 => Record::Closed(id, reader.array().and_then(|[code]| ClosedReason::from_code(code))?),
        _ => return None,
    };
    reader.0.is_empty().then_some(record)
}

/// Reads a group's records, each preceded by its length: at least one, with no bytes left over.
pub(in crate::client) fn read_group(bytes: &[u8]) -> Option<Vec<Record>> {
    let (mut reader, mut records) = (Take(bytes), Vec::new());
    while !reader.0.is_empty() {
        let length = usize::from(u16::from_le_bytes(reader.array()?));
        let (record, rest) = reader.0.split_at_checked(length)?;
        reader.0 = rest;
        records.push(read(record)?);
    }
    (!records.is_empty()).then_some(records)
}

fn put_id(id: RequestId, out: &mut Vec<u8>) {
    for field in [id.session.epoch.0, id.session.lsn.0, id.number.0] {
        out.extend_from_slice(&field.to_le_bytes());
    }
}

fn put_text(text: &str, out: &mut Vec<u8>) -> Option<()> {
    out.push(u8::try_from(text.len()).ok()?);
    out.extend_from_slice(text.as_bytes());
    Some(())
}

fn outcome(code: u8) -> Option<Outcome> {
    use Outcome::{AccountClosed, AccountLocked, BalanceOverflow, Cancelled, Done, InsufficientBalance, NoSuchAccount};
    [Done, InsufficientBalance, NoSuchAccount, AccountClosed, AccountLocked, BalanceOverflow, Cancelled]
        .into_iter()
        .find(|outcome| outcome.code() == code)
}

impl ClosedReason {
    const ALL: [Self; 7] =
        [Self::UnknownSession, Self::StoreRolledBack, Self::Acknowledged, Self::Gap, Self::Conflict, Self::Refused, Self::NeverSent];

    const fn code(self) -> u8 {
        match self {
            Self::UnknownSession => 1,
            Self::StoreRolledBack => 2,
            Self::Acknowledged => 3,
            Self::Gap => 4,
            Self::Conflict => 5,
            Self::Refused => 6,
            Self::NeverSent => 7,
        }
    }

    fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.code() == code)
    }
}

/// A text of at most 255 bytes, behind its length.
fn text(take: &mut Take<'_>) -> Option<String> {
    let length = take.u8()?;
    String::from_utf8(take.bytes(usize::from(length))?.to_vec()).ok()
}

#[cfg(test)]
pub(in crate::client) mod samples {
    use super::*;
    use crate::model::types::AccountId;

    pub(in crate::client) fn id(number: u64) -> RequestId {
        RequestId { session: SessionId { epoch: Epoch(0xabc), lsn: Lsn(77) }, number: RequestNumber(number) }
    }

    pub(in crate::client) fn intent(number: u64) -> Intent {
        Intent {
            store: StoreId([7; 16]),
            id: id(number),
            at: 1_700_000_000_000_000,
            role: Role::Customer,
            name: "Sami".to_owned(),
            address: "127.0.0.1:7070".to_owned(),
            command: Command::Withdraw { account: AccountId(1), amount: Amount::new(20).unwrap() },
        }
    }

    pub(in crate::client) fn settled() -> Settled {
        Settled {
            body: Body { outcome: Outcome::Done, balance: Amount::new(160).unwrap(), lsn: Lsn(78) },
            replayed: false,
            receipt: Receipt { chain: Chain([9; 32]), lsn: Lsn(78) },
        }
    }
}
