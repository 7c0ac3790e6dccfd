//! Supplies the log with segments: created on demand, or ahead of need by a background thread.
//!
//! Lack of space is a state here, not an error: the thread retries every 200 ms, so that service resumes without
//! intervention. The same holds for a full table of file descriptors.
//! Left out: how a segment is created (`segment_writer.rs`).

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

use crate::env::worker::Worker;
use crate::model::invariant::held;
use crate::wal::log_end::LogEnd;
use crate::wal::write::segment_writer::{Made, Segment, SegmentWriter};
use crate::wal::{SegmentSizes, WalError};

/// The thread's retry interval while there is no space.
const RETRY: Duration = Duration::from_millis(200);

/// When and where segments are created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preparer {
    /// On demand, by the caller: for store creation and for deterministic simulations.
    Inline,
    /// Ahead of need, by a background thread, so that no commit waits for it.
    Background,
}

/// The segments that the log does not use yet, and the means to create more.
pub(in crate::wal) struct SegmentPool {
    /// Unused segments in order: new ones, or untouched ones found by recovery.
    pub(in crate::wal) ready: VecDeque<Segment>,
    sizes: SegmentSizes,
    /// The number of segments of this incarnation: determines the size of the next one.
    made: u32,
    /// The error of the last attempt, if it found no space.
    no_space: Option<WalError>,
    /// The manifest no longer names the segments before this one. Set until [`SegmentPool::take_dropped`] returns it.
    dropped: Option<u64>,
    backend: Backend,
}

enum Backend {
    Inline(Box<SegmentWriter>),
    Background(Thread),
}

struct Thread {
    worker: Worker<Sender<Request>>,
    answers: Receiver<Answer>,
    /// A segment is requested and has not arrived.
    is_asked: bool,
    hurried: Arc<AtomicBool>,
}

enum Request {
    Make(u64),
    Publish,
    Retain(u64),
    /// Record the end at which the log is closed.
    End(LogEnd),
}

enum Answer {
    Made(Segment),
    NoSpace(WalError),
    /// The manifest is written, in answer to `Publish` or `End`.
    Published,
    Retained(u64),
    Failed(WalError),
}

impl SegmentPool {
    /// `ready` are untouched segments of an earlier incarnation. They count as the first of this one.
    pub(in crate::wal) fn new(
        writer: SegmentWriter,
        ready: VecDeque<Segment>,
        sizes: SegmentSizes,
        preparer: Preparer,
    ) -> Result<Self, WalError> {
        let backend = match preparer {
            Preparer::Inline => Backend::Inline(Box::new(writer)),
            Preparer::Background => Backend::Background(Thread::spawn(writer)?),
        };
        let made = held(u32::try_from(ready.len()).ok(), "few segments are made ahead of need");
        Ok(Self { ready, sizes, made, no_space: None, dropped: None, backend })
    }

    /// Whether there is no next segment for lack of space.
    pub(in crate::wal) fn lacks_space(&self) -> bool {
        self.ready.is_empty() && self.no_space.is_some()
    }

    /// Takes the error of the last attempt, if it found no space.
    pub(in crate::wal) fn take_no_space(&mut self) -> Option<WalError> {
        self.no_space.take()
    }

    /// The capacity of the next segment in bytes.
    pub(in crate::wal) fn next_capacity(&self) -> u64 {
        match self.ready.front() {
            Some(segment) => segment.capacity(),
            None => self.sizes.nth(self.made).saturating_sub(crate::wal::format::bytes::BLOCK),
        }
    }

    /// Requests a segment ahead of need. Does nothing for [`Preparer::Inline`].
    pub(in crate::wal) fn request(&mut self) {
        let size = self.sizes.nth(self.made);
        if let Backend::Background(thread) = &mut self.backend
            && self.ready.is_empty()
        {
            thread.hurried.store(false, Ordering::Relaxed);
            thread.ask(size);
        }
    }

    /// The segment before which all files may be removed, if that changed since the last call.
    pub(in crate::wal) const fn take_dropped(&mut self) -> Option<u64> {
        self.dropped.take()
    }

    /// Processes the thread's answers without blocking. Without a thread, checks whether there is space again.
    ///
    /// # Errors
    /// The error that ended the thread or the attempt. Fatal.
    pub(in crate::wal) fn look(&mut self) -> Result<(), WalError> {
        if self.lacks_space() && matches!(self.backend, Backend::Inline(_)) {
            self.obtain()?;
        }
        self.poll()
    }

    /// Processes the thread's answers without blocking.
    ///
    /// # Errors
    /// The error that ended the thread. Fatal.
    pub(in crate::wal) fn poll(&mut self) -> Result<(), WalError> {
        while let Backend::Background(thread) = &mut self.backend {
            match thread.answers.try_recv() {
                Ok(answer) => self.take(answer)?,
                Err(mpsc::TryRecvError::Empty) => break,
                Err(mpsc::TryRecvError::Disconnected) => return Err(gone()),
            };
        }
        Ok(())
    }

