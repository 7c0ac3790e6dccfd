//! Verifies a whole log, and checks clients' receipts against it.
//!
//! It checks every rule of recovery from the first byte on: the chain, the outcomes by replay, conservation of money. A
//! receipt is the chain head in an answer to a client; a rewritten log, however careful, has another one.
//! Left out: the source of the evidence (`client/`), and printing the result (`cli/`).

use std::collections::BTreeMap;
use std::path::Path;

use crate::bank::Applied;
use crate::engine::error::StoreError;
use crate::engine::inspect::history::{History, Moment, replay};
use crate::engine::store_dir::StoreEnv;
use crate::model::command::Body;
use crate::model::entry::{Action, LineageCause, Origin};
use crate::model::types::{Lsn, RequestId, StoreId};
use crate::wire::message::Receipt;

/// An answer that a client received, with its receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// The store that sent it.
    pub store: StoreId,
    /// The request.
    pub request: RequestId,
    /// Its recorded body.
    pub body: Body,
    /// The receipt in the answer.
    pub receipt: Receipt,
}

/// Evidence that the log contradicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Contradiction {
    /// The log has another chain head there, or no batch ends there.
    #[error("the answer to {request} came with the chain head of entry {lsn}, and this log's history had another one there")]
    OtherHistory {
        /// The request.
        request: RequestId,
        /// The receipt's entry.
        lsn: Lsn,
    },
    /// The log ends before that entry.
    #[error("the answer to {request} came with the chain head of entry {lsn}, and this log ends with entry {end}")]
    EndsBefore {
        /// The request.
        request: RequestId,
        /// The receipt's entry.
        lsn: Lsn,
        /// The log's last entry.
        end: Lsn,
    },
    /// The client's answer is not the recorded one.
    #[error("the answer to {request} was entry {lsn}, and in this log that entry says something else")]
    OtherAnswer {
        /// The request.
        request: RequestId,
        /// The entry that decided the answer.
        lsn: Lsn,
    },
}

/// The result for a sound log.
#[derive(Clone, Debug)]
pub struct Verified {
    /// How it was read, and where it ends.
    pub history: History,
    /// Batches that count.
    pub batches: u64,
    /// Entries in them.
    pub entries: u64,
    /// How many incarnations of the daemon wrote it.
    pub incarnations: u64,
    /// The running outcome digest at the end.
    pub outcome_digest: u64,
    /// The first entry after each place where a repair dropped something.
    pub repairs: Vec<Lsn>,
    /// How many pieces of evidence were checked: those of this store and of the part of its log that is still there.
    pub held: usize,
    /// How many were of a dropped part.
    pub dropped: usize,
    /// The evidence that the log contradicts.
    pub contradictions: Vec<Contradiction>,
}

/// Reads and checks everything; changes nothing. Evidence of other stores is ignored.
///
/// # Errors
/// [`StoreError::Damaged`] with file and offset for a damaged log, otherwise as [`crate::engine::look`].
pub fn verify(env: &StoreEnv, dir: &Path, evidence: &[Evidence]) -> Result<Verified, StoreError> {
    let mut holds = Holding::new(evidence);
    let mut repairs = Vec::new();
    // Replay shows entries, not seals: batches are counted by their numbers.
    let mut incarnations = Counted::default();
    let (history, bank) = replay(env, dir, &mut |moment| {
        incarnations.see(moment.batch.incarnation.random, moment.batch.incarnation.counter);
        if matches!(moment.entry.action, Action::Lineage { cause: LineageCause::Repaired, .. }) {
            repairs.push(moment.lsn);
        }
        holds.see(moment);
    })?;
    let end = history.log.end;
    let own = evidence.iter().filter(|one| one.store == history.log.store);
    let (held, dropped): (Vec<&Evidence>, Vec<&Evidence>) = own.partition(|one| one.body.lsn > history.from);
    Ok(Verified {
        batches: end.batch_number,
        entries: end.next_lsn.0.saturating_sub(1),
        incarnations: incarnations.count,
        outcome_digest: bank.outcome_digest(),
        repairs,
        held: held.len(),
        dropped: dropped.len(),
        contradictions: holds.finish(&history),
        history,
    })
}

/// Counts runs of equal consecutive values.
#[derive(Default)]
struct Counted {
    count: u64,
    last: Option<(u64, u64)>,
}

impl Counted {
    fn see(&mut self, random: u64, counter: u64) {
        if self.last.replace((random, counter)) != Some((random, counter)) {
            self.count = self.count.saturating_add(1);
        }
    }
}

/// The evidence, by the entries that it concerns.
struct Holding<'a> {
    receipts: BTreeMap<Lsn, Vec<&'a Evidence>>,
    answers: BTreeMap<Lsn, Vec<&'a Evidence>>,
    end: Lsn,
    found: Vec<Contradiction>,
}

impl<'a> Holding<'a> {
    fn new(evidence: &'a [Evidence]) -> Self {
        let mut holding = Self { receipts: BTreeMap::new(), answers: BTreeMap::new(), end: Lsn(0), found: Vec::new() };
        for one in evidence {
            holding.receipts.entry(one.receipt.lsn).or_default().push(one);
            holding.answers.entry(one.body.lsn).or_default().push(one);
        }
        holding
    }

    fn see(&mut self, moment: &Moment<'_>) {
        self.end = moment.lsn;
        for one in self.answers.remove(&moment.lsn).into_iter().flatten() {
            if one.store == moment.batch.store && !is_answer(moment, one) {
                self.found.push(Contradiction::OtherAnswer { request: one.request, lsn: moment.lsn });
            }
        }
        let last = moment.batch.first_lsn.0.saturating_add(u64::from(moment.batch.count)).saturating_sub(1);
        let head = (moment.lsn.0 == last).then_some(moment.batch.chain_after);
        for one in self.receipts.remove(&moment.lsn).into_iter().flatten() {
            if one.store == moment.batch.store && head != Some(one.receipt.chain) {
                self.found.push(Contradiction::OtherHistory { request: one.request, lsn: moment.lsn });
            }
        }
    }

    /// Evidence that was never met is behind the log's end, or before its beginning.
    fn finish(mut self, history: &History) -> Vec<Contradiction> {
        let (end, store) = (self.end, history.log.store);
        for (lsn, all) in self.receipts.into_iter().filter(|(lsn, _)| *lsn > history.from) {
            self.found.extend(all.iter().filter(|one| one.store == store).map(|one| Contradiction::EndsBefore {
                request: one.request,
                lsn,
                end,
            }));
        }
        self.found
    }
}

fn is_answer(moment: &Moment<'_>, one: &Evidence) -> bool {
    let Origin::Session { session, number, .. } = moment.entry.origin else { return false };
    let request = RequestId { session: moment.bank.epochs().session(session), number };
    let is_body = matches!(moment.applied, Applied::Answer { body, .. } if *body == one.body);
    is_body && request == one.request
}
