//! `bankd wal`: inspects, verifies and repairs a store's log.
//!
//! All but `index` and `repair` can run while a daemon runs: they take no lock and write nothing.
//! Left out: the history of one request (`explain.rs`), and reading the log (`engine/`, `wal/`).

mod dump;
mod entry_text;
mod index;
mod repair;
mod stat;
mod verify;

pub use crate::cli::commands::wal::entry_text::owner_in_words;

use std::path::PathBuf;

use bankd::engine::History;
use clap::{Args, Subcommand};

use crate::cli::support::failure::{Exit, Failure};
use crate::cli::support::output::say;
use crate::cli::support::progress::Progress;
use crate::cli::support::store_paths;

/// `bankd wal`.
#[derive(Debug, Args)]
pub struct Wal {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show the size of each log segment
    Stat(crate::cli::commands::wal::stat::Stat),
    /// Print the log, one line per entry
    Dump(crate::cli::commands::wal::dump::Dump),
    /// Verify the whole log, and optionally a client's journal against it
    Verify(crate::cli::commands::wal::verify::Verify),
    /// Make the index of statements again from the log
    Index(crate::cli::commands::wal::index::Index),
    /// Repair a damaged store that `bankd serve` refuses to open
    Repair(crate::cli::commands::wal::repair::Repair),
}

/// The option that names the store.
#[derive(Clone, Debug, Args)]
pub struct StoreOption {
    /// Directory of the store
    #[arg(long, value_name = "DIR", env = "BANKD_DATA_DIR", default_value = store_paths::DEFAULT_STORE, value_parser = store_paths::data_dir)]
    pub data_dir: PathBuf,
}

impl Wal {
    /// Runs the subcommand.
    ///
    /// # Errors
    /// [`Failure`] with exit code 6 for a damaged log, 8 if there is no log.
    pub fn run(self) -> Result<Exit, Failure> {
        match self.action {
            Action::Stat(stat) => stat.run(),
            Action::Dump(dump) => dump.run(),
            Action::Verify(verify) => verify.run(),
            Action::Index(index) => index.run(),
            Action::Repair(repair) => repair.run(),
        }
    }
}

/// Prints remarks about the log on stderr (running daemon, dropped beginning, torn tail, damaged manifest slot), and the
/// summary of a long read.
pub fn remark(history: &History, progress: Option<&Progress>) {
    let dropped = if history.log.torn.is_some() { "without a torn tail" } else { "nothing dropped" };
    progress.and_then(|progress| progress.summary(dropped)).iter().for_each(|line| say(line));
    match (&history.holder, history.log.has_unsealed) {
        (Some(holder), true) => say(&format!("a daemon ({holder}) has the store: read as far as its last sealed batch")),
        (Some(holder), false) => say(&format!("a daemon ({holder}) has the store")),
        (None, _) => {}
    }
    if history.from.0 > 0 {
        say(&format!("the log's beginning was dropped: read on from the checkpoint at entry {}", history.from));
    }
    if let Some(torn) = &history.log.torn {
        say(&format!("the next start will say: {torn}"));
    }
    if history.log.has_damaged_slot && history.holder.is_none() {
        say("one of the manifest's two slots is damaged; the other one serves, and the next segment or `bankd wal repair` heals it");
    }
}
