//! The messages of the native protocol, version 1: what a client asks, what the bank replies.
//!
//! Variant numbers are the order below and part of the protocol: never reorder, only append. Replies come in the
//! order of the questions, one each. Left out: when which message is allowed, and what it does (`server/service.rs`).

use serde::{Deserialize, Serialize};

use crate::model::amount::Amount;
use crate::model::command::{Body, Command, Malformed};
use crate::model::secret::Secret;
use crate::model::types::{AccountId, BankTime, Chain, Lineage, Lsn, Owner, RequestNumber, SessionId, StoreId};

/// The protocol version that this program speaks.
pub const VERSION: u32 = 1;
/// The most commands in one [`Ask::Run`].
pub const MAX_RUN: usize = 1024;
/// The longest text for [`Ask::Lower`], in bytes.
pub const MAX_TEXT: usize = 32 * 1024;
/// The most accounts in one [`Reply::Accounts`].
pub const MAX_PAGE: usize = 256;
/// The most sessions in the reply to [`Ask::ListSessions`]: what a frame holds.
pub const MAX_SESSIONS: usize = 2046;
/// The most sessions in the reply to [`Ask::ListSessionsAfter`].
pub const SESSIONS_PAGE: usize = 512;

/// From client to bank.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ask {
    /// The first message of a connection.
    Hello {
        /// The protocol version that the client speaks.
        version: u32,
    },
    /// Says who the client is. A connection logs in once.
    Login {
        /// As what.
        role: Role,
        /// The name.
        name: String,
        /// The PIN or token.
        secret: Secret,
    },
    /// Opens a new session and makes it the connection's.
    OpenSession,
    /// Makes an earlier session of the same owner the connection's; an older connection that had it is closed.
    ResumeSession {
        /// Which.
        session: SessionId,
    },
    /// A numbered money request in the connection's session.
    Request {
        /// The number: the last one plus 1, or an earlier one to ask again.
        number: RequestNumber,
        /// Replies below this number are on the client's disk; at most `number`.
        acked_below: RequestNumber,
        /// The command.
        command: Command,
    },
    /// Consecutive numbered requests, each judged on its own, answered in one message.
    Run {
        /// The number of the first.
        first: RequestNumber,
        /// As in [`Ask::Request`]; at most `first`.
        acked_below: RequestNumber,
        /// The commands: 1 to [`MAX_RUN`].
        commands: Vec<Command>,
    },
    /// Ends a doubt: whatever the number did, tell it; if it did nothing, it never will.
    Cancel {
        /// The number.
        number: RequestNumber,
        /// As in [`Ask::Request`].
        acked_below: RequestNumber,
    },
    /// Acknowledges replies, so that the bank may forget them (all but the last).
    Ack {
        /// Replies below this number are on the client's disk; at most the last executed number plus 1.
        acked_below: RequestNumber,
    },
    /// Closes a session of the same owner.
    CloseSession {
        /// Which.
        session: SessionId,
    },
    /// Lists the owner's sessions, at most [`MAX_SESSIONS`] of them, oldest first.
    ListSessions,
    /// The balance of an account: the client's own, or any for a teller.
    Balance {
        /// Whose.
        account: AccountId,
    },
    /// The id of the account of that name.
    FindAccount {
        /// The name.
        name: String,
    },
    /// The text in lower case (Unicode's). Needs no login.
    Lower {
        /// At most [`MAX_TEXT`] bytes.
        text: String,
    },
    /// Whether an integer is prime. Needs no login.
    Prime {
        /// An integer in decimal digits, up to 100, with an optional sign.
        number: String,
    },
    /// Whether an integer's decimal form reads the same backwards. Needs no login.
    Palindrome {
        /// As in [`Ask::Prime`].
        number: String,
    },
    /// Nothing but a sign of life. Needs no login.
    Ping,
    /// An operator's command; only over the Unix socket.
    Operate(Operation),
    /// Lists the owner's sessions behind one of them, at most [`SESSIONS_PAGE`], oldest first; none at the end.
    ListSessionsAfter {
        /// The LSN in the last listed session's id; 0 begins with the oldest.
        after: Lsn,
    },
}

/// As what a client logs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// With an account's name and PIN.
    Customer,
    /// With a teller's name and token.
    Teller,
}

