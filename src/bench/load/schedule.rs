//! The open loop's schedule: the intended time and lane of each frame, and the frames that wait for room on their lane.
//!
//! Left out: sending (`generator.rs`).

use std::collections::VecDeque;
use std::time::Duration;

use super::plan::Plan;

/// Evenly spaced times, assigned to the lanes in turn. The default schedule has nothing to send.
#[derive(Default)]
pub(super) struct Schedule {
    began: Duration,
    /// Commands a second.
    rate: u128,
    /// Commands per frame.
    run: u128,
    dealt: u128,
    next: Duration,
    lane: usize,
    /// By lane: the intended times, in nanoseconds, of frames that were not sent yet.
    waiting: Vec<VecDeque<u64>>,
}

impl Schedule {
    /// The schedule of an open loop that begins at `began`; none for a closed loop.
    pub(super) fn new(plan: &Plan, began: Duration) -> Option<Self> {
        let rate = u128::from(plan.rate?);
        let waiting = (0..plan.connections).map(|_| VecDeque::with_capacity(plan.depth)).collect();
        Some(Self { began, rate, run: plan.run as u128, dealt: 0, next: began, lane: 0, waiting })
    }

    /// When the next frame is due.
    pub(super) const fn next(&self) -> Duration {
        self.next
    }

    /// Assigns the next frame to a lane, where it waits from now on. Returns its intended time and its lane.
    pub(super) fn deal(&mut self) -> (Duration, usize) {
        let (moment, lane) = (self.next, self.lane);
        self.dealt += 1;
        let since = (self.dealt * self.run * 1_000_000_000).checked_div(self.rate).unwrap_or(0);
        self.next = self.began + Duration::from_nanos(u64::try_from(since).unwrap_or(u64::MAX));
        self.lane = if lane + 1 < self.waiting.len() { lane + 1 } else { 0 };
        if let Some(waiting) = self.waiting.get_mut(lane) {
            waiting.push_back(nanos(moment));
        }
        (moment, lane)
    }

    /// Removes the frame that has waited longest on a lane, and returns its intended time.
    pub(super) fn take(&mut self, lane: usize) -> Option<u64> {
        self.waiting.get_mut(lane)?.pop_front()
    }

    /// The number of waiting frames.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.iter().map(VecDeque::len).sum()
    }
}

/// A time in nanoseconds.
pub(super) fn nanos(moment: Duration) -> u64 {
    // A u64 holds 584 years.
    u64::try_from(moment.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_even_and_lanes_take_turns() {
        let plan = Plan { connections: 2, rate: Some(3), ..Plan::default() };
        let began = Duration::from_secs(5);
        assert!(Schedule::new(&Plan { rate: None, ..plan.clone() }, began).is_none());
        let mut schedule = Schedule::new(&plan, began).unwrap();
        let dealt: Vec<(u64, usize)> = (0..4).map(|_| schedule.deal()).map(|(moment, lane)| (nanos(moment - began), lane)).collect();
        assert_eq!(dealt, [(0, 0), (333_333_333, 1), (666_666_666, 0), (1_000_000_000, 1)]);
        assert_eq!(
            (schedule.waiting(), schedule.take(0), schedule.take(0), schedule.take(0)),
            (4, Some(5_000_000_000), Some(5_666_666_666), None)
        );
        assert_eq!((schedule.waiting(), schedule.take(2)), (2, None));
        let mut runs = Schedule::new(&Plan { run: 6, depth: 6, ..plan }, began).unwrap();
        runs.deal();
        assert_eq!(runs.next(), Duration::from_secs(7));
    }
}
