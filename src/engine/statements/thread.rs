//! The thread that answers for statements, and the one below it that makes the index: no request of money waits for either.
//!
//! The thread follows the log: it is sent its end every few thousand entries, with the notes of what was not done, and keeps
//! the postings of the newest entries in memory. From them the second thread, at low priority, makes parts and joins them.
//! Where the postings or the index cannot be used, the second thread makes the index again from the log, and meanwhile every
//! question is answered by [`Unavailable`]. So it is, too, where the log moves so fast that following it takes more than a tenth
//! of a processor: the index is then made when the log has become slower, or when a question comes.
//! Left out: what is done (`follow.rs`, `index.rs`, `history.rs`).

use std::panic::{self, AssertUnwindSafe};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use super::error::IndexError;
use super::follow::{PART, Place};
use super::history::{Movements, Query, Sources};
use super::index::{Index, join, remove_behind};
use super::notes::Notes;
use super::part::{Extent, Part};
use super::tail::Tail;
use crate::env::worker::Worker;
use crate::env::{Clock, Disk, os};
use crate::model::amount::Amount;
use crate::model::types::{Lsn, StoreId};
use crate::wal::LogEnd;

/// Tails that wait for being written: more mean that writing fails or cannot keep up.
const MOST_FROZEN: usize = 4;
/// The share of a processor that following the log may take, as one over this, before it is put off.
const SHARE: u32 = 10;
/// Entries a second that are few enough to follow again.
const SLOW: u128 = 300_000;
/// The time over which that share is measured.
const WINDOW: Duration = Duration::from_secs(1);

/// Entries that are taken into memory at once; the index of more is made by a replay, in parts.
const MOST_READ: u64 = 8 * PART;

/// Why a question has no answer now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unavailable {
    /// The index is being made. Ask again later.
    NotReady,
}

/// Whose question it is: the asker's own mark.
pub type Asker = u64;

/// An answer.
pub type Answer = (Asker, Result<Movements, Unavailable>);

/// What the thread is asked to do.
pub(super) enum Request {
    /// The log is durable up to here.
    Follow(LogEnd, Notes),
    /// As `Follow`, and answer. The amount is the account's balance there.
    Ask(Asker, Query, Amount, LogEnd, Notes),
    /// As `Follow`, and write what is in memory as a part.
    Finish(LogEnd, Notes),
    /// End. The second thread holds a sender, too, so the inbox is never closed.
    End,
    /// From the second thread.
    Made(Made),
}

/// What the second thread has done.
pub(super) enum Made {
    /// The next part, of the oldest frozen tail.
    Written(Part),
    /// The next part, by a replay.
    Built(Part),
    /// The replay has reached this end.
    Ready(LogEnd),
    /// A part that joins others.
    Joined(Part),
    /// A step has failed.
    Failed(IndexError),
}

enum Job {
    Write(Arc<Tail>),
    Join(Vec<Arc<Part>>),
    Build(Option<Extent>, LogEnd),
}

/// The store that the threads serve.
#[derive(Clone)]
pub(super) struct Home {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) dir: PathBuf,
    pub(super) store: StoreId,
    pub(super) clock: Arc<dyn Clock>,
}

/// What is known of the log.
enum State {
    /// The index and the tails reach the end that was sent last.
    Follows,
    /// The index is being made by a replay; these were sent meanwhile.
    Builds(Option<LogEnd>, Notes),
    /// The index cannot be made; it is tried again at this time.
    Rests(Duration),
    /// The log moves too fast.
    Behind,
}

/// The time after which a failed index is tried again.
const REST: Duration = Duration::from_secs(10);

/// How long following the log took in a window of time.
struct Pace {
    clock: Arc<dyn Clock>,
    began: Duration,
    spent: Duration,
}

impl Pace {
    /// Notes that a piece of work took from `since` until now. Returns whether the share was exceeded in the window, which is
    /// then over.
    fn is_exceeded(&mut self, since: Duration) -> bool {
        let now = self.clock.monotonic();
        if now.saturating_sub(self.began) >= WINDOW {
            (self.began, self.spent) = (since, Duration::ZERO);
        }
        self.spent = self.spent.saturating_add(now.saturating_sub(since));
        self.spent >= WINDOW / SHARE
    }
}

struct Statements {
    home: Home,
    pace: Pace,
    /// The end that was sent last, and when.
    sent: (Lsn, Duration),
    index: Index,
    /// Tails that the second thread writes.
    frozen: Vec<Arc<Tail>>,
    tail: Tail,
    state: State,
    is_joining: bool,
    jobs: Worker<Sender<Job>>,
    answers: Sender<Answer>,
    wake: Arc<dyn Fn() + Send + Sync>,
}

