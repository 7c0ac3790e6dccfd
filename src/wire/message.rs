//! The messages of the native protocol, version 1: requests of the client and replies of the bank.
//!
//! Variant numbers follow the order below and are part of the protocol: never reorder, only append. Each message has one
//! reply, and replies come in the order of the messages.
//! Left out: when a message is allowed, and what it does (`server/service.rs`).

use serde::{Deserialize, Serialize};

use crate::model::amount::Amount;
use crate::model::command::{Body, Command, Malformed};
use crate::model::secret::Secret;
use crate::model::types::{AccountId, BankTime, Chain, Lineage, Lsn, Owner, RequestNumber, SessionId, StoreId};
pub use crate::wire::views::{AccountInfo, LineKind, MAX_STATEMENT, SessionInfo, Statement, StatementLine};

/// The protocol version of this program.
pub const VERSION: u32 = 1;
/// The most commands in one [`Ask::Run`].
pub const MAX_RUN: usize = 1024;
/// The longest text of [`Ask::Lower`], in bytes.
pub const MAX_TEXT: usize = 32 * 1024;
/// The most accounts in one [`Reply::Accounts`].
pub const MAX_PAGE: usize = 256;
/// The most sessions in the reply to [`Ask::ListSessions`], limited by the size of a frame.
pub const MAX_SESSIONS: usize = 2046;
/// The most sessions in the reply to [`Ask::ListSessionsAfter`].
pub const SESSIONS_PAGE: usize = 512;

/// A message from the client to the bank.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ask {
    /// The first message of a connection.
    Hello {
        /// The client's protocol version.
        version: u32,
    },
    /// Authenticates the client. A connection logs in once.
    Login {
        /// The kind of login.
        role: Role,
        /// The name.
        name: String,
        /// The PIN or token.
        secret: Secret,
    },
    /// Opens a new session and makes it the connection's.
    OpenSession,
    /// Makes an earlier session of the same owner the connection's. An older connection that uses it is closed.
    ResumeSession {
        /// The session.
        session: SessionId,
    },
    /// A numbered money request in the connection's session.
    Request {
        /// The number: the last one plus 1, or an earlier one for a retry.
        number: RequestNumber,
        /// Replies below this number are durable at the client. At most `number`.
        acked_below: RequestNumber,
        /// The command.
        command: Command,
    },
    /// Consecutive numbered requests, judged independently and answered in one message.
    Run {
        /// The number of the first.
        first: RequestNumber,
        /// As in [`Ask::Request`]. At most `first`.
        acked_below: RequestNumber,
        /// The commands: 1 to [`MAX_RUN`].
        commands: Vec<Command>,
    },
    /// Resolves an unknown outcome: returns the recorded outcome of the number. If there is none, the number is cancelled, and no
    /// command can be executed under it.
    Cancel {
        /// The number.
        number: RequestNumber,
        /// As in [`Ask::Request`].
        acked_below: RequestNumber,
    },
    /// Acknowledges replies, so that the bank may drop them, except for the last one.
    Ack {
        /// Replies below this number are durable at the client. At most the last executed number plus 1.
        acked_below: RequestNumber,
    },
    /// Closes a session of the same owner.
    CloseSession {
        /// The session.
        session: SessionId,
    },
    /// Lists the owner's sessions, at most [`MAX_SESSIONS`] of them, oldest first.
    ListSessions,
    /// Queries the balance of an account: the customer's own, or any for a teller.
    Balance {
        /// The account.
        account: AccountId,
    },
    /// Queries the id of the account with a name.
    FindAccount {
        /// The name.
        name: String,
    },
    /// Converts a text to Unicode lower case. Needs no login.
    Lower {
        /// The text, at most [`MAX_TEXT`] bytes.
        text: String,
    },
    /// Queries whether an integer is prime. Needs no login.
    Prime {
        /// An integer of up to 100 decimal digits, with an optional sign.
        number: String,
    },
    /// Queries whether an integer's decimal form is a palindrome. Needs no login.
    Palindrome {
        /// As in [`Ask::Prime`].
        number: String,
    },
    /// A keep-alive message. Needs no login.
    Ping,
    /// An operator command. Only allowed on the Unix socket.
    Operate(Operation),
    /// Lists the owner's sessions after a given one, at most [`SESSIONS_PAGE`], oldest first. The list is empty at the end.
    ListSessionsAfter {
        /// The LSN in the id of the last session already listed; 0 starts with the oldest.
        after: Lsn,
    },
    /// Queries an account's movements, the newest first: the customer's own, or any for a teller and the operator.
    Statement {
        /// The account.
        account: AccountId,
        /// Only entries before this one: the last line of the page before, for the next one; 0 starts with the newest.
        before: Lsn,
        /// Only movements at or after this time.
        from: BankTime,
        /// Only movements at or before this time.
        to: BankTime,
        /// The most lines: 1 to [`MAX_STATEMENT`].
        limit: u16,
        /// Whether requests that moved nothing are shown, too.
        with_refused: bool,
    },
}

