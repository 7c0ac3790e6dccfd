//! `bankd bench run`: a load on a bank, of the bench's own or somebody else's, and what came of it.
//!
//! Left out: measuring (`bankd::bench`), the other benches (`bench.rs`).

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bankd::bench::load::{Mix, Plan, Spread};
use bankd::bench::{self, BenchError, OwnBank, Report, Target};
use bankd::client::Login;
use bankd::env::Env;
use bankd::env::os;
use bankd::wire::message::Role;
use clap::Args;

use crate::cli::commands::bench::remove;
use crate::cli::support::durations::duration;
use crate::cli::support::failure::{Exit, Failure};
use crate::cli::support::output::{say, tell, tell_json};
use crate::cli::support::progress::Countdown;
use crate::cli::support::secrets::read_token;

/// `bankd bench run`.
#[derive(Debug, Args)]
pub struct Run {
    /// Connections, each with a session of its own
    #[arg(long, short = 'c', value_name = "N", default_value_t = 64)]
    connections: usize,
    /// Commands in flight a connection: kept at that in a closed loop [default: 1], the most in an open one [default: 512]
    #[arg(long, short = 'd', value_name = "N")]
    depth: Option<usize>,
    /// Open loop: so many commands a second, each timed from when it was meant to be sent
    #[arg(long, value_name = "N")]
    rate: Option<u64>,
    /// Consecutive commands in one frame
    #[arg(long, value_name = "N", default_value_t = 1)]
    run: usize,
    /// How long it runs before anything is measured, such as 500ms or 2s; a plain number is seconds
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = duration)]
    warm_up: Duration,
    /// How long is measured
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration)]
    duration: Duration,
    /// How many accounts there are
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    accounts: u32,
    /// Ask for some accounts more often: the k-th most popular in proportion to 1/k to this power, such as 0.99
    #[arg(long, value_name = "POWER")]
    zipf: Option<f64>,
    /// What is asked, in these shares
    #[arg(long, value_name = "SHARES", default_value = "deposits=1,withdrawals=0,transfers=0,balances=0")]
    mix: Mix,
    /// Send this share of the frames, 0 to 1, a second time
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    duplicates: f64,
    /// Where chance begins: the same seed, the same requests
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// The bank [default: one of its own, on a temporary store]
    #[arg(long, value_name = "HOST:PORT", requires = "teller")]
    server: Option<String>,
    /// Log in as this teller
    #[arg(long, value_name = "TELLER", requires_all = ["server", "token_file"])]
    teller: Option<String>,
    /// The file with the teller's token in its first line
    #[arg(long, value_name = "FILE", requires = "teller")]
    token_file: Option<PathBuf>,
    /// Where the bank of its own has its store, which stays then; an empty directory, or none yet
    #[arg(long, value_name = "DIR", conflicts_with = "server")]
    dir: Option<PathBuf>,
    /// Keep every command and answer in this new file, for `bankd wal verify --against`
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Append a row to this table
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Write the distribution of latencies here, in the form of the HdrHistogram tools
    #[arg(long, value_name = "FILE")]
    quantiles: Option<PathBuf>,
}

impl Run {
    pub fn run(&self) -> Result<Exit, Failure> {
        let plan = self.plan();
        plan.check()
            .map_err(|error| Failure::usage("cannot run this load", format!("it needs {error}"), "see `bankd bench run --help`"))?;
        // Each connection takes a descriptor.
        os::raise_descriptor_limit();
        let env = Env::os();
        let report = match &self.server {
            Some(server) => {
                let (address, login) = (resolve(server)?, self.login()?);
                self.measure(&env, &Target::Other { address, login }, &plan)
            }
            None => self.on_own_bank(&env, &plan),
        }?;
        report.warnings().iter().for_each(|warning| say(&format!("NOTE: {warning}")));
        if self.json {
            tell_json(&report.json(&plan));
        } else {
            report.lines().iter().for_each(|line| tell(line));
        }
        self.write(&env, &plan, &report)?;
        Ok(Exit::Done)
    }

    fn plan(&self) -> Plan {
        Plan {
            connections: self.connections,
            depth: self.depth.unwrap_or(if self.rate.is_some() { 512 } else { self.run.max(1) }),
            rate: self.rate,
            warm_up: self.warm_up,
            duration: self.duration,
            accounts: self.accounts,
            spread: self.zipf.map_or(Spread::Uniform, Spread::Zipf),
            mix: self.mix,
            duplicates: self.duplicates,
            run: self.run,
            seed: self.seed,
        }
    }

