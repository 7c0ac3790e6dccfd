//! The measurements of a load: counts, latencies, and how busy the generator was.
//!
//! Left out: output (`report.rs`).

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::bench::BenchError;

/// The longest latency in the histogram, in nanoseconds: ten minutes. Longer ones count as this.
const LONGEST: u64 = 600_000_000_000;
/// Significant digits of a latency.
const DIGITS: u8 = 3;
/// Busy for more than this share of the time, the generator itself is the bottleneck.
const BUSY: f64 = 0.9;

/// The measurements, without the warm-up.
#[derive(Clone, Debug)]
pub struct Measured {
    /// The measured time.
    pub elapsed: Duration,
    /// Answers to commands and balance inquiries, duplicates included.
    pub answered: u64,
    /// Commands that moved money.
    pub done: u64,
    /// Commands declined for insufficient balance; logged like any other.
    pub declined: u64,
    /// Duplicates that were answered with the recorded answer.
    pub replayed: u64,
    /// Balance inquiries.
    pub balances: u64,
    /// Open loop: commands that were due but never sent, since the bank did not keep up.
    pub unsent: u64,
    /// Distinct receipts among the answers: one for each committed batch with commands.
    pub commits: u64,
    /// Nanoseconds from sending (open loop: from the intended time of sending) to the answer, for each request.
    pub latency: Histogram<u64>,
    /// Open loop: nanoseconds by which the generator sent late.
    pub lateness: Option<Histogram<u64>>,
    /// The share of the time, from 0 to 1, in which the generator did not wait for events.
    pub busy: f64,
}

impl Measured {
    /// Answers a second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.answered as f64 / self.elapsed.as_secs_f64()
    }

    /// Logged commands per commit; 0 without commits.
    #[must_use]
    pub fn entries_per_commit(&self) -> f64 {
        if self.commits == 0 { 0.0 } else { (self.done + self.declined) as f64 / self.commits as f64 }
    }

    /// The latency at a quantile from 0 to 1: 0.5 is the median.
    #[must_use]
    pub fn latency_at(&self, quantile: f64) -> Duration {
        Duration::from_nanos(self.latency.value_at_quantile(quantile))
    }

    /// Whether the generator was the bottleneck: then the bank can do more than was measured.
    #[must_use]
    pub fn is_generator_bound(&self) -> bool {
        self.busy > BUSY
    }
}

/// Collects the measurements as answers arrive.
pub(super) struct Tally {
    /// The measurements since [`Tally::open`].
    pub(super) measured: Measured,
    /// All answers, measured or not.
    pub(super) seen: u64,
    is_open: bool,
    /// Open loop: requests intended to be sent in this range, in nanoseconds, count whenever they are answered.
    intended: Option<(u64, u64)>,
    /// A latency, and how many answers in a row have it.
    same: (u64, u64),
    newest_receipt: u64,
}

impl Tally {
    /// `intended`: of an open loop, the range of intended times of sending that count, in nanoseconds.
    pub(super) fn new(intended: Option<(u64, u64)>) -> Result<Self, BenchError> {
        let histogram = || Histogram::new_with_bounds(1, LONGEST, DIGITS).map_err(|error| BenchError::Bank(error.to_string()));
        let measured = Measured {
            elapsed: Duration::ZERO,
            answered: 0,
            done: 0,
            declined: 0,
            replayed: 0,
            balances: 0,
            unsent: 0,
            commits: 0,
            latency: histogram()?,
            lateness: if intended.is_some() { Some(histogram()?) } else { None },
            busy: 0.0,
        };
        Ok(Self { measured, seen: 0, is_open: false, intended, same: (0, 0), newest_receipt: 0 })
    }

    /// Starts the measured time.
    pub(super) const fn open(&mut self) {
        self.is_open = true;
    }

    /// Ends the measured time. Only answers of an open loop whose requests were due before still count.
    pub(super) fn close(&mut self, elapsed: Duration, waited: Duration) {
        self.is_open = false;
        self.measured.elapsed = elapsed;
        self.measured.busy = 1.0 - waited.as_secs_f64() / elapsed.as_secs_f64();
    }

