//! The settings that the log holds: their numbers on disk, defaults and limits.
//!
//! Left out: what each of them changes (`bank/`, `wal/`).

use crate::model::entry::EntryError;

/// A setting of the store. Settings are entries because they change outcomes or files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Setting {
    /// Sessions that one customer may hold (default 64).
    SessionsPerCustomer,
    /// Sessions that one teller may hold (default 4,096).
    SessionsPerTeller,
    /// Sessions in all (default 1,000,000).
    SessionsInAll,
    /// Unacknowledged replies that a session may hold (default 1,024).
    Window,
    /// Bytes of an incarnation's first segment (default 1 MiB).
    SegmentFirst,
    /// Bytes that segments grow to, doubling (default 64 MiB).
    SegmentMax,
    /// Consecutive failed logins that lock (default 5).
    LoginFailures,
}

impl Setting {
    /// Every setting, in the order of its number on disk.
    pub const ALL: [Self; 7] = [
        Self::SessionsPerCustomer,
        Self::SessionsPerTeller,
        Self::SessionsInAll,
        Self::Window,
        Self::SegmentFirst,
        Self::SegmentMax,
        Self::LoginFailures,
    ];

    /// The number on disk.
    #[must_use]
    pub const fn code(self) -> u16 {
        match self {
            Self::SessionsPerCustomer => 1,
            Self::SessionsPerTeller => 2,
            Self::SessionsInAll => 3,
            Self::Window => 4,
            Self::SegmentFirst => 5,
            Self::SegmentMax => 6,
            Self::LoginFailures => 7,
        }
    }

    pub(in crate::model::entry) fn from_code(code: u16) -> Result<Self, EntryError> {
        Self::ALL.into_iter().find(|setting| setting.code() == code).ok_or(EntryError::Unknown("setting"))
    }

    /// What holds where the log says nothing.
    #[must_use]
    pub const fn default_value(self) -> u64 {
        match self {
            Self::SessionsPerCustomer => 64,
            Self::SessionsPerTeller => 4096,
            Self::SessionsInAll => 1_000_000,
            Self::Window => 1024,
            Self::SegmentFirst => 1 << 20,
            Self::SegmentMax => 64 << 20,
            Self::LoginFailures => 5,
        }
    }

    /// The values that it may take, both ends included.
    #[must_use]
    pub const fn range(self) -> (u64, u64) {
        match self {
            Self::SessionsPerCustomer | Self::SessionsPerTeller | Self::SessionsInAll => (1, 1 << 24),
            Self::Window => (1, 1 << 16),
            Self::SegmentFirst | Self::SegmentMax => (64 << 10, 1 << 30),
            Self::LoginFailures => (1, 255),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_have_distinct_numbers_and_legal_defaults() {
        for setting in Setting::ALL {
            assert_eq!(Setting::from_code(setting.code()), Ok(setting));
            let (low, high) = setting.range();
            assert!((low..=high).contains(&setting.default_value()));
        }
        assert!(Setting::from_code(0).is_err());
    }
}
