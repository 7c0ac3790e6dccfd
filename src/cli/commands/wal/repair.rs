//! `bankd wal repair`: repairs a damaged store. A repair that loses nothing is done at once; a tail is dropped only on
//! request (`--drop-tail`), after it is copied and its requests are listed.
//!
//! Left out: the repair itself (`engine/`).

use std::fmt::Write;

use bankd::engine::{self, DroppedRequest, Mend, Remedy};
use clap::Args;
use serde_json::{Value, json};

use crate::cli::commands::wal::StoreOption;
use crate::cli::support::failure::{Exit, Failure};
use crate::cli::support::output::{command_in_words, say, tell, tell_json};
use crate::cli::support::progress;
use crate::cli::support::store_paths::PlaceOption;

/// Repair a damaged store that `bankd serve` refuses to open. Repairs that lose nothing are done at once; dropping entries
/// needs --drop-tail.
#[derive(Debug, Args)]
pub struct Repair {
    #[command(flatten)]
    store: StoreOption,
    /// Drop everything after the last intact batch, if nothing else repairs the store. The dropped part is copied to
    /// DIR.repair-N first, and all sessions end
    #[arg(long)]
    drop_tail: bool,
    /// Number of the first batch to drop, with all that follow; required with --drop-tail if intact batches follow the damage
    #[arg(long, value_name = "NUMBER")]
    from_batch: Option<u64>,
    /// Show what would be done and change nothing; exit code as of `bankd serve` on this store
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    place: PlaceOption,
    /// Print the result as one JSON object
    #[arg(long)]
    json: bool,
}

impl Repair {
    pub fn run(self) -> Result<Exit, Failure> {
        let (env, progress) = progress::tool();
        let dir = &self.store.data_dir;
        engine::refuse_place(&env, dir, self.place.allow_tmpfs)?;
        let remedy = engine::find_remedy(&env, dir)?;
        progress.summary("before anything is dropped").iter().for_each(|line| say(line));
        match remedy {
            Remedy::Sound(why) => {
                if self.json {
                    tell_json(&json!({ "repaired": false, "why": why }));
                } else {
                    tell(&why);
                }
                Ok(Exit::Done)
            }
            Remedy::Mend(mend) => self.mend(*mend),
            Remedy::DropTail(plan) => self.drop(*plan),
            Remedy::Restore(why) => {
                if self.json {
                    tell_json(&json!({ "repaired": false, "why": why, "remedy": "restore" }));
                }
                Err(Failure::new(Exit::Damaged, format!("nothing was changed: {why}")))
            }
        }
    }

    /// Rewrites files that can be derived from the rest of the store, so that nothing is lost.
    fn mend(&self, mend: Mend) -> Result<Exit, Failure> {
        let (why, steps, lsn) = (mend.why().to_owned(), mend.steps(), mend.lsn());
        let is_refused = mend.is_refused();
        if !self.json {
            tell(&why);
            steps.iter().for_each(|step| tell(step));
        }
        let shown = json!({ "damage": why, "remedy": "mend", "steps": steps, "last_lsn": lsn.0 });
        if self.dry_run {
            let line = "nothing was changed: this was a dry run; without --dry-run that is done, and nothing is lost by it";
            finish(self.json, shown, &json!({ "repaired": false, "dry_run": true }), line);
            return Ok(if is_refused { Exit::Damaged } else { Exit::Done });
        }
        let copies = mend.apply()?;
        let place = copies.as_ref().map_or_else(String::new, |copies| format!("; copies in {}", copies.display()));
        let line = format!("mended, and nothing was lost: the log ends with entry {lsn}{place}");
        finish(self.json, shown, &json!({ "repaired": true, "copies": copies }), &line);
        Ok(Exit::Done)
    }

