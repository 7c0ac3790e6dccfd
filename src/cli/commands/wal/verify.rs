//! `bankd wal verify`: verifies the whole log, and compares a client journal's receipts with it.
//!
//! Left out: the verification itself (`engine/`), and decoding a journal (`client/`).

use std::path::{Path, PathBuf};

use bankd::client;
use bankd::engine::{self, Evidence, StoreEnv, Verified};
use clap::Args;
use serde_json::json;

use crate::cli::commands::wal::{StoreOption, remark};
use crate::cli::support::failure::{Exit, Failure};
use crate::cli::support::output::{say, tell, tell_json};
use crate::cli::support::progress;

/// The most contradictions printed; the rest is counted.
const NAMED: usize = 10;

/// Verify the whole log: every checksum, the hash chain, the outcomes by replay, and that balances add up.
#[derive(Debug, Args)]
pub struct Verify {
    #[command(flatten)]
    store: StoreOption,
    /// Compare every receipt in this client's journal with the log
    #[arg(long, value_name = "JOURNAL")]
    against: Option<PathBuf>,
    /// Print the result as one JSON object
    #[arg(long)]
    json: bool,
}

impl Verify {
    pub fn run(self) -> Result<Exit, Failure> {
        let (env, progress) = progress::tool();
        // Read the journal before the log: every answer in the journal is then in the log already.
        let told = self.against.as_deref().map(|path| read_journal(&env, path)).transpose()?.unwrap_or_default();
        let verified = engine::verify(&env, &self.store.data_dir, &told)?;
        let foreign = told.len().saturating_sub(verified.held).saturating_sub(verified.dropped);
        if foreign > 0 {
            say(&format!("{foreign} answer(s) in the journal are another bank's, and were left out"));
        }
        if verified.dropped > 0 {
            say(&format!("{} answer(s) in the journal are older than what is left of this log, and were left out", verified.dropped));
        }
        if self.json {
            tell_json(&as_json(&verified));
        } else {
            lines(&verified, self.against.is_some()).iter().for_each(|line| tell(line));
        }
        remark(&verified.history, Some(&progress));
        exposed(&verified).map_or(Ok(Exit::Done), Err)
    }
}

fn read_journal(env: &StoreEnv, path: &Path) -> Result<Vec<Evidence>, Failure> {
    let told = client::told(&*env.disk, path).map_err(|error| Failure::journal("cannot read the receipts", &error))?;
    let evidence = told.into_iter().map(|told| {
        let client::Told { store, request, settled } = told;
        Evidence { store, request, body: settled.body, receipt: settled.receipt }
    });
    Ok(evidence.collect())
}

/// The failure to report if the log contradicts the answers that its clients received.
fn exposed(verified: &Verified) -> Option<Failure> {
    let all = &verified.contradictions;
    if all.is_empty() {
        return None;
    }
    all.iter().take(NAMED).for_each(|found| say(&found.to_string()));
    if all.len() > NAMED {
        say(&format!("and {} more", all.len() - NAMED));
    }
    let why = match verified.repairs.as_slice() {
        [] => "it was rewritten, or an older copy was put in its place".to_owned(),
        repairs => {
            let at: Vec<String> = repairs.iter().map(ToString::to_string).collect();
            format!("it was repaired at entry {}, which may be why; otherwise it was rewritten", at.join(", "))
        }
    };
    let what = "this log is not the one that those answers came from";
    Some(Failure::because(Exit::Damaged, what, why, "keep both, and compare the log with your backups"))
}

fn lines(verified: &Verified, has_receipts: bool) -> Vec<String> {
    let log = &verified.history.log;
    let mut lines = vec![
        format!(
            "sound: {} segments, {} batches, {} entries, {} incarnations",
            log.segments.len(),
            verified.batches,
            verified.entries,
            verified.incarnations
        ),
        format!("chain head {} at LSN {}", log.end.chain, verified.entries),
        format!("outcome digest {:016x}", verified.outcome_digest),
    ];
    if has_receipts {
        let held = if verified.contradictions.is_empty() { "all of them agree" } else { "not all of them agree" };
        lines.push(format!("{} answers with receipts were held against it: {held}", verified.held));
    }
    lines
}

fn as_json(verified: &Verified) -> serde_json::Value {
    let log = &verified.history.log;
    json!({
        "store": log.store.to_string(),
        "running": verified.history.holder,
        "segments": log.segments.len(),
        "batches": verified.batches,
        "entries": verified.entries,
        "incarnations": verified.incarnations,
        "chain": log.end.chain.to_string(),
        "lsn": verified.entries,
        "outcome_digest": format!("{:016x}", verified.outcome_digest),
        "torn": log.torn.as_ref().map(ToString::to_string),
        "from": verified.history.from.0,
        "unsealed": log.has_unsealed,
        "manifest_slot_damaged": log.has_damaged_slot,
        "repairs": verified.repairs.iter().map(|lsn| lsn.0).collect::<Vec<_>>(),
        "receipts": verified.held,
        "receipts_dropped": verified.dropped,
        "contradictions": verified.contradictions.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}