/// What only the operator may do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operation {
    /// Opens an account.
    OpenAccount {
        /// Its name.
        name: String,
        /// Its PIN.
        pin: Secret,
        /// Its opening balance.
        balance: Amount,
    },
    /// Closes an account for good; its balance must be zero.
    CloseAccount {
        /// Its name.
        name: String,
    },
    /// Locks an account: it moves no money until unlocked.
    LockAccount {
        /// Its name.
        name: String,
    },
    /// Unlocks an account, and its login after too many wrong PINs.
    UnlockAccount {
        /// Its name.
        name: String,
    },
    /// Replaces an account's PIN.
    SetPin {
        /// Its name.
        name: String,
        /// The new PIN.
        pin: Secret,
    },
    /// Lists accounts by id, a page at a time.
    ListAccounts {
        /// The first id of the page.
        from: AccountId,
    },
    /// Adds a teller.
    AddTeller {
        /// Its name.
        name: String,
        /// Its token.
        token: Secret,
    },
    /// Revokes a teller: no login any more, its sessions are closed.
    RevokeTeller {
        /// Its name.
        name: String,
    },
    /// Closes a session of anybody, named by its id.
    CloseSession {
        /// Which.
        session: SessionId,
    },
}

/// From bank to client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// To `Hello`.
    Welcome(Welcome),
    /// To `Login`.
    LoggedIn {
        /// Who the client now is: its account id or teller id.
        owner: Owner,
    },
    /// To `OpenSession` and `ResumeSession`: the connection's session from now on.
    Session(SessionInfo),
    /// To `Request` and `Cancel`: a recorded outcome.
    Answer {
        /// The number that it answers.
        number: RequestNumber,
        /// The recorded body: the same bytes in every copy.
        body: Body,
        /// Whether it was executed before and is told again.
        replayed: bool,
        /// Evidence that a later history must contain.
        receipt: Receipt,
    },
    /// To `Run`: one item a command, in order.
    RunAnswer {
        /// The number of the first.
        first: RequestNumber,
        /// One each.
        items: Vec<RunItem>,
        /// As in `Answer`.
        receipt: Receipt,
    },
    /// To `Ack`.
    Acked {
        /// Everything below is forgotten.
        acked_below: RequestNumber,
    },
    /// To `CloseSession`.
    Closed,
    /// To `ListSessions` and `ListSessionsAfter`, oldest first.
    Sessions(Vec<SessionInfo>),
    /// To `Balance`.
    Balance {
        /// How much.
        balance: Amount,
        /// The last entry that it reflects.
        lsn: Lsn,
    },
    /// To `FindAccount`.
    Account {
        /// Its id.
        account: AccountId,
    },
    /// To `Lower`.
    Text(String),
    /// To `Prime` and `Palindrome`.
    Truth(bool),
    /// To `Ping`.
    Pong,
    /// To `Operate`, when done and durable.
    Operated {
        /// The entry that did it.
        lsn: Lsn,
    },
    /// To `Operate(ListAccounts)`: at most [`MAX_PAGE`]; fewer at the end.
    Accounts(Vec<AccountInfo>),
    /// Not done. Answers this copy of the message only; nothing was recorded.
    Refused(Refusal),
}

/// What a client learns first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// The protocol version of this connection.
    pub version: u32,
    /// The store.
    pub store: StoreId,
    /// Its present lineage.
    pub lineage: Lineage,
    /// Decimals of every amount.
    pub decimals: u8,
    /// What the client may not exceed.
    pub limits: Limits,
    /// The bank's time.
    pub bank_time: BankTime,
}

/// The limits that a client must know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes of a frame's payload.
    pub payload: u32,
    /// Unacknowledged replies a session.
    pub window: u32,
    /// Commands a run.
    pub run: u32,
}

/// A session, as its owner sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionInfo {
    /// Its id.
    pub session: SessionId,
    /// The last executed number; 0 if none.
    pub last: RequestNumber,
    /// Replies below are acknowledged.
    pub acked_below: RequestNumber,
}

/// An account, as the operator sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountInfo {
    /// Its id.
    pub account: AccountId,
    /// Its name.
    pub name: String,
    /// Its balance.
    pub balance: Amount,
    /// Closed for good.
    pub closed: bool,
    /// Locked by the operator.
    pub locked: bool,
    /// No login after too many wrong PINs.
    pub login_locked: bool,
}

/// One command's answer in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RunItem {
    /// A recorded outcome.
    Answer {
        /// The recorded body.
        body: Body,
        /// Whether it is told again.
        replayed: bool,
    },
    /// Not done, nothing recorded.
    Refused(Refusal),
}

/// Evidence: at the time of answering the log's history ended at `lsn` with this chain head. Any honest later log
/// contains it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The chain head.
    pub chain: Chain,
    /// The last entry under it.
    pub lsn: Lsn,
}

