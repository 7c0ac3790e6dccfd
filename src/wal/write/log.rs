//! The one writer: entries into an open batch, one write and one sync a batch, segment after segment.
//!
//! Left out: reading (`recover.rs`), and where segments come from (`segment_pool.rs`).

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
use crate::wal::read::anchor::Finished;
use crate::wal::read::recover::{LogEnd, Recovered};
use crate::wal::read::repair::Tail;
use crate::wal::write::committer::{Committer, InFlight};
use crate::wal::write::open_batch::OpenBatch;
use crate::wal::write::segment_pool::{Preparer, SegmentPool};
use crate::wal::write::segment_writer::{Segment, SegmentWriter, remove_dropped, remove_temporaries, remove_unnamed};
use crate::wal::{FORMAT_VERSION, LOGIC_VERSION, MAX_BATCH, Position, SegmentSizes, WalError};

/// Why an entry was not appended. Nothing has changed then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    /// The open batch is full: commit, and the entry will fit. (Also after an error: the commit then tells it.)
    #[error("the open batch is full")]
    Batch,
    /// The segment is used up, and there is no space for the next: refuse for now, it may come back by itself.
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
    /// What the first batch of this incarnation says about the log before it. Taken when that batch is durable.
    voucher: Option<Voucher>,
    supplier: SegmentPool,
    committer: Committer,
    /// The segment in use, and where its next batch goes. None before the first batch.
    current: Option<(Arc<Segment>, u64)>,
    /// The open batch: room for its header, then records.
    buffer: OpenBatch,
    pending: u32,
    /// The LSN that the next entry gets.
    next_lsn: Lsn,
    /// As of the last batch that was committed, be it only begun:
    batch_number: u64,
    end_lsn: Lsn,
    chain: Chain,
    bank_time: BankTime,
    /// The log's end after that batch, or before this life's first.
    end: LogEnd,
    /// The bytes of the batches since the place from which recovery read on.
    bytes: u64,
    /// What the log has moved on from, until somebody takes it.
    finished: Option<Finished>,
    /// Entries have become durable since the last batch without any.
    is_unsealed: bool,
    /// The first error, in words.
    latched: Option<String>,
}

impl Log {
    /// Begins the log of a new store in an existing directory. There is no manifest yet: until [`Log::publish`] the
    /// store does not exist. `random` is drawn for this incarnation.
    ///
    /// # Errors
    /// [`WalError::Misuse`] if the directory holds a log; otherwise what the system says, "no space" included.
    pub fn create(
        disk: Arc<dyn Disk>,
        dir: &Path,
        store: StoreId,
        sizes: SegmentSizes,
        random: u64,
        preparer: Preparer,
    ) -> Result<Self, WalError> {
        let maker = SegmentWriter::create(disk, dir, store)?;
        let mut supplier = SegmentPool::new(maker, VecDeque::new(), sizes, preparer)?;
        if !supplier.obtain()? {
            return Err(supplier.take_no_space().unwrap_or(WalError::Misuse("a log without space")));
        }
        let incarnation = Incarnation { counter: 1, random };
        Ok(Self::new(store, incarnation, None, (supplier, Committer::new(preparer)?), &LogEnd::default()))
    }

    /// Takes the next incarnation of a store whose log was read. The first batch goes to a fresh segment and says
    /// where the log before it ended; until then nothing that counts has changed. `random` is drawn for it.
    /// Without space for a segment the log starts all the same, and [`Log::has_room`] says so.
    ///
    /// # Errors
    /// What the system says.
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

