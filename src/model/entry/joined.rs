//! Several entries in one record: consecutive requests of one session with the same `acked_below`.
//!
//! The first entry is complete. Each further one is only a command: owner, session and `acked_below` are those of the first,
//! and its number is one more than that of the entry before. Left out: which requests share a record (`engine/`).

use crate::model::bytes::Take;
use crate::model::command::Command;
use crate::model::entry::{Action, Entry, EntryError, Origin, Reader};
use crate::model::types::{Lsn, Owner, RequestNumber};

/// The most entries written into one record. A small limit, because a repair cannot list the requests of a damaged record.
/// Reading has no such limit.
pub const MAX_JOINED: usize = 128;

/// The largest record of several entries, in bytes.
pub const JOINED_BYTES: usize = 32 + MAX_JOINED * Command::MAX_BYTES;

/// Consecutive requests of one session with the same `acked_below`, without their commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Requests {
    /// The owner.
    pub owner: Owner,
    /// The LSN of the entry that opened the session.
    pub session: Lsn,
    /// The number of the first request.
    pub first: RequestNumber,
    /// Every reply below this number is acknowledged.
    pub acked_below: RequestNumber,
}

impl Requests {
    /// The first request as an entry, with its command.
    #[must_use]
    #[inline]
    pub const fn entry(&self, command: Command) -> Entry {
        let Self { owner, session, first, acked_below } = *self;
        Entry { owner, origin: Origin::Session { session, number: first, acked_below }, action: Action::Request(command) }
    }

    /// The requests without the first `count`; `None` if the number overflows.
    #[must_use]
    #[inline]
    pub fn after(&self, count: usize) -> Option<Self> {
        let first = self.first.0.checked_add(u64::try_from(count).ok()?)?;
        Some(Self { first: RequestNumber(first), ..*self })
    }

    /// Decodes a record of `count` requests, at least two, that takes all of `bytes`. Appends their commands to `commands`.
    ///
    /// # Errors
    /// [`EntryError`], as [`Entry::all`]; what was appended to `commands` is then unspecified.
    pub fn decode(bytes: &[u8], count: u32, commands: &mut Vec<Command>) -> Result<Self, EntryError> {
        let mut reader = Reader(Take(bytes));
        let (requests, command) = Self::take(&mut reader)?;
        commands.push(command);
        let mut last = requests;
        for _ in 1..count {
            last = last.after(1).ok_or(EntryError::Range("number"))?;
            commands.push(Command::take(&mut reader.0.0).ok_or(EntryError::Command)?);
        }
        if reader.0.0.is_empty() { Ok(requests) } else { Err(EntryError::Length) }
    }

    /// Takes the first of several requests.
    fn take(reader: &mut Reader<'_>) -> Result<(Self, Command), EntryError> {
        match Entry::take(reader)? {
            Entry { owner, origin: Origin::Session { session, number: first, acked_below }, action: Action::Request(command) } => {
                Ok((Self { owner, session, first, acked_below }, command))
            }
            _ => Err(EntryError::Range("count")),
        }
    }
}

impl Entry {
    /// Iterates over the entries of a record of `count` entries that takes all of `bytes`. An error ends the iteration, and
    /// invalidates the entries before it.
    #[must_use]
    pub const fn all(bytes: &[u8], count: u32) -> Entries<'_> {
        Entries { rest: bytes, left: count, before: None }
    }
}

/// Iterator over the entries of a record, see [`Entry::all`].
#[derive(Clone, Debug)]
pub struct Entries<'a> {
    rest: &'a [u8],
    left: u32,
    before: Option<Requests>,
}

impl Iterator for Entries<'_> {
    type Item = Result<Entry, EntryError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let entry = self.read();
        if entry.is_err() {
            self.left = 0;
        }
        Some(entry)
    }
}

