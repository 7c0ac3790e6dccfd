//! What a refusal of one copy of a request means: retry, not executed, or only the bank's log shows the outcome.
//!
//! A copy that was refused was not executed and never will be. So a request whose copies were all refused was not executed,
//! unless a copy is *adrift*: sent, by this run or an earlier one, and never answered, so that it may still reach the bank.
//! The table is in `docs/exactly-once.md`. Left out: acting on it (`request.rs`, `pipeline.rs`).

use crate::client::journal::record::ClosedReason;
use crate::model::command::Command;
use crate::wire::message::Refusal;

/// The message sent under the number.
#[derive(Clone, Copy, Debug)]
pub(super) enum Asking {
    Request(Command),
    Cancel,
    /// A command under a number that was executed with another command; the bank is expected to answer with a conflict.
    Conflict(Command),
}

/// What happened to the number before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum History {
    /// A new number of this client's own session: never sent before.
    Fresh,
    /// A number named by the caller that has no copy adrift by this journal, which does not hold it, or holds it as not
    /// executed. A client with another journal may have sent it.
    Named,
    /// It was in the journal before, so it may have been sent.
    Earlier,
}

/// What a refusal means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The bank may answer the same message later.
    Again,
    /// The request was not executed and never will be: its outcome is known, and the refusal is the answer.
    NotExecuted(ClosedReason),
    /// No recorded outcome can come any more: the request is closed, and only the bank's log shows what happened.
    AskTheBank(ClosedReason),
    /// The number is not the session's next, and a copy may be adrift: only closing the session resolves the request.
    Ahead,
    /// The refusal concerns this run, not the request: the outcome stays unknown for a later run.
    Stays,
}

/// Returns what `refusal` means for a request. `adrift`: whether a copy that this run sent was never answered.
pub(super) const fn meaning(ask: Asking, history: History, adrift: bool, refusal: Refusal) -> Meaning {
    use Refusal::{Acknowledged, BadNumbers, Conflict, Gap, Malformed, NotPermitted, StoreRolledBack, UnknownSession};
    if refusal.is_retryable() {
        return Meaning::Again;
    }
    let may_be_adrift = adrift || matches!(history, History::Earlier);
    match (ask, refusal) {
        (_, UnknownSession | StoreRolledBack) if matches!(history, History::Fresh) && !adrift => {
            Meaning::NotExecuted(ClosedReason::Refused)
        }
        (_, UnknownSession) => Meaning::AskTheBank(ClosedReason::UnknownSession),
        (_, StoreRolledBack) => Meaning::AskTheBank(ClosedReason::StoreRolledBack),
        (_, Acknowledged) => Meaning::AskTheBank(ClosedReason::Acknowledged),
        // A number is executed once, and this one was executed with another command.
        (Asking::Request(_), Conflict) => Meaning::NotExecuted(ClosedReason::Conflict),
        // The content is invalid, so every copy is refused.
        (Asking::Request(_), Malformed(_) | NotPermitted | BadNumbers) => Meaning::NotExecuted(ClosedReason::Refused),
        (_, Gap { .. }) if may_be_adrift => Meaning::Ahead,
        (_, Gap { .. }) => Meaning::NotExecuted(ClosedReason::Gap),
        _ if may_be_adrift => Meaning::Stays,
        _ => Meaning::NotExecuted(ClosedReason::Refused),
    }
}
