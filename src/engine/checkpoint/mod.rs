//! Checkpoints: files with the bank's image at an entry, so that a start reads only the log behind it.
//!
//! A checkpoint is never needed: without any, a start replays the whole log. So a start skips one that does not verify,
//! with a warning in the log; but the log must go through every position that a sound one vouches for, or it has lost
//! something. This file: an engine's checkpoints, made by a thread of their own, or inline (simulations, whose runs are
//! deterministic).
//! Left out: the file's layout (`header.rs`), reading and writing it (`file.rs`), which one a start uses (`start.rs`),
//! those in a snapshot (`copies.rs`), naming damaged ones (`damaged.rs`), making one (`maker.rs`), and when one is made
//! (`thread.rs`).

mod copies;
mod damaged;
mod file;
mod header;
mod maker;
mod start;
mod thread;

pub(super) use copies::{Held, hold, keep_sound};
pub(super) use damaged::{DamagedFile, find_damaged};
pub(super) use maker::CheckpointMaker;
pub use maker::{CheckpointError, Made};
pub(super) use start::{Start, each_start, known_ends, newest, oldest};
pub(super) use thread::Base;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use start::{Unusable, list};
use thread::Thread;

use super::error::Fatal;
use crate::engine::maintenance::Upkeep;
use crate::wal::{Finished, Preparer};

/// The maker, and the finished part of the log.
pub(in crate::engine) struct Checkpoints {
    workshop: Backend,
    upkeep: Upkeep,
    /// The running bank's number of accounts, for the maker.
    accounts: Arc<AtomicU32>,
    /// The segment below which the log was last asked to drop.
    dropped_below: u64,
    /// None until the log finishes its first segment in this run.
    finished: Option<Finished>,
}

enum Backend {
    Inline(CheckpointMaker),
    Background(Thread),
}

impl Checkpoints {
    /// Starts the thread, if segments are made in the background, too.
    ///
    /// # Errors
    /// If the system cannot start a thread.
    pub(in crate::engine) fn start(maker: CheckpointMaker, base: Base, preparer: Preparer) -> std::io::Result<Self> {
        let (upkeep, accounts) = (maker.upkeep().clone(), Arc::clone(&maker.accounts));
        let workshop = match preparer {
            Preparer::Inline => Backend::Inline(maker),
            Preparer::Background => Backend::Background(Thread::spawn(maker, base)?),
        };
        Ok(Self { workshop, upkeep, accounts, dropped_below: 0, finished: None })
    }

    /// Notes that the log has finished a segment, and that the bank has `accounts` accounts. Never blocks.
    pub(in crate::engine) fn moved_on(&mut self, finished: Finished, accounts: u32) {
        self.accounts.store(accounts, Ordering::Relaxed);
        self.finished = Some(finished);
        if let Backend::Background(thread) = &self.workshop {
            thread.tell(finished);
        }
    }

    /// The segment below which all may be dropped, if it rose since the last call.
    pub(in crate::engine) fn take_droppable(&mut self) -> Option<u64> {
        let below = self.upkeep.droppable_below();
        let is_more = below > self.dropped_below;
        is_more.then(|| {
            self.dropped_below = below;
            below
        })
    }

    /// Removes the files of the segments before `first`, which the manifest has stopped naming. Never blocks on the
    /// thread.
    pub(in crate::engine) fn remove_dropped(&self, first: u64) {
        match &self.workshop {
            Backend::Inline(_) => self.upkeep.remove_dropped(first),
            Backend::Background(thread) => thread.remove_dropped(first),
        }
    }

    /// Compresses the finished segments now, if there is no thread; returns how many.
    ///
    /// # Errors
    /// [`CheckpointError`].
    pub(in crate::engine) fn pack_now(&self) -> Result<u64, CheckpointError> {
        match (&self.workshop, &self.finished) {
            (Backend::Inline(maker), Some(finished)) => maker.compress(finished),
            // The thread does so by itself.
            _ => Ok(0),
        }
    }

    /// Checks whether the thread has found damage. Never blocks.
    ///
    /// # Errors
    /// [`Fatal::Damaged`].
    pub(in crate::engine) fn poll(&self) -> Result<(), Fatal> {
        match &self.workshop {
            Backend::Background(thread) => thread.damage().map_or(Ok(()), |what| Err(Fatal::Damaged(what))),
            Backend::Inline(_) => Ok(()),
        }
    }

    /// Makes one now; none if no segment is finished, or there is no new entry.
    ///
    /// # Errors
    /// [`CheckpointError`].
    pub(in crate::engine) fn make_now(&self) -> Result<Option<Made>, CheckpointError> {
        match (&self.workshop, &self.finished) {
            (_, None) => Ok(None),
            (Backend::Inline(maker), Some(finished)) => maker.make(finished),
            (Backend::Background(thread), Some(finished)) => thread.make(*finished),
        }
    }
}
