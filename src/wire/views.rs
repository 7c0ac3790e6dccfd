//! What replies show of sessions, accounts and movements.
//!
//! Left out: the replies (`message.rs`).

use serde::{Deserialize, Serialize};

use crate::model::amount::Amount;
use crate::model::command::Outcome;
use crate::model::types::{AccountId, BankTime, Lsn, RequestId, RequestNumber, SessionId};

/// The most lines in one [`Statement`].
pub const MAX_STATEMENT: u16 = 256;

/// The owner's view of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionInfo {
    /// Its id.
    pub session: SessionId,
    /// The last executed number; 0 if none.
    pub last: RequestNumber,
    /// Replies below this number are acknowledged.
    pub acked_below: RequestNumber,
}

/// The operator's view of an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountInfo {
    /// Its id.
    pub account: AccountId,
    /// Its name.
    pub name: String,
    /// Its balance.
    pub balance: Amount,
    /// Closed permanently.
    pub closed: bool,
    /// Locked by the operator.
    pub locked: bool,
    /// Login locked after too many wrong PINs.
    pub login_locked: bool,
}

/// A page of an account's movements, the newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    /// The movements.
    pub lines: Vec<StatementLine>,
    /// Whether there are older ones.
    pub has_more: bool,
    /// Whether older ones may exist that the log no longer holds.
    pub is_cut: bool,
}

/// One movement of an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatementLine {
    /// Its entry in the log.
    pub lsn: Lsn,
    /// The bank time of the entry.
    pub time: BankTime,
    /// What it was.
    pub kind: LineKind,
    /// The amount.
    pub amount: Amount,
    /// The account's balance after it.
    pub balance: Amount,
    /// Its outcome.
    pub outcome: Outcome,
    /// The request; none for an opening.
    pub request: Option<RequestId>,
}

/// The kind of a movement, from the account's side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LineKind {
    /// The account was opened.
    Opening,
    /// Cash was paid in.
    Deposit,
    /// Cash was paid out.
    Withdrawal,
    /// Money went to another account.
    TransferTo {
        /// The other account.
        account: AccountId,
        /// Its name; empty if there is no such account.
        name: String,
    },
    /// Money came from another account.
    TransferFrom {
        /// The other account.
        account: AccountId,
        /// Its name.
        name: String,
    },
}
