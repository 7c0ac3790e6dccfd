//! Writes and syncs completed batches: synchronously, or in a background thread while the caller fills the next batch.
//!
//! Waking a thread takes as long as applying a few hundred entries, so only larger batches go to the thread. Without a thread,
//! as in deterministic simulations, such a batch is written by [`Committer::finish`].
//! Left out: the layout of a batch (`batch.rs`), and its position (`log.rs`).

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{self, Receiver, SyncSender};

use crate::env::worker::Worker;
use crate::wal::WalError;
use crate::wal::format::segment::file_name;
use crate::wal::write::open_batch::OpenBatch;
use crate::wal::write::segment_pool::Preparer;
use crate::wal::write::segment_writer::Segment;

/// Batches of fewer entries are written synchronously.
const ASIDE: u32 = 512;
/// The same threshold without a thread: small, so that simulations cover both paths.
const LATER: u32 = 3;

/// Writes batches. Invariant: at most one batch is in flight, and nothing else is written meanwhile.
pub(in crate::wal) struct Committer {
    mode: Mode,
    /// The second batch buffer: becomes the open batch while the other one is in flight.
    spare: OpenBatch,
    is_in_flight: bool,
}

enum Mode {
    /// No thread: [`Committer::finish`] writes the job kept here.
    Own(Option<Job>),
    Thread(Thread),
}

/// The thread and what it has written. Dropped, it finishes what it is writing first.
struct Thread {
    worker: Worker<SyncSender<Job>>,
    results: Receiver<Done>,
}

/// A commit that was begun. Nothing that depends on its batch may leave before `Log::finish_commit` confirms that the batch
/// is durable.
#[derive(Debug)]
#[must_use = "`finish_commit` confirms a commit in flight"]
pub struct InFlight {
    is_durable: bool,
}

impl InFlight {
    /// A commit that is finished, or that had nothing to write.
    pub(crate) const DURABLE: Self = Self { is_durable: true };

    /// Whether the batch is durable already.
    #[must_use]
    pub const fn is_durable(&self) -> bool {
        self.is_durable
    }
}

/// A completed batch and its position.
struct Job {
    segment: Arc<Segment>,
    offset: u64,
    batch: OpenBatch,
}

/// The result of a job, and its buffer for reuse.
struct Done {
    batch: OpenBatch,
    written: Result<(), WalError>,
}

impl Committer {
    /// Creates a committer: with a thread for [`Preparer::Background`], without one for [`Preparer::Inline`].
    ///
    /// # Errors
    /// [`WalError::Io`] if the thread cannot be started.
    pub(in crate::wal) fn new(preparer: Preparer) -> Result<Self, WalError> {
        let mode = match preparer {
            Preparer::Inline => Mode::Own(None),
            Preparer::Background => Mode::Thread(Thread::spawn()?),
        };
        Ok(Self { mode, spare: OpenBatch::new(), is_in_flight: false })
    }

    /// Writes and syncs a completed batch synchronously, and clears `batch`.
    ///
    /// # Errors
    /// [`WalError::Io`]; the state of the disk is then unknown.
    pub(in crate::wal) fn write_now(&self, segment: &Segment, offset: u64, batch: &mut OpenBatch) -> Result<(), WalError> {
        self.check()?;
        write(segment, offset, batch)?;
        batch.begin();
        Ok(())
    }

    /// Begins to write and sync a finished batch of `entries` entries, and makes `batch` an open one. A small batch is durable
    /// on return.
    ///
    /// # Errors
    /// As [`Committer::write_now`].
    pub(in crate::wal) fn begin(
        &mut self,
        segment: &Arc<Segment>,
        offset: u64,
        batch: &mut OpenBatch,
        entries: u32,
    ) -> Result<InFlight, WalError> {
        let least = match self.mode {
            Mode::Own(_) => LATER,
            Mode::Thread(_) => ASIDE,
        };
        if entries < least {
            self.write_now(segment, offset, batch)?;
            return Ok(InFlight::DURABLE);
        }
        self.check()?;
        self.is_in_flight = true;
        let batch = std::mem::replace(batch, std::mem::take(&mut self.spare));
        let job = Job { segment: Arc::clone(segment), offset, batch };
        match &mut self.mode {
            Mode::Own(kept) => *kept = Some(job),
            Mode::Thread(thread) => thread.send(job)?,
        }
        Ok(InFlight { is_durable: false })
    }

    /// Waits until the batch in flight is durable. Without one it does nothing.
    ///
    /// # Errors
    /// As [`Committer::write_now`]. The batch then stays in flight for good, and `finish` must not be called again.
    pub(in crate::wal) fn finish(&mut self, commit: InFlight) -> Result<(), WalError> {
        if commit.is_durable {
            return Ok(());
        }
        let done = match &mut self.mode {
            Mode::Own(kept) => kept.take().map(Job::run),
            Mode::Thread(thread) => thread.results.recv().ok(),
        };
        let done = done.ok_or_else(gone)?;
        self.spare = done.batch;
        self.spare.begin();
        done.written?;
        self.is_in_flight = false;
        Ok(())
    }

    /// # Errors
    /// [`WalError::Misuse`] while a batch is in flight.
    pub(in crate::wal) const fn check(&self) -> Result<(), WalError> {
        if self.is_in_flight { Err(WalError::Misuse("a batch written before the one before it was")) } else { Ok(()) }
    }
}

impl Job {
    fn run(self) -> Done {
        let written = write(&self.segment, self.offset, &self.batch);
        Done { batch: self.batch, written }
    }
}

impl Thread {
    fn spawn() -> Result<Self, WalError> {
        // Bounded channels allocate nothing after their creation.
        let (jobs, inbox) = mpsc::sync_channel::<Job>(1);
        let (outbox, results) = mpsc::sync_channel(1);
        let work = move || {
            while let Ok(job) = inbox.recv() {
                if outbox.send(job.run()).is_err() {
                    return;
                }
            }
        };
        // `bench/process_sampler.rs` finds the thread by this name.
        let worker = Worker::spawn("committer", jobs, Arc::new(AtomicBool::new(false)), work)
            .map_err(WalError::io("start a thread for", "the log"))?;
        Ok(Self { worker, results })
    }

    fn send(&self, job: Job) -> Result<(), WalError> {
        self.worker.requests().and_then(|jobs| jobs.send(job).ok()).ok_or_else(gone)
    }
}

/// One write, one sync.
fn write(segment: &Segment, offset: u64, batch: &OpenBatch) -> Result<(), WalError> {
    let io = |call| move |source| WalError::Io { call, file: file_name(segment.sequence), source };
    segment.file.write_all_at(batch.bytes(), offset).map_err(io("write"))?;
    segment.file.sync().map_err(io("sync"))
}

fn gone() -> WalError {
    WalError::Latched("the thread that writes the log has ended".to_owned())
}
