//! The running outcome digest: 64 bits over the outcomes of all entries applied so far.
//!
//! Every batch header in the log contains it, and replay recomputes it. A program whose outcomes differ from the recorded
//! ones is detected at the exact batch. Left out: the contents of the entries, which the log's hash chain covers.

use super::apply::Applied;
use crate::model::types::Lsn;

/// The digest over all outcomes so far.
///
/// It is initially 0. Each entry mixes in three words of 64 bits, in this order, by
/// `digest = (rotate_left(digest, 23) XOR word) * 0x9E3779B97F4A7C15` (modulo 2^64):
///
/// 1. the entry's LSN;
/// 2. `kind + 256 * detail + 65536 * sessions`, where `sessions` is the number of open sessions after the entry, so that
///    every session opened, closed, evicted or dropped counts;
/// 3. `value`.
///
/// | Applied | kind | detail | value |
/// |---|---|---|---|
/// | done | 0 | 0 | 0 |
/// | account opened | 1 | 0 | its id |
/// | teller added | 2 | 0 | its id |
/// | refused | 3 | 0 name taken, 1 no such account, 2 no such teller, 3 account closed, 4 balance not zero | 0 |
/// | login attempt | 4 | 0 accepted, 1 wrong, 2 locked | 0 |
/// | session opened | 5 | 0 | 0 |
/// | unknown session | 6 | 0 | 0 |
/// | session closed | 7 | 0 | 0 |
/// | acknowledged | 8 | 0 | the session's `acked_below` |
/// | answered | 9 | the outcome's code | the balance in the answer |
///
/// Each step is a bijection of the digest, so two histories that differ in one word have different digests until another
/// difference cancels it by accident. No defence against attackers: write access to the log includes the digest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Digest(u64);

impl Digest {
    /// The current value.
    pub(super) const fn get(self) -> u64 {
        self.0
    }

    /// Restores the digest from an image.
    pub(super) const fn restore(digest: u64) -> Self {
        Self(digest)
    }

    /// Adds the outcome of one entry.
    pub(super) fn add(&mut self, lsn: Lsn, applied: &Applied, sessions: usize) {
        let (kind, detail, value): (u8, u8, u64) = match applied {
            Applied::Done => (0, 0, 0),
            Applied::Opened(account) => (1, 0, account.0.into()),
            Applied::TellerAdded(teller) => (2, 0, teller.0.into()),
            Applied::Refused(refused) => (3, refused.code(), 0),
            Applied::Login(login) => (4, login.code(), 0),
            Applied::SessionOpened => (5, 0, 0),
            Applied::UnknownSession => (6, 0, 0),
            Applied::Closed => (7, 0, 0),
            Applied::Acked { acked_below } => (8, 0, acked_below.0),
            Applied::Answer { body, .. } => (9, body.outcome.code(), body.balance.get()),
        };
        // Far fewer than 2^48 sessions fit into memory, so the shift is lossless.
        let sessions = u64::try_from(sessions).unwrap_or(u64::MAX);
        self.mix(lsn.0);
        self.mix(u64::from(kind) | u64::from(detail) << 8 | sessions << 16);
        self.mix(value);
    }

    fn mix(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(23) ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bank::{Login, Refused};
    use crate::model::amount::Amount;
    use crate::model::command::{Body, Outcome};
    use crate::model::types::{AccountId, RequestNumber, TellerId};

    fn digest(lsn: u64, applied: Applied, sessions: usize) -> u64 {
        let mut digest = Digest::default();
        digest.add(Lsn(lsn), &applied, sessions);
        digest.get()
    }

    fn answer(outcome: Outcome, balance: u64) -> Applied {
        Applied::Answer { body: Body { outcome, balance: Amount::new(balance).unwrap(), lsn: Lsn(7) }, replayed: false }
    }

    /// Golden values of the rule in the format description.
    #[test]
    fn golden() {
        assert_eq!(digest(7, Applied::Done, 0), 0x4550_017D_21F7_5B19);
        assert_eq!(digest(7, answer(Outcome::InsufficientBalance, 1169), 3), 0x4529_0425_1449_3B2E);
    }

    #[test]
    fn whatever_an_answer_tells_changes_it() {
        let mut all = vec![digest(8, Applied::Done, 0), digest(7, Applied::Done, 1)];
        for applied in [
            Applied::Done,
            Applied::Opened(AccountId(0)),
            Applied::Opened(AccountId(1)),
            Applied::TellerAdded(TellerId(0)),
            Applied::TellerAdded(TellerId(1)),
            Applied::Refused(Refused::NameTaken),
            Applied::Refused(Refused::NoSuchAccount),
            Applied::Refused(Refused::NoSuchTeller),
            Applied::Refused(Refused::AccountClosed),
            Applied::Refused(Refused::BalanceNotZero),
            Applied::Login(Login::Accepted),
            Applied::Login(Login::Wrong),
            Applied::Login(Login::Locked),
            Applied::SessionOpened,
            Applied::UnknownSession,
            Applied::Closed,
            Applied::Acked { acked_below: RequestNumber(1) },
            Applied::Acked { acked_below: RequestNumber(2) },
            answer(Outcome::Done, 0),
            answer(Outcome::Done, 1),
            answer(Outcome::InsufficientBalance, 1),
            answer(Outcome::NoSuchAccount, 0),
            answer(Outcome::AccountClosed, 0),
            answer(Outcome::AccountLocked, 0),
            answer(Outcome::BalanceOverflow, 0),
            answer(Outcome::Cancelled, 0),
        ] {
            all.push(digest(7, applied, 0));
        }
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
    }
}
