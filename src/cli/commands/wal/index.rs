//! `bankd wal index`: makes the index of statements again from the log of a stopped store.
//!
//! Left out: the index itself (`engine/statements/`).

use bankd::engine::{self, Indexed};
use clap::Args;
use serde_json::json;

use crate::cli::commands::wal::StoreOption;
use crate::cli::support::failure::{Exit, Failure};
use crate::cli::support::output::{tell, tell_json};
use crate::cli::support::progress;

/// Make the index of statements again from the log. The daemon must not run; it does so by itself if the index is missing or
/// damaged.
#[derive(Debug, Args)]
pub struct Index {
    #[command(flatten)]
    store: StoreOption,
    /// Print the result as one JSON object
    #[arg(long)]
    json: bool,
}

impl Index {
    /// Makes the index.
    ///
    /// # Errors
    /// [`Failure`] with exit code 6 for a damaged log, 7 if a daemon has the store, 8 if there is no store or no room.
    pub fn run(self) -> Result<Exit, Failure> {
        let (env, _) = progress::tool();
        let Indexed { first, last, parts, bytes } = engine::index(&env, &self.store.data_dir)?;
        if self.json {
            tell_json(&json!({ "first": first.0, "last": last.0, "files": parts, "bytes": bytes }));
        } else {
            tell(&format!("indexed entries {first} to {last}: {bytes} bytes in {parts} files"));
        }
        Ok(Exit::Done)
    }
}
