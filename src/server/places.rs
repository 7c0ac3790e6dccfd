//! How many connections the descriptor table has room for, beside the log and the operator's.
//!
//! Left out: opening and closing them (`event_loop.rs`).

use std::time::Duration;

/// Connections that are reserved for the operator's Unix socket.
pub const OPERATORS: usize = 8;
/// Descriptors that the log may need beside those that are open before the daemon listens: for making, compressing and
/// dropping segments, checkpoints, the manifest, directories.
const LOG: usize = 16;
/// Descriptors of the loop: poll, signals, listeners, and a spare one that is released when the table is full.
const LOOP: usize = 12;
/// How often refused connections are logged.
const PAUSE: Duration = Duration::from_secs(1);

/// How many connections over TCP fit a table of `limit` descriptors, of which `open` are taken before the daemon listens.
#[must_use]
pub const fn connections_that_fit(limit: usize, open: usize) -> usize {
    limit.saturating_sub(open).saturating_sub(LOG + LOOP + OPERATORS)
}

/// Connections that were closed at once, counted from one log line to the next.
#[derive(Debug, Default)]
pub struct Refusals {
    count: u64,
    next: Duration,
}

impl Refusals {
    /// Counts one more.
    pub const fn count(&mut self) {
        self.count = self.count.saturating_add(1);
    }

    /// The number to log now, at most once a second.
    pub fn due(&mut self, now: Duration) -> Option<u64> {
        if self.count == 0 || now < self.next {
            return None;
        }
        self.next = now.saturating_add(PAUSE);
        Some(std::mem::take(&mut self.count))
    }

    /// How long the next line can wait, if there is something to log.
    #[must_use]
    pub fn patience(&self, now: Duration) -> Option<Duration> {
        (self.count > 0).then(|| self.next.saturating_sub(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_the_rest_to_the_log_and_the_operator() {
        assert_eq!(connections_that_fit(1024, 20), 1024 - 20 - 36);
        assert_eq!(connections_that_fit(64, 12), 16);
        assert_eq!(connections_that_fit(32, 12), 0);
    }

    #[test]
    fn refusals_are_logged_once_a_second_with_their_count() {
        let mut refusals = Refusals::default();
        let at = Duration::from_millis;
        assert_eq!((refusals.due(at(0)), refusals.patience(at(0))), (None, None));
        refusals.count();
        assert_eq!(refusals.due(at(5000)), Some(1));
        (0..70).for_each(|_| refusals.count());
        assert_eq!((refusals.due(at(5999)), refusals.patience(at(5900))), (None, Some(at(100))));
        assert_eq!((refusals.due(at(6000)), refusals.patience(at(6000))), (Some(70), None));
    }
}
