//! What a refusal of one copy means for the request: worth another try, not executed, or a question for the bank.
//!
//! Every copy that was answered is spent: a refused one was not executed and never will be. So a request whose copies were
//! all refused was not executed, as long as none is *adrift*: sent, by this run or an earlier one, and never answered.
//! The table is in `docs/exactly-once.md`. Left out: acting on it (`request.rs`, `pipeline.rs`).

use crate::client::journal::record::ClosedReason;
use crate::client::request::{Asking, History};
use crate::wire::message::Refusal;

/// What a refusal means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The bank may answer the same message later.
    Again,
    /// The request was not executed and never will be: the doubt ends, and the refusal is the answer.
    NotExecuted(ClosedReason),
    /// No recorded outcome can come any more: the doubt ends, and only the bank's log holds what happened.
    AskTheBank(ClosedReason),
    /// The number is not the session's next, and a copy may be adrift: only the end of the session ends that.
    Ahead,
    /// The refusal is about this run and not about the request: the doubt stays for a later run.
    Stays,
}

/// What `refusal` means for a request. `adrift`: whether a copy that this run sent was never answered.
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
        // A number is executed once, and this one was, with another command.
        (Asking::Request(_), Conflict) => Meaning::NotExecuted(ClosedReason::Conflict),
        // Refused by content, whichever copy it is.
        (Asking::Request(_), Malformed(_) | NotPermitted | BadNumbers) => Meaning::NotExecuted(ClosedReason::Refused),
        (_, Gap { .. }) if may_be_adrift => Meaning::Ahead,
        (_, Gap { .. }) => Meaning::NotExecuted(ClosedReason::Gap),
        _ if may_be_adrift => Meaning::Stays,
        _ => Meaning::NotExecuted(ClosedReason::Refused),
    }
}