/// Why a message was not acted upon. Unrecorded: another copy of a request may still be executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// The server does not speak the client's protocol version.
    #[error("the server speaks protocol version {supported}, not the client's")]
    UnsupportedVersion {
        /// What it does speak.
        supported: u32,
    },
    /// Something else came before `Hello`, or a second `Hello`.
    #[error("a connection begins with one Hello")]
    HelloFirst,
    /// The message needs a login.
    #[error("not logged in")]
    NotLoggedIn,
    /// The connection has a login already.
    #[error("already logged in")]
    AlreadyLoggedIn,
    /// Unknown name or wrong PIN or token; which one is not told.
    #[error("incorrect name or PIN")]
    BadLogin,
    /// Too many wrong attempts; the operator must unlock.
    #[error("locked after too many wrong attempts; the operator can unlock it")]
    LoginLocked,
    /// The message needs a session.
    #[error("no session is open on this connection")]
    NoSession,
    /// There is no such session, or it is somebody else's.
    #[error("unknown session")]
    UnknownSession,
    /// The session is of an older lineage: the store was repaired or started from a snapshot since.
    #[error("the bank's store was rolled back since this session was opened")]
    StoreRolledBack,
    /// The number is further ahead than the next.
    #[error("request numbers are missing: {expected} comes next")]
    Gap {
        /// The number that comes next.
        expected: RequestNumber,
    },
    /// The number was executed with another command.
    #[error("this request number was used for another command")]
    Conflict,
    /// The number was executed, and its reply acknowledged and forgotten.
    #[error("this request was answered and acknowledged before; its answer is no longer kept")]
    Acknowledged,
    /// Too many unacknowledged replies.
    #[error("too many unacknowledged requests in this session")]
    WindowFull,
    /// The command is refused by its content.
    #[error("{0}")]
    Malformed(Malformed),
    /// `acked_below` is beyond the request's own number, a number is zero, or a run is empty or too long.
    #[error("request numbers that make no sense")]
    BadNumbers,
    /// Not this owner's to do.
    #[error("not permitted")]
    NotPermitted,
    /// No account of that name or id.
    #[error("no such account")]
    NoSuchAccount,
    /// No teller of that name.
    #[error("no such teller")]
    NoSuchTeller,
    /// The name is taken.
    #[error("the name is taken")]
    NameTaken,
    /// A name, PIN or token of a length or with characters that are not allowed.
    #[error("a name needs {RULE}; a PIN or token 4 to 128 bytes", RULE = crate::model::names::RULE)]
    BadName,
    /// The account still holds money.
    #[error("the account's balance is not zero")]
    BalanceNotZero,
    /// The account is closed.
    #[error("the account is closed")]
    AccountClosed,
    /// Every session slot is taken by a session that may not be evicted.
    #[error("too many sessions, each with unacknowledged requests or in use; close one")]
    TooManySessions,
    /// The server is too busy. Try again.
    #[error("the bank is busy; try again")]
    Busy,
    /// The server's disk has no room for money movements or logins. Try again later.
    #[error("the bank's disk is full; balances can be read, nothing can be moved for now")]
    NoSpace,
    /// No integer of at most 100 digits.
    #[error("not an integer of at most 100 digits")]
    NotAnInteger,
    /// The text is longer than the server lower-cases.
    #[error("the text is too long")]
    TextTooLong,
    /// The message does not decode. The connection is closed behind this.
    #[error("a message that does not decode")]
    BadMessage,
}

impl Refusal {
    /// Whether the same request may succeed when sent again without any change.
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        matches!(self, Self::Busy | Self::NoSpace | Self::WindowFull)
    }

    /// Whether no resending can ever bring a recorded outcome: the doubt stays, and the bank must be asked.
    #[must_use]
    pub const fn ends_resending(self) -> bool {
        matches!(self, Self::UnknownSession | Self::StoreRolledBack | Self::Acknowledged)
    }

    /// The machine-readable name, as in `--json`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::UnsupportedVersion { .. } => "unsupported_version",
            Self::HelloFirst => "hello_first",
            Self::NotLoggedIn => "not_logged_in",
            Self::AlreadyLoggedIn => "already_logged_in",
            Self::BadLogin => "bad_login",
            Self::LoginLocked => "login_locked",
            Self::NoSession => "no_session",
            Self::UnknownSession => "unknown_session",
            Self::StoreRolledBack => "store_rolled_back",
            Self::Gap { .. } => "gap",
            Self::Conflict => "conflict",
            Self::Acknowledged => "acknowledged",
            Self::WindowFull => "window_full",
            Self::Malformed(Malformed::ZeroAmount) => "zero_amount",
            Self::Malformed(Malformed::SameAccount) => "same_account",
            Self::BadNumbers => "bad_numbers",
            Self::NotPermitted => "not_permitted",
            Self::NoSuchAccount => "no_such_account",
            Self::NoSuchTeller => "no_such_teller",
            Self::NameTaken => "name_taken",
            Self::BadName => "bad_name",
            Self::BalanceNotZero => "balance_not_zero",
            Self::AccountClosed => "account_closed",
            Self::TooManySessions => "too_many_sessions",
            Self::Busy => "busy",
            Self::NoSpace => "no_space",
            Self::NotAnInteger => "not_an_integer",
            Self::TextTooLong => "text_too_long",
            Self::BadMessage => "bad_message",
        }
    }
}
