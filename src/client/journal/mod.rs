//! The journal file: each request before it is sent, and its answer, synced; locked by one process at a time.
//!
//! A process holds the lock (`file.rs`) while a request of its own is in flight, so that no other process resolves it then.
//! Frames are appended; beyond 1 MiB the file is rewritten with the requests whose outcome is unknown and the latest others.
//! Only the last byte of a frame ever changes, without a sync: it marks the answers in the frame as delivered.
//! Left out: bytes (`format.rs`), the state of each request (`index.rs`), when to write (`client.rs`).

pub(super) mod audit;
#[cfg(test)]
pub(super) mod crash_tests;
pub(super) mod file;
pub(super) mod format;
pub(super) mod index;
pub(super) mod record;
pub(super) mod stream;

use std::io;
use std::path::{Path, PathBuf};

use super::retry::Deadline;
use crate::client::journal::file::{JournalFile, usable};
use crate::client::journal::format::{FormatError, Frame, HEADER, MAX_RECORD, Mark, Scan};
use crate::client::journal::index::{Book, Contradiction, End, Request};
use crate::client::journal::record::{ClosedReason, Intent, Record, Settled};
use crate::env::Env;
use crate::env::File;
use crate::model::types::{RequestId, RequestNumber, SessionId};

/// Beyond this many bytes the file is rewritten. If it is still larger then, the journal accepts no new request.
const SIZE_LIMIT: u64 = 1 << 20;
/// How many ended requests a rewrite keeps: this many delivered ones, and as many undelivered ones.
const KEPT: usize = 256;

/// A journal by its path. No file is touched until it is [opened](Journal::open).
pub struct Journal {
    env: Env,
    path: PathBuf,
    /// Set by a failed write or sync: from then on this process does not know the file's content.
    failed: Option<String>,
}

/// Why the journal cannot be used. Nothing is sent without it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    /// Another process holds its lock.
    #[error("the journal {} is in use by {holder}", .path.display())]
    InUse {
        /// Which journal.
        path: PathBuf,
        /// The description that the other process left in the lock file.
        holder: String,
    },
    /// It is damaged in a way that no crash causes.
    #[error("the journal {} is damaged: {why}", .path.display())]
    Damaged {
        /// Which journal.
        path: PathBuf,
        /// What is wrong, and where.
        why: String,
    },
    /// Too many outcomes are unknown, or a field is too long.
    #[error("the journal {} takes no more: {why}", .path.display())]
    Full {
        /// Which journal.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// A file system error.
    #[error("the journal {} cannot be {what}: {why}", .path.display())]
    Io {
        /// Which journal.
        path: PathBuf,
        /// The failed operation, as a participle such as "read".
        what: &'static str,
        /// The error.
        why: String,
    },
}

impl Journal {
    /// The journal at `path`.
    #[must_use]
    pub fn new(env: &Env, path: &Path) -> Self {
        Self { env: env.clone(), path: path.to_owned(), failed: None }
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Locks and reads it, and creates it if missing; waits for another process until the deadline.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn open(&mut self, deadline: &Deadline) -> Result<OpenJournal<'_>, JournalError> {
        if let Some(why) = &self.failed {
            return Err(JournalError::Io { path: self.path.clone(), what: "used any further by this process", why: why.clone() });
        }
        let JournalFile { path, mut file, locks } = file::take(&self.env, &self.path, deadline)?;
        let mut scan = self.read(file.as_ref())?;
        if scan.version < format::VERSION {
            let marked = |frame: Frame| frame.records.into_iter().map(move |record| (record, frame.mark.is_told));
            let records: Vec<(Record, bool)> = scan.frames.into_iter().flat_map(marked).collect();
            let replaced = file::replace(self.env.disk.as_ref(), &path, scan.generation + 1, &records);
            file = replaced.map_err(|error| self.io("rewritten in the present format", &error))?;
            scan = self.read(file.as_ref())?;
        }
        let book = self.book(&scan)?;
        Ok(OpenJournal { journal: self, path, file, generation: scan.generation, book, end: scan.end as u64, _locks: locks })
    }

