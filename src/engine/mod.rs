//! The engine joins log and bank: **log, then apply, then reply**. Nothing that the bank shows leaves before the disk has it.
//!
//! A turn goes: [`Engine::submit`] and its kin put entries into the open batch, in order of arrival;
//! [`Engine::begin_commit`] gives them to the disk, once; [`Engine::apply_next`] applies them one after the other, so that
//! whoever walks the turn's list can answer everything else in its place between two of them; [`Engine::finish_commit`]
//! confirms that the batch is durable, and the answers may leave.
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
mod progress;
mod repair;
mod replay;
mod snapshot;
mod staging;
mod start_entry;
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
pub use progress::{NoProgress, Progress, ProgressSink, Reading};
pub use repair::mend::{Mend, Remedy, find_remedy};
pub use repair::{DroppedRequest, Repair, Repaired};
pub use snapshot::{Snapshot, snapshot};
pub use staging::Admission;
pub use store_dir::{HeldDir, StoreEnv};

use crate::bank::auth::credential::{Key, Party};
use crate::bank::{self, Applied, Bank, Room};
use crate::model::command::Command;
use crate::model::entry::{Action, Entry, JOINED_BYTES, Origin, Requests, Setting, Tag};
use crate::model::secret::Secret;
use crate::model::types::{BankTime, Epoch, Lsn, Owner, RequestNumber, StoreId};
use crate::wal::{Full, InFlight, Log, MAX_RECORD};
use crate::wire::message::Receipt;

use crate::model::invariant::{held, to_len};
use batch_entries::{BatchEntries, Next};
use checkpoint::Checkpoints;
use staging::Staging;

const _: () = assert!(JOINED_BYTES <= MAX_RECORD, "what may share a record fits one");

/// A running store: the bank in memory, and the log that it is rebuilt from.
///
/// Invariants: outside a walk (from [`Engine::begin_commit`] until the last [`Engine::apply_next`]) the bank has applied
/// exactly what was committed; nothing is submitted during a walk; an entry is applied once, in log order. While a commit is
/// under way, what it wrote is not known to be durable: nothing that the bank shows may leave before
/// [`Engine::finish_commit`], which comes before the next batch is written.
pub struct Engine {
    bank: Bank,
    log: Log,
    key: Key,
    clock: BankClock,
    store: StoreId,
    entropy: std::sync::Arc<dyn crate::env::Entropy>,
    /// The open batch's entries; during a walk, the committed one's.
    batch: BatchEntries,
    batch_time: BankTime,
    staged: Staging,
    /// This start's epoch, until the entry that says it stands before the first other one.
    start: Option<Epoch>,
    checkpoints: Checkpoints,
    held_dir: Option<HeldDir>,
    /// Held for life.
    _lock: Box<dyn Send>,
}

impl Engine {
    /// The applied state, which is all that may be shown to anybody, and not while a commit is under way.
    #[must_use]
    pub const fn bank(&self) -> &Bank {
        &self.bank
    }

    /// The store's id.
    #[must_use]
    pub const fn store(&self) -> StoreId {
        self.store
    }

    /// The store's directory, held; none where its name cannot change.
    #[must_use]
    pub fn held_dir(&self) -> Option<HeldDir> {
        self.held_dir.clone()
    }

    /// The bank's time now.
    #[must_use]
    pub fn now(&self) -> BankTime {
        self.clock.now()
    }

    /// Evidence of the log's history as far as it is durable.
    #[must_use]
    pub fn receipt(&self) -> Receipt {
        Receipt { chain: self.log.chain(), lsn: self.log.end_lsn() }
    }

