//! Resource usage of a daemon while a load is measured: processor time, bytes written, memory, and the share of time that its
//! log waits for the disk.
//!
//! The last is sampled: every few milliseconds it reads from the kernel whether the daemon's main thread or its thread "committer"
//! waits for the disk. These threads use the disk only to write batches and sync them. Left out: the load (`load/`).

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::env::process::{process_figures, threads, waits_for_disk};

/// Time between two samples. Not a divisor of any period of the daemon.
const PAUSE: Duration = Duration::from_micros(3700);

/// Resource usage of a daemon.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct DaemonFigures {
    /// Processor time of all threads while the load was measured.
    pub cpu: Duration,
    /// Bytes written to the disk in that time.
    pub written: u64,
    /// The share of that time, from 0 to 1, in which the log waited for a batch's write or sync.
    pub sync_share: f64,
    /// Resident memory at the end, in bytes.
    pub resident: u64,
    /// Peak resident memory since its start, in bytes.
    pub peak: u64,
}

/// A running measurement of a daemon.
pub(super) struct ProcessSampler {
    pid: u32,
    before: crate::env::process::ProcessFigures,
    is_over: Arc<AtomicBool>,
    /// The sampling thread. Joined on drop, so that it never outlives the measurement.
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
        let (before, writers) = (process_figures(pid)?, threads(pid, "committer")?);
        let sampler = thread::spawn(move || {
            let (mut samples, mut waiting) = (0, 0);
            while !told.load(Ordering::Relaxed) {
                // The load detects a daemon that has ended.
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

    /// Ends the sampling thread. Returns its samples, and how many of them found the log waiting for the disk.
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

    /// The thread's reference to the flag shows that it lives.
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
