//! A session: its owner, its last request number, and the recorded replies that its client may still request.
//!
//! Left out: the session table with caps and eviction (`sessions/mod.rs`), and the effects of commands (`accounts/mod.rs`).

use std::collections::VecDeque;

use crate::model::command::{Body, Command};
use crate::model::types::{Lsn, Owner, RequestNumber};

/// The record of an executed number: enough to answer a duplicate and to detect a conflict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// The command executed under the number; `None` if it was cancelled: then every command has this body as its answer.
    pub command: Option<Command>,
    /// The answer.
    pub body: Body,
}

/// The state of a request number in a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// Executed or cancelled before; the reply is recorded.
    Recorded(Recorded),
    /// Executed before, and the reply was acknowledged and dropped. Also returned for 0, which is not a valid number.
    Acknowledged,
    /// The next new number.
    Next,
    /// Beyond the next number: numbers in between are missing.
    Ahead {
        /// The next new number.
        expected: RequestNumber,
    },
    /// The session does not exist.
    NoSession,
}

/// The public view of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionView {
    /// The owner.
    pub owner: Owner,
    /// The last executed number; 0 if none.
    pub last: RequestNumber,
    /// Replies below this number are acknowledged; 1 in a new session.
    pub acked_below: RequestNumber,
}

impl SessionView {
    /// The number of unacknowledged replies.
    #[must_use]
    pub const fn unacknowledged(&self) -> u64 {
        self.last.0.saturating_add(1).saturating_sub(self.acked_below.0)
    }
}

/// One session.
///
/// Invariants: `acked_below` is in 1..=`last` + 1; `latest` is set exactly if `last` is not 0; `earlier` holds exactly the
/// replies to the numbers from `acked_below` to `last` - 1.
///
/// The last reply is stored separately. A client that waits for each answer before its next request never has another one,
/// so its session needs no memory beyond this struct.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::bank) struct Session {
    /// The LSN of the entry that opened it; 0 in a vacant slot of the table.
    pub(in crate::bank) opened: Lsn,
    /// The owner.
    pub(in crate::bank) owner: Owner,
    /// The LSN of the last entry that used it.
    pub(in crate::bank) last_used: Lsn,
    last: RequestNumber,
    acked_below: RequestNumber,
    latest: Option<Recorded>,
    earlier: VecDeque<Recorded>,
}

impl Session {
    /// Creates a session. Allocates nothing.
    pub(in crate::bank) const fn new(opened: Lsn, owner: Owner) -> Self {
        let (last, acked_below) = (RequestNumber(0), RequestNumber(1));
        Self { opened, owner, last_used: opened, last, acked_below, latest: None, earlier: VecDeque::new() }
    }

    /// Restores a session from an image. Returns `None` if the parts violate an invariant.
    pub(in crate::bank) fn restore(
        opened: Lsn,
        last_used: Lsn,
        view: SessionView,
        earlier: VecDeque<Recorded>,
        latest: Option<Recorded>,
    ) -> Option<Self> {
        let SessionView { owner, last, acked_below } = view;
        let session = Self { opened, owner, last_used, last, acked_below, latest, earlier };
        session.is_sound().then_some(session)
    }

    /// The recorded replies in the order of their numbers.
    pub(in crate::bank) fn replies(&self) -> impl Iterator<Item = &Recorded> {
        self.earlier.iter().chain(&self.latest)
    }

    /// The public view.
    pub(in crate::bank) const fn view(&self) -> SessionView {
        SessionView { owner: self.owner, last: self.last, acked_below: self.acked_below }
    }

    /// Whether there are no unacknowledged replies. Only then may the session be evicted.
    pub(in crate::bank) const fn is_idle(&self) -> bool {
        self.acked_below.0 > self.last.0
    }

