//! One session: whose it is, its last number, and the recorded replies that its client may still ask for.
//!
//! Left out: the table of all sessions (`sessions/mod.rs`), caps and eviction, and what a command does (`accounts/mod.rs`).

use std::collections::VecDeque;

use crate::model::command::{Body, Command};
use crate::model::types::{Lsn, Owner, RequestNumber};

/// What a session keeps of an executed number: enough to tell a duplicate from a conflict, and to answer it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// The command that the number was used for; none if it was cancelled, and then every command gets this body.
    pub command: Option<Command>,
    /// The answer.
    pub body: Body,
}

/// What is known of a number in a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// Executed or cancelled before, and the reply is here.
    Recorded(Recorded),
    /// Executed before; the client acknowledged the reply, and it is gone. Also said of 0, which is no number.
    Acknowledged,
    /// The next new number.
    Next,
    /// Further ahead than the next.
    Ahead {
        /// The next new number.
        expected: RequestNumber,
    },
    /// There is no such session.
    NoSession,
}

/// A session as others see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionView {
    /// The login that it belongs to.
    pub owner: Owner,
    /// The last executed number; 0 if none.
    pub last: RequestNumber,
    /// Replies below are acknowledged; 1 in a new session.
    pub acked_below: RequestNumber,
}

impl SessionView {
    /// How many executed numbers are not acknowledged.
    #[must_use]
    pub const fn unacknowledged(&self) -> u64 {
        self.last.0.saturating_add(1).saturating_sub(self.acked_below.0)
    }
}

/// One session.
///
/// Invariants: `acked_below` is 1 to `last` + 1; `latest` is there as soon as `last` is not 0; `earlier` holds the replies
/// of `acked_below` up to `last` - 1, without gaps, and nothing else.
///
/// The last reply stands apart from the others, since a client that waits for each answer before it asks again
/// leaves no other: such a session needs no memory beyond this struct.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::bank) struct Session {
    /// The LSN of the entry that opened it; 0 in a vacant place of the table.
    pub(in crate::bank) opened: Lsn,
    /// The login that it belongs to.
    pub(in crate::bank) owner: Owner,
    /// The LSN of the last entry that it had a part in.
    pub(in crate::bank) last_used: Lsn,
    last: RequestNumber,
    acked_below: RequestNumber,
    latest: Option<Recorded>,
    earlier: VecDeque<Recorded>,
}

impl Session {
    /// A new session. Allocates nothing.
    pub(in crate::bank) const fn new(opened: Lsn, owner: Owner) -> Self {
        let (last, acked_below) = (RequestNumber(0), RequestNumber(1));
        Self { opened, owner, last_used: opened, last, acked_below, latest: None, earlier: VecDeque::new() }
    }

    /// A session as an image holds it; none if its parts do not hold together.
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

    /// The recorded replies that it holds, in the order of their numbers.
    pub(in crate::bank) fn replies(&self) -> impl Iterator<Item = &Recorded> {
        self.earlier.iter().chain(&self.latest)
    }

    /// What others see.
    pub(in crate::bank) const fn view(&self) -> SessionView {
        SessionView { owner: self.owner, last: self.last, acked_below: self.acked_below }
    }

    /// Whether nothing is unacknowledged: only then may it be evicted.
    pub(in crate::bank) const fn is_idle(&self) -> bool {
        self.acked_below.0 > self.last.0
    }

    /// What is known of a number.
    pub(in crate::bank) fn lookup(&self, number: RequestNumber) -> Lookup {
        if number > self.last {
            // There is a number after `last`, since one was asked for.
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

    /// Whether an entry may take `number` and acknowledge below `acked_below`: admission lets nothing else into the log.
    ///
    /// # Errors
    /// What is wrong with it.
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

    /// Acknowledges, then takes the next number. The caller has called [`Session::check_next`].
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

    /// Acknowledges every reply below `acked_below`, as a maximum. At most `last` + 1: the caller has checked.
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

    /// Gives the memory of earlier replies back as soon as all is acknowledged: one burst must not cost a session that
    /// then rests for a year. A client in the middle of a burst always has something unacknowledged.
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

    /// A session with the numbers 1 to `count`, replies named by 100 + number.
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

    /// For every window and every acknowledgement: what is below is gone, the rest and the last one are there.
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

    /// One request at a time, each acknowledging the one before, never allocates; a burst gives its memory back.
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
