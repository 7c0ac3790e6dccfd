//! The sweep: mean time of a transaction by error rate, as in figures 14 and 15 of the lab report, with an idempotent
//! utility as control group; and throughput by connections.
//!
//! If an attempt fails with probability p, a transaction takes 1/(1-p) attempts. With s the mean time of an answered attempt
//! and f that of a failed one, its expected time is s + f (1/(1-p) - 1). Both are measured separately, and the expected curve
//! is drawn beside the measured points. Left out: drawing (`chart.rs`), the page (`page.rs`).

pub(super) mod chart;
pub(super) mod page;
pub(super) mod worker;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::bank;
use super::bank::OwnBank;
use super::load::Plan;
use super::trial::{Target, trial};
use crate::bench::BenchError;
use crate::bench::sweep::worker::{Clerk, Kind, Taken};
use crate::env::Env;
use crate::env::sim::Random;
use crate::model::types::AccountId;
use crate::prove::{Faults, Proxy, Share};

/// Error rates in percent.
const RATES: [u8; 7] = [0, 10, 20, 30, 40, 50, 60];
/// Number of accounts.
const ACCOUNTS: u32 = 1000;
/// The numbers of connections for which throughput is measured.
const CONNECTIONS: [usize; 4] = [1, 4, 16, 64];
/// The number of parts in which each error rate is measured.
const ROUNDS: u64 = 10;
/// The proxy cuts the connection this long after a loss, and the client notices.
pub(super) const NOTICED: Duration = Duration::from_millis(2);

/// The parameters of a sweep.
#[derive(Clone, Debug)]
pub struct Sweep {
    /// Random seed of the injected faults.
    pub seed: u64,
    /// Few transactions a point: to test the sweep, not to use its figures.
    pub is_quick: bool,
    /// The directory of the result files; created if missing.
    pub out: PathBuf,
    /// An empty directory for the store.
    pub dir: PathBuf,
    /// The `bankd` executable.
    pub exe: PathBuf,
}

/// The kind of error in a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ErrorKind {
    /// The server answers "transaction error".
    Answered,
    /// The server's reply is lost.
    ReplyLost,
    /// The client's request is lost.
    RequestLost,
}

/// The measured line of one chart, for one kind of error and transaction.
pub(super) struct Series {
    pub(super) error: ErrorKind,
    pub(super) kind: Kind,
    pub(super) points: Vec<Point>,
    /// The mean time of an answered attempt, in microseconds.
    answered: f64,
    /// The mean time of a failed attempt, until the next can be sent, in microseconds.
    failed: f64,
}

impl Series {
    /// The expected time of a transaction at that error rate, in microseconds.
    pub(super) fn expected(&self, percent: f64) -> f64 {
        self.answered + self.failed * (attempts_expected(percent) - 1.0)
    }
}

/// One measured point; `mean` is in microseconds, `attempts` per transaction.
#[derive(Clone, Copy, Debug)]
pub(super) struct Point {
    pub(super) percent: u8,
    pub(super) transactions: u64,
    pub(super) attempts: f64,
    pub(super) mean: f64,
}

/// Throughput with `connections` connections; `mean` is the time of a deposit in microseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    pub(super) connections: usize,
    pub(super) per_second: f64,
    pub(super) mean: f64,
}

/// Measures, draws, and writes the files, whose paths it returns. `progress` receives a line at the start of each series.
///
/// # Errors
/// [`BenchError`]; some files may have been written by then.
pub fn sweep(env: &Env, plan: &Sweep, progress: &dyn Fn(&str)) -> Result<Vec<PathBuf>, BenchError> {
    let disk = &*env.disk;
    let daemon = OwnBank::with_opening(disk, &plan.exe, &plan.dir, ACCOUNTS, bank::OPENING)?;
    let mut random = Random::new(plan.seed);
    let transactions = if plan.is_quick { 40 } else { 1500 };
    let mut all = Vec::new();
    let kinds =
        [(ErrorKind::Answered, "transaction error"), (ErrorKind::ReplyLost, "replies lost"), (ErrorKind::RequestLost, "requests lost")];
    for (error, name) in kinds {
        for kind in [Kind::Money, Kind::Utility] {
            progress(&format!("{name}, {kind:?}"));
            let account = AccountId(u32::try_from(all.len()).unwrap_or(0));
            all.push(series(env, daemon.address(), random.next_u64(), (error, kind, account), transactions)?);
        }
    }
    let mut rates = Vec::new();
    let lasting = if plan.is_quick { Duration::from_millis(100) } else { Duration::from_secs(3) };
    for connections in CONNECTIONS {
        progress(&format!("{connections} connections"));
        let (per_second, mean) = throughput(env, &daemon, connections, lasting)?;
        rates.push(Rate { connections, per_second, mean });
    }
    if !disk.exists(&plan.out).map_err(|source| BenchError::Io { what: plan.out.display().to_string(), source })? {
        disk.create_dir(&plan.out).map_err(|source| BenchError::Io { what: plan.out.display().to_string(), source })?;
    }
    let mut written = Vec::new();
    for (name, text) in [
        ("error-rate.csv", page::error_rate_csv(&all)),
        ("throughput.csv", page::throughput_csv(&rates)),
        ("index.html", page::html(&all, &rates, plan.seed)?),
    ] {
        let path = plan.out.join(name);
        bank::write(disk, &path, &text)?;
        written.push(path);
    }
    Ok(written)
}

