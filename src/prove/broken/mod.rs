//! A second, small bank, correct or with one deliberate flaw. It tests the checker: each flaw must be detected, and the
//! correct bank must pass.
//!
//! It uses the wire protocol and the log format, so that the same clients and the same checker apply. It shares only `env`,
//! `model`, `wire` and `wal` with the daemon, ignores PINs, syncs once a request, and has one lock for everything. Never use
//! it for real data.
//! Left out: every feature that the clients of `prove` do not use.

mod books;
mod serve;

pub use serve::{SmallBankError, serve};

/// A deliberate flaw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// A copy of a request is executed again.
    NoDedupe,
    /// A restart forgets all recorded answers and last numbers.
    DedupeLostOnRestart,
    /// The answer is sent before the entry is synced.
    ReplyBeforeSync,
    /// A declined request is not recorded, so a copy of it may succeed later.
    RefusalsNotCached,
    /// Balances include entries that are not durable yet.
    ApplyBeforeLog,
    /// Any owner may use any session.
    OwnerNotChecked,
    /// A number ahead of the next is executed.
    GapExecuted,
    /// A copy that arrives after the cancellation is executed.
    LateCopyAfterCancel,
}

impl Flaw {
    /// All flaws.
    pub const ALL: [Self; 8] = [
        Self::NoDedupe,
        Self::DedupeLostOnRestart,
        Self::ReplyBeforeSync,
        Self::RefusalsNotCached,
        Self::ApplyBeforeLog,
        Self::OwnerNotChecked,
        Self::GapExecuted,
        Self::LateCopyAfterCancel,
    ];

    /// Its name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoDedupe => "no-dedupe",
            Self::DedupeLostOnRestart => "dedupe-lost-on-restart",
            Self::ReplyBeforeSync => "reply-before-sync",
            Self::RefusalsNotCached => "refusals-not-cached",
            Self::ApplyBeforeLog => "apply-before-log",
            Self::OwnerNotChecked => "owner-not-checked",
            Self::GapExecuted => "gap-executed",
            Self::LateCopyAfterCancel => "late-copy-after-cancel",
        }
    }

    /// The flaw of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|flaw| flaw.name() == name)
    }
}
