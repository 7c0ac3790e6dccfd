//! Hands the log its next segment: made when it is needed, or ahead of need by a thread of its own.
//!
//! No space is no error here, but a state: the thread tries again every 200 ms, so that service resumes by itself. The same
//! holds where the table of open descriptors is full.
//! Left out: how a segment is made (`segment_writer.rs`).

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

use crate::env::worker::Worker;
use crate::model::invariant::held;
use crate::wal::read::recover::LogEnd;
use crate::wal::write::segment_writer::{Made, Segment, SegmentWriter};
use crate::wal::{SegmentSizes, WalError};

/// How often the thread tries again while there is no space.
const RETRY: Duration = Duration::from_millis(200);

/// How the next segment is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preparer {
    /// When it is needed, by the caller: for creating stores and for simulations, whose every run is the same.
    Inline,
    /// Ahead of need, by a thread: no commit waits for it.
    Background,
}

/// The segments that the log has not yet taken.
pub(in crate::wal) struct SegmentPool {
    /// Made or found untouched; in order.
    pub(in crate::wal) ready: VecDeque<Segment>,
    sizes: SegmentSizes,
    /// How many segments this incarnation has: the place of the next one in the row of sizes.
    made: u32,
    /// The last attempt found no space, and none has succeeded since.
    no_space: Option<WalError>,
    /// The manifest has stopped naming what lies before this segment, and whoever removes the files does not know yet.
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
    /// A segment was asked for and has not come yet.
    is_asked: bool,
    hurried: Arc<AtomicBool>,
}

enum Request {
    Make(u64),
    Publish,
    Retain(u64),
    /// The log was closed there.
    End(LogEnd),
}

enum Answer {
    Made(Segment),
    NoSpace(WalError),
    /// The manifest says what was asked for.
    Published,
    Retained(u64),
    Failed(WalError),
}

impl SegmentPool {
    /// `ready` are untouched segments of an earlier life; they count as this one's first.
    pub(in crate::wal) fn new(
        maker: SegmentWriter,
        ready: VecDeque<Segment>,
        sizes: SegmentSizes,
        preparer: Preparer,
    ) -> Result<Self, WalError> {
        let backend = match preparer {
            Preparer::Inline => Backend::Inline(Box::new(maker)),
            Preparer::Background => Backend::Background(Thread::spawn(maker)?),
        };
        let made = held(u32::try_from(ready.len()).ok(), "few segments are made ahead of need");
        Ok(Self { ready, sizes, made, no_space: None, dropped: None, backend })
    }

    /// Whether the next segment is missing for lack of space.
    pub(in crate::wal) fn lacks_space(&self) -> bool {
        self.ready.is_empty() && self.no_space.is_some()
    }

    /// The error that says why there is no space, if that is so.
    pub(in crate::wal) fn take_no_space(&mut self) -> Option<WalError> {
        self.no_space.take()
    }

    /// The bytes that the next segment will hold.
    pub(in crate::wal) fn next_capacity(&self) -> u64 {
        match self.ready.front() {
            Some(segment) => segment.capacity(),
            None => self.sizes.nth(self.made).saturating_sub(crate::wal::format::bytes::BLOCK),
        }
    }

    /// Asks for a segment ahead of need. Inline there is no ahead.
    pub(in crate::wal) fn request(&mut self) {
        let size = self.sizes.nth(self.made);
        if let Backend::Background(thread) = &mut self.backend
            && self.ready.is_empty()
        {
            thread.hurried.store(false, Ordering::Relaxed);
            thread.ask(size);
        }
    }

    /// Before which segment all files may be removed, if that became more since the last call.
    pub(in crate::wal) const fn take_dropped(&mut self) -> Option<u64> {
        self.dropped.take()
    }

    /// Takes in what the thread has to say, without waiting. Without a thread, looks whether there is space again.
    ///
    /// # Errors
    /// What ended the thread, or the attempt. Fatal.
    pub(in crate::wal) fn look(&mut self) -> Result<(), WalError> {
        if self.lacks_space() && matches!(self.backend, Backend::Inline(_)) {
            self.obtain()?;
        }
        self.poll()
    }

    /// Takes in what the thread has to say, without waiting.
    ///
    /// # Errors
    /// What ended the thread. Fatal.
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

