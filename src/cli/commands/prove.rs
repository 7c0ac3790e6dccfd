//! `bankd prove`: runs a bank and clients under faults and kills for some seconds; exit code 0 or 1 is the verdict.
//!
//! Left out: the test itself (`bankd::prove`).

use std::path::PathBuf;
use std::time::Duration;

use bankd::env::Env;
use bankd::env::os;
use bankd::prove::{self, Flaw, OnTrial, Plan, Verdict};
use clap::{Args, Subcommand};

use crate::cli::support::durations::some_time;
use crate::cli::support::failure::{Exit, Failure};
use crate::cli::support::output::{say, tell, tell_json};

/// The most violations printed; the rest is counted.
const SHOWN: usize = 12;

/// `bankd prove`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Prove {
    /// How long the clients run, such as 30s or 5m, at most 24h; a plain number is seconds
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = some_time)]
    seconds: Duration,
    /// Random seed; it selects the clients' requests and the faults
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Number of client threads, 1 to 500; five special clients run as well (2 processes, prober, auditor, intruder)
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..=500))]
    clients: u32,
    /// Test a bank with this deliberate flaw instead: the test must find it, so exit code 1 is expected
    #[arg(long, value_name = "MODE", value_parser = flaw)]
    broken: Option<Flaw>,
    /// List the flaws for --broken
    #[arg(long)]
    list_broken: bool,
    /// Keep the logs and journals even if no violation was found
    #[arg(long)]
    keep: bool,
    /// Print the verdict as one JSON object
    #[arg(long)]
    json: bool,
    #[command(subcommand)]
    small_bank: Option<SmallBank>,
}

#[derive(Debug, Subcommand)]
enum SmallBank {
    /// Run the bank that --broken tests; `bankd prove` starts it as a separate process
    #[command(name = "small-bank", hide = true)]
    Serve {
        /// Directory of its store, created if missing
        #[arg(long, value_name = "DIR")]
        data_dir: PathBuf,
        /// Name of its flaw, or "none"
        #[arg(long, value_name = "MODE")]
        flaw: String,
    },
}

impl Prove {
    /// Runs the test; returns exit code 0 if no violation was found, else 1.
    pub fn run(self) -> Result<Exit, Failure> {
        if let Some(SmallBank::Serve { data_dir, flaw: name }) = &self.small_bank {
            return serve_small_bank(data_dir, name);
        }
        if self.list_broken {
            Flaw::ALL.iter().for_each(|flaw| tell(flaw.name()));
            return Ok(Exit::Done);
        }
        let cannot = |why: &dyn std::fmt::Display| Failure::because(Exit::CannotStart, "cannot prove anything", why, "nothing was proven");
        let exe = std::env::current_exe().map_err(|error| cannot(&error))?;
        let dir = os::make_temporary_dir("prove").map_err(|error| cannot(&error))?;
        let bank = self.broken.map_or(OnTrial::Daemon, |flaw| OnTrial::Small(Some(flaw)));
        let lasting = self.seconds;
        let plan = Plan { seed: self.seed, lasting, clients: self.clients, bank, dir: dir.clone(), exe };
        let verdict = prove::prove(&Env::os(), &plan, &|word| say(word)).map_err(|error| {
            say(&format!("what was written is in {}", dir.display()));
            cannot(&error)
        })?;
        if self.keep || (!verdict.is_clean() && self.broken.is_none()) {
            say(&format!("what was written is in {}", dir.display()));
        } else if let Err(error) = os::remove_dir_and_content(&dir) {
            say(&format!("{} stays behind: {error}", dir.display()));
        }
        self.tell(&verdict);
        Ok(if verdict.is_clean() { Exit::Done } else { Exit::Internal })
    }

