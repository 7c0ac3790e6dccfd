//! Bank time: the last batch's time plus what the monotonic clock has counted since. It never decreases.
//!
//! Left out: its uses. No outcome depends on it; it shows people when something happened.

use std::sync::Arc;
use std::time::Duration;

use crate::env::Clock;
use crate::model::invariant::held;
use crate::model::types::BankTime;

/// The bank time of a running store.
pub struct BankClock {
    clock: Arc<dyn Clock>,
    base: BankTime,
    started: Duration,
}

impl BankClock {
    /// Starts at the larger of the last batch's time and the wall clock; returns a jump of more than a day.
    #[must_use]
    pub fn start(clock: Arc<dyn Clock>, last: BankTime) -> (Self, Option<Jump>) {
        let wall = BankTime(micros(clock.wall()));
        let day = micros(Duration::from_secs(24 * 60 * 60));
        let jump = if last.0 == 0 || wall.0.abs_diff(last.0) <= day {
            None
        } else if wall > last {
            Some(Jump::Ahead(Duration::from_micros(wall.0 - last.0)))
        } else {
            Some(Jump::Back(Duration::from_micros(last.0 - wall.0)))
        };
        let started = clock.monotonic();
        (Self { clock, base: last.max(wall), started }, jump)
    }

    /// Now.
    #[must_use]
    pub fn now(&self) -> BankTime {
        let elapsed = self.clock.monotonic().saturating_sub(self.started);
        BankTime(self.base.0.saturating_add(micros(elapsed)))
    }
}

/// How far the wall clock was from the last batch at start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Jump {
    /// The store was stopped for long, or the clock was set forward.
    Ahead(Duration),
    /// The clock was set back; bank time goes on from the last batch.
    Back(Duration),
}

/// Room for half a million years.
fn micros(duration: Duration) -> u64 {
    held(u64::try_from(duration.as_micros()).ok(), "a clock shows less than half a million years")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    struct Fixed {
        wall: u64,
        monotonic: AtomicU64,
    }

    impl Clock for Fixed {
        fn wall(&self) -> Duration {
            Duration::from_micros(self.wall)
        }
        fn monotonic(&self) -> Duration {
            Duration::from_micros(self.monotonic.load(Ordering::Relaxed))
        }
    }

    fn start(wall: u64, last: u64) -> (BankClock, Option<Jump>) {
        BankClock::start(Arc::new(Fixed { wall, monotonic: AtomicU64::new(500) }), BankTime(last))
    }

    const YEAR: u64 = 365 * 24 * 60 * 60 * 1_000_000;

    #[test]
    fn a_clock_set_back_never_turns_bank_time_back() {
        let (clock, jump) = start(5 * YEAR, 15 * YEAR);
        assert_eq!(clock.now(), BankTime(15 * YEAR));
        assert_eq!(jump, Some(Jump::Back(Duration::from_micros(10 * YEAR))));
    }

    #[test]
    fn a_long_pause_is_returned_and_accepted() {
        let (clock, jump) = start(15 * YEAR, 5 * YEAR);
        assert_eq!(clock.now(), BankTime(15 * YEAR));
        assert_eq!(jump, Some(Jump::Ahead(Duration::from_micros(10 * YEAR))));
        assert_eq!(start(5 * YEAR + 7, 5 * YEAR).1, None);
        assert_eq!(start(5 * YEAR, 0).1, None);
    }

    #[test]
    fn it_advances_with_the_monotonic_clock_alone() {
        let fixed = Arc::new(Fixed { wall: YEAR, monotonic: AtomicU64::new(500) });
        let (clock, _) = BankClock::start(fixed.clone(), BankTime(0));
        fixed.monotonic.store(800, Ordering::Relaxed);
        assert_eq!(clock.now(), BankTime(YEAR + 300));
    }
}