    fn login(&self) -> Result<Login, Failure> {
        match (&self.teller, &self.token_file) {
            (Some(name), Some(file)) => Ok(Login { role: Role::Teller, name: name.clone(), secret: read_token(file)? }),
            _ => Err(Failure::usage("cannot log in", "no teller is named", "add --teller and --token-file")),
        }
    }

    fn on_own_bank(&self, env: &Env, plan: &Plan) -> Result<Report, Failure> {
        let cannot = |why: &dyn std::fmt::Display| {
            Failure::because(
                Exit::CannotStart,
                "cannot make a bank to measure",
                why,
                "nothing was measured; name another directory with --dir",
            )
        };
        let exe = std::env::current_exe().map_err(|error| cannot(&error))?;
        let dir = match &self.dir {
            Some(dir) if dir.exists() => dir.clone(),
            Some(dir) => env.disk.create_dir(dir).map(|()| dir.clone()).map_err(|error| cannot(&error))?,
            None => os::make_temporary_dir_on_disk("bench").map_err(|error| cannot(&error))?,
        };
        say(&format!("making a bank of {} accounts in {}", plan.accounts, dir.display()));
        let report = OwnBank::start(&*env.disk, &exe, &dir, plan.accounts)
            .map_err(|error| cannot(&error))
            .and_then(|bank| self.measure(env, &Target::Own(&bank), plan));
        if self.dir.is_none() {
            remove(&dir);
        }
        report
    }

    fn measure(&self, env: &Env, target: &Target<'_>, plan: &Plan) -> Result<Report, Failure> {
        let (began, mut before) = (Instant::now(), 0);
        let countdown = Countdown::new(plan.warm_up + plan.duration);
        let mut progress = |answered: u64| {
            countdown.tell(began.elapsed(), format!("{} answers in the last second", answered - before));
            before = answered;
        };
        bench::trial(env, target, plan, self.journal.as_deref(), &mut progress).map_err(|error| match error {
            BenchError::Journal(error) => Failure::journal("cannot keep the journal", &error),
            BenchError::Unreachable { .. } => {
                Failure::because(Exit::Unreachable, "cannot put a load on it", error, "name another bank with --server, or none")
            }
            BenchError::Io { .. } => Failure::because(Exit::CannotStart, "the load did not end", error, "nothing was measured"),
            error => Failure::because(Exit::Internal, "the load did not end", error, "nothing was measured; look at the bank's log"),
        })
    }

    fn write(&self, env: &Env, plan: &Plan, report: &Report) -> Result<(), Failure> {
        let failed = |path: &Path, error: std::io::Error| {
            Failure::because(Exit::Internal, format!("cannot write {}", path.display()), error, "the figures are above")
        };
        if let Some(path) = &self.csv {
            append(env, path, bench::CSV_HEADER, &report.csv(plan)).map_err(|error| failed(path, error))?;
        }
        if let Some(path) = &self.quantiles {
            let file = if path.exists() { env.disk.open(path) } else { env.disk.create(path) };
            let text = report.quantiles();
            let written = file.and_then(|file| {
                file.set_len(0)?;
                file.write_all_at(text.as_bytes(), 0)?;
                file.sync()
            });
            written.map_err(|error| failed(path, error))?;
        }
        Ok(())
    }
}

/// Appends a row to a table, which begins with its header.
fn append(env: &Env, path: &Path, header: &str, row: &str) -> std::io::Result<()> {
    if path.exists() {
        let file = env.disk.open(path)?;
        let end = file.len()?;
        file.write_all_at(row.as_bytes(), end)?;
        return file.sync();
    }
    let file = env.disk.create(path)?;
    file.write_all_at(format!("{header}{row}").as_bytes(), 0)?;
    file.sync()
}

fn resolve(server: &str) -> Result<SocketAddr, Failure> {
    let found = server.to_socket_addrs().map(|mut addresses| addresses.next());
    let unknown = |why: String| Failure::because(Exit::Unreachable, format!("cannot find the bank at {server}"), why, "nothing was sent");
    found.map_err(|error| unknown(error.to_string()))?.ok_or_else(|| unknown("the name has no address".to_owned()))
}
