//! `bankd wal`: looks at a store's log, and repairs it.
//!
//! All but `repair` work beside a running daemon, take no lock and write nothing.
//! Left out: one request's story (`explain.rs`), and reading the log (`engine/`, `wal/`).

mod dump;
mod entry_text;
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
    /// Tells how large the log is, segment by segment
    Stat(crate::cli::commands::wal::stat::Stat),
    /// Prints the log, one line an entry
    Dump(crate::cli::commands::wal::dump::Dump),
    /// Checks the whole log, and what clients were told against it
    Verify(crate::cli::commands::wal::verify::Verify),
    /// Tells what can be done about a store that a start refuses, and does it
    Repair(crate::cli::commands::wal::repair::Repair),
}

/// Which store's log.
#[derive(Clone, Debug, Args)]
pub struct StoreOption {
    /// The store's directory
    #[arg(long, value_name = "DIR", env = "BANKD_DATA_DIR", default_value = store_paths::DEFAULT_STORE, value_parser = store_paths::data_dir)]
    pub data_dir: PathBuf,
}

impl Wal {
    /// Does it.
    ///
    /// # Errors
    /// [`Failure`] with exit code 6 for a damaged log, 8 where there is none.
    pub fn run(self) -> Result<Exit, Failure> {
        match self.action {
            Action::Stat(stat) => stat.run(),
            Action::Dump(dump) => dump.run(),
            Action::Verify(verify) => verify.run(),
            Action::Repair(repair) => repair.run(),
        }
    }
}

/// Tells on stderr what anybody should know who looks at this log, and what a long reading came to.
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