    /// Takes the next incarnation of a store whose log is to be repaired: like [`Log::start`], but in a segment made
    /// for it, and the first batch makes void all that stands behind the good end, whatever it is.
    ///
    /// # Errors
    /// What the system says.
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
        let maker = SegmentWriter::resume(disk, dir, recovered.manifest)?;
        let mut supplier = SegmentPool::new(maker, ready, sizes, preparer)?;
        supplier.obtain()?;
        let (end, bytes) = (recovered.end, recovered.bytes);
        let incarnation = Incarnation { counter: end.incarnation.counter + 1, random };
        let voucher = Voucher { kind, end: end.position, batch_number: end.batch_number, chain: end.chain };
        Ok(Self { bytes, ..Self::new(recovered.store, incarnation, Some(voucher), (supplier, Committer::new(preparer)?), &end) })
    }

    fn new(
        store: StoreId,
        incarnation: Incarnation,
        voucher: Option<Voucher>,
        (supplier, committer): (SegmentPool, Committer),
        end: &LogEnd,
    ) -> Self {
        Self {
            store,
            incarnation,
            voucher,
            supplier,
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

    /// Creation's last step: writes the manifest, and with it every batch committed so far is a store.
    ///
    /// # Errors
    /// What the system says; [`WalError::Misuse`] before the first batch, or a second time.
    pub fn publish(&mut self) -> Result<(), WalError> {
        self.check()?;
        let published = match self.batch_number {
            0 => Err(WalError::Misuse("to publish a log without a batch")),
            _ => self.supplier.publish(),
        };
        published.map_err(|error| self.latch(error))
    }

    /// The log's last step: names its end in the manifest, durably, so that no later start takes less for all of it. With an
    /// open batch nothing is named. Nothing can be written afterwards.
    ///
    /// # Errors
    /// As [`Log::commit`].
    pub fn close(&mut self) -> Result<(), WalError> {
        self.check()?;
        self.committer.check()?;
        if self.pending == 0 && self.end.batch_number > 0 {
            let end = self.end;
            self.supplier.record_end(&end).map_err(|error| self.latch(error))?;
        }
        self.latch(WalError::Misuse("to go on with a log that was closed"));
        Ok(())
    }

    /// The LSN that the next appended entry gets.
    #[must_use]
    pub const fn next_lsn(&self) -> Lsn {
        self.next_lsn
    }

    /// The entries in the open batch.
    #[must_use]
    pub fn pending(&self) -> usize {
        to_len(u64::from(self.pending))
    }

    /// The chain head after the last batch that was committed.
    #[must_use]
    pub const fn chain(&self) -> Chain {
        self.chain
    }

    /// The LSN of the last entry that was committed, and so is durable once that commit has ended; 0 if there is none.
    #[must_use]
    pub const fn end_lsn(&self) -> Lsn {
        self.end_lsn
    }

    /// Which life of the daemon this is.
    #[must_use]
    pub const fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// What the log has moved on from, if that became more since the last call; to be asked after a commit has ended. The
    /// log's first batch in a segment is durable then, and so what stands in earlier ones can never change.
    pub const fn take_finished(&mut self) -> Option<Finished> {
        self.finished.take()
    }

    /// Whether a seal is due: entries became durable since the last one, a batch without entries that proves them to be so.
    /// None is due while there is no room for it.
    #[must_use]
    pub fn needs_seal(&self) -> bool {
        self.is_unsealed && self.has_room()
    }

    /// Whether another batch can be written, as far as is known: `false` while the segment is used up and the last attempt at
    /// the next one found no space. The attempts are those of [`Log::append`], [`Log::commit`] and [`Log::poll`]. After an
    /// error it is `true`, so that a commit is tried and returns it.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.latched.is_some() || BLOCK <= self.rest() || !self.supplier.lacks_space()
    }

    /// How many bytes of records the open batch may still take, as far as is known without asking for a segment.
    #[must_use]
    pub fn room(&self) -> usize {
        let largest = self.rest().max(self.supplier.next_capacity());
        to_len(largest).min(MAX_BATCH).saturating_sub(self.buffer.len())
    }

    /// Appends to the open batch the entry that `encode` writes, of 1 to [`crate::wal::MAX_ENTRY`] bytes, and gives its LSN.
    /// Allocates nothing.
    ///
    /// # Errors
    /// [`Full`]; the batch is then as before.
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

    /// Appends so many entries, one at least, to the record of the one before them, in the same open batch: `encode` writes
    /// what they do not share with it, so that the record has [`crate::wal::MAX_RECORD`] bytes at most. Gives the first one's LSN.
    /// Allocates nothing.
    ///
    /// # Errors
    /// [`Full`]; the batch is then as before.
    #[inline]
    pub fn join(&mut self, count: u16, encode: impl FnOnce(&mut Vec<u8>)) -> Result<Lsn, Full> {
        self.grow(count, |buffer| buffer.join(count, encode))
    }

    /// Makes the open batch durable: one write, one sync. Without entries it is a seal, which is left out while there
    /// is no space for it. `outcome_digest` is the running digest after the previous batch; a `bank_time` before the last
    /// batch's counts as that.
    ///
    /// # Errors
    /// Any error is final: it is not known what is on the disk, nobody may be answered, and every further call fails.
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

    /// Looks whether the thread that makes segments has one, or an error, without waiting; without a thread, whether there is
    /// space again. Worth a call whenever nothing else is to do; commits look by themselves.
    ///
    /// # Errors
    /// As [`Log::commit`].
    pub fn poll(&mut self) -> Result<(), WalError> {
        self.check()?;
        self.supplier.look().map_err(|error| self.latch(error))
    }

    /// The manifest stops naming the segments before `first`, for good. Only for what recovery never reads again: what lies
    /// wholly below the older of two checkpoints. The files are removed by whoever asks [`Log::take_dropped`].
    ///
    /// # Errors
    /// As [`Log::commit`]; with a thread that makes segments, at a later call.
    pub fn retain_from(&mut self, first: u64) -> Result<(), WalError> {
        self.check()?;
        let in_use = self.current.as_ref().map_or(0, |(segment, _)| segment.sequence);
        let dropped = if first > in_use { Err(WalError::Misuse("to drop the segment in use")) } else { self.supplier.retain(first) };
        dropped.map_err(|error| self.latch(error))
    }

    /// Before which segment all files may be removed, by [`crate::wal::remove_dropped`], if that became more since the last call.
    pub const fn take_dropped(&mut self) -> Option<u64> {
        self.supplier.take_dropped()
    }

    /// Appends so many entries in that way, which says whether it is possible.
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
            Ok(false) if self.supplier.lacks_space() => Full::NoSpace,
            Ok(false) => Full::Batch,
            Err(error) => {
                self.latch(error);
                Full::Batch
            }
        };
        self.buffer.back_to(before);
        Err(full)
    }

    /// `goes_on`: whoever asks has something else to do meanwhile.
    fn write(&mut self, bank_time: BankTime, outcome_digest: u64, goes_on: bool) -> Result<InFlight, WalError> {
        self.supplier.poll()?;
        let total = round_up(self.buffer.len());
        if !self.find_room(total)? {
            // Only a seal can meet this: entries were given room when they were appended.
            return if self.pending == 0 { Ok(InFlight::DURABLE) } else { Err(WalError::Misuse("a batch without room")) };
        }
        if to_u64(total) > self.rest() {
            self.current = self.supplier.ready.pop_front().map(|segment| (Arc::new(segment), BLOCK));
            if let Some((segment, _)) = &self.current {
                // Past the page cache: whoever reads it reads the device, and the copy would cost more than the sync.
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
            // Ahead of need: while this segment fills up.
            self.supplier.request();
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
            // A clock that went back is the caller's mistake, and would make the log unreadable.
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

    /// Whether a batch of `total` bytes can be written, in this segment or in the next, which is then ready.
    fn find_room(&mut self, total: usize) -> Result<bool, WalError> {
        if total > MAX_BATCH {
            return Ok(false);
        }
        if to_u64(total) <= self.rest() {
            return Ok(true);
        }
        Ok(to_u64(total) <= self.supplier.next_capacity() && self.supplier.obtain()?)
    }

    /// The bytes left in the current segment.
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

/// Whether the directory holds a store: its manifest is there.
///
/// # Errors
/// What the system says.
pub fn exists(disk: &dyn Disk, dir: &Path) -> Result<bool, WalError> {
    disk.exists(&dir.join(manifest::NAME)).map_err(WalError::io("look for", manifest::NAME))
}