    /// Drops everything after the intact part of the log.
    fn drop(&self, plan: engine::Repair) -> Result<Exit, Failure> {
        let list = list(&plan);
        if !self.json {
            tell(&plan.tail().why.to_string());
            plan.fixes().iter().for_each(|fix| tell(&format!("{}: {}", fix.name, fix.what)));
            plan.tail().parts.iter().for_each(|(position, bytes)| tell(&format!("to be dropped: {bytes} bytes from {position}")));
            tell(list.trim_end());
        }
        let first = plan.first_dropped();
        let needs_name = plan.tail().holds_batches;
        let flags = if needs_name { format!("--drop-tail --from-batch {first}") } else { "--drop-tail".to_owned() };
        if self.from_batch.is_some_and(|named| named != first) {
            let next = format!("the first batch to be dropped is {first}");
            return Err(Failure::usage("nothing was changed", "--from-batch names another batch than the damage begins with", next));
        }
        let shown = if self.json { as_json(&plan) } else { Value::Null };
        if self.dry_run && (!needs_name || self.from_batch.is_some() || !self.drop_tail) {
            let line = format!("nothing was changed: this was a dry run; {}", what_next(first, &flags));
            finish(self.json, shown, &json!({ "repaired": false, "dry_run": true }), &line);
            return Ok(Exit::Damaged);
        }
        if !self.drop_tail || (needs_name && self.from_batch.is_none()) {
            let why = if needs_name {
                format!("whole batches stand behind the damage, from batch {first} on; a backup may still have what is damaged")
            } else {
                format!("what is behind batch {} may have been answered for", first.saturating_sub(1))
            };
            return Err(Failure::because(Exit::Damaged, "nothing was changed", why, what_next(first, &flags)));
        }
        let repaired = plan.apply(&list)?;
        let more = json!({ "repaired": true, "copies": repaired.copies, "lineage": repaired.lineage.to_string(), "lsn": repaired.lsn.0 });
        let line = format!(
            "repaired: copies in {}; the log goes on with entry {}, lineage {}",
            repaired.copies.display(),
            repaired.lsn,
            repaired.lineage
        );
        finish(self.json, shown, &more, &line);
        say("every earlier session has ended: its clients get the refusal that the store was rolled back");
        Ok(Exit::Done)
    }
}

/// Advice if a repair would lose entries.
fn what_next(first: u64, flags: &str) -> String {
    format!(
        "to lose nothing, put the damaged file back from a snapshot or backup that has batch {first}, or start such a snapshot in a directory of its own; to go on without all that follows batch {}, run it again with {flags}",
        first.saturating_sub(1)
    )
}

fn finish(as_json: bool, mut shown: Value, more: &Value, line: &str) {
    if !as_json {
        tell(line);
        return;
    }
    if let (Value::Object(shown), Value::Object(more)) = (&mut shown, more) {
        shown.extend(more.clone());
    }
    tell_json(&shown);
}

/// What is dropped, in words; the same text is stored beside the copies.
fn list(plan: &engine::Repair) -> String {
    let (batches, entries) = plan.counts();
    let end = plan.tail().end;
    let mut text = format!("the good part ends with batch {}, LSN {}\n", end.batch_number, end.next_lsn.0.saturating_sub(1));
    // Writing to a string cannot fail.
    let _ = writeln!(text, "readable in the rest: {batches} batches, {entries} entries, {} requests", plan.requests().len());
    for dropped in plan.requests() {
        let DroppedRequest { request, position, is_whole, .. } = dropped;
        let state = if *is_whole { "in a whole batch" } else { "in a damaged batch" };
        let _ = writeln!(text, "{request}  {}  {state} at {position}", what(dropped, plan.decimals()));
    }
    text
}

fn what(dropped: &DroppedRequest, decimals: u8) -> String {
    dropped.command.map_or_else(|| "cancel".to_owned(), |command| command_in_words(&command, decimals))
}

fn as_json(plan: &engine::Repair) -> Value {
    let (batches, entries) = plan.counts();
    let requests = plan.requests().iter().map(|dropped| {
        json!({
            "session": dropped.request.session.to_string(),
            "number": dropped.request.number.0,
            "text": what(dropped, plan.decimals()),
            "file": dropped.position.file(),
            "offset": dropped.position.offset,
            "whole": dropped.is_whole,
        })
    });
    json!({
        "damage": plan.tail().why.to_string(),
        "remedy": "drop_tail",
        "made_anew": plan.fixes().iter().map(|fix| fix.name.as_str()).collect::<Vec<_>>(),
        "last_good_batch": plan.tail().end.batch_number,
        "last_good_lsn": plan.tail().end.next_lsn.0.saturating_sub(1),
        "dropped_batches": batches,
        "dropped_entries": entries,
        "dropped_requests": requests.collect::<Vec<_>>(),
    })
}