/// The kind of a client's login.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// With an account's name and PIN.
    Customer,
    /// With a teller's name and token.
    Teller,
}

/// The commands that only the operator may use.
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
    /// Closes an account permanently. Its balance must be zero.
    CloseAccount {
        /// Its name.
        name: String,
    },
    /// Locks an account: its money commands are refused until it is unlocked.
    LockAccount {
        /// Its name.
        name: String,
    },
    /// Unlocks an account, and also its login if that is locked after too many wrong PINs.
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
    /// Lists one page of accounts, ordered by id.
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
    /// Revokes a teller: it cannot log in any more, and its sessions are closed.
    RevokeTeller {
        /// Its name.
        name: String,
    },
    /// Closes a session of any owner.
    CloseSession {
        /// The session.
        session: SessionId,
    },
}

/// A message from the bank to the client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// To `Hello`.
    Welcome(Welcome),
    /// To `Login`.
    LoggedIn {
        /// The client's identity: its account id or teller id.
        owner: Owner,
    },
    /// To `OpenSession` and `ResumeSession`: the connection's session.
    Session(SessionInfo),
    /// To `Request` and `Cancel`: a recorded outcome.
    Answer {
        /// The number of the request.
        number: RequestNumber,
        /// The recorded body: the same bytes in every copy of the answer.
        body: Body,
        /// Whether this repeats an answer to an earlier copy of the request.
        replayed: bool,
        /// Evidence of the log's history.
        receipt: Receipt,
    },
    /// To `Run`: one item for each command, in order.
    RunAnswer {
        /// The number of the first.
        first: RequestNumber,
        /// The answers, one for each command.
        items: Vec<RunItem>,
        /// As in `Answer`.
        receipt: Receipt,
    },
    /// To `Ack`.
    Acked {
        /// Every reply below this number is acknowledged.
        acked_below: RequestNumber,
    },
    /// To `CloseSession`.
    Closed,
    /// To `ListSessions` and `ListSessionsAfter`, oldest first.
    Sessions(Vec<SessionInfo>),
    /// To `Balance`.
    Balance {
        /// The balance.
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
    /// To `Operate`: the command is executed and durable.
    Operated {
        /// The LSN of the entry.
        lsn: Lsn,
    },
    /// To `Operate(ListAccounts)`: at most [`MAX_PAGE`] accounts; fewer on the last page.
    Accounts(Vec<AccountInfo>),
    /// The message was not executed. Applies only to this copy of it; nothing was recorded.
    Refused(Refusal),
    /// To `Statement`.
    Statement(Statement),
}

/// The reply to `Hello`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// The protocol version of this connection.
    pub version: u32,
    /// The store's id.
    pub store: StoreId,
    /// The store's current lineage.
    pub lineage: Lineage,
    /// The decimals of every amount.
    pub decimals: u8,
    /// The limits for the client.
    pub limits: Limits,
    /// The current bank time.
    pub bank_time: BankTime,
}

/// The limits that a client must know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// The most bytes in a frame's payload.
    pub payload: u32,
    /// The most unacknowledged replies in a session.
    pub window: u32,
    /// The most commands in a run.
    pub run: u32,
}

/// The answer to one command of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RunItem {
    /// A recorded outcome.
    Answer {
        /// The recorded body.
        body: Body,
        /// Whether this repeats an earlier answer.
        replayed: bool,
    },
    /// Not executed; nothing was recorded.
    Refused(Refusal),
}

