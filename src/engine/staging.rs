//! Admission: decides what is new, by the applied state plus the open batch.
//!
//! Left out: requests that are not new; they are decided in order, after apply (`server/`).

use rustc_hash::FxHashMap;

use crate::bank::Bank;
use crate::model::entry::{MAX_JOINED, Requests, Setting};
use crate::model::invariant::to_len;
use crate::model::types::{Lsn, Owner, RequestNumber};

/// The admission of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It is in the open batch: apply decides its outcome.
    Logged,
    /// It is not new: to be decided in order, by the applied state.
    Listed,
}

/// The open batch's changes to the applied state, session by session.
///
/// Invariants: `sessions` has a session exactly if an entry of the open batch concerns it; the last number of the
/// streak's session is the streak's.
#[derive(Default)]
pub struct Staging {
    sessions: FxHashMap<Lsn, Stage>,
    opening: usize,
    streak: Option<Streak>,
}

/// The requests of one session at the end of the open batch. A request that continues them (same owner, same
/// acknowledgement, next number) needs no lookup, and shares their record in the log.
struct Streak {
    /// The next requests of the streak.
    requests: Requests,
    /// How many more may follow: the record and the window have room for them.
    left: usize,
    has_grown: bool,
}

#[derive(Clone, Copy)]
enum Stage {
    /// `last`: the last number in the batch, 0 if it has none.
    Open {
        last: RequestNumber,
        acked_below: RequestNumber,
    },
    Gone,
}

impl Staging {
    /// The next number of `owner`'s session.
    pub fn next_number(&self, bank: &Bank, owner: Owner, session: Lsn) -> Option<RequestNumber> {
        self.state(bank, owner, session).and_then(|(last, _)| last.next())
    }

    /// If `number` is the next of `owner`'s session and its window has room for it: how many more fit behind it.
    pub fn room_behind(&self, bank: &Bank, owner: Owner, session: Lsn, number: RequestNumber, acked_below: RequestNumber) -> Option<u64> {
        let (last, acked) = self.state(bank, owner, session)?;
        let unacknowledged = number.0.saturating_sub(acked.max(acked_below).0);
        bank.setting(Setting::Window).checked_sub(unacknowledged.saturating_add(1)).filter(|_| last.next() == Some(number))
    }

    /// Whether an acknowledgement of everything below `acked_below` changes something and is possible.
    pub fn is_useful_ack(&self, bank: &Bank, owner: Owner, session: Lsn, acked_below: RequestNumber) -> bool {
        let Some((last, acked)) = self.state(bank, owner, session) else { return false };
        acked_below > acked && last.next().is_some_and(|next| acked_below <= next)
    }

    /// Whether `owner` may close the session.
    pub fn may_close(&self, bank: &Bank, owner: Owner, session: Lsn) -> bool {
        match self.sessions.get(&session) {
            Some(Stage::Gone) => false,
            _ => bank.session(session).is_some_and(|view| view.owner == owner || matches!(owner, Owner::Operator(_))),
        }
    }

    /// At most how many of these requests continue the streak, and so are new; none if they do not.
    #[inline]
    pub fn goes_on(&self, requests: &Requests) -> Option<usize> {
        self.streak.as_ref().filter(|streak| streak.left > 0 && streak.requests == *requests).map(|streak| streak.left)
    }

    /// Notes that the open batch has taken `count` requests for which [`Staging::goes_on`].
    #[inline]
    pub fn went_on(&mut self, count: u16) {
        if let Some(streak) = &mut self.streak {
            // No number follows the largest, so nothing could continue it.
            streak.left = streak.left.saturating_sub(usize::from(count));
            streak.requests = streak.requests.after(usize::from(count)).unwrap_or(streak.requests);
            streak.has_grown = true;
        }
    }

    /// Notes that the open batch has taken the first of these requests, which is new, with `room` as
    /// [`Staging::room_behind`] it: others may continue it.
    pub fn began(&mut self, requests: &Requests, room: u64) {
        self.took(requests.session, requests.first, requests.acked_below);
        let left = to_len(room).min(MAX_JOINED - 1);
        self.streak = requests.after(1).map(|requests| Streak { requests, left, has_grown: false });
    }

    /// Notes that the open batch ends with another entry.
    pub fn ended(&mut self) {
        if let Some(Streak { requests, has_grown: true, .. }) = self.streak.take() {
            self.took(requests.session, RequestNumber(requests.first.0.saturating_sub(1)), requests.acked_below);
        }
    }

    /// Notes that the open batch has taken this number.
    pub fn took(&mut self, session: Lsn, number: RequestNumber, acked_below: RequestNumber) {
        self.sessions
            .entry(session)
            .and_modify(|stage| {
                if let Stage::Open { last, acked_below: acked } = stage {
                    *last = number;
                    *acked = (*acked).max(acked_below);
                }
            })
            .or_insert(Stage::Open { last: number, acked_below });
    }

    /// Notes that the open batch acknowledges replies below `acked_below`.
    pub fn acked(&mut self, session: Lsn, acked_below: RequestNumber) {
        let stage = self.sessions.entry(session).or_insert(Stage::Open { last: RequestNumber(0), acked_below });
        if let Stage::Open { acked_below: acked, .. } = stage {
            *acked = (*acked).max(acked_below);
        }
    }

    /// Notes that the open batch closes this session.
    pub fn closed(&mut self, session: Lsn) {
        self.sessions.insert(session, Stage::Gone);
    }

    /// Notes that the open batch opens a session, and evicts another.
    pub fn opened(&mut self, evicted: Option<Lsn>) {
        self.opening += 1;
        if let Some(victim) = evicted {
            self.closed(victim);
        }
    }

    /// How many sessions the open batch opens.
    pub const fn opening(&self) -> usize {
        self.opening
    }

    /// Whether an entry of the open batch concerns the session.
    pub fn touches(&self, session: Lsn) -> bool {
        self.sessions.contains_key(&session)
    }

    /// Forgets everything: the batch was applied.
    pub fn clear(&mut self) {
        self.sessions.clear();
        self.opening = 0;
        self.streak = None;
    }

    fn state(&self, bank: &Bank, owner: Owner, session: Lsn) -> Option<(RequestNumber, RequestNumber)> {
        // A session in `sessions` is its owner's, but another connection may ask for it: check the owner each time.
        let view = bank.session(session).filter(|view| view.owner == owner)?;
        let streak = self.streak.as_ref().filter(|streak| streak.requests.session == session);
        let streak = streak.map_or(RequestNumber(0), |streak| RequestNumber(streak.requests.first.0.saturating_sub(1)));
        match self.sessions.get(&session) {
            Some(Stage::Gone) => None,
            Some(Stage::Open { last, acked_below }) => Some(((*last).max(view.last).max(streak), (*acked_below).max(view.acked_below))),
            None => Some((view.last, view.acked_below)),
        }
    }
}
