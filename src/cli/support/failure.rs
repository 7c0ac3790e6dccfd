//! How a command fails: the exit codes, and the line that says what failed, why, and what to run next.
//!
//! Left out: results (`output.rs`).

use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;

use bankd::client::{ClientError, JournalError};
use bankd::engine::StoreError;
use bankd::model::types::RequestId;
use bankd::server::ServeError;
use bankd::wal::WalError;
use bankd::wire::message::Refusal;

use crate::cli::support::output::{RequestJson, tell_json};

/// The exit codes, as printed by the help.
pub const CODES: &str = "Exit codes: 0 done; 1 internal error; 2 usage; 3 declined by the bank; 4 unreachable, nothing was sent;\n\
     5 outcome unknown; 6 data damaged; 7 directory or journal in use; 8 cannot start here.";

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// An error that should not happen.
    Internal = 1,
    /// The command line or typed input is invalid. Nothing was sent.
    Usage = 2,
    /// The bank declined: a recorded outcome other than done, or a refusal. The outcome is known.
    Declined = 3,
    /// The bank cannot be reached. Nothing was sent.
    Unreachable = 4,
    /// A request was sent and its outcome is unknown.
    OutcomeUnknown = 5,
    /// A journal or store is damaged in a way that no crash causes.
    Damaged = 6,
    /// Another process holds the directory or journal.
    InUse = 7,
    /// Files, addresses or keys are missing, or access is denied.
    CannotStart = 8,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// What failed, why, and what to run next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// How the program ends.
    pub exit: Exit,
    /// One line: what failed, why, and what to run next.
    line: String,
    /// For `--json`, if the bank declined or the outcome is unknown: the outcome's name and the request.
    outcome: Option<(&'static str, Option<RequestId>)>,
}

impl Failure {
    /// A failure from its three parts. `what` begins in lower case; `next` is what the user should do.
    pub fn because(exit: Exit, what: impl Display, why: impl Display, next: impl Display) -> Self {
        Self::new(exit, format!("{what}: {why}; {next}"))
    }

    /// A failure from a complete line, which contains all three parts.
    pub fn new(exit: Exit, line: impl Into<String>) -> Self {
        Self { exit, line: line.into(), outcome: None }
    }

    /// A failure for an invalid command line or input.
    pub fn usage(what: impl Display, why: impl Display, next: impl Display) -> Self {
        Self::because(Exit::Usage, what, why, next)
    }

    /// The failure for a client error; `what` was being done.
    pub fn client(what: &str, error: &ClientError) -> Self {
        let (exit, next) = match error {
            ClientError::Unreachable { .. } => {
                (Exit::Unreachable, "nothing was sent; start the bank with `bankd serve`, or name another with --server".to_owned())
            }
            ClientError::Refused(refusal) => (Exit::Declined, after_refusal(*refusal).to_owned()),
            ClientError::NotThisRequest { .. } => {
                (Exit::Declined, "nothing was sent; see what is in doubt, and end it, with `bankd resolve`".to_owned())
            }
            ClientError::OutcomeUnknown { request, .. } => {
                (Exit::OutcomeUnknown, format!("run `bankd resolve`, or the same command with --request {request}, to learn it"))
            }
            ClientError::AskTheBank { request, .. } => (Exit::OutcomeUnknown, format!("have the bank run `bankd explain {request}`")),
            ClientError::OtherStore { .. } => (Exit::Declined, "nothing was sent; name the right bank with --server".to_owned()),
            ClientError::Nonsense { .. } => (Exit::Internal, "check that client and server are of the same version".to_owned()),
            ClientError::Journal(error) => return Self::journal(what, error),
        };
        let outcome = match error {
            ClientError::Refused(refusal) => Some((refusal.name(), None)),
            ClientError::NotThisRequest { request, .. } => Some(("conflict", Some(*request))),
            ClientError::OutcomeUnknown { request, .. } | ClientError::AskTheBank { request, .. } => Some(("unknown", Some(*request))),
            ClientError::OtherStore { .. } => Some(("other_store", None)),
            ClientError::Unreachable { .. } | ClientError::Nonsense { .. } | ClientError::Journal(_) => None,
        };
        Self { outcome, ..Self::because(exit, what, error, next) }
    }

    /// The failure for a refusal of a request sent without a [`Client`](bankd::client::Client).
    pub fn refused(what: &str, refusal: Refusal) -> Self {
        Self::client(what, &ClientError::Refused(refusal))
    }

