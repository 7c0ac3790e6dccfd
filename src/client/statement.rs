//! The question for one page of an account's movements.
//!
//! Left out: sending it (`client.rs`).

use crate::model::types::{AccountId, BankTime, Lsn};
use crate::wire::message::{Ask, MAX_STATEMENT};

/// A question for one page of an account's movements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatementPage {
    /// The account.
    pub account: AccountId,
    /// Only entries before this one; 0 starts with the newest.
    pub before: Lsn,
    /// Only movements at or after this time.
    pub from: BankTime,
    /// Only movements at or before this time.
    pub to: BankTime,
    /// The most lines: 1 to [`MAX_STATEMENT`].
    pub limit: u16,
    /// Whether requests that moved nothing are shown, too.
    pub with_refused: bool,
}

impl StatementPage {
    /// The newest movements of an account, as many as one page holds.
    #[must_use]
    pub const fn newest(account: AccountId) -> Self {
        Self { account, before: Lsn(0), from: BankTime(0), to: BankTime(u64::MAX), limit: MAX_STATEMENT, with_refused: false }
    }

    /// The message.
    #[must_use]
    pub const fn ask(&self) -> Ask {
        let Self { account, before, from, to, limit, with_refused } = *self;
        Ask::Statement { account, before, from, to, limit, with_refused }
    }
}
