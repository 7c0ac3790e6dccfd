//! Wrong PINs and tokens: counting them, and locking a login after too many.
//!
//! Only logins with a failure behind them stand here, so the map stays small however many accounts there are.
//! A locked login moves no money only because nobody gets in: sessions that are open go on, so that somebody else's
//! guessing blocks no customer at work. Left out: who exists and may log in at all (`apply/mod.rs`), and how a tag is made
//! (`credential.rs`).

use rustc_hash::FxHashMap;
use subtle::ConstantTimeEq;

use crate::model::types::Owner;

/// What became of a login attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Login {
    /// The PIN or token is right.
    Accepted,
    /// Unknown name, wrong PIN or token, account closed or teller revoked: which one is not told.
    Wrong,
    /// Too many wrong ones came before; not even the right one is accepted until the operator unlocks.
    Locked,
}

impl Login {
    /// A stable small number for digests.
    pub(in crate::bank) const fn code(self) -> u8 {
        match self {
            Self::Accepted => 0,
            Self::Wrong => 1,
            Self::Locked => 2,
        }
    }
}

/// The failures since the last success, by login. Invariant: every count is at least 1.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::bank) struct Logins {
    failures: FxHashMap<Owner, Failures>,
}

#[derive(Clone, PartialEq)]
struct Failures {
    count: u64,
    locked: bool,
    /// The tag of the last wrong secret: the same again is most likely a resend, and costs nothing.
    last_wrong: [u8; 32],
}

impl std::fmt::Debug for Failures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Failures {{ count: {}, locked: {}, .. }}", self.count, self.locked)
    }
}

impl Logins {
    /// Judges an attempt at an existing login. `limit` failures in a row lock it; the one that does is still `Wrong`.
    pub(in crate::bank) fn attempt(&mut self, owner: Owner, kept: &[u8; 32], tried: &[u8; 32], limit: u64) -> Login {
        let failures = self.failures.get_mut(&owner);
        if failures.as_ref().is_some_and(|failures| failures.locked) {
            return Login::Locked;
        }
        if same(kept, tried) {
            self.failures.remove(&owner);
            return Login::Accepted;
        }
        match failures {
            Some(failures) if same(&failures.last_wrong, tried) => {}
            Some(failures) => {
                failures.count += 1;
                failures.last_wrong = *tried;
                failures.locked = failures.count >= limit;
            }
            None => {
                self.failures.insert(owner, Failures { count: 1, locked: limit <= 1, last_wrong: *tried });
            }
        }
        Login::Wrong
    }

    /// Forgets a login's failures, and with them its lock.
    pub(in crate::bank) fn forget(&mut self, owner: Owner) {
        self.failures.remove(&owner);
    }

    /// Every login with failures, in the order of the owners: how many, whether locked, and the last wrong tag.
    pub(in crate::bank) fn by_owner(&self) -> Vec<(Owner, u64, bool, &[u8; 32])> {
        let failures = self.failures.iter();
        let mut all: Vec<_> = failures.map(|(owner, kept)| (*owner, kept.count, kept.locked, &kept.last_wrong)).collect();
        all.sort_unstable_by_key(|(owner, ..)| *owner);
        all
    }

    /// Puts back what an image holds of a login; `count` is not 0.
    pub(in crate::bank) fn restore(&mut self, owner: Owner, count: u64, locked: bool, last_wrong: [u8; 32]) {
        assert!(count > 0 && !self.failures.contains_key(&owner), "one count, at least 1, for each login");
        self.failures.insert(owner, Failures { count, locked, last_wrong });
    }

    /// Whether too many failures locked the login.
    pub(in crate::bank) fn is_locked(&self, owner: Owner) -> bool {
        self.failures.get(&owner).is_some_and(|failures| failures.locked)
    }
}

fn same(one: &[u8; 32], other: &[u8; 32]) -> bool {
    one.as_slice().ct_eq(other.as_slice()).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::types::{AccountId, TellerId};

    const OWNER: Owner = Owner::Customer(AccountId(3));
    const RIGHT: [u8; 32] = [1; 32];

    fn wrong(attempt: u8) -> [u8; 32] {
        [100 + attempt; 32]
    }

    #[test]
    fn the_limit_locks_and_only_forgetting_unlocks() {
        for limit in [1, 2, 5, 255] {
            let mut logins = Logins::default();
            for attempt in 0..limit {
                assert!(!logins.is_locked(OWNER));
                assert_eq!(logins.attempt(OWNER, &RIGHT, &wrong((attempt % 100) as u8), limit), Login::Wrong);
            }
            assert!(logins.is_locked(OWNER));
            assert_eq!(logins.attempt(OWNER, &RIGHT, &RIGHT, limit), Login::Locked);
            assert_eq!(logins.attempt(OWNER, &RIGHT, &wrong(0), limit), Login::Locked);
            logins.forget(OWNER);
            assert_eq!(logins.attempt(OWNER, &RIGHT, &RIGHT, limit), Login::Accepted);
        }
    }

    #[test]
    fn the_same_wrong_one_again_costs_nothing() {
        let mut logins = Logins::default();
        for _ in 0..50 {
            assert_eq!(logins.attempt(OWNER, &RIGHT, &wrong(1), 2), Login::Wrong);
        }
        assert_eq!(logins.attempt(OWNER, &RIGHT, &RIGHT, 2), Login::Accepted);
    }

    #[test]
    fn two_wrong_ones_in_turn_do_cost() {
        let mut logins = Logins::default();
        for attempt in [1, 2, 1, 2, 1] {
            assert_eq!(logins.attempt(OWNER, &RIGHT, &wrong(attempt), 5), Login::Wrong);
        }
        assert!(logins.is_locked(OWNER));
    }

    #[test]
    fn success_begins_afresh_and_logins_do_not_share() {
        let mut logins = Logins::default();
        assert_eq!(logins.attempt(OWNER, &RIGHT, &wrong(1), 2), Login::Wrong);
        assert_eq!(logins.attempt(Owner::Teller(TellerId(3)), &RIGHT, &wrong(2), 2), Login::Wrong);
        assert_eq!(logins.attempt(OWNER, &RIGHT, &RIGHT, 2), Login::Accepted);
        assert_eq!(logins.attempt(OWNER, &RIGHT, &wrong(1), 2), Login::Wrong);
        assert!(!logins.is_locked(OWNER) && !logins.is_locked(Owner::Teller(TellerId(3))));
    }

    /// A lock is a fact: settings that change later neither open it nor close it.
    #[test]
    fn a_raised_limit_unlocks_nobody() {
        let mut logins = Logins::default();
        assert_eq!(logins.attempt(OWNER, &RIGHT, &wrong(1), 1), Login::Wrong);
        assert_eq!(logins.attempt(OWNER, &RIGHT, &RIGHT, 100), Login::Locked);
    }
}
