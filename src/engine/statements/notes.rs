//! The outcomes of entries that were not done, as they are applied: what the log alone does not say.
//!
//! Left out: where the notes go (`thread.rs`).

use crate::bank::Applied;
use crate::model::command::{Body, Outcome};
use crate::model::types::Lsn;

/// The code of an entry without an effect that is not a request's outcome.
const NO_EFFECT: u8 = 255;
/// The most notes that are kept: 16 MiB of them. Beyond, the index is made by replaying the log.
const MOST: usize = 1 << 20;

/// The entries that were not done, in order, with the codes of their outcomes.
#[derive(Clone, Debug, Default)]
pub(in crate::engine) struct Notes {
    noted: Vec<(Lsn, u8)>,
    /// There were more than are kept.
    is_lost: bool,
}

impl Notes {
    /// Notes the outcome of an entry, unless it was done.
    #[inline]
    pub(in crate::engine) fn see(&mut self, lsn: Lsn, applied: &Applied) {
        match applied {
            Applied::Answer { body, .. } if matches!(body.outcome, Outcome::Done) => {}
            Applied::Answer { body, .. } => self.note(lsn, body.outcome.code()),
            Applied::Refused(_) | Applied::UnknownSession => self.note(lsn, NO_EFFECT),
            _ => {}
        }
    }

    /// [`Notes::see`] for one of several requests of a session, of which `first` is the first.
    #[inline]
    pub(in crate::engine) fn see_request(notes: &mut Option<&mut Self>, first: Lsn, applied: &Applied) {
        if !matches!(applied, Applied::Answer { body: Body { outcome: Outcome::Done, .. }, .. }) {
            Self::see_refused(notes, first, applied);
        }
    }

    #[cold]
    fn see_refused(notes: &mut Option<&mut Self>, first: Lsn, applied: &Applied) {
        let Some(notes) = notes else { return };
        match applied {
            Applied::Answer { body, .. } => notes.note(body.lsn, body.outcome.code()),
            // The session had ended before all of them: none of them is noted yet, or the one before it is.
            _ => {
                let last = notes.noted.last().map_or(Lsn(0), |(lsn, _)| *lsn);
                notes.note(if last < first { first } else { last.next() }, NO_EFFECT);
            }
        }
    }

    #[cold]
    fn note(&mut self, lsn: Lsn, code: u8) {
        if self.noted.len() < MOST {
            self.noted.push((lsn, code));
        } else {
            self.is_lost = true;
        }
    }

    /// The code of an entry's outcome: 0 if it was done.
    pub(super) fn code(&self, lsn: Lsn) -> u8 {
        let place = self.noted.binary_search_by_key(&lsn, |(noted, _)| *noted);
        place.ok().and_then(|place| self.noted.get(place)).map_or(0, |(_, code)| *code)
    }

    /// Whether every entry that was not done is noted.
    pub(super) const fn is_whole(&self) -> bool {
        !self.is_lost
    }

    /// Adds later notes.
    pub(super) fn append(&mut self, mut later: Self) {
        self.noted.append(&mut later.noted);
        self.is_lost |= later.is_lost;
    }
}

/// The outcome with that code; none for an entry without an effect that is not a request's outcome.
pub(super) const fn outcome(code: u8) -> Option<Outcome> {
    Some(match code {
        0 => Outcome::Done,
        1 => Outcome::InsufficientBalance,
        2 => Outcome::NoSuchAccount,
        3 => Outcome::AccountClosed,
        4 => Outcome::AccountLocked,
        5 => Outcome::BalanceOverflow,
        6 => Outcome::Cancelled,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_that_of_its_outcome() {
        for code in 0..=6 {
            assert_eq!(outcome(code).map(Outcome::code), Some(code));
        }
        assert_eq!((outcome(7), outcome(NO_EFFECT)), (None, None));
    }
}
