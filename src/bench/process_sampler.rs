//! What a daemon costs the machine while a load is measured: processor time, bytes written, and how often its log waits for
//! the disk.
//!
//! The last is a sample: every few milliseconds the kernel is asked what the daemon's main thread and the thread "log" do,
//! and the share of the answers "waits for the disk" is told. They do nothing on a disk but write batches and sync them.
//! Left out: the load (`load/`).

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::env::process::{process_figures, threads, waits_for_disk};

/// Between two samples. Not a divisor of anything that a daemon does in turns.
const PAUSE: Duration = Duration::from_micros(3700);

/// What a daemon cost.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct DaemonFigures {
    /// Processor time of all its threads while the load was measured.
    pub cpu: Duration,
    /// Bytes that it caused to be written to the disk meanwhile.
    pub written: u64,
    /// The share of that time, from 0 to 1, in which a batch's write or sync was waited for.
    pub sync_share: f64,
    /// Resident memory at the end, in bytes.
    pub resident: u64,
    /// The most resident memory that it ever had, in bytes.
    pub peak: u64,
}

/// A look at a daemon that has begun.
pub(super) struct ProcessSampler {
    pid: u32,
    before: crate::env::process::ProcessFigures,
    is_over: Arc<AtomicBool>,
    /// Ended and joined when this is dropped, however the look ends.
    sampler: Option<JoinHandle<(u64, u64)>>,
}

impl Drop for ProcessSampler {
    fn drop(&mut self) {
        self.join();
    }
}

impl ProcessSampler {
    pub(super) fn begin(pid: u32) -> io::Result<Self> {
        let is_over = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&is_over);
        let (before, writers) = (process_figures(pid)?, threads(pid, "log")?);
        let sampler = thread::spawn(move || {
            let (mut samples, mut waiting) = (0, 0);
            while !told.load(Ordering::Relaxed) {
                // A daemon that is gone is the load's to notice.
                waiting += u64::from(writers.iter().any(|thread| waits_for_disk(pid, *thread).unwrap_or(false)));
                samples += 1;
                thread::sleep(PAUSE);
            }
            (samples, waiting)
        });
        Ok(Self { pid, before, is_over, sampler: Some(sampler) })
    }

    pub(super) fn end(mut self) -> io::Result<DaemonFigures> {
        let after = process_figures(self.pid)?;
        let (samples, waiting) = self.join();
        Ok(DaemonFigures {
            cpu: after.cpu.saturating_sub(self.before.cpu),
            written: after.written.saturating_sub(self.before.written),
            sync_share: if samples == 0 { 0.0 } else { waiting as f64 / samples as f64 },
            resident: after.resident,
            peak: after.peak,
        })
    }

    /// Ends the sampler and waits for it; its samples, and how many of them found the daemon waiting.
    fn join(&mut self) -> (u64, u64) {
        self.is_over.store(true, Ordering::Relaxed);
        self.sampler.take().and_then(|sampler| sampler.join().ok()).unwrap_or((0, 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_can_be_watched() {
        let watch = ProcessSampler::begin(std::process::id()).unwrap();
        let figures = watch.end().unwrap();
        assert!(figures.resident > 0 && figures.peak >= figures.resident && figures.sync_share <= 1.0);
        assert!(ProcessSampler::begin(u32::MAX).is_err());
    }

    /// The sampler's share of the flag shows that its thread lives.
    #[test]
    fn no_sampler_outlives_its_watch() {
        let watch = ProcessSampler::begin(std::process::id()).unwrap();
        let flag = Arc::clone(&watch.is_over);
        drop(watch);
        assert_eq!(Arc::strong_count(&flag), 1, "dropped");
        let mut watch = ProcessSampler::begin(std::process::id()).unwrap();
        let flag = Arc::clone(&watch.is_over);
        watch.pid = u32::MAX;
        assert!(watch.end().is_err());
        assert_eq!(Arc::strong_count(&flag), 1, "behind an error");
    }
}