    /// Reads the whole file, and cuts its torn tail if it has one.
    fn read(&self, file: &dyn File) -> Result<Scan, JournalError> {
        let damaged = |why: String| JournalError::Damaged { path: self.path.clone(), why };
        let length = file.len().map_err(|error| self.io("read", &error))?;
        let size = usize::try_from(length).ok().filter(|_| length <= 4 * SIZE_LIMIT);
        let size = size.ok_or_else(|| damaged(format!("it has {length} bytes, more than any journal")))?;
        let mut bytes = vec![0; size];
        file.read_exact_at(&mut bytes, 0).map_err(|error| self.io("read", &error))?;
        let scan = format::scan(&bytes).map_err(|error: FormatError| damaged(error.to_string()))?;
        if scan.end < size {
            // A torn write was never synced, so no request was sent and no answer acknowledged because of it.
            let cut = file.set_len(scan.end as u64).and_then(|()| file.sync());
            cut.map_err(|error| self.io("cut behind its last whole record", &error))?;
        }
        Ok(scan)
    }

    /// The index of the file's frames.
    fn book(&self, scan: &Scan) -> Result<Book, JournalError> {
        let mut book = Book::default();
        let added = scan.frames.iter().try_for_each(|frame| book.add_frame(frame));
        added.map_err(|error| JournalError::Damaged { path: self.path.clone(), why: error.to_string() })?;
        Ok(book)
    }

    fn io(&self, what: &'static str, error: &io::Error) -> JournalError {
        JournalError::Io { path: self.path.clone(), what, why: error.to_string() }
    }
}

/// A journal that this process has locked; dropping it releases the lock.
///
/// Invariants: everything in `book`, except delivery marks, is synced to disk; the file ends at `end`.
pub struct OpenJournal<'a> {
    journal: &'a mut Journal,
    /// The file's own path, without links.
    path: PathBuf,
    file: Box<dyn File>,
    generation: u64,
    book: Book,
    end: u64,
    _locks: Vec<Box<dyn Send>>,
}

