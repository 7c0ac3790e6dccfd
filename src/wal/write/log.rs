//! The log writer: collects entries in an open batch, and commits each batch with one write and one sync.
//!
//! Left out: reading (`recover.rs`), and the supply of segments (`segment_pool.rs`).

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;

use crate::env::Disk;
use crate::model::invariant::{to_len, to_u64};
use crate::model::types::{BankTime, Chain, Lsn, StoreId};
use crate::wal::format::batch::{BatchHeader, Incarnation, Voucher, VoucherKind};
use crate::wal::format::bytes::{BLOCK, is_zero, round_up};
use crate::wal::format::manifest;
use crate::wal::format::segment::file_name;
use crate::wal::log_end::LogEnd;
use crate::wal::read::anchor::Finished;
use crate::wal::read::recover::Recovered;
use crate::wal::read::repair::Tail;
use crate::wal::write::committer::{Committer, InFlight};
use crate::wal::write::open_batch::OpenBatch;
use crate::wal::write::segment_pool::{Preparer, SegmentPool};
use crate::wal::write::segment_writer::{Segment, SegmentWriter, remove_dropped, remove_temporaries, remove_unnamed};
use crate::wal::{FORMAT_VERSION, LOGIC_VERSION, MAX_BATCH, Position, SegmentSizes, WalError};

/// Why an entry was not appended. The open batch is unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    /// The open batch is full: the entry fits after a commit. Also returned once the log has failed; the commit then returns
    /// the error.
    #[error("the open batch is full")]
    Batch,
    /// The segment is full, and there is no space for the next one. Temporary: space may become available.
    #[error("there is no space for another segment of the log")]
    NoSpace,
}

/// The log of a store, open for writing. Invariants:
/// - a batch is written only after the sync of the one before it returned; synced bytes are never written again;
/// - between [`Log::begin_commit`] and [`Log::finish_commit`] the next batch may grow, and is not written;
/// - the open batch fits the current segment's rest, or else the next segment, which is ready then;
/// - after the first error nothing is ever written again.
pub struct Log {
    store: StoreId,
    incarnation: Incarnation,
    /// The voucher for this incarnation's first batch. `None` once that batch is written.
    voucher: Option<Voucher>,
    pool: SegmentPool,
    committer: Committer,
    /// The segment in use, and where its next batch goes. None before the first batch.
    current: Option<(Arc<Segment>, u64)>,
    /// The open batch.
    buffer: OpenBatch,
    pending: u32,
    /// The LSN of the next entry.
    next_lsn: Lsn,
    // The next four describe the last batch that was committed or whose commit has begun.
    batch_number: u64,
    end_lsn: Lsn,
    chain: Chain,
    bank_time: BankTime,
    /// The log's end after that batch; before this incarnation's first batch, the recovered end.
    end: LogEnd,
    /// The bytes of the batches since the position at which recovery started.
    bytes: u64,
    /// The newest finished part of the log, until [`Log::take_finished`] returns it.
    finished: Option<Finished>,
    /// Entries were committed since the last seal, a batch without entries.
    is_unsealed: bool,
    /// The text of the first error.
    latched: Option<String>,
}

impl Log {
    /// Creates the log of a new store in an existing directory. It has no manifest: the store does not exist until
    /// [`Log::publish`]. `random` is a fresh random number for this incarnation.
    ///
    /// # Errors
    /// [`WalError::Misuse`] if the directory holds a log; [`WalError::Io`], also for lack of space.
    pub fn create(
        disk: Arc<dyn Disk>,
        dir: &Path,
        store: StoreId,
        sizes: SegmentSizes,
        random: u64,
        preparer: Preparer,
    ) -> Result<Self, WalError> {
        let writer = SegmentWriter::create(disk, dir, store)?;
        let mut pool = SegmentPool::new(writer, VecDeque::new(), sizes, preparer)?;
        if !pool.obtain()? {
            return Err(pool.take_no_space().unwrap_or(WalError::Misuse("a log without space")));
        }
        let incarnation = Incarnation { counter: 1, random };
        Ok(Self::new(store, incarnation, None, (pool, Committer::new(preparer)?), &LogEnd::default()))
    }