    /// The measurements; `unsent` commands of an open loop were never sent.
    pub(super) fn end(mut self, unsent: u64) -> Measured {
        self.keep();
        Measured { unsent, ..self.measured }
    }

    pub(super) const fn is_open(&self) -> bool {
        self.is_open
    }

    /// Counts `count` answers that arrived at `now` to requests sent at `at`, in nanoseconds, in one of the counters.
    pub(super) fn answered(&mut self, at: u64, now: u64, count: u64, counter: fn(&mut Measured) -> &mut u64) {
        self.seen += count;
        if !self.counts(at) {
            return;
        }
        let latency = now.saturating_sub(at);
        self.measured.answered += count;
        *counter(&mut self.measured) += count;
        // Requests of one write whose answers came in one read have the same latency.
        if self.same.0 == latency {
            self.same.1 += count;
        } else {
            self.keep();
            self.same = (latency, count);
        }
    }

    /// Moves `count` commands sent at `at` from done to declined.
    pub(super) fn declined(&mut self, at: u64, count: u64) {
        if self.counts(at) {
            self.measured.done -= count;
            self.measured.declined += count;
        }
    }

    /// Counts a receipt with a new LSN as a commit.
    pub(super) const fn receipt(&mut self, lsn: u64) {
        if lsn > self.newest_receipt {
            self.newest_receipt = lsn;
            self.measured.commits += self.is_open as u64;
        }
    }

    /// Records how late a request is sent.
    pub(super) fn late(&mut self, nanoseconds: u64) {
        if let Some(lateness) = self.measured.lateness.as_mut().filter(|_| self.is_open) {
            lateness.saturating_record(nanoseconds);
        }
    }

    fn counts(&self, at: u64) -> bool {
        self.intended.map_or(self.is_open, |(from, to)| (from..to).contains(&at))
    }

    fn keep(&mut self) {
        let (latency, count) = std::mem::take(&mut self.same);
        if count > 0 {
            self.measured.latency.saturating_record_n(latency, count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_comes_while_it_is_open_counts() {
        let mut tally = Tally::new(None).unwrap();
        tally.answered(0, 10, 3, |measured| &mut measured.done);
        tally.receipt(7);
        tally.open();
        tally.answered(5, 15, 2, |measured| &mut measured.done);
        tally.answered(5, 15, 1, |measured| &mut measured.replayed);
        tally.answered(5, 25, 1, |measured| &mut measured.balances);
        tally.declined(5, 1);
        for lsn in [7, 8, 8, 6, 9] {
            tally.receipt(lsn);
        }
        tally.close(Duration::from_secs(2), Duration::from_millis(500));
        tally.answered(5, 15, 5, |measured| &mut measured.done);
        assert_eq!(tally.seen, 12);
        let measured = tally.end(0);
        let Measured { answered, done, declined, replayed, balances, commits, .. } = measured;
        assert_eq!((answered, done, declined, replayed, balances, commits), (4, 1, 1, 1, 1, 2));
        assert_eq!((measured.latency.len(), measured.latency.max(), measured.latency.min()), (4, 20, 10));
        assert!((measured.rate() - 2.0).abs() < 1e-9 && (measured.busy - 0.75).abs() < 1e-9 && !measured.is_generator_bound());
        assert!((measured.entries_per_commit() - 1.0).abs() < 1e-9);
        assert_eq!(measured.latency_at(0.5), Duration::from_nanos(10));
    }

    #[test]
    fn in_an_open_loop_what_was_meant_in_time_counts_however_late_it_is_answered() {
        let mut tally = Tally::new(Some((100, 200))).unwrap();
        tally.open();
        tally.answered(99, 150, 1, |measured| &mut measured.done);
        tally.answered(100, 150, 1, |measured| &mut measured.done);
        tally.late(3);
        tally.close(Duration::from_nanos(100), Duration::ZERO);
        tally.late(9);
        tally.answered(199, 5000, 1, |measured| &mut measured.done);
        tally.answered(200, 5000, 1, |measured| &mut measured.done);
        let measured = tally.end(8);
        assert_eq!((measured.answered, measured.latency.max() / 10, measured.unsent), (2, 480, 8));
        assert_eq!(measured.lateness.map(|lateness| lateness.max()), Some(3));
        assert!(measured.busy > 0.9);
    }
}
