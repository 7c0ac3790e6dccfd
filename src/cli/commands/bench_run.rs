//! `bankd bench run`: loads a bank, one that it starts itself or a running one, and reports the results.
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
    /// Number of connections, 1 to 4096; each has its own session
    #[arg(long, short = 'c', value_name = "N", default_value_t = 64)]
    connections: usize,
    /// Commands in flight per connection, 1 to 1024: constant in a closed loop [default: the value of --run], a maximum with
    /// --rate [default: 512]
    #[arg(long, short = 'd', value_name = "N")]
    depth: Option<usize>,
    /// Open loop: send this many commands per second in all; latency counts from the scheduled send time [default: closed loop]
    #[arg(long, value_name = "N")]
    rate: Option<u64>,
    /// Commands per frame, 1 to 1024, with consecutive request numbers; above 1 the mix must not contain balances
    #[arg(long, value_name = "N", default_value_t = 1)]
    run: usize,
    /// Time before measuring begins, such as 500ms or 2s, at most 24h; a plain number is seconds
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = duration)]
    warm_up: Duration,
    /// Time to measure, such as 500ms or 2s, at most 24h; a plain number is seconds
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration)]
    duration: Duration,
    /// Number of accounts, 1 to 10,000,000
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    accounts: u32,
    /// Choose accounts by a Zipf distribution with this exponent, above 0 and at most 5, such as 0.99 [default: uniform]
    #[arg(long, value_name = "POWER")]
    zipf: Option<f64>,
    /// Relative share of each kind of request, 0 to 1,000,000
    #[arg(long, value_name = "SHARES", default_value = "deposits=1,withdrawals=0,transfers=0,balances=0")]
    mix: Mix,
    /// Share of the frames, 0 to 1, that are sent twice
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    duplicates: f64,
    /// Random seed; the same seed produces the same requests
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Address of the bank to load [default: start a bank on a temporary store]
    #[arg(long, value_name = "HOST:PORT", requires = "teller")]
    server: Option<String>,
    /// Name of the teller to log in as; needed with --server
    #[arg(long, value_name = "TELLER", requires_all = ["server", "token_file"])]
    teller: Option<String>,
    /// File whose first line is the teller's token
    #[arg(long, value_name = "FILE", requires = "teller")]
    token_file: Option<PathBuf>,
    /// Directory for the store of the bank that is started, which is kept; empty or not existing yet [default: temporary]
    #[arg(long, value_name = "DIR", conflicts_with = "server")]
    dir: Option<PathBuf>,
    /// Record every command and answer in this new file, for `bankd wal verify --against`
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
    /// Print the result as one JSON object
    #[arg(long)]
    json: bool,
    /// Append the results to this CSV file
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Write the latency distribution to this file, in the text format of HdrHistogram
    #[arg(long, value_name = "FILE")]
    quantiles: Option<PathBuf>,
}

impl Run {
    pub fn run(&self) -> Result<Exit, Failure> {
        let plan = self.plan();
        plan.check()
            .map_err(|error| Failure::usage("cannot run this load", format!("it needs {error}"), "see `bankd bench run --help`"))?;
        // Each connection needs a file descriptor.
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

/// Appends a row to a table; a new table begins with its header.
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