    /// Starts the next incarnation on a recovered log. Its first batch goes to an untouched segment and records where the log
    /// before it ended; until then the log's contents are unchanged. `random` is a fresh random number for this incarnation.
    /// Without space for a segment the log starts, but [`Log::has_room`] returns false.
    ///
    /// # Errors
    /// [`WalError::Io`].
    pub fn start(
        disk: Arc<dyn Disk>,
        dir: &Path,
        recovered: Recovered,
        sizes: SegmentSizes,
        random: u64,
        preparer: Preparer,
    ) -> Result<Self, WalError> {
        Self::go_on(VoucherKind::Start, disk, dir, recovered, sizes, random, preparer)
    }

    /// Starts the next incarnation on a damaged log: like [`Log::start`], but always in a new segment, and its first batch makes
    /// void everything behind the good end.
    ///
    /// # Errors
    /// [`WalError::Io`].
    pub fn repair(disk: Arc<dyn Disk>, dir: &Path, tail: &Tail, sizes: SegmentSizes, random: u64) -> Result<Self, WalError> {
        Self::go_on(VoucherKind::Repair, disk, dir, tail.good_part(), sizes, random, Preparer::Inline)
    }

    fn go_on(
        kind: VoucherKind,
        disk: Arc<dyn Disk>,
        dir: &Path,
        recovered: Recovered,
        sizes: SegmentSizes,
        random: u64,
        preparer: Preparer,
    ) -> Result<Self, WalError> {
        remove_temporaries(disk.as_ref(), dir)?;
        remove_unnamed(disk.as_ref(), dir, &recovered.manifest)?;
        remove_dropped(disk.as_ref(), dir, recovered.manifest.first_retained);
        let mut ready = VecDeque::new();
        for (sequence, size) in recovered.spares {
            let name = file_name(sequence);
            let file = disk.open(&dir.join(&name)).map_err(WalError::io("open", name))?;
            ready.push_back(Segment { sequence, size, file });
        }
        let writer = SegmentWriter::resume(disk, dir, recovered.manifest)?;
        let mut pool = SegmentPool::new(writer, ready, sizes, preparer)?;
        pool.obtain()?;
        let (end, bytes) = (recovered.end, recovered.bytes);
        let incarnation = Incarnation { counter: end.incarnation.counter + 1, random };
        let voucher = Voucher { kind, end: end.position, batch_number: end.batch_number, chain: end.chain };
        Ok(Self { bytes, ..Self::new(recovered.store, incarnation, Some(voucher), (pool, Committer::new(preparer)?), &end) })
    }

    fn new(
        store: StoreId,
        incarnation: Incarnation,
        voucher: Option<Voucher>,
        (pool, committer): (SegmentPool, Committer),
        end: &LogEnd,
    ) -> Self {
        Self {
            store,
            incarnation,
            voucher,
            pool,
            committer,
            current: None,
            buffer: OpenBatch::new(),
            pending: 0,
            next_lsn: end.next_lsn,
            batch_number: end.batch_number,
            end_lsn: Lsn(end.next_lsn.0.saturating_sub(1)),
            chain: end.chain,
            bank_time: end.bank_time,
            end: *end,
            bytes: 0,
            finished: None,
            is_unsealed: false,
            latched: None,
        }
    }

    /// The last step of creation: writes the manifest. From then on the store exists.
    ///
    /// # Errors
    /// [`WalError::Io`]; [`WalError::Misuse`] before the first batch or on a second call.
    pub fn publish(&mut self) -> Result<(), WalError> {
        self.check()?;
        let published = match self.batch_number {
            0 => Err(WalError::Misuse("to publish a log without a batch")),
            _ => self.pool.publish(),
        };
        published.map_err(|error| self.latch(error))
    }