/// Serves until [`Request::End`]. `from` is the entry behind which `notes` have the outcomes.
pub(super) fn serve(
    home: &Home,
    inbox: &Receiver<Request>,
    own: Sender<Request>,
    begin: (Lsn, LogEnd, Notes),
    answers: Sender<Answer>,
    wake: Arc<dyn Fn() + Send + Sync>,
) {
    let (jobs, job_inbox) = mpsc::channel();
    let cancelled = Arc::new(AtomicBool::new(false));
    let (worker_home, worker_cancelled) = (home.clone(), Arc::clone(&cancelled));
    let worker = Worker::spawn("index", jobs, cancelled, move || work(&worker_home, &job_inbox, &own, &worker_cancelled));
    let jobs = match worker {
        Ok(jobs) => jobs,
        Err(error) => return log::error!("no statements: a thread for their index cannot be started: {error}"),
    };
    let (from, end, notes) = begin;
    let mut statements = Statements {
        home: home.clone(),
        pace: Pace { clock: Arc::clone(&home.clock), began: home.clock.monotonic(), spent: Duration::ZERO },
        sent: (end.next_lsn, home.clock.monotonic()),
        index: Index::default(),
        frozen: Vec::new(),
        tail: Tail::new(Lsn(1), 0),
        state: State::Rests(Duration::ZERO),
        is_joining: false,
        jobs,
        answers,
        wake,
    };
    statements.start(from, &end, &notes);
    while let Ok(request) = inbox.recv() {
        match request {
            Request::Follow(end, notes) => statements.follow(end, notes, false),
            Request::Ask(asker, query, balance, end, notes) => {
                statements.follow(end, notes, true);
                statements.answer(asker, &query, balance);
            }
            Request::Finish(end, notes) => {
                statements.follow(end, notes, false);
                statements.finish();
            }
            Request::Made(made) => statements.made(made),
            // The second thread still writes what it was handed.
            Request::End => return,
        }
    }
}

impl Statements {
    /// Opens the index, and follows the log that was recovered from `from` to `end`.
    fn start(&mut self, from: Lsn, end: &LogEnd, notes: &Notes) {
        let place = Place { disk: &*self.home.disk, dir: &self.home.dir, store: self.home.store };
        match Index::open_checked(&place, end) {
            Ok(index) => self.index = index,
            Err(error) => return self.rest(&error),
        }
        self.tail = self.next_tail();
        if self.tail.first > from && notes.is_whole() {
            self.state = State::Follows;
            self.read(end, notes);
        } else {
            self.build(*end);
        }
    }