/// Measures one series over all error rates, and checks that no deposit was lost or executed twice.
fn series(
    env: &Env,
    to: SocketAddr,
    seed: u64,
    (error, kind, account): (ErrorKind, Kind, AccountId),
    transactions: u64,
) -> Result<Series, BenchError> {
    let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
    let proxy =
        Proxy::start(any_port, to, seed, Faults::default()).map_err(|source| BenchError::Io { what: "the proxy".to_owned(), source })?;
    let mut clerk = Clerk::new(env, &proxy.address().to_string(), account);
    // Warm-up.
    let mut paid_in = clerk.work(kind, transactions / 10 + 1)?.paid_in;
    let mut measured = RATES.map(|percent| (percent, Taken::default()));
    // Interleaved, so that a disturbance of the machine does not affect one rate alone.
    for _ in 0..ROUNDS {
        for (percent, taken) in &mut measured {
            proxy.set_faults(faults(error, *percent));
            taken.add(&clerk.work(kind, transactions / ROUNDS)?);
        }
    }
    proxy.set_faults(Faults::default());
    if kind == Kind::Money {
        paid_in += measured.iter().map(|(_, taken)| taken.paid_in).sum::<u64>();
        let (expected, holds) = (bank::OPENING + paid_in, clerk.balance()?);
        if holds != expected {
            return Err(BenchError::Bank(format!("the account holds {holds} where {expected} was answered for")));
        }
    }
    let all = |part: fn(&Taken) -> f64| measured.iter().map(|(_, taken)| part(taken)).sum::<f64>();
    let answered = all(|taken| taken.answered.as_secs_f64()) / all(|taken| taken.transactions as f64) * 1e6;
    let failed = all(|taken| taken.failed.as_secs_f64()) / all(|taken| (taken.attempts - taken.transactions) as f64) * 1e6;
    let point = |(percent, taken): &(u8, Taken)| {
        let (transactions, count) = (taken.transactions, taken.transactions as f64);
        let mean = (taken.answered + taken.failed).as_secs_f64() / count * 1e6;
        Point { percent: *percent, transactions, attempts: taken.attempts as f64 / count, mean }
    };
    Ok(Series { error, kind, points: measured.iter().map(point).collect(), answered, failed })
}

/// Deposits a second on `connections` connections with one in flight each, and the mean time of one in microseconds.
fn throughput(env: &Env, bank: &OwnBank, connections: usize, lasting: Duration) -> Result<(f64, f64), BenchError> {
    let plan = Plan { connections, warm_up: lasting / 10, duration: lasting, accounts: ACCOUNTS, ..Plan::default() };
    let measured = trial(env, &Target::Own(bank), &plan, None, &mut |_| {})?.measured;
    Ok((measured.rate(), measured.latency.mean() / 1e3))
}

/// The expected attempts of a transaction: 1/(1-p).
pub(super) fn attempts_expected(percent: f64) -> f64 {
    1.0 / (1.0 - percent / 100.0)
}

fn faults(error: ErrorKind, percent: u8) -> Faults {
    let share = Share::percent(percent);
    let none = Faults { linger: NOTICED, ..Faults::default() };
    match error {
        ErrorKind::Answered => Faults { busy: share, ..none },
        ErrorKind::ReplyLost => Faults { lose_replies: share, ..none },
        ErrorKind::RequestLost => Faults { lose_requests: share, ..none },
    }
}
