//! Counts wrong PINs and tokens, and locks a login after too many.
//!
//! The map holds only logins with failures, so it stays small for any number of accounts. A locked login prevents new logins
//! but does not affect open sessions, so that an attacker's guesses cannot block a customer at work.
//! Left out: whether the owner exists and may log in (`apply/login.rs`), and how a tag is computed (`credential.rs`).

use rustc_hash::FxHashMap;
use subtle::ConstantTimeEq;

use crate::model::types::Owner;

/// The outcome of a login attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Login {
    /// The PIN or token is correct.
    Accepted,
    /// Unknown name, wrong PIN or token, closed account or revoked teller. The client cannot distinguish them.
    Wrong,
    /// Locked after too many wrong attempts: even the correct secret is rejected until the operator unlocks the login.
    Locked,
}

impl Login {
    /// A stable code for digests.
    pub(in crate::bank) const fn code(self) -> u8 {
        match self {
            Self::Accepted => 0,
            Self::Wrong => 1,
            Self::Locked => 2,
        }
    }
}

/// The failures of each login since its last success. Invariant: every count is at least 1.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::bank) struct Logins {
    failures: FxHashMap<Owner, Failures>,
}

#[derive(Clone, PartialEq)]
struct Failures {
    count: u64,
    locked: bool,
    /// The tag of the last wrong secret. The same secret again is probably a resend, and does not count.
    last_wrong: [u8; 32],
}

impl std::fmt::Debug for Failures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Failures {{ count: {}, locked: {}, .. }}", self.count, self.locked)
    }
}

impl Logins {
    /// Judges an attempt at an existing login. `limit` consecutive failures lock it; the last of them still returns `Wrong`.
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

    /// Clears a login's failures and its lock.
    pub(in crate::bank) fn forget(&mut self, owner: Owner) {
        self.failures.remove(&owner);
    }

    /// All logins with failures, ordered by owner: the count, whether it is locked, and the last wrong tag.
    pub(in crate::bank) fn by_owner(&self) -> Vec<(Owner, u64, bool, &[u8; 32])> {
        let failures = self.failures.iter();
        let mut all: Vec<_> = failures.map(|(owner, kept)| (*owner, kept.count, kept.locked, &kept.last_wrong)).collect();
        all.sort_unstable_by_key(|(owner, ..)| *owner);
        all
    }

    /// Restores a login's failures from an image. `count` must not be 0.
    pub(in crate::bank) fn restore(&mut self, owner: Owner, count: u64, locked: bool, last_wrong: [u8; 32]) {
        assert!(count > 0 && !self.failures.contains_key(&owner), "one count, at least 1, for each login");
        self.failures.insert(owner, Failures { count, locked, last_wrong });
    }

    /// Whether the login is locked after too many failures.
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

    /// A later change of the setting neither locks nor unlocks a login.
    #[test]
    fn a_raised_limit_unlocks_nobody() {
        let mut logins = Logins::default();
        assert_eq!(logins.attempt(OWNER, &RIGHT, &wrong(1), 1), Login::Wrong);
        assert_eq!(logins.attempt(OWNER, &RIGHT, &RIGHT, 100), Login::Locked);
    }
}