    fn place(&self) -> Place<'_> {
        Place { disk: &*self.home.disk, dir: &self.home.dir, store: self.home.store }
    }

    /// An empty tail behind the index.
    fn next_tail(&self) -> Tail {
        self.index.last().map_or_else(|| Tail::new(Lsn(1), 0), |last| Tail::new(last.next(), last.accounts))
    }

    fn build(&mut self, to: LogEnd) {
        log::info!("making the index of statements from entry {} to {}", self.next_tail().first, to.next_lsn.0.saturating_sub(1));
        self.frozen.clear();
        self.tail = self.next_tail();
        self.state = State::Builds(None, Notes::default());
        self.job(Job::Build(self.index.last().copied(), to));
    }

    fn job(&self, job: Job) {
        if let Some(jobs) = self.jobs.requests() {
            // A thread that has ended has reported why.
            let _ = jobs.send(job);
        }
    }

    fn follow(&mut self, end: LogEnd, notes: Notes, is_asked: bool) {
        let now = self.pace.clock.monotonic();
        let (last, at) = std::mem::replace(&mut self.sent, (end.next_lsn, now));
        let passed = end.next_lsn.0.saturating_sub(last.0);
        match &mut self.state {
            State::Follows => self.read(&end, &notes),
            State::Builds(known, kept) => {
                *known = Some(end);
                kept.append(notes);
            }
            State::Rests(until) if now >= *until => self.build(end),
            State::Rests(_) => {}
            State::Behind => {
                let is_slow = u128::from(passed).saturating_mul(1_000_000) <= now.saturating_sub(at).as_micros().saturating_mul(SLOW);
                if is_slow || is_asked {
                    self.build(end);
                }
            }
        }
    }

    /// Takes the entries up to `end` into memory, and hands what is enough for a part on.
    fn read(&mut self, end: &LogEnd, notes: &Notes) {
        if !notes.is_whole() || end.next_lsn.0.saturating_sub(self.tail.next().0) > MOST_READ {
            return self.build(*end);
        }
        let from = self.frozen.last().and_then(|tail| tail.anchor).or_else(|| self.index.last().map(|last| last.anchor));
        let mut tail = std::mem::replace(&mut self.tail, Tail::new(Lsn(1), 0));
        let since = self.pace.clock.monotonic();
        let read = self.place().follow(&mut tail, from, end, notes);
        self.tail = tail;
        if self.pace.is_exceeded(since) {
            return self.fall_behind();
        }
        if let Err(error) = read {
            return self.rest(&error);
        }
        if self.tail.entries() >= PART {
            self.freeze();
        }
    }

    /// Puts the index off until the log is slower, or a question comes.
    fn fall_behind(&mut self) {
        log::debug!("the log moves too fast for the index of statements, which is put off");
        self.frozen.clear();
        self.tail = self.next_tail();
        self.state = State::Behind;
    }

    fn freeze(&mut self) {
        if self.tail.anchor.is_none() || self.tail.entries() == 0 {
            return;
        }
        let next = Tail::new(self.tail.next(), self.tail.accounts);
        let full = Arc::new(std::mem::replace(&mut self.tail, next));
        self.frozen.push(Arc::clone(&full));
        if self.frozen.len() > MOST_FROZEN {
            return self.fall_behind();
        }
        self.job(Job::Write(full));
    }

    fn made(&mut self, made: Made) {
        match made {
            Made::Written(part) => {
                // What was asked before the index was made again does not follow it.
                if self.frozen.first().is_some_and(|tail| tail.first == part.extent.first) {
                    self.frozen.remove(0);
                    self.index.push(part);
                }
            }
            Made::Built(part) => {
                if self.index.last().is_none_or(|last| last.next() == part.extent.first) {
                    self.index.push(part);
                }
            }
            Made::Ready(end) => {
                let State::Builds(known, notes) = std::mem::replace(&mut self.state, State::Follows) else { return };
                log::info!("the index of statements reaches entry {}", end.next_lsn.0.saturating_sub(1));
                self.tail = self.next_tail();
                self.read(&known.unwrap_or(end), &notes);
            }
            Made::Joined(part) => {
                let mut index = std::mem::take(&mut self.index);
                index.replace(&self.place(), part);
                self.index = index;
                self.is_joining = false;
            }
            Made::Failed(IndexError::Cancelled) => return,
            Made::Failed(error) => {
                self.is_joining = false;
                self.rest(&error);
            }
        }
        if !self.is_joining
            && let Some(parts) = self.index.to_join()
        {
            self.is_joining = true;
            self.job(Job::Join(parts));
        }
    }

    fn answer(&mut self, asker: Asker, query: &Query, balance: Amount) {
        let answer = if matches!(self.state, State::Follows) { self.look(query, balance) } else { Err(Unavailable::NotReady) };
        if self.answers.send((asker, answer)).is_ok() {
            (self.wake)();
        }
    }

    fn look(&mut self, query: &Query, balance: Amount) -> Result<Movements, Unavailable> {
        let sources = self.sources();
        // redb trusts a file whose checksum held: one that was changed since may end in a panic.
        let found = panic::catch_unwind(AssertUnwindSafe(|| sources.movements(query, Some(balance))));
        let found = found.unwrap_or_else(|_| Err(IndexError::Damaged("its database contradicts itself".to_owned())));
        found.map_err(|error| {
            self.rest(&error);
            Unavailable::NotReady
        })
    }

    fn sources(&self) -> Sources<'_> {
        let tails = self.frozen.iter().map(|tail| &**tail).chain([&self.tail]).collect();
        Sources { place: self.place(), parts: &self.index.parts, tails }
    }

    /// Hands what is in memory on, so that the next start finds it in the index.
    fn finish(&mut self) {
        if matches!(self.state, State::Follows) {
            self.freeze();
        }
    }

    /// Goes without an index for a while, or makes a damaged one again at once.
    fn rest(&mut self, error: &IndexError) {
        self.frozen.clear();
        self.tail = self.next_tail();
        if matches!(error, IndexError::Damaged(_)) {
            log::warn!("{error}; it is made again from the log");
            let mut index = std::mem::take(&mut self.index);
            if let Err(error) = index.clear(&self.place()) {
                log::warn!("{error}");
            }
            self.index = index;
            self.tail = self.next_tail();
            self.state = State::Rests(Duration::ZERO);
        } else {
            log::warn!("no statements for now: {error}");
            self.state = State::Rests(self.pace.clock.monotonic().saturating_add(REST));
        }
    }
}

/// The second thread.
fn work(home: &Home, inbox: &Receiver<Job>, outbox: &Sender<Request>, cancelled: &AtomicBool) {
    os::lower_thread_priority();
    let place = Place { disk: &*home.disk, dir: &home.dir, store: home.store };
    let tell = |made: Made| drop(outbox.send(Request::Made(made)));
    while let Ok(job) = inbox.recv() {
        let done = panic::catch_unwind(AssertUnwindSafe(|| match job {
            Job::Write(tail) => tail.write(place.disk, place.dir, place.store).map(|part| part.map(Made::Written)),
            Job::Join(parts) => join(&place, &parts, cancelled).map(|part| Some(Made::Joined(part))),
            Job::Build(last, to) => {
                // What was written for tails that were dropped stands behind the last part.
                remove_behind(&place, last.as_ref().map_or(Lsn(1), Extent::next))?;
                place.build(last.as_ref(), &to, cancelled, &mut |part| tell(Made::Built(part))).map(|()| Some(Made::Ready(to)))
            }
        }));
        match done.unwrap_or_else(|_| Err(IndexError::Damaged("its database contradicts itself".to_owned()))) {
            Ok(Some(made)) => tell(made),
            Ok(None) => {}
            Err(error) => tell(Made::Failed(error)),
        }
    }
}
