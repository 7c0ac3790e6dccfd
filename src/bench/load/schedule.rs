//! The open loop's schedule: when each frame is meant to be sent, on which lane, and which wait for room there.
//!
//! Left out: sending (`generator.rs`).

use std::collections::VecDeque;
use std::time::Duration;

use super::plan::Plan;

/// Evenly spaced moments, dealt out to the lanes in turn. The default one has nothing to send.
#[derive(Default)]
pub(super) struct Schedule {
    began: Duration,
    /// Commands a second.
    rate: u128,
    /// Commands a frame.
    run: u128,
    dealt: u128,
    next: Duration,
    lane: usize,
    /// By lane: the moments of frames that found no room.
    waiting: Vec<VecDeque<u64>>,
}

impl Schedule {
    /// The schedule of an open loop that begins at `began`; none for a closed one.
    pub(super) fn new(plan: &Plan, began: Duration) -> Option<Self> {
        let rate = u128::from(plan.rate?);
        let waiting = (0..plan.connections).map(|_| VecDeque::with_capacity(plan.depth)).collect();
        Some(Self { began, rate, run: plan.run as u128, dealt: 0, next: began, lane: 0, waiting })
    }

    /// When the next frame is due.
    pub(super) const fn next(&self) -> Duration {
        self.next
    }

    /// Deals the next frame out: gives its moment and its lane, where it waits from now on.
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

    /// The moment of the frame that has waited longest on a lane, which waits no more.
    pub(super) fn take(&mut self, lane: usize) -> Option<u64> {
        self.waiting.get_mut(lane)?.pop_front()
    }

    /// How many frames wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.iter().map(VecDeque::len).sum()
    }
}

/// A moment in nanoseconds.
pub(super) fn nanos(moment: Duration) -> u64 {
    // 584 years.
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
