//! Admission: what is new, judged by the applied state plus the open batch.
//!
//! Left out: what becomes of everything that is not new; that is decided in its place, after apply (`server/`).

use rustc_hash::FxHashMap;

use crate::bank::Bank;
use crate::model::entry::{MAX_JOINED, Requests, Setting};
use crate::model::invariant::to_len;
use crate::model::types::{Lsn, Owner, RequestNumber};

/// What became of a request at its arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It is in the open batch: apply will tell its outcome.
    Logged,
    /// It is not: to be decided in its place, against applied state.
    Listed,
}

/// What the open batch adds to the applied state, session by session.
///
/// Invariants: a session stands in `sessions` exactly if an entry of the open batch concerns it; of the streak's, it is the
/// streak that knows the last number.
#[derive(Default)]
pub struct Staging {
    sessions: FxHashMap<Lsn, Stage>,
    opening: usize,
    streak: Option<Streak>,
}

/// The requests of one session at the end of the open batch, which the next one may go on with: the same owner, the same
/// acknowledgement, the next number. Then nothing need be looked up, and the log keeps it in the same record.
struct Streak {
    /// The next ones.
    requests: Requests,
    /// How many of those may follow: the record and the window have room for them.
    left: usize,
    has_grown: bool,
}

#[derive(Clone, Copy)]
enum Stage {
    /// `last`: the last number in the batch, 0 if there is none.
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

    /// Whether `number` is the next of `owner`'s session and its window has room for it: then for how many more behind it.
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

    /// How many of these requests go on where the last one in the open batch left off, and are new for that reason, at
    /// most; none if they do not.
    #[inline]
    pub fn goes_on(&self, requests: &Requests) -> Option<usize> {
        self.streak.as_ref().filter(|streak| streak.left > 0 && streak.requests == *requests).map(|streak| streak.left)
    }

    /// The open batch has taken so many requests for which [`Staging::goes_on`].
    #[inline]
    pub fn went_on(&mut self, count: u16) {
        if let Some(streak) = &mut self.streak {
            // Behind the last number of all there is none that could go on.
            streak.left = streak.left.saturating_sub(usize::from(count));
            streak.requests = streak.requests.after(usize::from(count)).unwrap_or(streak.requests);
            streak.has_grown = true;
        }
    }

    /// The open batch has taken the first of these requests, which is new, with so much [`Staging::room_behind`] it: others
    /// may go on from it.
    pub fn began(&mut self, requests: &Requests, room: u64) {
        self.took(requests.session, requests.first, requests.acked_below);
        let left = to_len(room).min(MAX_JOINED - 1);
        self.streak = requests.after(1).map(|requests| Streak { requests, left, has_grown: false });
    }

    /// Another entry stands at the end of the open batch.
    pub fn ended(&mut self) {
        if let Some(Streak { requests, has_grown: true, .. }) = self.streak.take() {
            self.took(requests.session, RequestNumber(requests.first.0.saturating_sub(1)), requests.acked_below);
        }
    }

    /// The open batch has taken this number.
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

    /// The open batch acknowledges this much.
    pub fn acked(&mut self, session: Lsn, acked_below: RequestNumber) {
        let stage = self.sessions.entry(session).or_insert(Stage::Open { last: RequestNumber(0), acked_below });
        if let Stage::Open { acked_below: acked, .. } = stage {
            *acked = (*acked).max(acked_below);
        }
    }

    /// The open batch closes this session.
    pub fn closed(&mut self, session: Lsn) {
        self.sessions.insert(session, Stage::Gone);
    }

    /// The open batch opens a session, evicting another.
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

    /// The batch was applied: nothing is staged.
    pub fn clear(&mut self) {
        self.sessions.clear();
        self.opening = 0;
        self.streak = None;
    }

    fn state(&self, bank: &Bank, owner: Owner, session: Lsn) -> Option<(RequestNumber, RequestNumber)> {
        // Who has checked the owner once in this batch need not do so again, but a connection may have come later.
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
