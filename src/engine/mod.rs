//! The engine joins log and bank: **log, then apply, then reply**. No state of the bank is sent before the disk has it.
//!
//! A turn goes: [`Engine::submit`] and its variants put entries into the open batch, in order of arrival;
//! [`Engine::begin_commit`] writes it to the disk, once; [`Engine::apply_next`] applies its entries one after the
//! other, so that the caller can answer every other request of the turn in order between two of them;
//! [`Engine::finish_commit`] confirms that the batch is durable, and the answers may be sent.
//! Left out: connections and replies (`server/`), bytes of the log (`wal/`), rules of the bank (`bank/`).
#![doc = include_str!("example.md")]

mod batch_entries;
mod checkpoint;
mod clock;
mod copy;
mod create;
mod error;
mod filesystem_check;
mod inspect;
mod key_file;
mod maintenance;
mod new_lineage;
mod open;
mod ordered_log;
mod progress;
mod repair;
mod replay;
mod snapshot;
mod staging;
mod start_entry;
mod statements;
mod store_dir;

pub use checkpoint::{CheckpointError, Made};
pub use clock::BankClock;
pub use create::{Created, NewRecord, NewStore, create};
pub use error::{Fatal, StoreError};
pub use filesystem_check::refuse_place;
pub use inspect::explain::{Acknowledged, Ending, Executed, Explanation, Opened, Place, explain};
pub use inspect::history::{History, Moment, look, replay};
pub use inspect::verify::{Contradiction, Evidence, Verified, verify};
pub use maintenance::Keeping;
pub use open::open;
pub use ordered_log::{LocalLog, OrderedLog, ReadBatch, Standing};
pub use progress::{NoProgress, Progress, ProgressSink, Reading};
pub use repair::mend::{Mend, Remedy, find_remedy};
pub use repair::{DroppedRequest, Repair, Repaired};
pub use snapshot::{Snapshot, snapshot};
pub use staging::Admission;
pub use statements::{IndexError, Indexed, Movement, MovementKind, Movements, Query, Unavailable, index};
pub use store_dir::{HeldDir, StoreEnv};

use crate::bank::auth::credential::{Key, Party};
use crate::bank::{self, Applied, Bank, Room};
use crate::model::command::Command;
use crate::model::entry::{Action, Entry, JOINED_BYTES, Origin, Requests, Setting, Tag};
use crate::model::secret::Secret;
use crate::model::types::{BankTime, Epoch, Lsn, Owner, RequestNumber, StoreId};
use crate::wal::{Full, MAX_RECORD};
use crate::wire::message::Receipt;

use crate::model::invariant::{held, to_len};
use batch_entries::{BatchEntries, Next};
use checkpoint::Checkpoints;
use staging::Staging;
use statements::{Notes, Statements};

const _: () = assert!(JOINED_BYTES <= MAX_RECORD, "what may share a record fits one");

/// A running store: the bank in memory, and the log that it is rebuilt from.
///
/// Invariants: outside the answering phase (from [`Engine::begin_commit`] until the last [`Engine::apply_next`]) the
/// bank has applied exactly what was committed; nothing is submitted during the answering phase; an entry is applied
/// once, in log order. While a commit is in flight, its batch is not known to be durable: no state of the bank may be
/// sent before [`Engine::finish_commit`], which comes before the next batch is written.
pub struct Engine<L = LocalLog> {
    bank: Bank,
    log: L,
    key: Key,
    clock: BankClock,
    store: StoreId,
    entropy: std::sync::Arc<dyn crate::env::Entropy>,
    /// The open batch's entries; in the answering phase, the committed batch's.
    batch: BatchEntries,
    batch_time: BankTime,
    staged: Staging,
    /// This start's epoch, until its entry is logged, which comes before the start's first other entry.
    start: Option<Epoch>,
    checkpoints: Checkpoints,
    /// None without background threads.
    statements: Option<Statements>,
    held_dir: Option<HeldDir>,
    /// Held until the engine is dropped.
    _lock: Box<dyn Send>,
}

