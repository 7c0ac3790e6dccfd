//! Statements: the movements of an account, found by an index of the log that a thread of its own keeps.
//!
//! The index is derived: without it, or with a damaged one, no money is concerned, and it is made again from the log. It takes
//! no memory for each account: beside the files, about 6 MiB for the newest entries.
//! This file: the engine's side of the thread. Left out: who may see a statement (`server/requests/statement.rs`).

mod error;
mod follow;
mod history;
mod index;
mod notes;
mod part;
mod postings;
mod rebuild;
mod storage;
mod tail;
mod thread;

pub use error::IndexError;
pub use history::{Movement, MovementKind, Movements, Query};
pub use rebuild::{Indexed, index};
pub use thread::{Answer, Asker, Unavailable};

pub(in crate::engine) use notes::Notes;

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};

use thread::{Home, Request};

use crate::engine::store_dir::StoreEnv;
use crate::engine::{Engine, OrderedLog};
use crate::env::worker::Worker;
use crate::model::types::{Lsn, StoreId};
use crate::wal::LogEnd;

/// The thread is sent the log's end after this many entries.
const EVERY: u64 = 1 << 14;

/// The thread that answers for statements, and what it was not sent yet.
pub(in crate::engine) struct Statements {
    worker: Worker<Sender<Request>>,
    answers: Receiver<Answer>,
    waker: Arc<Waker>,
    /// What was not done since the thread was sent the log's end.
    notes: Notes,
    /// The thread is sent the log's end at this entry.
    due: Lsn,
}

/// What wakes the one who waits for answers.
type Waker = std::sync::OnceLock<Box<dyn Fn() + Send + Sync>>;

impl Statements {
    /// Starts the thread, for the log that was recovered from behind `from` up to `end`; `notes` has what was not done there.
    ///
    /// # Errors
    /// If the system cannot start a thread.
    pub(in crate::engine) fn start(
        env: &StoreEnv,
        dir: &Path,
        store: StoreId,
        from: Lsn,
        end: LogEnd,
        notes: Notes,
    ) -> std::io::Result<Self> {
        let (requests, inbox) = mpsc::channel();
        let (outbox, answers) = mpsc::channel();
        let waker: Arc<Waker> = Arc::default();
        let (home, own, for_thread) = (
            Home { disk: Arc::clone(&env.disk), dir: dir.to_owned(), store, clock: Arc::clone(&env.clock) },
            requests.clone(),
            Arc::clone(&waker),
        );
        let wake = move || {
            if let Some(wake) = for_thread.get() {
                wake();
            }
        };
        let worker = Worker::spawn("statements", requests, Arc::default(), move || {
            thread::serve(&home, &inbox, own, (from, end, notes), outbox, Arc::new(wake));
        })?;
        let due = Lsn(end.next_lsn.0.saturating_add(EVERY));
        Ok(Self { worker, answers, waker, notes: Notes::default(), due })
    }

    /// The notes of what is applied.
    #[inline]
    pub(in crate::engine) const fn notes(&mut self) -> &mut Notes {
        &mut self.notes
    }

    /// Notes that the log is durable up to `end`. Never blocks.
    #[inline]
    pub(in crate::engine) fn moved_on(&mut self, end: &LogEnd) {
        if end.next_lsn >= self.due {
            self.tell(*end);
        }
    }

    /// Notes that the log stands still for now, durable up to `end`. Never blocks.
    pub(in crate::engine) fn rested(&mut self, end: &LogEnd) {
        self.tell(*end);
    }

    #[cold]
    fn tell(&mut self, end: LogEnd) {
        let notes = self.take_notes(&end);
        self.send(Request::Follow(end, notes));
    }

    fn take_notes(&mut self, end: &LogEnd) -> Notes {
        self.due = Lsn(end.next_lsn.0.saturating_add(EVERY));
        std::mem::take(&mut self.notes)
    }

    fn send(&self, request: Request) {
        if let Some(requests) = self.worker.requests() {
            // A thread that has ended answers nothing; its end is logged.
            let _ = requests.send(request);
        }
    }
}

impl Drop for Statements {
    fn drop(&mut self) {
        self.send(Request::End);
    }
}

impl<L: OrderedLog> Engine<L> {
    /// Sets what is called, in another thread, when there is an answer for [`Engine::take_statement`].
    pub fn wake_for_statements(&self, wake: Box<dyn Fn() + Send + Sync>) {
        if let Some(statements) = &self.statements {
            let _ = statements.waker.set(wake);
        }
    }

    /// Asks for an account's movements, up to the last commit, which is finished. The answer comes later, see
    /// [`Engine::take_statement`]. Returns whether it will come: not where there is no thread for it, or no such account.
    pub fn ask_for_statement(&mut self, asker: Asker, query: Query) -> bool {
        let end = self.log.local().end();
        let (Some(statements), Some(view)) = (&mut self.statements, self.bank.account(query.account)) else { return false };
        let notes = statements.take_notes(&end);
        statements.send(Request::Ask(asker, query, view.balance, end, notes));
        true
    }

    /// The next answer to [`Engine::ask_for_statement`], if one has come. Never blocks.
    pub fn take_statement(&self) -> Option<Answer> {
        self.statements.as_ref()?.answers.try_recv().ok()
    }

    /// Sends the thread the end of the log, which is closed, so that it writes what it holds.
    pub(in crate::engine) fn finish_statements(&mut self) {
        let end = self.log.local().end();
        if let Some(statements) = &mut self.statements {
            let notes = statements.take_notes(&end);
            statements.send(Request::Finish(end, notes));
        }
    }
}