impl OpenJournal<'_> {
    /// Writes and syncs the intent of a request. It may be sent only after that.
    ///
    /// # Errors
    /// [`JournalError`]; the request must not be sent.
    pub fn intend(&mut self, intent: Intent) -> Result<(), JournalError> {
        self.write(&[Record::Intent(intent)])
    }

    /// Writes and syncs a recorded outcome. It may be acknowledged only after that.
    ///
    /// # Errors
    /// [`JournalError::Damaged`] if an earlier outcome differs; [`JournalError::Io`] if the write or sync fails.
    pub fn settle(&mut self, id: RequestId, settled: Settled) -> Result<(), JournalError> {
        self.write(&[Record::Reply(id, settled)])
    }

    /// Writes and syncs that a request is closed without an answer.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn close(&mut self, id: RequestId, reason: ClosedReason) -> Result<(), JournalError> {
        self.write(&[Record::Closed(id, reason)])
    }

    /// Writes and syncs records, as many per frame as fit, with one sync per frame. The answers in a frame share one delivery
    /// mark.
    ///
    /// # Errors
    /// [`JournalError`]; the records of frames written before stay, the others have no effect.
    pub fn write(&mut self, mut records: &[Record]) -> Result<(), JournalError> {
        if records.iter().any(|record| matches!(record, Record::Intent(_))) {
            self.make_room()?;
        }
        while !records.is_empty() {
            let written = self.append(records)?;
            records = records.get(written..).unwrap_or_default();
        }
        Ok(())
    }

    /// Marks requests as delivered. Not synced: after a power cut an answer may be shown twice.
    ///
    /// # Errors
    /// [`JournalError::Io`]; the answers are then shown again.
    pub fn tell(&mut self, ids: &[RequestId]) -> Result<(), JournalError> {
        for mark in self.book.tell(ids) {
            self.file.write_all_at(&[format::TOLD], mark.at).map_err(|error| self.journal.io("written", &error))?;
        }
        Ok(())
    }

    /// The state of a request.
    #[must_use]
    pub fn find(&self, id: RequestId) -> Option<&Request> {
        self.book.find(id)
    }

    /// Whether a later number of its session was closed as not executed, because this one never would be.
    pub(super) fn has_refused_behind(&self, id: RequestId) -> bool {
        self.book.has_refused_behind(id)
    }

    /// The requests whose outcome is unknown, by session and number.
    pub fn in_doubt(&self) -> impl Iterator<Item = &Request> {
        self.book.in_doubt()
    }

    /// The requests that ended and were not delivered, by session and number.
    pub fn undelivered(&self) -> impl Iterator<Item = &Request> {
        self.book.undelivered()
    }

    /// All requests, by session and number.
    pub fn requests(&self) -> impl Iterator<Item = &Request> {
        self.book.requests()
    }

    /// Every reply of the session to a number below this one is in the journal; 1 if none is.
    #[must_use]
    pub fn acked_below(&self, session: SessionId) -> RequestNumber {
        self.book.acked_below(session)
    }

    /// Makes room for a new request; fails if requests with unknown outcome fill the file.
    fn make_room(&mut self) -> Result<(), JournalError> {
        self.check_place()?;
        if self.end >= SIZE_LIMIT {
            self.rewrite()?;
        }
        if self.end >= SIZE_LIMIT {
            return Err(self.full("too many requests in it are in doubt"));
        }
        Ok(())
    }

    /// Checks that the file is still the one at its path, and has no other name.
    fn check_place(&self) -> Result<(), JournalError> {
        let moved = || Err(io::Error::other("the file was moved or removed while it was in use"));
        let found = self.file.standing(&self.path).and_then(usable).and_then(|is_there| if is_there { Ok(()) } else { moved() });
        found.map_err(|error| self.journal.io("used", &error))
    }

    /// Writes and syncs one frame with the first of these records; returns how many it holds.
    fn append(&mut self, records: &[Record]) -> Result<usize, JournalError> {
        if let Some(why) = &self.journal.failed {
            return Err(JournalError::Io { path: self.journal.path.clone(), what: "written", why: why.clone() });
        }
        let mut bytes = Vec::with_capacity(MAX_RECORD);
        let count = format::put(records, false, &mut bytes);
        let records = records.get(..count).unwrap_or_default();
        if records.is_empty() {
            return Err(self.full("a name or a server address is too long"));
        }
        // Apply the check of a later read before writing, so that the file stays readable.
        records.iter().try_for_each(|record| self.book.check(record)).map_err(|error| self.contradiction(error))?;
        if let Err(error) = self.file.write_all_at(&bytes, self.end).and_then(|()| self.file.sync()) {
            self.journal.failed = Some(error.to_string());
            return Err(self.journal.io("written", &error));
        }
        self.end += bytes.len() as u64;
        let mark = Mark { at: self.end - 1, is_told: false };
        records.iter().try_for_each(|record| self.book.add(record, mark)).map_err(|error| self.contradiction(error))?;
        Ok(count)
    }

    fn contradiction(&self, error: Contradiction) -> JournalError {
        JournalError::Damaged { path: self.journal.path.clone(), why: error.to_string() }
    }

    pub(super) fn rewrite(&mut self) -> Result<(), JournalError> {
        self.check_place()?;
        let records = self.book.digest(KEPT);
        self.generation += 1;
        let rewritten = self.reopen(&records);
        if let Err(error) = &rewritten {
            self.journal.failed = Some(error.to_string());
        }
        rewritten
    }

    /// Replaces the file by one with these records, and continues with that.
    fn reopen(&mut self, records: &[(Record, bool)]) -> Result<(), JournalError> {
        let replaced = file::replace(self.journal.env.disk.as_ref(), &self.path, self.generation, records);
        let file = replaced.map_err(|error| self.journal.io("rewritten", &error))?;
        let scan = self.journal.read(file.as_ref())?;
        assert!(scan.end >= HEADER, "a journal has a header");
        (self.book, self.end, self.file) = (self.journal.book(&scan)?, scan.end as u64, file);
        Ok(())
    }

    fn full(&self, why: &str) -> JournalError {
        JournalError::Full { path: self.journal.path.clone(), why: why.to_owned() }
    }
}

impl Request {
    /// Whether only the bank's log can still show whether it was executed.
    #[must_use]
    pub const fn must_be_asked_about(&self) -> bool {
        use ClosedReason::{Acknowledged, StoreRolledBack, UnknownSession};
        matches!(self.end, Some(End::Closed(UnknownSession | StoreRolledBack | Acknowledged)))
    }

