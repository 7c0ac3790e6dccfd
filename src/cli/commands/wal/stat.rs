//! `bankd wal stat`: prints the size and content of each log segment.
//!
//! Left out: the entries themselves (`dump.rs`), and their verification (`verify.rs`).

use bankd::engine;
use bankd::model::types::{BankTime, Lsn};
use bankd::wal::{Seen, Stored, compressed_name, file_name};
use clap::Args;
use serde_json::json;

use crate::cli::commands::wal::{StoreOption, remark};
use crate::cli::support::failure::{Exit, Failure};
use crate::cli::support::output::{tell, tell_json, utc};
use crate::cli::support::progress;

/// Figures of one segment, or of all.
#[derive(Clone, Debug, Default)]
struct Part {
    sequence: u64,
    size: u64,
    /// Size of its file in bytes; less than `size` if the segment is compressed.
    stored: u64,
    used: u64,
    batches: u64,
    entries: u64,
    lsns: Option<(Lsn, Lsn)>,
    times: Option<(BankTime, BankTime)>,
    incarnations: u64,
}

/// Show the size of each log segment in bytes, with its batches, entries and times.
#[derive(Debug, Args)]
pub struct Stat {
    #[command(flatten)]
    store: StoreOption,
    /// Print the result as one JSON object
    #[arg(long)]
    json: bool,
}

impl Stat {
    pub fn run(self) -> Result<Exit, Failure> {
        let mut parts: Vec<Part> = Vec::new();
        let mut incarnation = None;
        let (env, progress) = progress::tool();
        let history = engine::look(&env, &self.store.data_dir, &mut |_, seen| {
            let sequence = seen.batch.position.segment;
            if parts.last().is_none_or(|part| part.sequence != sequence) {
                parts.push(Part { sequence, ..Part::default() });
            }
            let is_new = incarnation.replace(seen.batch.header.incarnation) != Some(seen.batch.header.incarnation);
            if let Some(part) = parts.last_mut() {
                part.add(seen, is_new);
            }
            Ok(())
        })?;
        let written = parts.clone();
        let mut all = Part::default();
        parts = history
            .log
            .segments
            .iter()
            .map(|Stored { sequence, size, compressed }| {
                let part = written.iter().find(|part| part.sequence == *sequence).cloned().unwrap_or_default();
                Part { sequence: *sequence, size: *size, stored: compressed.unwrap_or(*size), ..part }
            })
            .collect();
        parts.iter().for_each(|part| all.join(part));
        let end = history.log.end;
        if self.json {
            tell_json(&json!({
                "store": history.log.store.to_string(),
                "running": history.holder,
                "chain": end.chain.to_string(),
                "last_batch": end.batch_number,
                "torn": history.log.torn.as_ref().map(ToString::to_string),
                "manifest_slot_damaged": history.log.has_damaged_slot,
                "segments": parts.iter().map(Part::json).collect::<Vec<_>>(),
                "all": all.json(),
            }));
        } else {
            tell(&format!("store {}", history.log.store));
            parts.iter().for_each(|part| tell(&format!("{}  {}", part.file(), part.line())));
            tell(&format!("all {} segments  {}", parts.len(), all.line()));
            tell(&format!("{} incarnations; chain head {} at LSN {}", all.incarnations, end.chain, end.next_lsn.0.saturating_sub(1)));
        }
        remark(&history, Some(&progress));
        Ok(Exit::Done)
    }
}

impl Part {
    fn add(&mut self, seen: &Seen<'_>, is_new_incarnation: bool) {
        let header = seen.batch.header;
        self.batches += 1;
        self.entries = self.entries.saturating_add(u64::from(header.count));
        self.used = self.used.saturating_add(header.bytes());
        self.incarnations += u64::from(is_new_incarnation);
        if header.count > 0 {
            let last = Lsn(header.first_lsn.0.saturating_add(u64::from(header.count)).saturating_sub(1));
            self.lsns = Some((self.lsns.map_or(header.first_lsn, |(first, _)| first), last));
        }
        self.times = Some((self.times.map_or(header.bank_time, |(first, _)| first), header.bank_time));
    }

    fn join(&mut self, part: &Self) {
        self.size = self.size.saturating_add(part.size);
        self.stored = self.stored.saturating_add(part.stored);
        self.used = self.used.saturating_add(part.used);
        self.batches = self.batches.saturating_add(part.batches);
        self.entries = self.entries.saturating_add(part.entries);
        self.incarnations = self.incarnations.saturating_add(part.incarnations);
        self.lsns = span(self.lsns, part.lsns);
        self.times = span(self.times, part.times);
    }

    /// The name of the segment's file.
    fn file(&self) -> String {
        if self.stored == self.size { file_name(self.sequence) } else { compressed_name(self.sequence) }
    }

    fn line(&self) -> String {
        let Self { stored, used, batches, entries, .. } = self;
        let size = match self.size {
            size if size == *stored => format!("{size} bytes"),
            size => format!("{size} bytes in {stored}"),
        };
        let (Some((from, to)), Some((first, last))) = (self.lsns, self.times) else {
            return format!("{size}, {used} used, {batches} batches, no entries");
        };
        format!("{size}, {used} used, {batches} batches, {entries} entries, LSN {from} to {to}, {} to {}", utc(first), utc(last))
    }

    fn json(&self) -> serde_json::Value {
        json!({
            "file": (self.sequence > 0).then(|| self.file()),
            "size": self.size,
            "stored": self.stored,
            "used": self.used,
            "batches": self.batches,
            "entries": self.entries,
            "first_lsn": self.lsns.map(|(first, _)| first.0),
            "last_lsn": self.lsns.map(|(_, last)| last.0),
            "first_time": self.times.map(|(first, _)| utc(first)),
            "last_time": self.times.map(|(_, last)| utc(last)),
            "incarnations": self.incarnations,
        })
    }
}

fn span<T: Copy>(one: Option<(T, T)>, next: Option<(T, T)>) -> Option<(T, T)> {
    match (one, next) {
        (Some((first, _)), Some((_, last))) => Some((first, last)),
        (one, next) => one.or(next),
    }
}
