//! `bankd explain`: the history of one request, read from the log.
//!
//! Left out: finding it (`engine/`).

use bankd::engine::{self, Ending, Executed, Explanation, Place};
use bankd::model::entry::LineageCause;
use bankd::model::types::RequestId;
use clap::Args;
use serde_json::{Value, json};

use crate::cli::commands::wal::{StoreOption, owner_in_words, remark};
use crate::cli::support::failure::{Exit, Failure};
use crate::cli::support::output::{command_in_words, declined, tell, tell_json, utc};
use crate::cli::support::progress;

/// Show the history of one request: its session, log entry, outcome and acknowledgement. Exit code 3 if the log holds no
/// entry of it.
#[derive(Debug, Args)]
pub struct Explain {
    /// The request's id, as printed by the command that sent it
    #[arg(value_name = "SESSION/NUMBER")]
    request: RequestId,
    #[command(flatten)]
    store: StoreOption,
    /// Print the result as one JSON object
    #[arg(long)]
    json: bool,
}

impl Explain {
    /// Prints the history.
    ///
    /// # Errors
    /// [`Failure`] with exit code 3 if the log holds no entry of the request, 6 for a damaged log.
    pub fn run(self) -> Result<Exit, Failure> {
        let (env, progress) = progress::tool();
        let found = engine::explain(&env, &self.store.data_dir, self.request)?;
        if self.json {
            tell_json(&as_json(&found));
        } else {
            lines(&found).iter().for_each(|line| tell(line));
        }
        remark(&found.history, Some(&progress));
        if found.executed.is_some() {
            return Ok(Exit::Done);
        }
        let (why, next) = why_nothing(&found);
        Err(Failure::because(Exit::Declined, format!("the log holds nothing of {}", self.request), why, next))
    }
}

fn lines(found: &Explanation) -> Vec<String> {
    let mut lines = vec![format!("request {}", found.request)];
    if let Some(session) = &found.session {
        lines.push(format!("session  opened by {} at {}", named(session.owner, session.owner_name.as_deref()), place(session.at)));
    }
    if let Some(executed) = &found.executed {
        let Executed { at, command, account_names, body } = executed;
        let what = match command {
            Some(command) => format!("{} [{}]", command_in_words(command, found.decimals), account_names.join(", ")),
            None => "a cancellation, under which no command was or will be executed".to_owned(),
        };
        lines.push(format!("command  {what}"));
        lines.push(format!("logged   {}", place(*at)));
        lines.push(match body {
            Some(body) => format!("outcome  {}, balance {}", declined(body.outcome), body.balance.display(found.decimals)),
            None => "outcome  none: its session was gone before it, and it had no effect".to_owned(),
        });
        lines.push(match &found.acknowledged {
            Some(acknowledged) => format!("reply    acknowledged (below {}) at {}", acknowledged.below, place(acknowledged.at)),
            None => "reply    not acknowledged".to_owned(),
        });
    }
    if found.session.is_some() {
        lines.push(format!("numbers  executed up to {}", found.last_number));
        lines.push(format!("ended    {}", found.ending.map_or_else(|| "no".to_owned(), ending)));
    }
    lines
}

/// Why the log holds no entry of the request, and what to do next.
fn why_nothing(found: &Explanation) -> (String, &'static str) {
    let next = match (found.was_repaired, found.is_epoch_known && found.session.is_some(), found.ending) {
        (true, ..) => "look into the list of what the repair dropped, beside the store",
        (false, false, _) => "check the id, and the store with --data-dir",
        (false, true, Some(_)) => "it was not executed and never will be",
        (false, true, None) => "it was not executed so far; the client that has it can still send it or cancel it",
    };
    if !found.is_epoch_known {
        let epoch = found.request.session.epoch;
        return (format!("no start {epoch} is in this log's history: it is another store's, or of a time that this store has lost"), next);
    }
    if found.session.is_none() {
        return (format!("no session was opened by entry {} in that epoch", found.request.session.lsn), next);
    }
    let end = found.ending.map_or_else(String::new, |end| format!(", and has ended: {}", ending(end)));
    (format!("its session has executed the numbers up to {}{end}", found.last_number), next)
}

fn named(owner: bankd::model::types::Owner, name: Option<&str>) -> String {
    let owner = owner_in_words(owner);
    name.map_or_else(|| owner.clone(), |name| format!("{owner} {name:?}"))
}

fn place(at: Place) -> String {
    let seal = if at.is_sealed { "" } else { ", not sealed yet: no later batch proves that it is on the disk" };
    format!("LSN {}, batch {}, {}{seal}", at.lsn, at.batch, utc(at.time))
}

fn ending(end: Ending) -> String {
    match end {
        Ending::Closed(at, owner) => format!("closed by {} at {}", owner_in_words(owner), place(at)),
        Ending::Evicted(at) => format!("evicted for another session at {}", place(at)),
        Ending::Revoked(at) => format!("its teller was revoked at {}", place(at)),
        Ending::NewLineage(at, LineageCause::Repaired) => format!("the log was repaired at {}", place(at)),
        Ending::NewLineage(at, LineageCause::SnapshotStarted) => format!("a snapshot was started at {}", place(at)),
        Ending::NewLineage(at, LineageCause::Created) => format!("a lineage was drawn at {}", place(at)),
    }
}

fn as_json(found: &Explanation) -> Value {
    let at = |at: Place| json!({ "lsn": at.lsn.0, "batch": at.batch, "time": utc(at.time), "sealed": at.is_sealed });
    let executed = found.executed.as_ref().map(|executed| {
        json!({
            "at": at(executed.at),
            "command": executed.command.map(|command| command_in_words(&command, found.decimals)),
            "accounts": executed.account_names,
            "outcome": executed.body.map(|body| body.outcome.name()),
            "balance": executed.body.map(|body| body.balance.display(found.decimals).to_string()),
        })
    });
    json!({
        "session": found.request.session.to_string(),
        "number": found.request.number.0,
        "lineage_known": found.is_epoch_known,
        "opened": found.session.as_ref().map(|session| {
            json!({ "at": at(session.at), "owner": owner_in_words(session.owner), "name": session.owner_name })
        }),
        "executed": executed,
        "acknowledged": found.acknowledged.map(|acknowledged| json!({ "at": at(acknowledged.at), "below": acknowledged.below.0 })),
        "last_number": found.last_number.0,
        "ended": found.ending.map(ending),
    })
}
