//! Checkpoints: files with the bank's image at an entry, so that a start reads only the log behind it.
//!
//! A checkpoint is never needed: without any, a start replays the whole log. So one that does not verify is passed
//! over, loudly; but the log must go through every place that a sound one vouches for, or it has lost something.
//! Here: an engine's checkpoints, made by a thread of their own, or by whoever asks (simulations, whose every run is
//! the same). Left out: the file's layout (`header.rs`), reading and writing it (`file.rs`), which one a start begins
//! with (`start.rs`), the ones in a snapshot (`copies.rs`), naming damaged
//! ones (`damaged.rs`), making one (`maker.rs`), and when that is done (`thread.rs`).

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

/// The maker, and what the log has moved on from.
pub(in crate::engine) struct Checkpoints {
    workshop: Backend,
    upkeep: Upkeep,
    /// Tells the maker how large the bank is.
    accounts: Arc<AtomicU32>,
    /// Below which segment everything was dropped, as far as this life has told the log.
    dropped_below: u64,
    /// None until the log has moved on for the first time.
    finished: Option<Finished>,
}

enum Backend {
    Inline(CheckpointMaker),
    Background(Thread),
}

impl Checkpoints {
    /// With the thread, if segments have one, too.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub(in crate::engine) fn start(maker: CheckpointMaker, base: Base, preparer: Preparer) -> std::io::Result<Self> {
        let (upkeep, accounts) = (maker.upkeep().clone(), Arc::clone(&maker.accounts));
        let workshop = match preparer {
            Preparer::Inline => Backend::Inline(maker),
            Preparer::Background => Backend::Background(Thread::spawn(maker, base)?),
        };
        Ok(Self { workshop, upkeep, accounts, dropped_below: 0, finished: None })
    }

    /// The log has moved on, and the bank has so many accounts. Never waits.
    pub(in crate::engine) fn moved_on(&mut self, finished: Finished, accounts: u32) {
        self.accounts.store(accounts, Ordering::Relaxed);
        self.finished = Some(finished);
        if let Backend::Background(thread) = &self.workshop {
            thread.tell(finished);
        }
    }

    /// Before which segment everything may be dropped, if that became more since the last call.
    pub(in crate::engine) fn take_droppable(&mut self) -> Option<u64> {
        let below = self.upkeep.droppable_below();
        let is_more = below > self.dropped_below;
        is_more.then(|| {
            self.dropped_below = below;
            below
        })
    }

    /// The manifest has stopped naming the segments before `first`: their files go. Never waits for the thread.
    pub(in crate::engine) fn remove_dropped(&self, first: u64) {
        match &self.workshop {
            Backend::Inline(_) => self.upkeep.remove_dropped(first),
            Backend::Background(thread) => thread.remove_dropped(first),
        }
    }

    /// Packs what is finished, now, and tells how many segments that were.
    ///
    /// # Errors
    /// [`CheckpointError`].
    pub(in crate::engine) fn pack_now(&self) -> Result<u64, CheckpointError> {
        match (&self.workshop, &self.finished) {
            (Backend::Inline(maker), Some(finished)) => maker.pack(finished),
            // A thread does so by itself.
            _ => Ok(0),
        }
    }

    /// Looks for bad news, without waiting.
    ///
    /// # Errors
    /// [`Fatal::Damaged`].
    pub(in crate::engine) fn poll(&self) -> Result<(), Fatal> {
        match &self.workshop {
            Backend::Background(thread) => thread.damage().map_or(Ok(()), |what| Err(Fatal::Damaged(what))),
            Backend::Inline(_) => Ok(()),
        }
    }

    /// Makes one now; none if nothing is finished, or nothing new.
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
