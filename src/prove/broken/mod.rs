//! A small bank of its own, sound or with one flaw on purpose, for the proof to be proven on: a checker that has never
//! caught anything says nothing.
//!
//! It speaks the wire and keeps a log of the same format, so that the same clients and the same checker serve. It
//! shares nothing with the daemon, looks at no PIN, and is no bank for anybody: one request a sync, one lock for all.
//! Left out: everything that no proof needs.

mod books;
mod serve;

pub use serve::{SmallBankError, serve};

/// What is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// A copy of a request is executed again.
    NoDedupe,
    /// After a restart nothing is known of what was executed before it.
    DedupeLostOnRestart,
    /// The answer leaves before the entry is synced.
    ReplyBeforeSync,
    /// A refusal is not recorded, so a copy of the request may succeed later.
    RefusalsNotCached,
    /// Balances show what is not in the log yet.
    ApplyBeforeLog,
    /// Anybody may use anybody's session.
    OwnerNotChecked,
    /// A number ahead is executed although others are missing.
    GapExecuted,
    /// A copy that arrives behind the cancellation is executed.
    LateCopyAfterCancel,
}

impl Flaw {
    /// All of them.
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