    /// The failure for a journal that cannot be used. Nothing is sent without a journal.
    pub fn journal(what: &str, error: &JournalError) -> Self {
        let (exit, next) = match error {
            JournalError::InUse { .. } => (Exit::InUse, "wait for it to end, or name another journal with --journal"),
            JournalError::Damaged { .. } => {
                (Exit::Damaged, "keep the file, ask the bank about its requests with `bankd explain`, and name a new one with --journal")
            }
            JournalError::Full { .. } => (Exit::CannotStart, "end what is in doubt with `bankd resolve`"),
            JournalError::Io { .. } => (Exit::CannotStart, "make room or correct the permissions, or name another journal with --journal"),
        };
        Self::because(exit, what, error, next)
    }

    /// Prints the JSON of a declined or unknown request on stdout; `named` is the request of the command line.
    pub fn tell_json(&self, named: Option<RequestId>) {
        if let Some((outcome, request)) = self.outcome {
            tell_json(&RequestJson::without_answer(outcome, request.or(named)));
        }
    }

    /// The request whose outcome is unknown, if that is the failure.
    pub fn in_doubt(&self) -> Option<RequestId> {
        self.outcome.filter(|_| self.exit == Exit::OutcomeUnknown).and_then(|(_, request)| request)
    }

    /// Prints it to stderr, as one line; returns whether it was printed.
    pub fn print(&self) -> bool {
        writeln!(std::io::stderr(), "bankd: {}", self.line).is_ok()
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let exit = match &error {
            StoreError::InUse { .. } => Exit::InUse,
            StoreError::Damaged(_) => Exit::Damaged,
            StoreError::NoStore { .. }
            | StoreError::Unsupported(_)
            | StoreError::NotEmpty { .. }
            | StoreError::Unfinished { .. }
            | StoreError::NoRoom
            | StoreError::LooseMode { .. }
            | StoreError::UnfitPlace { .. }
            | StoreError::CannotRepair(_)
            | StoreError::Key { .. } => Exit::CannotStart,
            StoreError::Io { .. } | StoreError::Log(WalError::NoStore { .. } | WalError::Unsupported { .. } | WalError::Io { .. }) => {
                Exit::CannotStart
            }
            StoreError::Records(_) => Exit::Usage,
            StoreError::Index(_) => Exit::CannotStart,
            StoreError::Log(_) => Exit::Internal,
        };
        Self::new(exit, error.to_string())
    }
}

impl From<ServeError> for Failure {
    fn from(error: ServeError) -> Self {
        Self::new(Exit::CannotStart, error.to_string())
    }
}

/// The next step after a refusal.
const fn after_refusal(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::BadLogin => "check the name and the PIN or token",
        Refusal::LoginLocked => "ask the operator to run `bankd account unlock NAME`",
        Refusal::Busy | Refusal::NoSpace => "nothing was executed; run the same command again later",
        Refusal::WindowFull => {
            "nothing was executed; run `bankd resolve` with the journal of that session, or `bankd sessions close NAME SESSION --unacknowledged`"
        }
        Refusal::TooManySessions => {
            "nothing was sent; run `bankd resolve`, then `bankd sessions close NAME`, which prints what to run where that is not enough"
        }
        Refusal::NoSuchAccount | Refusal::NoSuchTeller => "check the name; the operator can run `bankd account list`",
        Refusal::UnsupportedVersion { .. } => "use a client and a server of the same version",
        Refusal::NotAnInteger => "give decimal digits with an optional sign",
        Refusal::Gap { .. } => "nothing was executed; check the number behind the slash",
        Refusal::Conflict => "nothing was executed; check the request id and the amount",
        Refusal::StoreRolledBack => {
            "nothing was executed; what was done since may be gone with the old store: ask the bank, and see the balance"
        }
        Refusal::BalanceNotZero => "withdraw what is left first",
        _ => "nothing was changed; see `bankd help`",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_says_what_why_and_what_next() {
        let error = ClientError::Unreachable { address: "127.0.0.1:7070".to_owned(), why: "no program listens there".to_owned() };
        let failure = Failure::client("cannot tell the balance", &error);
        assert_eq!(failure.exit, Exit::Unreachable);
        let line = "cannot tell the balance: the bank at 127.0.0.1:7070 cannot be reached: no program listens there; nothing was sent; ";
        assert!(failure.line.starts_with(line) && failure.line.contains("bankd serve"), "{}", failure.line);
    }

    #[test]
    fn codes_are_fixed() {
        let codes = [
            Exit::Done,
            Exit::Internal,
            Exit::Usage,
            Exit::Declined,
            Exit::Unreachable,
            Exit::OutcomeUnknown,
            Exit::Damaged,
            Exit::InUse,
            Exit::CannotStart,
        ];
        assert_eq!(codes.map(|code| code as u8), [0, 1, 2, 3, 4, 5, 6, 7, 8]);
    }
}
