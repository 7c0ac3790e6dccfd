//! The thread that makes checkpoints and compresses segments while the daemon serves, and the rule for when a
//! checkpoint is due.
//!
//! One channel sends it the finished parts of the log, another returns its findings: no request ever waits for it. An
//! error is logged, and retried when the next segment is finished; only damage to what the log had made durable ends
//! the daemon.
//! Left out: making one (`maker.rs`), compressing (`maintenance.rs`).

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};

use super::maker::{CheckpointError, CheckpointMaker, Made};
use crate::env::os;
use crate::env::worker::Worker;
use crate::wal::Finished;

/// The rule for when a checkpoint is due: the log behind the last one has as many bytes as the largest segment, and as
/// its image.
///
/// So a start reads at most about two images and two segments, and writing images costs the disk no more than the log
/// does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) struct Base {
    /// The bytes of log that the last checkpoint covers, as [`Finished::bytes`] counts.
    pub(in crate::engine) covered: u64,
    /// The length of its image in bytes.
    pub(in crate::engine) image_bytes: u64,
    /// The largest size of the store's segments, in bytes.
    pub(in crate::engine) segment_max: u64,
}

impl Base {
    fn is_due(&self, finished: &Finished) -> bool {
        finished.bytes.saturating_sub(self.covered) >= self.segment_max.max(self.image_bytes)
    }
}

type Answer = Result<Option<Made>, CheckpointError>;

enum Request {
    /// The log has finished a segment.
    Finished(Finished),
    /// Remove the files of the segments before this one.
    Dropped(u64),
    /// Make one now, and answer.
    Now(Finished, Sender<Answer>),
}

/// The thread. When dropped, it ends within a few milliseconds, even in the middle of its work.
pub(in crate::engine) struct Thread {
    worker: Worker<Sender<Request>>,
    /// The damage that must end the daemon.
    damage: Receiver<String>,
}

impl Thread {
    /// Starts it.
    ///
    /// # Errors
    /// The system's error.
    pub(in crate::engine) fn spawn(maker: CheckpointMaker, base: Base) -> std::io::Result<Self> {
        let (requests, inbox) = mpsc::channel();
        let (outbox, damage) = mpsc::channel();
        let cancelled = Arc::clone(&maker.cancelled);
        let worker = Worker::spawn("checkpoints", requests, cancelled, move || serve(&maker, base, &inbox, &outbox))?;
        Ok(Self { worker, damage })
    }

    /// Sends it the finished part of the log. Never blocks.
    pub(in crate::engine) fn tell(&self, finished: Finished) {
        if let Some(requests) = self.worker.requests() {
            // If the thread has ended, it has found damage, which the next poll returns.
            let _ = requests.send(Request::Finished(finished));
        }
    }

    /// Asks it to remove the files of the segments before `first`. Never blocks.
    pub(in crate::engine) fn remove_dropped(&self, first: u64) {
        if let Some(requests) = self.worker.requests() {
            let _ = requests.send(Request::Dropped(first));
        }
    }

    /// Asks for one now and waits for it.
    pub(in crate::engine) fn make(&self, finished: Finished) -> Answer {
        let (answer, receiver) = mpsc::channel();
        let sent = self.worker.requests().is_some_and(|requests| requests.send(Request::Now(finished, answer)).is_ok());
        if sent { receiver.recv().unwrap_or(Err(CheckpointError::Cancelled)) } else { Err(CheckpointError::Cancelled) }
    }

    /// The damage that it has found, if any. Never blocks.
    pub(in crate::engine) fn damage(&self) -> Option<String> {
        match self.damage.try_recv() {
            Ok(what) => Some(what),
            Err(mpsc::TryRecvError::Empty) => None,
            Err(mpsc::TryRecvError::Disconnected) => Some("the thread that makes checkpoints has ended".to_owned()),
        }
    }
}

fn serve(maker: &CheckpointMaker, mut base: Base, inbox: &Receiver<Request>, damage: &Sender<String>) {
    // The event loop goes first.
    os::lower_thread_priority();
    let mut behind = None;
    while let Some(mut request) = behind.take().or_else(|| inbox.recv().ok()) {
        // Skip to the newest one, unless it wants an answer.
        while matches!(request, Request::Finished(_)) {
            let Ok(newer) = inbox.try_recv() else { break };
            if matches!(newer, Request::Dropped(_)) {
                behind = Some(newer);
                break;
            }
            request = newer;
        }
        let (finished, asker) = match request {
            Request::Finished(finished) => (finished, None),
            Request::Now(finished, asker) => (finished, Some(asker)),
            Request::Dropped(first) => {
                maker.upkeep().remove_dropped(first);
                continue;
            }
        };
        if asker.is_none() && !base.is_due(&finished) {
            compress(maker, &finished);
            continue;
        }
        log::debug!("making a checkpoint of what the log has finished, up to batch {}", finished.end.batch_number);
        let made = maker.make(&finished);
        match &made {
            Ok(Some(made)) => {
                log::info!("checkpoint at entry {}: {} bytes, after {} more entries", made.lsn, made.image_bytes, made.entries);
                base.image_bytes = made.image_bytes;
                base.covered = finished.bytes;
            }
            Ok(None) => base.covered = finished.bytes,
            Err(CheckpointError::Cancelled) => return,
            Err(CheckpointError::Damaged(what)) => {
                let _ = damage.send(what.clone());
            }
            Err(error) if error.is_no_space() => log::warn!("no checkpoint for now, for lack of space: {error}"),
            Err(error) => log::error!("no checkpoint for now: {error}; trying again when the next segment is finished"),
        }
        let is_over = matches!(made, Err(CheckpointError::Damaged(_)));
        if let Some(asker) = asker {
            let _ = asker.send(made);
        }
        if is_over {
            return;
        }
        compress(maker, &finished);
    }
}

/// Compresses the finished segments. Segments that stay uncompressed are as good.
fn compress(maker: &CheckpointMaker, finished: &Finished) {
    match maker.compress(finished) {
        Ok(_) => {}
        Err(error) if error.is_no_space() => log::warn!("finished segments stay uncompressed for now, for lack of space: {error}"),
        Err(error) => log::error!("finished segments stay uncompressed for now: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wal::LogEnd;

    #[test]
    fn one_is_due_after_a_segment_and_after_an_image() {
        let due = |covered, image_bytes, bytes| {
            let finished = Finished { end: LogEnd::default(), outcome_digest: 0, bytes };
            Base { covered, image_bytes, segment_max: 100 }.is_due(&finished)
        };
        assert!(!due(0, 0, 99) && due(0, 0, 100));
        assert!(!due(50, 0, 149) && due(50, 0, 150));
        assert!(!due(50, 300, 349) && due(50, 300, 350));
    }
}
