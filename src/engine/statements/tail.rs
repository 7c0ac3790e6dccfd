//! Entries on their way into the index: their postings in memory, in order of the log.
//!
//! The net effect of a posting of an account is the change of its balance; that of a posting of a session is the number that
//! the entry executed, and a slice of a session has the last of its numbers.
//! Left out: reading the log (`follow.rs`, `build.rs`), and writing the parts (`part.rs`).

use super::error::IndexError;
use super::part::{Extent, Part, Place};
use super::postings::{Key, Posting, RowWriter, SLICE, Slice};
use crate::env::Disk;
use crate::model::amount::Amount;
use crate::model::command::Command;
use crate::model::entry::{Action, Entry, Origin};
use crate::model::types::{AccountId, Lsn, StoreId};
use crate::wal::{Anchor, BatchHeader, Position};

/// The bytes of log between two places.
const PLACE_EVERY: u64 = 48 << 10;
/// The code of a posting that stands for the balance at the log's cut beginning: no entry.
pub(super) const BASE: u8 = 254;

/// The postings of consecutive entries.
///
/// Invariants: `postings` is in order of the LSN; `places` is, too, and holds the first batch of each segment that it touches.
pub(super) struct Tail {
    /// The first entry.
    pub(super) first: Lsn,
    /// The end of the log that it reaches; none while it is empty.
    pub(super) anchor: Option<Anchor>,
    /// The number of accounts there.
    pub(super) accounts: u32,
    postings: Vec<(Key, Posting, i64)>,
    /// The places of batches.
    pub(super) places: Vec<Place>,
    /// Where the last place is, and the bytes of log since.
    last: Option<(u64, u64)>,
    /// The entry behind the last.
    next: Lsn,
}

impl Tail {
    /// An empty one, whose first entry is `first`, with `accounts` accounts before it.
    pub(super) const fn new(first: Lsn, accounts: u32) -> Self {
        Self { first, anchor: None, accounts, postings: Vec::new(), places: Vec::new(), last: None, next: first }
    }

    /// The entry behind the last.
    pub(super) const fn next(&self) -> Lsn {
        self.next
    }

    /// The number of entries.
    pub(super) const fn entries(&self) -> u64 {
        self.next.0.saturating_sub(self.first.0)
    }

    /// Notes a batch, before its entries.
    pub(super) fn batch(&mut self, header: &BatchHeader, at: Position) {
        let since = match self.last {
            Some((segment, bytes)) if segment == at.segment && bytes < PLACE_EVERY => bytes,
            _ => {
                self.places.push(Place { first: header.first_lsn, at, time: header.bank_time });
                0
            }
        };
        self.last = Some((at.segment, since.saturating_add(header.bytes())));
    }

    /// Notes that an account of a log with a cut beginning begins with this balance.
    pub(super) fn base(&mut self, account: AccountId, balance: Amount) {
        self.put(Key::account(account), Lsn(self.first.0.saturating_sub(1)), BASE, signed(balance));
    }

    /// Notes an entry. `outcome` is the code of its outcome: 0 if it was done.
    pub(super) fn entry(&mut self, lsn: Lsn, entry: &Entry, outcome: u8) {
        self.next = lsn.next();
        let Origin::Session { session, number, .. } = entry.origin else {
            match &entry.action {
                Action::AccountOpen(open) if outcome == 0 => {
                    self.put(Key::account(AccountId(self.accounts)), lsn, 0, signed(open.balance));
                    self.accounts = self.accounts.saturating_add(1);
                }
                Action::OpenSession { evicted: Some(evicted) } => self.put(Key::session(*evicted), lsn, outcome, 0),
                Action::Genesis { .. } | Action::Lineage { .. } | Action::Start(_) | Action::TellerRevoke(_) => {
                    self.put(Key::CONTROL, lsn, outcome, 0);
                }
                _ => {}
            }
            return;
        };
        self.put(Key::session(session), lsn, outcome, number.0.min(u64::MAX >> 1).cast_signed());
        if let Action::Request(command) = &entry.action {
            self.put(Key::account(command.account()), lsn, outcome, effect(command, command.account(), outcome));
            if let Some(other) = command.other_account() {
                self.put(Key::account(other), lsn, outcome, effect(command, other, outcome));
            }
        }
    }

    /// The slice of a key; none if nothing concerns it.
    pub(super) fn slice(&self, key: Key) -> Option<Slice> {
        let mut slice = Slice::default();
        for (_, posting, effect) in self.postings.iter().filter(|(of, ..)| *of == key) {
            slice.add(key, *posting, *effect);
        }
        Some(slice).filter(|slice| !slice.postings.is_empty())
    }

    /// The place of the batch with that entry, or of one before it in the same segment.
    pub(super) fn place(&self, lsn: Lsn) -> Option<Place> {
        let behind = self.places.partition_point(|place| place.first <= lsn);
        self.places.get(behind.checked_sub(1)?).copied()
    }

    /// Writes it as a part.
    ///
    /// # Errors
    /// [`IndexError`].
    pub(super) fn write(&self, disk: &dyn Disk, dir: &std::path::Path, store: StoreId) -> Result<Option<Part>, IndexError> {
        let Some(anchor) = self.anchor.filter(|_| self.entries() > 0) else { return Ok(None) };
        let mut sorted = self.postings.clone();
        sorted.sort_by_key(|(key, posting, _)| (*key, posting.lsn));
        let extent = Extent { first: self.first, anchor, accounts: self.accounts };
        Part::write(disk, dir, store, extent, |tables| {
            let mut rows = RowWriter::new(extent.before());
            let mut slice: Option<(Key, Slice)> = None;
            for (key, posting, effect) in sorted {
                if let Some((of, full)) = slice.take_if(|(of, slice)| *of != key || slice.postings.len() >= SLICE) {
                    rows.slice(of, &full, &mut |row, bytes| tables.row(row, bytes))?;
                }
                slice.get_or_insert_with(|| (key, Slice::default())).1.add(key, posting, effect);
            }
            if let Some((of, full)) = slice {
                rows.slice(of, &full, &mut |row, bytes| tables.row(row, bytes))?;
            }
            rows.finish(&mut |row, bytes| tables.row(row, bytes))?;
            self.places.iter().try_for_each(|place| tables.place(place))
        })
        .map(Some)
    }

    fn put(&mut self, key: Key, lsn: Lsn, outcome: u8, effect: i64) {
        self.postings.push((key, Posting { lsn, outcome }, effect));
    }
}

impl Slice {
    fn add(&mut self, key: Key, posting: Posting, effect: i64) {
        self.postings.push(posting);
        self.net = key.joined(self.net, effect);
    }
}

impl Key {
    /// The net effect of two slices, one after the other.
    pub(super) fn joined(self, first: i64, second: i64) -> i64 {
        if self.is_account() { first.saturating_add(second) } else { first.max(second) }
    }
}

/// The change of an account's balance by a command with that outcome.
pub(super) fn effect(command: &Command, account: AccountId, outcome: u8) -> i64 {
    let amount = signed(command.amount());
    match command {
        _ if outcome != 0 => 0,
        Command::Deposit { .. } => amount,
        Command::Withdraw { .. } => -amount,
        Command::Transfer { from, .. } => {
            if *from == account {
                -amount
            } else {
                amount
            }
        }
    }
}

/// An amount, which is at most 2^63 - 1.
pub(super) const fn signed(amount: Amount) -> i64 {
    amount.get().cast_signed()
}
