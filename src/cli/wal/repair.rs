//! `bankd wal repair`: drops the damaged tail of a log, after copying it and telling what is in it.
//!
//! Left out: how (`engine/`).

use std::fmt::Write;

use bankd::engine::{self, DroppedRequest};
use clap::Args;
use serde_json::{Value, json};

use super::StoreOption;
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::{command_in_words, say, tell, tell_json};
use crate::cli::progress;
use crate::cli::store_paths::PlaceOption;

/// Drops what stands behind the last good batch of a log that a start refuses. Old sessions end with it.
#[derive(Debug, Args)]
pub struct Repair {
    #[command(flatten)]
    store: StoreOption,
    /// Drop everything behind the last good batch; it is copied to DIR.repair-N first
    #[arg(long, required = true)]
    drop_tail: bool,
    /// Where whole batches stand behind the damage: the first batch that is to be dropped with all that follow
    #[arg(long, value_name = "NUMBER")]
    from_batch: Option<u64>,
    /// Tell what would be done, and change nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    place: PlaceOption,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Repair {
    pub fn run(self) -> Result<Exit, Failure> {
        debug_assert!(self.drop_tail, "there is nothing else to do yet");
        let (env, progress) = progress::tool();
        let dir = &self.store.data_dir;
        engine::refuse_place(&env, dir, self.place.allow_tmpfs)?;
        let plan = engine::plan_repair(&env, dir)?;
        progress.summary("before anything is dropped").iter().for_each(|line| say(line));
        let plan = match plan {
            Ok(plan) => plan,
            Err(why) => {
                if self.json {
                    tell_json(&json!({ "repaired": false, "why": why }));
                } else {
                    tell(&why);
                }
                return Ok(Exit::Done);
            }
        };
        let list = list(&plan);
        if !self.json {
            tell(&plan.tail().why.to_string());
            plan.tail().parts.iter().for_each(|(position, bytes)| tell(&format!("to be dropped: {bytes} bytes from {position}")));
            tell(list.trim_end());
        }
        let first = plan.first_dropped();
        if plan.tail().holds_batches && self.from_batch != Some(first) {
            let why = format!("whole batches stand behind the damage, from batch {first} on; a backup may still have what is damaged");
            let next = format!("to drop them all the same, add --from-batch {first}");
            return Err(Failure::because(Exit::Damaged, "nothing was changed", why, next));
        }
        if self.from_batch.is_some_and(|named| named != first) {
            let next = format!("the first batch to be dropped is {first}");
            return Err(Failure::usage("nothing was changed", "--from-batch names another batch than the damage begins with", next));
        }
        let shown = if self.json { as_json(&plan) } else { Value::Null };
        if self.dry_run {
            finish(self.json, shown, &json!({ "repaired": false, "dry_run": true }), "nothing was changed: this was a dry run");
            return Ok(Exit::Done);
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
        say("every earlier session has ended: its clients are told that the store was rolled back");
        Ok(Exit::Done)
    }
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

/// What is dropped, for people; it goes with the copies, too.
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
        "last_good_batch": plan.tail().end.batch_number,
        "last_good_lsn": plan.tail().end.next_lsn.0.saturating_sub(1),
        "dropped_batches": batches,
        "dropped_entries": entries,
        "dropped_requests": requests.collect::<Vec<_>>(),
    })
}
