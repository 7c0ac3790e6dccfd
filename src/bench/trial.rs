//! A trial: a load on a bank, and the resource usage of the bank's process meanwhile.
//!
//! Left out: the load (`load/`), the sampling (`process_sampler.rs`), output (`report.rs`).

use std::net::SocketAddr;
use std::path::Path;

use super::bank::OwnBank;
use super::error::BenchError;
use super::load::{self, Mark, Measured, Plan};
use crate::bench::process_sampler::{DaemonFigures, ProcessSampler};
use crate::client::Login;
use crate::env::Env;

/// The bank under load.
pub enum Target<'a> {
    /// One that the bench started, whose resource usage can be measured.
    Own(&'a OwnBank),
    /// Any other bank.
    Other {
        /// The address it listens on.
        address: SocketAddr,
        /// A teller's login.
        login: Login,
    },
}

/// The result of a trial.
#[derive(Clone, Debug)]
pub struct Report {
    /// Throughput and latency.
    pub measured: Measured,
    /// The daemon's resource usage; none for [`Target::Other`].
    pub daemon: Option<DaemonFigures>,
}

/// Runs the load against the bank. `progress` receives the number of answers so far about once a second.
///
/// # Errors
/// As [`load::load`].
pub fn trial(
    env: &Env,
    target: &Target<'_>,
    plan: &Plan,
    journal: Option<&Path>,
    progress: &mut dyn FnMut(u64),
) -> Result<Report, BenchError> {
    let (address, login, pid) = match target {
        Target::Own(bank) => (bank.address(), bank.login(), Some(bank.id())),
        Target::Other { address, login } => (*address, login.clone(), None),
    };
    let (mut watch, mut figures) = (None, None);
    let measured = load::load(env, address, &login, plan, journal, &mut |mark| match mark {
        Mark::Begin => watch = pid.map(ProcessSampler::begin),
        Mark::Tick(answered) => progress(answered),
        Mark::End => figures = watch.take().map(|begun| begun.and_then(ProcessSampler::end)),
    })?;
    let daemon = figures.transpose().map_err(|source| BenchError::Io { what: "the daemon's process".to_owned(), source })?;
    Ok(Report { measured, daemon })
}
