//! Replays batches through the bank as they were executed when they were logged.
//!
//! A start and each checkpoint run this same code. Left out: reading the batches (`wal/`), and reporting progress
//! (`progress.rs`).

use std::time::Duration;

use crate::bank::{self, Applied, Bank};
use crate::engine::statements::Notes;
use crate::model::command::Command;
use crate::model::entry::{Entry, Requests};
use crate::model::types::{BankTime, Lsn};
use crate::wal::{Batch, BatchHeader, Record, Recovered};

/// A bank that is rebuilt by replay, batch by batch.
pub(super) struct Replay {
    pub(super) bank: Bank,
    /// The commands of one record; the memory is reused.
    commands: Vec<Command>,
    /// The outcomes of entries that were not done.
    pub(super) notes: Notes,
}

impl Replay {
    /// Starts from a bank.
    pub(super) fn new(bank: Bank) -> Self {
        Self { bank, commands: Vec::new(), notes: Notes::default() }
    }

    /// Replays one batch.
    ///
    /// # Errors
    /// What is wrong with the batch, or with the outcomes before it.
    pub(super) fn batch(&mut self, batch: &Batch<'_>) -> Result<(), String> {
        self.begin(batch.header)?;
        for record in batch.records() {
            if record.count > 1 {
                self.requests(&record, batch.header.bank_time)?
            } else {
                self.entries(&record, batch.header.bank_time, |_, _, _, _| {})?
            }
        }
        self.end()
    }

    /// Replays one batch, and shows each entry, its outcome, and the bank after it.
    ///
    /// # Errors
    /// As [`Replay::batch`].
    pub(super) fn batch_with(&mut self, batch: &Batch<'_>, mut show: impl FnMut(Lsn, &Entry, &Applied, &Bank)) -> Result<(), String> {
        self.begin(batch.header)?;
        for record in batch.records() {
            self.entries(&record, batch.header.bank_time, &mut show)?;
        }
        self.end()
    }

    fn begin(&self, header: &BatchHeader) -> Result<(), String> {
        if header.outcome_digest == self.bank.outcome_digest() {
            return Ok(());
        }
        Err(format!(
            "batch {} says that the entries before it had other outcomes than they have now: this program's rules differ from those that wrote it",
            header.number
        ))
    }

    /// Replays a record, one entry after the other.
    fn entries(&mut self, record: &Record<'_>, time: BankTime, mut show: impl FnMut(Lsn, &Entry, &Applied, &Bank)) -> Result<(), String> {
        let mut lsn = record.first;
        for entry in Entry::all(record.bytes, record.count) {
            let entry = entry.map_err(|error| format!("entry {lsn}: {error}"))?;
            let applied = bank::apply(&mut self.bank, lsn, &entry, time).map_err(|error| format!("entry {lsn}: {error}"))?;
            self.notes.see(lsn, &applied);
            show(lsn, &entry, &applied, &self.bank);
            lsn = lsn.next();
        }
        Ok(())
    }

    /// Replays a record of several requests at once.
    fn requests(&mut self, record: &Record<'_>, time: BankTime) -> Result<(), String> {
        self.commands.clear();
        let lsn = record.first;
        let requests = Requests::decode(record.bytes, record.count, &mut self.commands).map_err(|error| format!("entry {lsn}: {error}"))?;
        self.bank.touch(&self.commands);
        let mut notes = Some(&mut self.notes);
        let mut see = |applied| Notes::see_request(&mut notes, lsn, &applied);
        bank::apply_requests(&mut self.bank, lsn, &requests, &self.commands, time, &mut see)
            .map_err(|error| format!("entry {}: {error}", error.lsn))
    }

    fn end(&self) -> Result<(), String> {
        self.bank.check_totals().map_err(|error| error.to_string())
    }

    /// The bank at the end, after a check that cash equals the sum of all balances.
    ///
    /// # Errors
    /// If they differ.
    pub(super) fn finish(self) -> Result<Bank, String> {
        self.bank.check_conservation().map_err(|error| format!("the log adds up to a bank that does not: {error}"))?;
        Ok(self.bank)
    }

    /// One line: what was recovered, how fast, and what was dropped.
    pub(super) fn summary(&self, recovered: &Recovered, from: u64, took: Duration) -> String {
        let Recovered { entries, batches, bytes, torn, .. } = recovered;
        let per_second = u128::from(*entries).saturating_mul(1_000_000) / took.as_micros().max(1);
        let begin = if from == 0 { "the beginning".to_owned() } else { format!("the checkpoint at entry {from}") };
        let dropped = if torn.is_some() { "a torn tail dropped" } else { "nothing dropped" };
        format!(
            "{entries} entries in {batches} batches, {bytes} bytes, from {begin} in {}.{:03} s ({per_second} entries/s), {dropped}; {} accounts, {} sessions",
            took.as_secs(),
            took.subsec_millis(),
            self.bank.account_count(),
            self.bank.session_count()
        )
    }
}
