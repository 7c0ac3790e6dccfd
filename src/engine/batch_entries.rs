//! The open batch's entries in memory, from their submission until each is applied.
//!
//! Requests that share a record of the log are one part here, too, so what they share is checked once. Left out:
//! deciding what is new (`staging.rs`), and the bytes (`wal/`).

use crate::model::command::Command;
use crate::model::entry::{Entry, Requests};

/// The accounts of this many commands are prefetched at once, before they are applied.
const AHEAD: usize = 64;

/// The open batch. Allocates nothing once it has grown to its size.
///
/// Invariants: `commands` holds the commands of all parts of requests, one part after the other; `next` is at a part
/// with entries that are not applied, or behind the last.
#[derive(Default)]
pub struct BatchEntries {
    parts: Vec<Part>,
    commands: Vec<Command>,
    len: usize,
    next: Cursor,
    /// The accounts of the commands before this one are prefetched.
    fetched: usize,
}

enum Part {
    Entry(Entry),
    Requests { requests: Requests, count: usize },
}

/// The position of the next entry to apply.
#[derive(Clone, Copy, Default)]
struct Cursor {
    part: usize,
    /// Entries of that part that are applied.
    within: usize,
    /// Index in `commands`.
    command: usize,
}

/// The next entries to apply.
pub enum Next<'a> {
    /// One entry.
    Entry(&'a Entry),
    /// These requests, described by [`Requests`]; more may follow.
    Requests(Requests, &'a [Command]),
    /// Nothing.
    None,
}

impl BatchEntries {
    /// How many entries there are, applied or not.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no entries.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether some are applied.
    pub const fn is_begun(&self) -> bool {
        self.next.part > 0 || self.next.within > 0
    }

    /// Appends an entry that is not a request.
    pub fn push(&mut self, entry: Entry) {
        self.parts.push(Part::Entry(entry));
        self.len += 1;
    }

    /// Appends at least one request.
    pub fn push_requests(&mut self, requests: Requests, commands: &[Command]) {
        self.parts.push(Part::Requests { requests, count: commands.len() });
        self.commands.extend_from_slice(commands);
        self.len += commands.len();
    }

    /// Appends more requests to the last part, whose session and numbers they continue.
    pub fn join(&mut self, commands: &[Command]) {
        let last = self.parts.last_mut();
        assert!(matches!(last, Some(Part::Requests { .. })), "requests join others");
        if let Some(Part::Requests { count, .. }) = last {
            *count += commands.len();
            self.commands.extend_from_slice(commands);
            self.len += commands.len();
        }
    }

    /// The next entries to apply, at most `most` requests at once.
    #[inline]
    pub fn next(&self, most: usize) -> Next<'_> {
        match self.parts.get(self.next.part) {
            None => Next::None,
            Some(Part::Entry(entry)) => Next::Entry(entry),
            Some(Part::Requests { requests, count }) => {
                let until_fetch = self.fetched.saturating_sub(self.next.command).max(1);
                let count = (count - self.next.within).min(most).min(until_fetch);
                let commands = self.commands.get(self.next.command..self.next.command + count);
                // No commands, or `most` of zero: the caller asked for more than the batch has, which is a bug there.
                commands.filter(|commands| !commands.is_empty()).map_or(Next::None, |commands| Next::Requests(*requests, commands))
            }
        }
    }

    /// The commands whose accounts to prefetch before anything more is applied, if there are any.
    #[inline]
    pub fn fetch(&mut self) -> Option<&[Command]> {
        if self.next.command < self.fetched || self.next.command >= self.commands.len() {
            return None;
        }
        self.fetched = self.commands.len().min(self.next.command + AHEAD);
        self.commands.get(self.next.command..self.fetched)
    }

    /// Marks `done` entries of the next part as applied. Returns true, and clears the batch, when they were the last.
    #[inline]
    pub fn applied(&mut self, done: usize) -> bool {
        self.next.within += done;
        let whole = match self.parts.get_mut(self.next.part) {
            Some(Part::Requests { requests, count }) => {
                self.next.command += done;
                *requests = requests.after(done).unwrap_or(*requests);
                *count
            }
            Some(Part::Entry(_)) | None => 1,
        };
        if self.next.within >= whole {
            self.next.part += 1;
            self.next.within = 0;
        }
        let is_all = self.next.part >= self.parts.len();
        if is_all {
            self.parts.clear();
            self.commands.clear();
            (self.len, self.next, self.fetched) = (0, Cursor::default(), 0);
        }
        is_all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::amount::Amount;
    use crate::model::entry::{Action, Origin};
    use crate::model::types::{AccountId, Lsn, Owner, RequestNumber, TellerId};

    fn requests(session: u64, first: u64) -> Requests {
        let (owner, first, acked_below) = (Owner::Teller(TellerId(0)), RequestNumber(first), RequestNumber(1));
        Requests { owner, session: Lsn(session), first, acked_below }
    }

    fn commands(count: u32) -> Vec<Command> {
        (0..count).map(|id| Command::Deposit { account: AccountId(id), amount: Amount::MAX }).collect()
    }

    /// Applies everything, at most `most` at once. Returns the numbers of the requests, 0 for another entry.
    fn walk(pending: &mut BatchEntries, most: usize) -> (Vec<u64>, usize) {
        let (mut numbers, mut fetched) = (Vec::new(), 0);
        loop {
            fetched += pending.fetch().map_or(0, <[Command]>::len);
            let done = match pending.next(most) {
                Next::None => return (numbers, fetched),
                Next::Entry(entry) => {
                    assert_eq!(entry.action, Action::Cancel);
                    numbers.push(0);
                    1
                }
                Next::Requests(requests, commands) => {
                    assert!((1..=most).contains(&commands.len()));
                    numbers.extend((requests.first.0..).take(commands.len()));
                    commands.len()
                }
            };
            if pending.applied(done) {
                assert!(pending.is_empty() && !pending.is_begun());
            } else {
                assert!(pending.is_begun());
            }
        }
    }

    #[test]
    fn everything_is_applied_once_and_in_order() {
        let mut pending = BatchEntries::default();
        for most in [1, 3, 64, 1_000] {
            pending.push_requests(requests(1, 5), &commands(1));
            pending.join(&commands(99));
            pending.push(Entry { owner: Owner::Nobody, origin: Origin::None, action: Action::Cancel });
            pending.push_requests(requests(2, 300), &commands(2));
            pending.push_requests(requests(1, 105), &commands(70));
            assert_eq!((pending.len(), pending.is_begun()), (173, false));
            let expected: Vec<u64> = (5..105).chain([0]).chain(300..302).chain(105..175).collect();
            assert_eq!(walk(&mut pending, most), (expected, 172), "everything is fetched once, at most {most} at a time");
        }
    }
}
