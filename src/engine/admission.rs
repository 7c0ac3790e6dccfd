//! Admission: what is new, judged by the applied state plus the open batch.
//!
//! Left out: what becomes of everything that is not new; that is decided in its place, after apply (`server/`).

use rustc_hash::FxHashMap;

use crate::bank::Bank;
use crate::entry::Setting;
use crate::types::{Lsn, Owner, RequestNumber};

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
/// Invariant: a session stands here exactly if an entry of the open batch concerns it.
#[derive(Default)]
pub struct Staged {
    sessions: FxHashMap<Lsn, Stage>,
    opening: usize,
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

impl Staged {
    /// Whether `number` is the next of `owner`'s session and its window has room for it.
    pub fn is_next(&self, bank: &Bank, owner: Owner, session: Lsn, number: RequestNumber, acked_below: RequestNumber) -> bool {
        let Some((last, acked)) = self.state(bank, owner, session) else { return false };
        last.next() == Some(number) && number.0.saturating_sub(acked.max(acked_below).0) < bank.setting(Setting::Window)
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
    }

    fn state(&self, bank: &Bank, owner: Owner, session: Lsn) -> Option<(RequestNumber, RequestNumber)> {
        // Who has checked the owner once in this batch need not do so again, but a connection may have come later.
        let view = bank.session(session).filter(|view| view.owner == owner)?;
        match self.sessions.get(&session) {
            Some(Stage::Gone) => None,
            Some(Stage::Open { last, acked_below }) => Some(((*last).max(view.last), (*acked_below).max(view.acked_below))),
            None => Some((view.last, view.acked_below)),
        }
    }
}
