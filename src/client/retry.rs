//! Deadlines on the monotonic clock, and exponential backoff with full jitter.
//!
//! Left out: the retried operations (`link.rs`, `client.rs`).

use std::sync::Arc;
use std::time::Duration;

use crate::env::{Clock, Entropy};

/// Upper limit of the first wait.
const FIRST_CEILING: Duration = Duration::from_millis(20);
/// Upper limit of every wait, so that a restarted bank is found within a second.
const LAST_CEILING: Duration = Duration::from_secs(1);

/// A moment on the monotonic clock after which no attempt is made.
#[derive(Clone)]
pub struct Deadline {
    clock: Arc<dyn Clock>,
    at: Duration,
}

impl Deadline {
    /// The moment `timeout` from now.
    #[must_use]
    pub fn after(clock: &Arc<dyn Clock>, timeout: Duration) -> Self {
        Self { clock: Arc::clone(clock), at: clock.monotonic().saturating_add(timeout) }
    }

    /// The remaining time, or `None` when the deadline has passed. Never zero, which sockets interpret as no timeout.
    #[must_use]
    pub fn remaining(&self) -> Option<Duration> {
        self.at.checked_sub(self.clock.monotonic()).filter(|left| !left.is_zero())
    }
}

/// Waits between attempts: each is a random part of a ceiling that doubles up to a second, so that the clients of a
/// restarted bank do not all connect at once.
pub(super) struct Backoff {
    entropy: Arc<dyn Entropy>,
    ceiling: Duration,
}

impl Backoff {
    pub(super) fn new(entropy: &Arc<dyn Entropy>) -> Self {
        Self { entropy: Arc::clone(entropy), ceiling: FIRST_CEILING }
    }

    /// Waits; returns whether there is time left for another attempt.
    pub(super) fn wait(&mut self, deadline: &Deadline) -> bool {
        let pause = self.next_pause();
        let Some(left) = deadline.remaining() else { return false };
        std::thread::sleep(pause.min(left));
        deadline.remaining().is_some()
    }

    fn next_pause(&mut self) -> Duration {
        let ceiling = self.ceiling;
        self.ceiling = ceiling.saturating_mul(2).min(LAST_CEILING);
        let mut random = [0; 2];
        // Without random numbers, wait for the whole ceiling: slower, but still correct.
        if self.entropy.fill(&mut random).is_err() {
            return ceiling;
        }
        ceiling.saturating_mul(u32::from(u16::from_le_bytes(random))) / u32::from(u16::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed(u8);

    impl Entropy for Fixed {
        fn fill(&self, buf: &mut [u8]) -> std::io::Result<()> {
            buf.fill(self.0);
            Ok(())
        }
    }

    #[test]
    fn ceilings_double_up_to_a_second() {
        let mut backoff = Backoff::new(&(Arc::new(Fixed(0xFF)) as Arc<dyn Entropy>));
        let pauses: Vec<u128> = (0..9).map(|_| backoff.next_pause().as_millis()).collect();
        assert_eq!(pauses, [20, 40, 80, 160, 320, 640, 1000, 1000, 1000]);
        let mut none = Backoff::new(&(Arc::new(Fixed(0)) as Arc<dyn Entropy>));
        assert_eq!(none.next_pause(), Duration::ZERO);
    }

    #[test]
    fn a_passed_deadline_leaves_nothing() {
        let env = crate::env::Env::os();
        let deadline = Deadline::after(&env.clock, Duration::ZERO);
        assert_eq!(deadline.remaining(), None);
        assert!(!Backoff::new(&env.entropy).wait(&deadline));
        assert!(Deadline::after(&env.clock, Duration::from_secs(60)).remaining().unwrap() > Duration::from_secs(50));
    }
}
