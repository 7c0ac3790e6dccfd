//! A timer descriptor with microsecond resolution, for a poll whose own timeout has millisecond resolution.
//!
//! Left out: the poll.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::time::Duration;

use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime};

/// A timer descriptor. It becomes readable when the time has come; setting it again makes it unreadable.
#[derive(Debug)]
pub struct Alarm(OwnedFd);

impl Alarm {
    /// Creates a timer that is not set.
    ///
    /// # Errors
    /// Any error of the system call.
    pub fn new() -> io::Result<Self> {
        Ok(Self(timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?))
    }

    /// Sets the timer, replacing an earlier setting. `from_now` must not be zero.
    ///
    /// # Errors
    /// Any error of the system call.
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