    fn tell(&self, verdict: &Verdict) {
        if self.json {
            tell_json(&self.json_of(verdict));
            return;
        }
        let Verdict { violations, checked, deeds, proxy, lasted } = verdict;
        tell(&format!("seed {}, {} clients, {}.{:03} s", self.seed, self.clients + 5, lasted.as_secs(), lasted.subsec_millis()));
        tell(&format!(
            "requests: {}, {} of them answered ({} declined, {} cancelled), {} never executed, {} left to the log; {} balances read",
            checked.requests,
            checked.answered,
            checked.declined,
            checked.cancelled,
            checked.never_executed,
            checked.left_to_the_log,
            checked.reads
        ));
        tell(&format!(
            "on the way: {} messages; lost {} requests ({} arrived late) and {} replies, doubled {}, cut {}, answered busy {}",
            proxy.messages, proxy.lost_requests, proxy.late_requests, proxy.lost_replies, proxy.duplicates, proxy.cuts, proxy.busy
        ));
        tell(&format!(
            "kills: {} of the daemon, {} of clients; {} runs abandoned; {} tails torn",
            deeds.daemon_kills, deeds.client_kills, deeds.runs_abandoned, deeds.tails_torn
        ));
        tell(&format!(
            "absorbed: {} duplicates; resolved: {} in doubt; {} requests were under way in a window of others",
            checked.duplicates_absorbed, deeds.doubts_resolved, deeds.in_windows
        ));
        tell(&format!(
            "checked: {} journals against {} entries in {} batches of {} starts, {} torn tails; {} receipts, {} pairs in real time",
            checked.journals, checked.entries, checked.batches, checked.incarnations, checked.torn_tails, checked.receipts, checked.ordered
        ));
        for violation in violations.iter().take(SHOWN) {
            tell(&violation.to_string());
        }
        if violations.len() > SHOWN {
            tell(&format!("... and {} more", violations.len() - SHOWN));
        }
        match (self.broken, violations.len()) {
            (None, 0) => tell("verdict: every request took effect exactly once and was answered with its one answer"),
            (None, found) => {
                tell(&format!("verdict: NOT PROVEN, {found} violations"));
                let Self { seed, clients, .. } = self;
                let seconds = self.seconds.as_secs_f64();
                tell(&format!("again with: bankd prove --seconds {seconds} --seed {seed} --clients {clients} --keep"));
            }
            (Some(flaw), 0) => tell(&format!("verdict: the flaw {} was NOT found; try more --seconds or another --seed", flaw.name())),
            (Some(flaw), found) => tell(&format!("verdict: the flaw {} was found out, {found} violations", flaw.name())),
        }
    }

    fn json_of(&self, verdict: &Verdict) -> serde_json::Value {
        let violation = |violation: &prove::Violation| {
            let request = violation.request.map(|request| request.to_string());
            serde_json::json!({"rule": violation.rule, "request": request, "what": violation.what})
        };
        serde_json::json!({
            "clean": verdict.is_clean(),
            "seed": self.seed,
            "broken": self.broken.map(Flaw::name),
            "milliseconds": u64::try_from(verdict.lasted.as_millis()).unwrap_or(u64::MAX),
            "checked": verdict.checked,
            "deeds": verdict.deeds,
            "proxy": verdict.proxy,
            "violations": verdict.violations.len(),
            "shown": verdict.violations.iter().take(SHOWN).map(violation).collect::<Vec<_>>(),
        })
    }
}

fn serve_small_bank(dir: &std::path::Path, name: &str) -> Result<Exit, Failure> {
    let flaw = match name {
        "none" => None,
        name => Some(flaw(name).map_err(|why| Failure::usage("cannot serve", why, "see `bankd prove --list-broken`"))?),
    };
    prove::serve_small_bank(&Env::os(), dir, flaw, &|address| tell(&format!("ready native {address}")))
        .map_err(|error| Failure::because(Exit::CannotStart, "the small bank cannot serve", error, "it is for `bankd prove` alone"))?;
    Ok(Exit::Done)
}

fn flaw(name: &str) -> Result<Flaw, String> {
    Flaw::named(name).ok_or_else(|| "no such flaw; `bankd prove --list-broken` lists them".to_owned())
}