    /// Whether the log can take entries at all, as far as is known: false while the disk has no room for the next segment.
    /// [`Engine::submit`] and its kin, and [`Engine::commit`] without entries, look again.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.log.has_room()
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
        self.log.room() / 64 >= count
    }

    /// Puts an entry that belongs to no session into the open batch.
    ///
    /// # Errors
    /// [`Full`]: nothing was put.
    pub fn submit(&mut self, owner: Owner, action: Action) -> Result<Lsn, Full> {
        self.push(Entry { owner, origin: Origin::None, action })
    }

    /// The number that is new in `owner`'s session now, by the applied state plus the open batch, if the session is there.
    #[must_use]
    pub fn next_number(&self, owner: Owner, session: Lsn) -> Option<RequestNumber> {
        self.staged.next_number(&self.bank, owner, session)
    }

    /// Judges a numbered command by the applied state plus the open batch, and puts it there if it is new. Only the
    /// next number is new; everything else is to be decided in its place, after apply.
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

    /// Judges commands of consecutive numbers as [`Engine::submit_request`] would, one after the other, up to the first that
    /// is not put into the open batch. Gives how many were; why the next one was not is told when it is submitted by itself.
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

    /// Puts into the open batch as many of these requests as one record takes, if the first is new: gives how many.
    fn put_requests(&mut self, requests: Requests, commands: &[Command]) -> Result<usize, Full> {
        assert!(!self.batch.is_begun(), "nothing is submitted during a walk");
        let Some((first, _)) = commands.split_first() else { return Ok(0) };
        if let Some(left) = self.staged.goes_on(&requests) {
            let commands = commands.get(..left).unwrap_or(commands);
            let count = u16::try_from(commands.len()).map_err(|_| Full::Batch)?;
            self.log.join(count, |out| commands.iter().for_each(|command| command.encode_into(out)))?;
            self.staged.went_on(count);
            self.batch.join(commands);
            return Ok(commands.len());
        }
        let Requests { owner, session, first: number, acked_below } = requests;
        let Some(room) = self.staged.room_behind(&self.bank, owner, session, number, acked_below) else { return Ok(0) };
        self.put_start()?;
        self.log.append(|out| requests.entry(*first).encode_into(out))?;
        self.staged.ended();
        self.staged.began(&requests, room);
        self.batch.push_requests(requests, std::slice::from_ref(first));
        Ok(1)
    }

    /// Judges a cancellation like a command, and puts it into the open batch if its number is the next.
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

    /// Puts an acknowledgement into the open batch, if it tells anything new and nothing impossible.
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

    /// Puts the closing of a session into the open batch, if the session exists and is `owner`'s, or `owner` is the
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

    /// Puts the opening of a session into the open batch, naming the session to evict where a cap is reached.
    /// `in_use` tells whether a session has a live connection. Listed: there is no room for one more.
    ///
    /// # Errors
    /// [`Full`]: nothing was put; [`Full::Batch`] also where openings in this batch must be applied first.
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

    /// Puts a login attempt into the open batch and tells whom the name belongs to. An unknown name costs the same
    /// work and looks the same.
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

    /// A tag of a new PIN or token, under the store's key and a fresh salt.
    ///
    /// # Errors
    /// Where the system has no random numbers: fatal.
    pub fn new_tag(&self, party: Party, name: &str, secret: &Secret) -> Result<Tag, Fatal> {
        new_tag(&self.key, &*self.entropy, party, name, secret).map_err(Fatal::Entropy)
    }

    /// Writes the open batch and syncs it: afterwards it is durable, and to be applied. Without
    /// entries it only looks whether the log has failed.
    ///
    /// # Errors
    /// [`Fatal`]: the process must end without answering anybody.
    pub fn commit(&mut self) -> Result<(), Fatal> {
        let commit = self.begin_commit()?;
        self.finish_commit(commit)
    }

    /// Begins [`Engine::commit`]: the batch is to be applied, while the disk still writes it if it is large. Nothing that
    /// depends on it may leave before [`Engine::finish_commit`], which must come before the next commit.
    ///
    /// # Errors
    /// As [`Engine::commit`].
    pub fn begin_commit(&mut self) -> Result<InFlight, Fatal> {
        if self.batch.is_begun() {
            return Err(Fatal::Broken("the last batch was not applied to its end before the next commit"));
        }
        self.checkpoints.poll()?;
        if self.batch.is_empty() {
            // A log that has failed takes no entries; this call returns its error.
            self.log.poll()?;
            return Ok(InFlight::DURABLE);
        }
        self.batch_time = self.clock.now();
        let commit = self.log.begin_commit(self.batch_time, self.bank.outcome_digest())?;
        self.apply_start()?;
        Ok(commit)
    }

    /// Waits until the commit's batch is durable: from then on what depends on it may leave.
    ///
    /// # Errors
    /// As [`Engine::commit`].
    pub fn finish_commit(&mut self, commit: InFlight) -> Result<(), Fatal> {
        self.log.finish_commit(commit)?;
        if let Some(finished) = self.log.take_finished() {
            self.checkpoints.moved_on(finished, self.bank.account_count());
        }
        if let Some(first) = self.checkpoints.take_droppable() {
            self.log.retain_from(first)?;
        }
        if let Some(first) = self.log.take_dropped() {
            self.checkpoints.remove_dropped(first);
        }
        Ok(())
    }

    /// Applies the next entry of the committed batch.
    ///
    /// # Errors
    /// [`Fatal`] if the entry is none that admission lets through, or if there is none: a bug, and the end.
    pub fn apply_next(&mut self) -> Result<(Lsn, Applied), Fatal> {
        let lsn = self.bank.applied().next();
        let mut told = None;
        if let Next::Entry(entry) = self.batch.next(1) {
            told = Some(bank::apply(&mut self.bank, lsn, entry, self.batch_time)?);
            self.applied(1)?;
        } else {
            self.apply_requests(1, |applied| told = Some(applied))?;
        }
        told.map(|applied| (lsn, applied)).ok_or(Fatal::NothingToApply)
    }

    /// Applies the next `count` entries of the committed batch, all of which are requests, and tells what became of each.
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
            bank::apply_requests(&mut self.bank, lsn, &requests, commands, self.batch_time, &mut tell)?;
            left = left.checked_sub(count).filter(|_| count > 0).ok_or(Fatal::NothingToApply)?;
            self.applied(count)?;
        }
        Ok(())
    }

    /// Notes that so many entries were applied.
    fn applied(&mut self, count: usize) -> Result<(), Fatal> {
        if self.batch.applied(count) {
            if self.bank.applied() != self.log.end_lsn() {
                return Err(Fatal::Broken("the bank has applied another number of entries than the log holds"));
            }
            self.bank.check_totals()?;
            self.staged.clear();
        }
        Ok(())
    }

    /// Whether something was committed since the last seal, and there is room for one.
    #[must_use]
    pub fn needs_seal(&self) -> bool {
        self.log.needs_seal()
    }

    /// Proves the last batch durable to whoever reads the log: an empty batch behind it.
    ///
    /// # Errors
    /// [`Fatal`], as [`Engine::commit`].
    pub fn seal(&mut self) -> Result<(), Fatal> {
        if !self.batch.is_empty() {
            return Err(Fatal::Broken("a seal comes between turns"));
        }
        if self.log.needs_seal() {
            self.checkpoints.poll()?;
            self.log.commit(self.clock.now(), self.bank.outcome_digest())?;
            self.finish_commit(InFlight::DURABLE)?;
        }
        Ok(())
    }

    /// Ends cleanly: seals the log, and names its end in the manifest. Nothing can be written afterwards.
    ///
    /// # Errors
    /// [`Fatal`], as [`Engine::commit`].
    pub fn close(&mut self) -> Result<(), Fatal> {
        self.seal()?;
        Ok(self.log.close()?)
    }

    /// Makes a checkpoint of what the log has moved on from, now, and waits for it; none if there is one already. A daemon
    /// does so by itself, off the loop; this is for whoever drives the engine alone.
    ///
    /// # Errors
    /// [`CheckpointError`]. After [`CheckpointError::Damaged`], end.
    pub fn checkpoint_now(&self) -> Result<Option<Made>, CheckpointError> {
        self.checkpoints.make_now()
    }

    /// Packs the segments that the log has moved on from, now, and tells how many that were. A daemon does so by itself, off
    /// the loop; this is for whoever drives the engine alone.
    ///
    /// # Errors
    /// [`CheckpointError`]; the segments are then still there.
    pub fn pack_now(&self) -> Result<u64, CheckpointError> {
        self.checkpoints.pack_now()
    }

    fn push(&mut self, entry: Entry) -> Result<Lsn, Full> {
        assert!(!self.batch.is_begun(), "nothing is submitted during a walk");
        self.put_start()?;
        let lsn = self.log.append(|out| entry.encode_into(out))?;
        self.staged.ended();
        self.batch.push(entry);
        Ok(lsn)
    }
}

fn new_tag(key: &Key, entropy: &dyn crate::env::Entropy, party: Party, name: &str, secret: &Secret) -> std::io::Result<Tag> {
    let mut salt = [0; 16];
    entropy.fill(&mut salt)?;
    Ok(key.new_tag(party, name, salt, secret))
}