/// Evidence of the log's history: when the answer was sent, the log ended at `lsn` with this chain head. Every later log of
/// an honest bank contains it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The chain head.
    pub chain: Chain,
    /// The LSN of the last entry that the chain head covers.
    pub lsn: Lsn,
}

/// Why a message was not executed. Refusals are not recorded: another copy of the request may still be executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// The server does not support the client's protocol version.
    #[error("the server speaks protocol version {supported}, not the client's")]
    UnsupportedVersion {
        /// The version that the server supports.
        supported: u32,
    },
    /// The first message was not `Hello`, or there was a second `Hello`.
    #[error("a connection begins with one Hello")]
    HelloFirst,
    /// The message needs a login.
    #[error("not logged in")]
    NotLoggedIn,
    /// The connection is already logged in.
    #[error("already logged in")]
    AlreadyLoggedIn,
    /// Unknown name, or wrong PIN or token. The client cannot distinguish them.
    #[error("incorrect name or PIN")]
    BadLogin,
    /// Too many wrong attempts. The operator must unlock the login.
    #[error("locked after too many wrong attempts; the operator can unlock it")]
    LoginLocked,
    /// The message needs a session.
    #[error("no session is open on this connection")]
    NoSession,
    /// The session does not exist or has another owner.
    #[error("unknown session")]
    UnknownSession,
    /// The session belongs to another history of the store: since then the store was repaired, started from a snapshot, or
    /// replaced by an older copy.
    #[error("the bank's store was rolled back since this session was opened")]
    StoreRolledBack,
    /// The request number is beyond the next one.
    #[error("request numbers are missing: {expected} comes next")]
    Gap {
        /// The next number.
        expected: RequestNumber,
    },
    /// The number was used for another command.
    #[error("this request number was used for another command")]
    Conflict,
    /// The number was executed, and its reply was acknowledged and dropped.
    #[error("this request was answered and acknowledged before; its answer is no longer kept")]
    Acknowledged,
    /// The session has too many unacknowledged replies.
    #[error("too many unacknowledged requests in this session")]
    WindowFull,
    /// The command is invalid, regardless of the bank's state.
    #[error("{0}")]
    Malformed(Malformed),
    /// `acked_below` is beyond the request's number, a number is zero, or a run is empty or too long.
    #[error("request numbers that make no sense")]
    BadNumbers,
    /// The owner is not permitted to do this.
    #[error("not permitted")]
    NotPermitted,
    /// There is no account with that name or id.
    #[error("no such account")]
    NoSuchAccount,
    /// There is no teller with that name.
    #[error("no such teller")]
    NoSuchTeller,
    /// The name is in use.
    #[error("the name is taken")]
    NameTaken,
    /// A name, PIN or token has an invalid length or invalid characters.
    #[error("a name needs {RULE}; a PIN or token 4 to 128 bytes", RULE = crate::model::names::RULE)]
    BadName,
    /// The account's balance is not zero.
    #[error("the account's balance is not zero")]
    BalanceNotZero,
    /// The account is closed.
    #[error("the account is closed")]
    AccountClosed,
    /// A cap on sessions is reached, and no session may be evicted.
    #[error("too many sessions, each with unacknowledged requests or in use; close one")]
    TooManySessions,
    /// The server is overloaded. Retry.
    #[error("the bank is busy; try again")]
    Busy,
    /// The server's disk has no space for money commands or logins. Retry later.
    #[error("the bank's disk is full; balances can be read, nothing can be moved for now")]
    NoSpace,
    /// The text is not an integer of at most 100 digits.
    #[error("not an integer of at most 100 digits")]
    NotAnInteger,
    /// The text is longer than [`MAX_TEXT`].
    #[error("the text is too long")]
    TextTooLong,
    /// The message does not decode. The server closes the connection after this reply.
    #[error("a message that does not decode")]
    BadMessage,
    /// The index of statements is being made. Retry later.
    #[error("statements are not available yet: the bank is making their index from its log")]
    NoStatement,
}

impl Refusal {
    /// Whether an unchanged retry of the request may succeed.
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        matches!(self, Self::Busy | Self::NoSpace | Self::WindowFull | Self::NoStatement)
    }

    /// Whether no retry can return a recorded outcome: the outcome stays unknown and must be looked up in the bank.
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
            Self::NoStatement => "no_statement",
        }
    }
}