    /// The state of a request number.
    pub(in crate::bank) fn lookup(&self, number: RequestNumber) -> Lookup {
        if number > self.last {
            // `number` is greater than `last`, so `last` has a successor.
            let expected = self.last.next().unwrap_or(number);
            return if number == expected { Lookup::Next } else { Lookup::Ahead { expected } };
        }
        let held = if number == self.last {
            self.latest.as_ref()
        } else {
            let place = number.0.checked_sub(self.acked_below.0).and_then(|place| usize::try_from(place).ok());
            place.and_then(|place| self.earlier.get(place))
        };
        held.map_or(Lookup::Acknowledged, |recorded| Lookup::Recorded(*recorded))
    }

    /// Checks that an entry may use `number` and acknowledge below `acked_below`. Admission writes no other entries.
    ///
    /// # Errors
    /// A description of what is wrong.
    #[inline]
    pub(in crate::bank) fn check_next(&self, number: RequestNumber, acked_below: RequestNumber) -> Result<(), &'static str> {
        if self.last.next() != Some(number) {
            return Err("its number is not the session's next");
        }
        if acked_below.0 > number.0.saturating_add(1) {
            return Err("it acknowledges numbers beyond its own");
        }
        Ok(())
    }

    /// Acknowledges, then consumes the next number. The caller has called [`Session::check_next`].
    #[inline]
    pub(in crate::bank) fn record(&mut self, acked_below: RequestNumber, recorded: Recorded) {
        self.forget_below(acked_below);
        if let Some(before) = self.latest.replace(recorded)
            && self.last >= self.acked_below
        {
            self.earlier.push_back(before);
        }
        self.last = self.last.next().unwrap_or(self.last);
        self.release();
        assert!(self.is_sound());
    }

    /// Acknowledges all replies below `acked_below`; a lower value than before has no effect. The caller has checked that it is
    /// at most `last` + 1.
    pub(in crate::bank) fn acknowledge(&mut self, acked_below: RequestNumber) {
        self.forget_below(acked_below);
        self.release();
        assert!(self.is_sound());
    }

    fn forget_below(&mut self, acked_below: RequestNumber) {
        while self.acked_below < acked_below {
            if self.earlier.pop_front().is_none() {
                self.acked_below = acked_below;
                return;
            }
            self.acked_below = self.acked_below.next().unwrap_or(acked_below);
        }
    }

    /// Frees the memory of earlier replies once everything is acknowledged, so that a session does not keep the memory of a past
    /// burst. During a burst there is always something unacknowledged.
    fn release(&mut self) {
        if self.is_idle() && self.earlier.capacity() > 0 {
            self.earlier = VecDeque::new();
        }
    }

    fn is_sound(&self) -> bool {
        let earlier = self.last.0.saturating_sub(self.acked_below.0);
        let bounds = (1..=self.last.0.saturating_add(1)).contains(&self.acked_below.0);
        bounds && usize::try_from(earlier).ok() == Some(self.earlier.len()) && self.latest.is_some() == (self.last.0 > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::amount::Amount;
    use crate::model::command::Outcome;
    use crate::model::types::AccountId;

    fn reply(lsn: u64) -> Recorded {
        Recorded { command: None, body: Body { outcome: Outcome::Cancelled, balance: Amount::ZERO, lsn: Lsn(lsn) } }
    }

    /// A session with the numbers 1 to `count` executed; the LSN of each reply is 100 + number.
    fn session(count: u64) -> Session {
        let mut session = Session::new(Lsn(1), Owner::Customer(AccountId(0)));
        for number in 1..=count {
            assert_eq!(session.check_next(RequestNumber(number), RequestNumber(0)), Ok(()));
            session.record(RequestNumber(0), reply(100 + number));
        }
        session
    }

    fn lsn_of(session: &Session, number: u64) -> Option<u64> {
        match session.lookup(RequestNumber(number)) {
            Lookup::Recorded(recorded) => Some(recorded.body.lsn.0),
            Lookup::Acknowledged => None,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn sizes() {
        assert_eq!(size_of::<Recorded>(), 48);
        assert_eq!(size_of::<Session>(), 120);
    }

    #[test]
    fn numbers_in_turn() {
        let new = session(0);
        assert_eq!(new.lookup(RequestNumber(1)), Lookup::Next);
        assert_eq!(new.lookup(RequestNumber(2)), Lookup::Ahead { expected: RequestNumber(1) });
        assert_eq!(new.lookup(RequestNumber(0)), Lookup::Acknowledged);
        assert!(new.is_idle());
        let used = session(3);
        assert_eq!((1..=3).map(|number| lsn_of(&used, number)).collect::<Vec<_>>(), [Some(101), Some(102), Some(103)]);
        assert_eq!(used.lookup(RequestNumber(4)), Lookup::Next);
        assert_eq!(used.lookup(RequestNumber(u64::MAX)), Lookup::Ahead { expected: RequestNumber(4) });
        assert!(!used.is_idle());
        for number in [0, 1, 2, 3, 5, u64::MAX] {
            assert!(used.check_next(RequestNumber(number), RequestNumber(0)).is_err());
        }
        assert!(used.check_next(RequestNumber(4), RequestNumber(5)).is_ok());
        assert!(used.check_next(RequestNumber(4), RequestNumber(6)).is_err());
    }

    /// For every window and every acknowledgement: replies below it are dropped; the others and the last one are kept.
    #[test]
    fn acknowledging_drops_what_is_below_and_keeps_the_last() {
        for count in 1..=9 {
            for acked in 0..=count + 1 {
                let mut session = session(count);
                session.acknowledge(RequestNumber(acked));
                session.acknowledge(RequestNumber(acked.saturating_sub(2))); // never back
                for number in 1..=count {
                    let kept = number >= acked || number == count;
                    assert_eq!(lsn_of(&session, number), kept.then_some(100 + number), "{number} of {count}, below {acked}");
                }
                assert_eq!(session.is_idle(), acked == count + 1);
                assert_eq!(session.view().unacknowledged(), (count + 1).saturating_sub(acked.max(1)));
                assert_eq!(lsn_of(&session, 0), None);
            }
        }
    }

    #[test]
    fn acknowledging_rides_in_a_request() {
        let mut session = session(3);
        session.record(RequestNumber(4), reply(104));
        assert_eq!((1..=4).map(|number| lsn_of(&session, number)).collect::<Vec<_>>(), [None, None, None, Some(104)]);
        assert!(!session.is_idle());
        session.record(RequestNumber(6), reply(105));
        assert_eq!((lsn_of(&session, 4), lsn_of(&session, 5)), (None, Some(105)));
        assert!(session.is_idle());
    }

    /// Single requests, each acknowledging the previous one, never allocate; after a burst the memory is freed.
    #[test]
    fn memory() {
        let mut session = session(0);
        for number in 1..=100 {
            session.record(RequestNumber(number), reply(number));
            assert_eq!(session.earlier.capacity(), 0);
        }
        for number in 101..=300 {
            session.record(RequestNumber(101), reply(number));
        }
        assert_eq!(session.earlier.len(), 199);
        session.acknowledge(RequestNumber(301));
        assert_eq!(session.earlier.capacity(), 0);
        assert_eq!(lsn_of(&session, 300), Some(300));
    }

    #[test]
    fn the_last_number_of_all_has_no_next() {
        let mut session = session(0);
        session.last = RequestNumber(u64::MAX - 1);
        session.acked_below = RequestNumber(u64::MAX);
        session.latest = Some(reply(1));
        assert_eq!(session.lookup(RequestNumber(u64::MAX)), Lookup::Next);
        assert_eq!(session.check_next(RequestNumber(u64::MAX), RequestNumber(u64::MAX)), Ok(()));
        session.record(RequestNumber(u64::MAX), reply(2));
        assert_eq!(lsn_of(&session, u64::MAX), Some(2));
        assert!(session.check_next(RequestNumber(u64::MAX), RequestNumber(0)).is_err());
    }
}