    /// Closes the log: records its end durably in the manifest, so that a later start detects a lost tail. With entries in the
    /// open batch nothing is recorded. Every later call fails.
    ///
    /// # Errors
    /// As [`Log::commit`].
    pub fn close(&mut self) -> Result<(), WalError> {
        self.check()?;
        self.committer.check()?;
        if self.pending == 0 && self.end.batch_number > 0 {
            let end = self.end;
            self.pool.record_end(&end).map_err(|error| self.latch(error))?;
        }
        self.latch(WalError::Misuse("to go on with a log that was closed"));
        Ok(())
    }

    /// The LSN of the next entry to be appended.
    #[must_use]
    pub const fn next_lsn(&self) -> Lsn {
        self.next_lsn
    }

    /// The number of entries in the open batch.
    #[must_use]
    pub fn pending(&self) -> usize {
        to_len(u64::from(self.pending))
    }

    /// The chain head after the last batch that was committed or whose commit has begun.
    #[must_use]
    pub const fn chain(&self) -> Chain {
        self.chain
    }

    /// The LSN of the last committed entry; 0 if there is none. While its commit is in flight, the entry is not yet durable.
    #[must_use]
    pub const fn end_lsn(&self) -> Lsn {
        self.end_lsn
    }

    /// The log's end after that batch.
    #[must_use]
    pub const fn end(&self) -> LogEnd {
        self.end
    }

    /// This run of the daemon on the store.
    #[must_use]
    pub const fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// The finished part of the log, if it grew since the last call. Call it when no commit is in flight: then the first batch
    /// of the current segment is durable, and earlier segments can never change.
    pub const fn take_finished(&mut self) -> Option<Finished> {
        self.finished.take()
    }

    /// Whether a seal is due. A seal is a batch without entries, which proves the entries before it durable. One is due when
    /// entries were committed since the last seal and there is room for it.
    #[must_use]
    pub fn needs_seal(&self) -> bool {
        self.is_unsealed && self.has_room()
    }

