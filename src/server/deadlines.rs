//! Deadlines of connections. They are checked once a second, a bounded number of connections a turn, by a clock that
//! stands still while the loop is not ready to read.
//!
//! Left out: which deadlines there are (`connection.rs`).

use std::time::Duration;

use super::service::{Service, TICK};

/// This much of a turn counts as time in which the loop was ready to read: every connection is read between two turns.
const COUNTED: Duration = Duration::from_millis(20);
/// Connections that are checked in a turn.
const LOOKED_AT: usize = 1024;
/// Connections that are closed for their deadlines in a turn: closing a socket takes time.
const CLOSED: usize = 64;

/// The time that counts for deadlines, and the progress of the check.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    /// When the loop last stopped waiting.
    busy_since: Option<Duration>,
    /// Time that does not count.
    behind: Duration,
    next_tick: Duration,
    /// The next slot to check, while a check is in progress.
    next_slot: Option<usize>,
}

impl Deadlines {
    /// `now` without the time in which the loop was not ready to read.
    pub(super) fn ready_time(&self, now: Duration) -> Duration {
        now.saturating_sub(self.behind).saturating_sub(self.uncounted(now))
    }

    /// The part of the present turn that does not count.
    fn uncounted(&self, now: Duration) -> Duration {
        self.busy_since.map_or(Duration::ZERO, |since| now.saturating_sub(since).saturating_sub(COUNTED))
    }

    /// How long the next check can wait.
    pub(super) const fn patience(&self, now: Duration) -> Duration {
        if self.next_slot.is_some() { Duration::ZERO } else { self.next_tick.saturating_sub(now) }
    }
}

impl Service {
    /// Notes that the loop polls from now on.
    pub fn is_ready(&mut self, now: Duration) {
        let uncounted = self.deadlines.uncounted(now);
        self.deadlines.behind = self.deadlines.behind.saturating_add(uncounted);
        self.deadlines.busy_since = None;
    }

    /// Notes that the loop works from now on.
    pub(super) fn is_busy(&mut self, now: Duration) {
        self.deadlines.busy_since.get_or_insert(now);
    }

    /// Checks some connections, each at most once a second, and closes the overdue ones.
    pub(super) fn close_overdue(&mut self, now: Duration) {
        if now >= self.deadlines.next_tick && self.deadlines.next_slot.is_none() {
            self.deadlines.next_tick = now.saturating_add(TICK);
            self.deadlines.next_slot = Some(0);
        }
        let Some(first) = self.deadlines.next_slot else { return };
        let time = self.deadlines.ready_time(now);
        let is_short = self.budget.is_short();
        let end = first.saturating_add(LOOKED_AT).min(self.connections.capacity());
        let mut closed = 0;
        let mut slot = first;
        while slot < end && closed < CLOSED {
            if let Some(connection) = self.connections.get_mut(slot) {
                let is_behind = connection.is_waiting || (connection.is_unread && self.budget.input_room(connection) > 0);
                if let Some(why) = connection.overdue(time, is_behind, is_short) {
                    log::debug!("closing a connection: {why}");
                    connection.is_closing = true;
                    connection.discard_output();
                    self.mark_dirty(slot);
                    closed += 1;
                }
            }
            slot += 1;
        }
        self.deadlines.next_slot = (slot < self.connections.capacity()).then_some(slot);
    }
}