impl Entries<'_> {
    fn read(&mut self) -> Result<Entry, EntryError> {
        let mut reader = Reader(Take(self.rest));
        let entry = match self.before {
            Some(before) => {
                let requests = before.after(1).ok_or(EntryError::Range("number"))?;
                self.before = Some(requests);
                requests.entry(Command::take(&mut reader.0.0).ok_or(EntryError::Command)?)
            }
            None if self.left == 0 => Entry::take(&mut reader)?,
            None => {
                let (requests, command) = Requests::take(&mut reader)?;
                self.before = Some(requests);
                requests.entry(command)
            }
        };
        self.rest = reader.0.0;
        if self.left == 0 && !self.rest.is_empty() { Err(EntryError::Length) } else { Ok(entry) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::amount::Amount;
    use crate::model::types::{AccountId, TellerId};

    fn request(number: u64, units: u64) -> Entry {
        let amount = Amount::new(units).unwrap();
        let command = match units % 2 {
            0 => Command::Deposit { account: AccountId(5), amount },
            _ => Command::Transfer { from: AccountId(5), to: AccountId(6), amount },
        };
        let origin = Origin::Session { session: Lsn(9), number: RequestNumber(number), acked_below: RequestNumber(3) };
        Entry { owner: Owner::Teller(TellerId(2)), origin, action: Action::Request(command) }
    }

    fn joined(entries: &[Entry]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (index, entry) in entries.iter().enumerate() {
            match &entry.action {
                Action::Request(command) if index > 0 => command.encode_into(&mut bytes),
                _ => entry.encode_into(&mut bytes),
            }
        }
        bytes
    }

    /// Decodes a record with both decoders.
    fn read(bytes: &[u8], count: usize) -> Result<Vec<Entry>, EntryError> {
        let count = u32::try_from(count).unwrap();
        let entries: Result<Vec<Entry>, EntryError> = Entry::all(bytes, count).collect();
        if count > 1 {
            let mut commands = Vec::new();
            let mut requests = Requests::decode(bytes, count, &mut commands);
            for (index, command) in commands.into_iter().enumerate() {
                if let (Ok(entries), Ok(requests)) = (&entries, &mut requests) {
                    assert_eq!(requests.entry(command), entries[index]);
                    *requests = requests.after(1).unwrap();
                }
            }
            assert_eq!(requests.err(), entries.as_ref().err().copied());
        }
        entries
    }

    #[test]
    fn what_is_joined_is_read() {
        let entries: Vec<Entry> = (7..27).map(|number| request(number, number * number)).collect();
        for count in 1..=entries.len() {
            let bytes = joined(&entries[..count]);
            assert_eq!(read(&bytes, count).as_deref(), Ok(&entries[..count]));
            assert!(read(&bytes, count + 1).is_err(), "one too few");
            assert!(count == 1 || read(&bytes, count - 1) == Err(EntryError::Length), "one too many");
            for cut in 0..bytes.len() {
                assert!(read(&bytes[..cut], count).is_err(), "cut at {cut}");
            }
        }
        let all: Vec<Entry> = (1..).take(MAX_JOINED).map(|number| request(number, 1)).collect();
        assert_eq!(joined(&all).len(), JOINED_BYTES);
    }

    /// Golden bytes of a record of two requests.
    #[test]
    fn golden_pair() {
        let bytes = joined(&[request(1, 1000), request(2, 1001)]);
        assert_eq!(
            bytes,
            [
                16, 2, 1, 0, 2, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, // head
                0, 0, 0, 0, 5, 0, 0, 0, 232, 3, 0, 0, 0, 0, 0, 0, // number 1
                2, 0, 0, 0, 5, 0, 0, 0, 6, 0, 0, 0, 233, 3, 0, 0, 0, 0, 0, 0, // number 2
            ]
        );
    }

    #[test]
    fn only_requests_share_a_record() {
        let cancel = Entry { action: Action::Cancel, ..request(7, 1) };
        let mut bytes = joined(&[cancel]);
        bytes.extend_from_slice(&joined(&[request(7, 1), request(8, 2)])[52..]);
        assert_eq!(Entry::all(&bytes, 2).next(), Some(Err(EntryError::Range("count"))));
        let last = joined(&[request(u64::MAX, 1), request(1, 2)]);
        let read: Vec<_> = Entry::all(&last, 2).collect();
        assert_eq!(read.as_slice(), [Ok(request(u64::MAX, 1)), Err(EntryError::Range("number"))], "and nothing after an error");
    }
}