    /// Ensures that a segment is ready; may block. Returns false if there is no space for one.
    ///
    /// # Errors
    /// Any other error of creating it. Fatal.
    pub(in crate::wal) fn obtain(&mut self) -> Result<bool, WalError> {
        self.poll()?;
        let size = self.sizes.nth(self.made);
        while self.ready.is_empty() {
            let answer = match &mut self.backend {
                Backend::Inline(writer) => match writer.make(size)? {
                    Made::Segment(segment) => Answer::Made(segment),
                    Made::NoSpace(error) => Answer::NoSpace(error),
                    Made::Cancelled => return Err(gone()),
                },
                // The thread reports lack of space once, and keeps retrying.
                Backend::Background(_) if self.no_space.is_some() => return Ok(false),
                Backend::Background(thread) => {
                    thread.hurried.store(true, Ordering::Relaxed);
                    thread.ask(size);
                    thread.answers.recv().map_err(|_| gone())?
                }
            };
            self.take(answer)?;
            if self.lacks_space() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Removes the segments before `first` from the manifest. [`SegmentPool::take_dropped`] returns `first` once that is durable.
    /// Does not wait for the thread.
    ///
    /// # Errors
    /// [`WalError`], from this call or from a later [`SegmentPool::poll`]. Fatal.
    pub(in crate::wal) fn retain(&mut self, first: u64) -> Result<(), WalError> {
        match &mut self.backend {
            Backend::Inline(writer) => {
                writer.retain(first)?;
                self.dropped = Some(first);
                Ok(())
            }
            Backend::Background(thread) => {
                thread.send(Request::Retain(first));
                Ok(())
            }
        }
    }

    /// Writes the first manifest. From then on the store exists.
    ///
    /// # Errors
    /// Any error is fatal.
    pub(in crate::wal) fn publish(&mut self) -> Result<(), WalError> {
        match &mut self.backend {
            Backend::Inline(writer) => return writer.publish(),
            Backend::Background(thread) => thread.send(Request::Publish),
        }
        self.await_published()
    }

    /// Records in the manifest the end at which the log is closed. No segment is created afterwards.
    ///
    /// # Errors
    /// [`WalError::Io`]; [`WalError::Latched`] if the thread has ended.
    pub(in crate::wal) fn record_end(&mut self, end: &LogEnd) -> Result<(), WalError> {
        match &mut self.backend {
            Backend::Inline(writer) => return writer.record_end(end, true),
            Backend::Background(thread) => {
                thread.worker.cancel();
                thread.send(Request::End(*end));
            }
        }
        self.await_published()
    }

    fn await_published(&mut self) -> Result<(), WalError> {
        while let Backend::Background(thread) = &mut self.backend {
            let answer = thread.answers.recv().map_err(|_| gone())?;
            if self.take(answer)? {
                break;
            }
        }
        Ok(())
    }

    /// Processes an answer. Returns true for [`Answer::Published`].
    fn take(&mut self, answer: Answer) -> Result<bool, WalError> {
        match answer {
            Answer::Made(segment) => {
                if let Backend::Background(thread) = &mut self.backend {
                    thread.is_asked = false;
                }
                self.made += 1;
                self.no_space = None;
                self.ready.push_back(segment);
                Ok(false)
            }
            Answer::NoSpace(error) => {
                self.no_space = Some(error);
                Ok(false)
            }
            Answer::Published => Ok(true),
            Answer::Retained(first) => {
                self.dropped = Some(first);
                Ok(false)
            }
            Answer::Failed(error) => Err(error),
        }
    }
}

impl Thread {
    fn spawn(writer: SegmentWriter) -> Result<Self, WalError> {
        let (requests, inbox) = mpsc::channel();
        let (outbox, answers) = mpsc::channel();
        let (hurried, cancelled) = (Arc::clone(&writer.hurried), Arc::clone(&writer.cancelled));
        let worker = Worker::spawn("segments", requests, cancelled, move || serve(writer, &inbox, &outbox))
            .map_err(WalError::io("start a thread for", "segments"))?;
        Ok(Self { worker, answers, is_asked: false, hurried })
    }

    fn ask(&mut self, size: u64) {
        if !self.is_asked {
            self.is_asked = true;
            self.send(Request::Make(size));
        }
    }

    /// Ignores a thread that has ended: its error is among the answers, where the next poll finds it.
    fn send(&self, request: Request) {
        if let Some(requests) = self.worker.requests() {
            let _ = requests.send(request);
        }
    }
}

/// The thread: makes requested segments until the channel is closed, or an error occurs.
fn serve(mut writer: SegmentWriter, inbox: &Receiver<Request>, outbox: &Sender<Answer>) {
    let mut wanted = None;
    let mut reported = false;
    loop {
        let request = match wanted {
            None => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(_) => inbox.recv_timeout(RETRY),
        };
        let mut answer = None;
        match request {
            Ok(Request::Make(size)) => (wanted, reported) = (Some(size), false),
            Ok(Request::Publish) => answer = Some(writer.publish().map_or_else(Answer::Failed, |()| Answer::Published)),
            Ok(Request::End(end)) => {
                wanted = None;
                answer = Some(writer.record_end(&end, true).map_or_else(Answer::Failed, |()| Answer::Published));
            }
            Ok(Request::Retain(first)) => answer = Some(writer.retain(first).map_or_else(Answer::Failed, |()| Answer::Retained(first))),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        if answer.is_none()
            && let Some(size) = wanted
        {
            match writer.make(size) {
                Ok(Made::Segment(segment)) => (wanted, answer) = (None, Some(Answer::Made(segment))),
                Ok(Made::NoSpace(_)) if reported => {}
                Ok(Made::NoSpace(error)) => (reported, answer) = (true, Some(Answer::NoSpace(error))),
                // A last request or the end of the channel follows.
                Ok(Made::Cancelled) => wanted = None,
                Err(error) => answer = Some(Answer::Failed(error)),
            }
        }
        let is_over = matches!(answer, Some(Answer::Failed(_)));
        if answer.is_some_and(|answer| outbox.send(answer).is_err()) || is_over {
            return;
        }
    }
}

fn gone() -> WalError {
    WalError::Latched("the thread that makes segments has ended".to_owned())
}