    /// Whether another batch can be written: false while the segment is full and the last attempt to create the next one found
    /// no space. [`Log::append`], [`Log::commit`] and [`Log::poll`] make attempts. After an error it is true, so that the
    /// caller commits and receives the error.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.latched.is_some() || BLOCK <= self.rest() || !self.pool.lacks_space()
    }

    /// The bytes of records that still fit into the open batch. An estimate: does not request a segment.
    #[must_use]
    pub fn room(&self) -> usize {
        let largest = self.rest().max(self.pool.next_capacity());
        to_len(largest).min(MAX_BATCH).saturating_sub(self.buffer.len())
    }

    /// Appends to the open batch the entry that `encode` writes, of 1 to [`crate::wal::MAX_ENTRY`] bytes. Returns its LSN.
    /// Allocates nothing.
    ///
    /// # Errors
    /// [`Full`]; the batch is then unchanged.
    #[inline]
    pub fn append(&mut self, encode: impl FnOnce(&mut Vec<u8>)) -> Result<Lsn, Full> {
        self.grow(1, |buffer| buffer.push(encode))
    }

    /// [`Log::append`] for an entry of a kind that only [`crate::wal::NEW_KINDS_VERSION`] knows.
    ///
    /// # Errors
    /// As [`Log::append`].
    pub fn append_new_kind(&mut self, encode: impl FnOnce(&mut Vec<u8>)) -> Result<Lsn, Full> {
        self.grow(1, |buffer| buffer.push_new_kind(encode))
    }

    /// Appends `count` entries, at least one, to the last record of the open batch. `encode` writes the bytes that they do not
    /// share with it; the record may then have at most [`crate::wal::MAX_RECORD`] bytes. Returns the LSN of the first of them.
    /// Allocates nothing.
    ///
    /// # Errors
    /// [`Full`]; the batch is then unchanged.
    #[inline]
    pub fn join(&mut self, count: u16, encode: impl FnOnce(&mut Vec<u8>)) -> Result<Lsn, Full> {
        self.grow(count, |buffer| buffer.join(count, encode))
    }

    /// Makes the open batch durable: one write, one sync. A batch without entries is a seal, which is skipped while there is no
    /// space for it. `outcome_digest` is the running digest after the previous batch. A `bank_time` before that of the previous
    /// batch is raised to it.
    ///
    /// # Errors
    /// Any error is final: the state of the disk is unknown, no request of the batch may be acknowledged, and every further call
    /// fails.
    pub fn commit(&mut self, bank_time: BankTime, outcome_digest: u64) -> Result<(), WalError> {
        self.check()?;
        let commit = self.write(bank_time, outcome_digest, false).map_err(|error| self.latch(error))?;
        self.finish_commit(commit)
    }

    /// Begins [`Log::commit`]: a large batch is written by a thread. [`Log::finish_commit`] must come before the next commit.
    /// Until then [`Log::end_lsn`] and [`Log::chain`] include the batch, and nothing that depends on it may leave.
    ///
    /// # Errors
    /// As [`Log::commit`].
    pub fn begin_commit(&mut self, bank_time: BankTime, outcome_digest: u64) -> Result<InFlight, WalError> {
        self.check()?;
        self.write(bank_time, outcome_digest, true).map_err(|error| self.latch(error))
    }

    /// Waits until the commit's batch is durable.
    ///
    /// # Errors
    /// As [`Log::commit`].
    pub fn finish_commit(&mut self, commit: InFlight) -> Result<(), WalError> {
        if commit.is_durable() {
            return Ok(());
        }
        self.check()?;
        self.committer.finish(commit).map_err(|error| self.latch(error))
    }

    /// Receives segments and errors from the background thread without blocking; without a thread, checks whether there is space
    /// again. Call it when idle; commits poll the thread themselves.
    ///
    /// # Errors
    /// As [`Log::commit`].
    pub fn poll(&mut self) -> Result<(), WalError> {
        self.check()?;
        self.pool.look().map_err(|error| self.latch(error))
    }

    /// Removes the segments before `first` from the manifest, for good. Only for segments that recovery never reads again: those
    /// wholly below the older of two checkpoints. The caller removes the files, see [`Log::take_dropped`].
    ///
    /// # Errors
    /// As [`Log::commit`]; with a background thread, from a later call.
    pub fn retain_from(&mut self, first: u64) -> Result<(), WalError> {
        self.check()?;
        let in_use = self.current.as_ref().map_or(0, |(segment, _)| segment.sequence);
        let dropped = if first > in_use { Err(WalError::Misuse("to drop the segment in use")) } else { self.pool.retain(first) };
        dropped.map_err(|error| self.latch(error))
    }

    /// The segment before which [`crate::wal::remove_dropped`] may remove all files, if that changed since the last call.
    pub const fn take_dropped(&mut self) -> Option<u64> {
        self.pool.take_dropped()
    }

    /// Appends `count` entries with `put`, which returns false if they are invalid.
    #[inline]
    fn grow(&mut self, count: u16, put: impl FnOnce(&mut OpenBatch) -> bool) -> Result<Lsn, Full> {
        if self.latched.is_some() {
            return Err(Full::Batch);
        }
        let before = self.buffer.mark();
        if !put(&mut self.buffer) {
            self.buffer.back_to(before);
            self.latch(WalError::Misuse("an entry that is empty or too long"));
            return Err(Full::Batch);
        }
        let full = match self.find_room(round_up(self.buffer.len())) {
            Ok(true) => {
                let lsn = self.next_lsn;
                self.next_lsn = Lsn(lsn.0 + u64::from(count));
                self.pending += u32::from(count);
                return Ok(lsn);
            }
            Ok(false) if self.pool.lacks_space() => Full::NoSpace,
            Ok(false) => Full::Batch,
            Err(error) => {
                self.latch(error);
                Full::Batch
            }
        };
        self.buffer.back_to(before);
        Err(full)
    }

    /// `goes_on`: the caller has other work meanwhile, so a large batch goes to the thread.
    fn write(&mut self, bank_time: BankTime, outcome_digest: u64, goes_on: bool) -> Result<InFlight, WalError> {
        self.pool.poll()?;
        let total = round_up(self.buffer.len());
        if !self.find_room(total)? {
            // Only a seal can meet this: entries were given room when they were appended.
            return if self.pending == 0 { Ok(InFlight::DURABLE) } else { Err(WalError::Misuse("a batch without room")) };
        }
        if to_u64(total) > self.rest() {
            self.current = self.pool.ready.pop_front().map(|segment| (Arc::new(segment), BLOCK));
            if let Some((segment, _)) = &self.current {
                // Direct I/O: recovery reads the device, and the copy to the page cache would cost more than the sync.
                segment.file.set_direct(true).map_err(|source| WalError::Io {
                    call: "set the flags of",
                    file: file_name(segment.sequence),
                    source,
                })?;
            }
        }
        let Some((segment, offset)) = &mut self.current else {
            return Err(WalError::Misuse("a batch without a segment"));
        };
        if *offset == BLOCK {
            // Request the next segment while this one fills.
            self.pool.request();
        }
        let mut header = BatchHeader {
            format_version: FORMAT_VERSION,
            store: self.store,
            logic_version: LOGIC_VERSION,
            incarnation: self.incarnation,
            number: self.batch_number + 1,
            outcome_digest,
            first_lsn: self.end_lsn.next(),
            count: self.pending,
            payload_len: 0,
            // A clock that goes back is the caller's mistake, and would make the log unreadable.
            bank_time: bank_time.max(self.bank_time),
            chain_before: self.chain,
            chain_after: self.chain,
            voucher: self.voucher,
        };
        self.buffer.finish(&mut header);
        if self.buffer.bytes().chunks(crate::wal::format::bytes::SECTOR).any(is_zero) {
            return Err(WalError::Misuse("a batch with a sector of zeros"));
        }
        let commit = if goes_on {
            self.committer.begin(segment, *offset, &mut self.buffer, self.pending)?
        } else {
            self.committer.write_now(segment, *offset, &mut self.buffer)?;
            InFlight::DURABLE
        };
        if *offset == BLOCK && self.end.batch_number > 0 {
            self.finished = Some(Finished { end: self.end, outcome_digest, bytes: self.bytes });
        }
        *offset += to_u64(total);
        self.end = LogEnd {
            position: Position { segment: segment.sequence, offset: *offset },
            batch_number: header.number,
            chain: header.chain_after,
            next_lsn: self.next_lsn,
            bank_time: header.bank_time,
            incarnation: self.incarnation,
        };
        self.bytes += to_u64(total);
        self.voucher = None;
        self.batch_number = header.number;
        self.end_lsn = Lsn(self.next_lsn.0.saturating_sub(1));
        self.chain = header.chain_after;
        self.bank_time = header.bank_time;
        self.is_unsealed = self.pending > 0;
        self.pending = 0;
        Ok(commit)
    }

    /// Whether a batch of `total` bytes fits into this segment or into the next one, which is then ready.
    fn find_room(&mut self, total: usize) -> Result<bool, WalError> {
        if total > MAX_BATCH {
            return Ok(false);
        }
        if to_u64(total) <= self.rest() {
            return Ok(true);
        }
        Ok(to_u64(total) <= self.pool.next_capacity() && self.pool.obtain()?)
    }

    /// The free bytes of the current segment.
    fn rest(&self) -> u64 {
        self.current.as_ref().map_or(0, |(segment, offset)| segment.size.saturating_sub(*offset))
    }

    fn check(&self) -> Result<(), WalError> {
        self.latched.as_ref().map_or(Ok(()), |first| Err(WalError::Latched(first.clone())))
    }

    fn latch(&mut self, error: WalError) -> WalError {
        self.latched.get_or_insert_with(|| error.to_string());
        error
    }
}

/// Whether the directory holds a store, which is to say a manifest.
///
/// # Errors
/// [`WalError::Io`].
pub fn exists(disk: &dyn Disk, dir: &Path) -> Result<bool, WalError> {
    disk.exists(&dir.join(manifest::NAME)).map_err(WalError::io("look for", manifest::NAME))
}