    /// Whether it ended without being executed, and no copy of it is adrift.
    pub(super) const fn has_none_adrift(&self) -> bool {
        matches!(self.end, Some(End::Closed(_))) && !self.must_be_asked_about()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::client::journal::record::samples::{id, intent, settled};

    fn soon() -> Deadline {
        Deadline::after(&Env::os().clock, Duration::from_secs(5))
    }

    fn at(dir: &tempfile::TempDir) -> Journal {
        Journal::new(&Env::os(), &dir.path().join("a/b/journal"))
    }

    #[test]
    fn what_was_written_is_there_for_the_next_process() {
        let dir = tempfile::tempdir().unwrap();
        let mut first = at(&dir);
        let mut open = first.open(&soon()).unwrap();
        open.intend(intent(1)).unwrap();
        open.settle(id(1), settled()).unwrap();
        open.intend(intent(2)).unwrap();
        drop(open);
        let mut second = at(&dir);
        let open = second.open(&soon()).unwrap();
        assert_eq!(open.find(id(1)).unwrap().end, Some(End::Answered(settled())));
        assert_eq!(open.in_doubt().map(|request| request.intent.clone()).collect::<Vec<_>>(), [intent(2)]);
        assert_eq!(open.acked_below(id(1).session), RequestNumber(2));
    }

    #[test]
    fn a_torn_tail_is_cut_and_written_over() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = at(&dir);
        let mut open = journal.open(&soon()).unwrap();
        open.intend(intent(1)).unwrap();
        let whole = open.end;
        open.intend(intent(2)).unwrap();
        open.file.set_len(open.end - 1).unwrap();
        drop(open);
        let mut open = journal.open(&soon()).unwrap();
        assert_eq!((open.end, open.file.len().unwrap()), (whole, whole));
        assert_eq!(open.find(id(2)), None);
        open.settle(id(1), settled()).unwrap();
        drop(open);
        assert_eq!(journal.open(&soon()).unwrap().in_doubt().count(), 0);
    }

    #[test]
    fn damage_is_refused_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = at(&dir);
        let mut open = journal.open(&soon()).unwrap();
        open.intend(intent(1)).unwrap();
        open.file.write_all_at(b"x", 40).unwrap();
        drop(open);
        for _ in 0..2 {
            let Err(JournalError::Damaged { why, .. }) = journal.open(&soon()).map(|_| ()) else { panic!("damaged") };
            assert_eq!(why, "the record at byte 24 is damaged");
        }
    }

    #[test]
    fn one_process_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let (mut mine, mut theirs) = (at(&dir), at(&dir));
        let held = mine.open(&soon()).unwrap();
        let short = Deadline::after(&Env::os().clock, Duration::from_millis(40));
        let Err(JournalError::InUse { holder, .. }) = theirs.open(&short).map(|_| ()) else { panic!("in use") };
        assert_eq!(holder, format!("process {}", std::process::id()));
        drop(held);
        assert!(theirs.open(&soon()).is_ok());
    }

    #[test]
    fn it_is_rewritten_before_it_grows_too_large_and_keeps_every_doubt() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = at(&dir);
        let mut open = journal.open(&soon()).unwrap();
        open.intend(intent(1)).unwrap();
        let mut number = 1;
        while open.generation == 1 {
            number += 1;
            // Filled without one sync per record, for speed: only the size matters here.
            let mut bytes = Vec::new();
            for record in [Record::Intent(intent(number)), Record::Reply(id(number), settled())] {
                open.book.add(&record, Mark::default()).unwrap();
                assert_eq!(format::put(&[record], false, &mut bytes), 1);
            }
            open.file.write_all_at(&bytes, open.end).unwrap();
            open.end += bytes.len() as u64;
            if open.end >= SIZE_LIMIT {
                number += 1;
                open.intend(intent(number)).unwrap();
            }
        }
        assert!(open.end < SIZE_LIMIT / 8);
        drop(open);
        let open = journal.open(&soon()).unwrap();
        let doubts: Vec<u64> = open.in_doubt().map(|request| request.intent.id.number.0).collect();
        assert_eq!((open.generation, doubts), (2, vec![1, number]));
        assert_eq!(open.requests().count(), KEPT + 2);
    }
}
