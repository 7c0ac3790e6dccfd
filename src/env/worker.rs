//! A worker: a named thread behind a channel of requests. It ends before its owner is gone.
//!
//! Left out: what the requests are, and where answers go: the owner makes both channels.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

/// A thread with the sending half of its channel of requests.
///
/// Dropped, it sets the flag, closes the channel and waits for the thread: the next owner of the same files finds no thread
/// at work on them.
pub struct Worker<Requests> {
    /// `None` only while it is dropped.
    requests: Option<Requests>,
    cancelled: Arc<AtomicBool>,
    handle: Option<JoinHandle<()>>,
}

impl<Requests> Worker<Requests> {
    /// Starts `work` in a thread of that name, of at most 15 bytes. `work` must return soon after `cancelled` is set and the
    /// other half of `requests` is closed.
    ///
    /// # Errors
    /// `WouldBlock` or `OutOfMemory` where the system has no room for a thread.
    pub fn spawn(name: &str, requests: Requests, cancelled: Arc<AtomicBool>, work: impl FnOnce() + Send + 'static) -> io::Result<Self> {
        let handle = thread::Builder::new().name(name.to_owned()).spawn(work)?;
        Ok(Self { requests: Some(requests), cancelled, handle: Some(handle) })
    }

    /// Sets the flag that ends what the thread is doing now.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// The sending half.
    #[inline]
    #[must_use]
    pub const fn requests(&self) -> Option<&Requests> {
        self.requests.as_ref()
    }
}

impl<Requests> Drop for Worker<Requests> {
    fn drop(&mut self) {
        self.cancel();
        self.requests = None;
        if let Some(handle) = self.handle.take() {
            let _ = handle.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn a_dropped_worker_has_ended() {
        let (requests, inbox) = mpsc::channel::<u32>();
        let (outbox, answers) = mpsc::channel();
        let cancelled = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&cancelled);
        let work = move || {
            let sum: u32 = inbox.iter().sum();
            outbox.send((sum, seen.load(Ordering::Relaxed))).unwrap();
        };
        let worker = Worker::spawn("adds", requests, cancelled, work).unwrap();
        worker.requests().unwrap().send(2).unwrap();
        worker.requests().unwrap().send(3).unwrap();
        drop(worker);
        assert_eq!(answers.try_recv(), Ok((5, true)));
    }
}
