//! `bankd bench`: `run` loads one bank (`bench_run.rs`), `sweep` measures many error rates and connection counts.
//!
//! Left out: measuring and drawing (`bankd::bench`).

use std::path::PathBuf;

use bankd::bench::{self, BenchError};
use bankd::env::Env;
use bankd::env::os;
use clap::{Args, Subcommand};

use crate::cli::commands::bench_run::Run;
use crate::cli::support::failure::{Exit, Failure};
use crate::cli::support::output::{say, tell};

/// `bankd bench`.
#[derive(Debug, Args)]
pub struct Bench {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Load a bank and report its throughput and latency
    Run(Box<Run>),
    /// Measure transaction time against the error rate, and throughput against the number of connections
    Sweep(Sweep),
}

/// `bankd bench sweep`.
#[derive(Debug, Args)]
struct Sweep {
    /// Output directory for the tables and the HTML page
    #[arg(long, value_name = "DIR", default_value = "sweep")]
    out: PathBuf,
    /// Random seed; it selects the messages that are lost
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Run few transactions per point, as a smoke test; the figures mean nothing
    #[arg(long)]
    quick: bool,
}

impl Bench {
    /// Runs the subcommand.
    pub fn run(&self) -> Result<Exit, Failure> {
        match &self.what {
            What::Run(run) => run.run(),
            What::Sweep(sweep) => sweep.run(),
        }
    }
}

impl Sweep {
    fn run(&self) -> Result<Exit, Failure> {
        let cannot = |why: &dyn std::fmt::Display| Failure::because(Exit::CannotStart, "cannot sweep", why, "nothing was measured");
        let exe = std::env::current_exe().map_err(|error| cannot(&error))?;
        let dir = os::make_temporary_dir_on_disk("sweep").map_err(|error| cannot(&error))?;
        let plan = bench::Sweep { seed: self.seed, is_quick: self.quick, out: self.out.clone(), dir: dir.clone(), exe };
        let written = bench::sweep(&Env::os(), &plan, &|word| say(word));
        remove(&dir);
        let written = written.map_err(|error| {
            let exit = if matches!(error, BenchError::Io { .. }) { Exit::CannotStart } else { Exit::Internal };
            Failure::because(exit, "the sweep did not end", error, "name another directory with --out, or try again")
        })?;
        written.iter().for_each(|path| tell(&path.display().to_string()));
        Ok(Exit::Done)
    }
}

/// Removes a temporary directory; prints a remark if that fails.
pub(in crate::cli) fn remove(dir: &std::path::Path) {
    if let Err(error) = os::remove_dir_and_content(dir) {
        say(&format!("{} stays behind: {error}", dir.display()));
    }
}
