//! The settings of a store: numbers on disk, defaults and ranges.
//!
//! Left out: their effects (`bank/`, `wal/`).

use crate::model::entry::EntryError;

/// A setting of the store. Settings are log entries because they affect outcomes or files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Setting {
    /// The most sessions of a customer (default 64).
    SessionsPerCustomer,
    /// The most sessions of a teller (default 4,096).
    SessionsPerTeller,
    /// The most sessions in total (default 1,000,000).
    SessionsInAll,
    /// The most unacknowledged replies of a session (default 1,024).
    Window,
    /// The size of an incarnation's first segment in bytes (default 1 MiB).
    SegmentFirst,
    /// The largest segment size in bytes, reached by doubling (default 64 MiB).
    SegmentMax,
    /// The number of consecutive failed logins that locks a login (default 5).
    LoginFailures,
}

impl Setting {
    /// All settings, in the order of their numbers on disk.
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

    /// The default value.
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

    /// The smallest and the largest allowed value.
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