impl<L: OrderedLog> Engine<L> {
    /// The applied state. Only this may be shown to a client, and not while a commit is in flight.
    #[must_use]
    pub const fn bank(&self) -> &Bank {
        &self.bank
    }

    /// The store's id.
    #[must_use]
    pub const fn store(&self) -> StoreId {
        self.store
    }

    /// The store's directory, held open; none if its name cannot change.
    #[must_use]
    pub fn held_dir(&self) -> Option<HeldDir> {
        self.held_dir.clone()
    }

    /// The bank time now.
    #[must_use]
    pub fn now(&self) -> BankTime {
        self.clock.now()
    }

    /// Evidence of the log's durable history.
    #[must_use]
    pub fn receipt(&self) -> Receipt {
        let log = self.log.local();
        Receipt { chain: log.chain(), lsn: log.end_lsn() }
    }

    /// Whether the log can take entries: false while the disk is known to have no room for the next segment.
    /// [`Engine::submit`] and its variants, and [`Engine::commit`] without entries, check again.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.log.local().has_room()
    }

    /// Entries in the open batch.
    #[must_use]
    pub const fn pending(&self) -> usize {
        self.batch.len()
    }

    /// Whether about `count` more requests fit the open batch.
    #[must_use]
    pub fn has_batch_room(&self, count: usize) -> bool {
        // A transfer's record takes 60 bytes.
        self.log.local().room() / 64 >= count
    }

    /// Puts an entry that belongs to no session into the open batch.
    ///
    /// # Errors
    /// [`Full`]: nothing was put.
    pub fn submit(&mut self, owner: Owner, action: Action) -> Result<Lsn, Full> {
        self.push(Entry { owner, origin: Origin::None, action })
    }

    /// The next new number of `owner`'s session, by the applied state plus the open batch; none if there is no such
    /// session.
    #[must_use]
    pub fn next_number(&self, owner: Owner, session: Lsn) -> Option<RequestNumber> {
        self.staged.next_number(&self.bank, owner, session)
    }

    /// Judges a numbered command by the applied state plus the open batch, and puts it into the batch if it is new.
    /// Only the next number is new; every other command is decided in order, after apply.
    ///
    /// # Errors
    /// [`Full`]: it is new, but nothing was put.
    pub fn submit_request(
        &mut self,
        owner: Owner,
        session: Lsn,
        number: RequestNumber,
        acked_below: RequestNumber,
        command: Command,
    ) -> Result<Admission, Full> {
        let requests = Requests { owner, session, first: number, acked_below };
        Ok(match self.put_requests(requests, &[command])? {
            0 => Admission::Listed,
            _ => Admission::Logged,
        })
    }

    /// Judges commands of consecutive numbers as [`Engine::submit_request`] does, up to the first that is not put into
    /// the open batch. Returns how many were put; [`Engine::submit_request`] of the next one returns why it was not.
    pub fn submit_requests(&mut self, mut requests: Requests, commands: &[Command]) -> usize {
        let mut done = 0;
        while let Some(rest) = commands.get(done..).filter(|rest| !rest.is_empty()) {
            let put = match self.put_requests(requests, rest) {
                // Fewer may fit.
                Err(_) if rest.len() > 1 => self.put_requests(requests, held(rest.get(..1), "there is one at least")),
                put => put,
            };
            let Ok(count) = put else { break };
            done += count;
            match requests.after(count) {
                Some(next) if count > 0 => requests = next,
                _ => break,
            }
        }
        done
    }

    /// Puts as many of these requests into the open batch as fit one record, if the first is new. Returns how many.
    fn put_requests(&mut self, requests: Requests, commands: &[Command]) -> Result<usize, Full> {
        assert!(!self.batch.is_begun(), "nothing is submitted during a walk");
        let Some((first, _)) = commands.split_first() else { return Ok(0) };
        if let Some(left) = self.staged.goes_on(&requests) {
            let commands = commands.get(..left).unwrap_or(commands);
            let count = u16::try_from(commands.len()).map_err(|_| Full::Batch)?;
            self.log.local_mut().join(count, |out| commands.iter().for_each(|command| command.encode_into(out)))?;
            self.staged.went_on(count);
            self.batch.join(commands);
            return Ok(commands.len());
        }
        let Requests { owner, session, first: number, acked_below } = requests;
        let Some(room) = self.staged.room_behind(&self.bank, owner, session, number, acked_below) else { return Ok(0) };
        self.put_start()?;
        self.log.local_mut().append(|out| requests.entry(*first).encode_into(out))?;
        self.staged.ended();
        self.staged.began(&requests, room);
        self.batch.push_requests(requests, std::slice::from_ref(first));
        Ok(1)
    }

    /// Judges a cancellation like a command, and puts it into the open batch if its number is the next one.
    ///
    /// # Errors
    /// [`Full`]: it is new, but nothing was put.
    pub fn submit_cancel(
        &mut self,
        owner: Owner,
        session: Lsn,
        number: RequestNumber,
        acked_below: RequestNumber,
    ) -> Result<Admission, Full> {
        if self.staged.room_behind(&self.bank, owner, session, number, acked_below).is_none() {
            return Ok(Admission::Listed);
        }
        self.push(Entry { owner, origin: Origin::Session { session, number, acked_below }, action: Action::Cancel })?;
        self.staged.took(session, number, acked_below);
        Ok(Admission::Logged)
    }

    /// Puts an acknowledgement into the open batch, if it is new and possible.
    ///
    /// # Errors
    /// [`Full`]: nothing was put.
    pub fn submit_ack(&mut self, owner: Owner, session: Lsn, acked_below: RequestNumber) -> Result<Admission, Full> {
        if !self.staged.is_useful_ack(&self.bank, owner, session, acked_below) {
            return Ok(Admission::Listed);
        }
        let origin = Origin::Session { session, number: RequestNumber(0), acked_below };
        self.push(Entry { owner, origin, action: Action::Ack })?;
        self.staged.acked(session, acked_below);
        Ok(Admission::Logged)
    }

    /// Puts the closing of a session into the open batch, if the session exists and `owner` is its owner or the
    /// operator.
    ///
    /// # Errors
    /// [`Full`]: nothing was put.
    pub fn submit_close(&mut self, owner: Owner, session: Lsn) -> Result<Admission, Full> {
        if !self.staged.may_close(&self.bank, owner, session) {
            return Ok(Admission::Listed);
        }
        let origin = Origin::Session { session, number: RequestNumber(0), acked_below: RequestNumber(0) };
        self.push(Entry { owner, origin, action: Action::CloseSession })?;
        self.staged.closed(session);
        Ok(Admission::Logged)
    }

    /// Puts the opening of a session into the open batch, with the session to evict if a limit is reached. `in_use`
    /// returns whether a session has a live connection. [`Admission::Listed`]: there is no room for one more.
    ///
    /// # Errors
    /// [`Full`]: nothing was put; [`Full::Batch`] also if openings in this batch must be applied first.
    pub fn submit_open(&mut self, owner: Owner, in_use: &dyn Fn(Lsn) -> bool) -> Result<Admission, Full> {
        let cap = match owner {
            Owner::Teller(_) => Setting::SessionsPerTeller,
            _ => Setting::SessionsPerCustomer,
        };
        let (cap, total) = (self.bank.setting(cap), self.bank.setting(Setting::SessionsInAll));
        let opening = self.staged.opening();
        let fits = |held: usize, cap: u64| u64::try_from(held.saturating_add(opening)).is_ok_and(|held| held < cap);
        let own = to_len(self.bank.session_count_of(owner).into());
        let evicted = if fits(own, cap) && fits(self.bank.session_count(), total) {
            None
        } else if opening > 0 {
            return Err(Full::Batch);
        } else {
            let staged = &self.staged;
            match self.bank.room_for_session(owner, &mut |session| in_use(session) || staged.touches(session)) {
                Room::Free => None,
                Room::Evict(victim) => Some(victim),
                Room::None => return Ok(Admission::Listed),
            }
        };
        self.push(Entry { owner, origin: Origin::None, action: Action::OpenSession { evicted } })?;
        self.staged.opened(evicted);
        Ok(Admission::Logged)
    }

    /// Puts a login attempt into the open batch. Returns the owner of that name; an unknown name costs the same time
    /// and looks the same.
    ///
    /// # Errors
    /// [`Full`]: nothing was put.
    pub fn submit_login(&mut self, party: Party, name: &str, secret: &Secret) -> Result<Owner, Full> {
        let (owner, known) = match party {
            Party::Customer => match self.bank.find_account(name) {
                Some(id) => (Owner::Customer(id), self.bank.account_tag(id)),
                None => (Owner::Nobody, None),
            },
            Party::Teller => match self.bank.find_teller(name) {
                Some(id) => (Owner::Teller(id), self.bank.teller_tag(id)),
                None => (Owner::Nobody, None),
            },
        };
        let tag = self.key.attempt(party, name, known, secret);
        self.submit(owner, Action::LoginAttempt(Box::new(tag)))?;
        Ok(owner)
    }

    /// A tag of a new PIN or token, with the store's key and a fresh salt.
    ///
    /// # Errors
    /// [`Fatal::Entropy`] if the system has no random numbers.
    pub fn new_tag(&self, party: Party, name: &str, secret: &Secret) -> Result<Tag, Fatal> {
        key_file::new_tag(&self.key, &*self.entropy, party, name, secret).map_err(Fatal::Entropy)
    }

    /// Writes the open batch and syncs it: afterwards it is durable, and must be applied. Without entries it only
    /// checks whether the log has failed.
    ///
    /// # Errors
    /// [`Fatal`]: the process must end without sending an answer.
    pub fn commit(&mut self) -> Result<(), Fatal> {
        let commit = self.begin_commit()?;
        self.finish_commit(commit)
    }

    /// Begins [`Engine::commit`]: the batch must be applied, and may still be in flight if it is large. Nothing that
    /// depends on it may be sent before [`Engine::finish_commit`], which must come before the next commit.
    ///
    /// # Errors
    /// As [`Engine::commit`].
    pub fn begin_commit(&mut self) -> Result<L::InFlight, Fatal> {
        if self.batch.is_begun() {
            return Err(Fatal::Broken("the last batch was not applied to its end before the next commit"));
        }
        self.checkpoints.poll()?;
        if self.batch.is_empty() {
            // A log that has failed takes no entries; this call returns its error.
            self.log.local_mut().poll()?;
            return Ok(L::NOTHING);
        }
        self.batch_time = self.clock.now();
        let commit = self.log.begin_commit(self.batch_time, self.bank.outcome_digest())?;
        self.apply_start()?;
        Ok(commit)
    }

    /// Waits until the commit's batch is durable: from then on answers that depend on it may be sent.
    ///
    /// # Errors
    /// As [`Engine::commit`]; [`Fatal::Deposed`] if another daemon appends now.
    pub fn finish_commit(&mut self, commit: L::InFlight) -> Result<(), Fatal> {
        if self.log.finish_commit(commit)? == Standing::Deposed {
            return Err(Fatal::Deposed);
        }
        if let Some(statements) = &mut self.statements {
            statements.moved_on(&self.log.local().end());
        }
        if let Some(finished) = self.log.local_mut().take_finished() {
            self.checkpoints.moved_on(finished, self.bank.account_count());
        }
        if let Some(first) = self.checkpoints.take_droppable() {
            self.log.local_mut().retain_from(first)?;
        }
        if let Some(first) = self.log.local_mut().take_dropped() {
            self.checkpoints.remove_dropped(first);
        }
        Ok(())
    }

    /// Applies the next entry of the committed batch.
    ///
    /// # Errors
    /// [`Fatal`] if there is no entry, or if it is one that admission never lets through: a bug.
    pub fn apply_next(&mut self) -> Result<(Lsn, Applied), Fatal> {
        let lsn = self.bank.applied().next();
        let mut told = None;
        if let Next::Entry(entry) = self.batch.next(1) {
            let applied = bank::apply(&mut self.bank, lsn, entry, self.batch_time)?;
            self.statements.iter_mut().for_each(|statements| statements.notes().see(lsn, &applied));
            told = Some(applied);
            self.applied(1)?;
        } else {
            self.apply_requests(1, |applied| told = Some(applied))?;
        }
        told.map(|applied| (lsn, applied)).ok_or(Fatal::NothingToApply)
    }

    /// Applies the next `count` entries of the committed batch, all of them requests, and passes each outcome to
    /// `tell`.
    ///
    /// # Errors
    /// As [`Engine::apply_next`].
    #[inline]
    pub fn apply_requests(&mut self, count: usize, mut tell: impl FnMut(Applied)) -> Result<(), Fatal> {
        let mut left = count;
        while left > 0 {
            if let Some(commands) = self.batch.fetch() {
                self.bank.touch(commands);
            }
            let Next::Requests(requests, commands) = self.batch.next(left) else { return Err(Fatal::NothingToApply) };
            let (lsn, count) = (self.bank.applied().next(), commands.len());
            let mut notes = self.statements.as_mut().map(Statements::notes);
            let mut noted = |applied: Applied| {
                Notes::see_request(&mut notes, lsn, &applied);
                tell(applied);
            };
            bank::apply_requests(&mut self.bank, lsn, &requests, commands, self.batch_time, &mut noted)?;
            left = left.checked_sub(count).filter(|_| count > 0).ok_or(Fatal::NothingToApply)?;
            self.applied(count)?;
        }
        Ok(())
    }

    /// Marks `count` entries as applied.
    fn applied(&mut self, count: usize) -> Result<(), Fatal> {
        if self.batch.applied(count) {
            if self.bank.applied() != self.log.local().end_lsn() {
                return Err(Fatal::Broken("the bank has applied another number of entries than the log holds"));
            }
            self.bank.check_totals()?;
            self.staged.clear();
        }
        Ok(())
    }

    /// Whether a batch was committed since the last seal, and there is room for a seal.
    #[must_use]
    pub fn needs_seal(&self) -> bool {
        self.log.local().needs_seal()
    }

    /// Writes a seal, an empty batch that proves the batch before it durable to readers of the log.
    ///
    /// # Errors
    /// [`Fatal`], as [`Engine::commit`].
    pub fn seal(&mut self) -> Result<(), Fatal> {
        if !self.batch.is_empty() {
            return Err(Fatal::Broken("a seal comes between turns"));
        }
        if self.log.local().needs_seal() {
            self.checkpoints.poll()?;
            let commit = self.log.begin_commit(self.clock.now(), self.bank.outcome_digest())?;
            self.finish_commit(commit)?;
            let end = self.log.local().end();
            self.statements.iter_mut().for_each(|statements| statements.rested(&end));
        }
        Ok(())
    }

    /// Ends cleanly: seals the log, and writes its end to the manifest. Nothing can be written afterwards.
    ///
    /// # Errors
    /// [`Fatal`], as [`Engine::commit`].
    pub fn close(&mut self) -> Result<(), Fatal> {
        self.seal()?;
        self.finish_statements();
        Ok(self.log.local_mut().close()?)
    }

    fn push(&mut self, entry: Entry) -> Result<Lsn, Full> {
        assert!(!self.batch.is_begun(), "nothing is submitted during a walk");
        self.put_start()?;
        let lsn = self.log.local_mut().append(|out| entry.encode_into(out))?;
        self.staged.ended();
        self.batch.push(entry);
        Ok(lsn)
    }
}
