//! `bankd snapshot`: copies a store, also while a daemon runs.
//!
//! Left out: the copying (`engine/`).

use std::path::PathBuf;

use bankd::engine;
use bankd::env::os;
use clap::Args;
use serde_json::json;

use crate::cli::support::failure::{Exit, Failure};
use crate::cli::support::output::{say, tell, tell_json};
use crate::cli::support::progress;
use crate::cli::support::store_paths::{DEFAULT_STORE, data_dir};

/// Copy a store to a new directory, up to the last sealed batch of its log, and verify the copy. Works while the daemon
/// runs.
#[derive(Debug, Args)]
pub struct Snapshot {
    /// Directory of the copy; must be empty or not exist yet
    #[arg(value_name = "DIR")]
    target: PathBuf,
    /// Directory of the store to copy
    #[arg(long, value_name = "DIR", env = "BANKD_DATA_DIR", default_value = DEFAULT_STORE, value_parser = data_dir)]
    data_dir: PathBuf,
    /// Print the result as one JSON object
    #[arg(long)]
    json: bool,
}

impl Snapshot {
    /// Copies the store.
    ///
    /// # Errors
    /// [`Failure`] with exit code 6 for a damaged store, 8 if there is no store or the copy cannot be made.
    pub fn run(self) -> Result<Exit, Failure> {
        if os::canonical(&self.target).starts_with(&self.data_dir) {
            let why = "it would stand inside the store that it is a copy of";
            return Err(Failure::usage("cannot make the snapshot", why, "name a directory elsewhere, best on another disk"));
        }
        let (env, _) = progress::tool();
        let made = engine::snapshot(&env, &self.data_dir, &self.target)?;
        let engine::Snapshot { store, lsn, chain, segments, checkpoints, bytes } = made;
        if self.json {
            tell_json(&json!({
                "store": store.to_string(),
                "lsn": lsn.0,
                "chain": chain.to_string(),
                "segments": segments,
                "checkpoints": checkpoints,
                "bytes": bytes,
            }));
        } else {
            tell(&format!("snapshot of {store}: {segments} segments, {checkpoints} checkpoints, {bytes} bytes"));
            tell(&format!("chain head {chain} at LSN {lsn}"));
        }
        say("the key file is not in it: keep a copy of that elsewhere, and name it with --key-file");
        say("started, the copy is a bank of its own: it ends all earlier sessions, and the original goes on without it");
        Ok(Exit::Done)
    }
}