    /// Sees to it that a segment is ready, waiting for it if need be; `false` if there is no space for one.
    ///
    /// # Errors
    /// Whatever went wrong in making it. Fatal.
    pub(in crate::wal) fn obtain(&mut self) -> Result<bool, WalError> {
        self.poll()?;
        let size = self.sizes.nth(self.made);
        while self.ready.is_empty() {
            let answer = match &mut self.backend {
                Backend::Inline(maker) => match maker.make(size)? {
                    Made::Segment(segment) => Answer::Made(segment),
                    Made::NoSpace(error) => Answer::NoSpace(error),
                    Made::Cancelled => return Err(gone()),
                },
                // The thread tells once, and tries on by itself.
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

    /// The manifest is to stop naming the segments before `first`; [`SegmentPool::take_dropped`] says when it has. Never waits
    /// for the thread.
    ///
    /// # Errors
    /// Whatever went wrong, now or at a later [`SegmentPool::poll`]. Fatal.
    pub(in crate::wal) fn retain(&mut self, first: u64) -> Result<(), WalError> {
        match &mut self.backend {
            Backend::Inline(maker) => {
                maker.retain(first)?;
                self.dropped = Some(first);
                Ok(())
            }
            Backend::Background(thread) => {
                thread.send(Request::Retain(first));
                Ok(())
            }
        }
    }

    /// Writes the manifest that makes the store exist.
    ///
    /// # Errors
    /// Whatever went wrong. Fatal.
    pub(in crate::wal) fn publish(&mut self) -> Result<(), WalError> {
        match &mut self.backend {
            Backend::Inline(maker) => return maker.publish(),
            Backend::Background(thread) => thread.send(Request::Publish),
        }
        self.await_published()
    }

    /// Names in the manifest the end at which the log is closed. No segment is made any more.
    ///
    /// # Errors
    /// Whatever went wrong.
    pub(in crate::wal) fn record_end(&mut self, end: &LogEnd) -> Result<(), WalError> {
        match &mut self.backend {
            Backend::Inline(maker) => return maker.record_end(end, true),
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

    /// Books an answer; `true` for the one that the manifest was written.
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
    fn spawn(maker: SegmentWriter) -> Result<Self, WalError> {
        let (requests, inbox) = mpsc::channel();
        let (outbox, answers) = mpsc::channel();
        let (hurried, cancelled) = (Arc::clone(&maker.hurried), Arc::clone(&maker.cancelled));
        let worker = Worker::spawn("segments", requests, cancelled, move || serve(maker, &inbox, &outbox))
            .map_err(WalError::io("start a thread for", "segments"))?;
        Ok(Self { worker, answers, is_asked: false, hurried })
    }

    fn ask(&mut self, size: u64) {
        if !self.is_asked {
            self.is_asked = true;
            self.send(Request::Make(size));
        }
    }

    /// A thread that is gone has left its error among the answers, where the next look finds it.
    fn send(&self, request: Request) {
        if let Some(requests) = self.worker.requests() {
            let _ = requests.send(request);
        }
    }
}

/// The thread: makes what is asked for until nobody asks any more, or something fails.
fn serve(mut maker: SegmentWriter, inbox: &Receiver<Request>, outbox: &Sender<Answer>) {
    let mut wanted = None;
    let mut told = false;
    loop {
        let request = match wanted {
            None => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(_) => inbox.recv_timeout(RETRY),
        };
        let mut answer = None;
        match request {
            Ok(Request::Make(size)) => (wanted, told) = (Some(size), false),
            Ok(Request::Publish) => answer = Some(maker.publish().map_or_else(Answer::Failed, |()| Answer::Published)),
            Ok(Request::End(end)) => {
                wanted = None;
                answer = Some(maker.record_end(&end, true).map_or_else(Answer::Failed, |()| Answer::Published));
            }
            Ok(Request::Retain(first)) => answer = Some(maker.retain(first).map_or_else(Answer::Failed, |()| Answer::Retained(first))),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        if answer.is_none()
            && let Some(size) = wanted
        {
            match maker.make(size) {
                Ok(Made::Segment(segment)) => (wanted, answer) = (None, Some(Answer::Made(segment))),
                Ok(Made::NoSpace(_)) if told => {}
                Ok(Made::NoSpace(error)) => (told, answer) = (true, Some(Answer::NoSpace(error))),
                // A last request follows, or the end of the channel.
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
