//! An alarm: a descriptor that becomes readable at a moment, to a microsecond, for a poll that waits by the millisecond.
//!
//! Left out: polling.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::time::Duration;

use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime};

/// The alarm. Setting it makes it unreadable again.
#[derive(Debug)]
pub struct Alarm(OwnedFd);

impl Alarm {
    /// One that is not set.
    ///
    /// # Errors
    /// What the system says.
    pub fn new() -> io::Result<Self> {
        Ok(Self(timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?))
    }

    /// Sets it to a time from now, which must be more than nothing, in place of any time before.
    ///
    /// # Errors
    /// What the system says.
    pub fn set(&self, from_now: Duration) -> io::Result<()> {
        let never = Timespec { tv_sec: 0, tv_nsec: 0 };
        let tv_sec = i64::try_from(from_now.as_secs()).unwrap_or(i64::MAX);
        let at = Timespec { tv_sec, tv_nsec: from_now.subsec_nanos().into() };
        timerfd_settime(&self.0, TimerfdTimerFlags::empty(), &Itimerspec { it_interval: never, it_value: at })?;
        Ok(())
    }
}

impl AsRawFd for Alarm {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use mio::unix::SourceFd;
    use mio::{Events, Interest, Poll, Token};

    use super::*;

    #[test]
    fn each_setting_wakes_a_poll_once_and_not_early() {
        let alarm = Alarm::new().unwrap();
        let mut poll = Poll::new().unwrap();
        poll.registry().register(&mut SourceFd(&alarm.as_raw_fd()), Token(7), Interest::READABLE).unwrap();
        let mut events = Events::with_capacity(4);
        for micros in [100, 1500] {
            let (began, span) = (Instant::now(), Duration::from_micros(micros));
            alarm.set(span).unwrap();
            poll.poll(&mut events, Some(Duration::from_secs(10))).unwrap();
            assert!(began.elapsed() >= span && events.iter().all(|event| event.token() == Token(7)) && !events.is_empty());
        }
        poll.poll(&mut events, Some(Duration::from_millis(5))).unwrap();
        assert!(events.is_empty());
    }
}
