//! A trial: a load on a bank, and what the bank's process cost the machine meanwhile.
//!
//! Left out: the load (`load/`), the looking (`process_sampler.rs`), words and files (`report.rs`).

use std::net::SocketAddr;
use std::path::Path;

use super::bank::OwnBank;
use super::load::{self, Mark, Measured, Plan};
use super::sweep::BenchError;
use crate::bench::process_sampler::{DaemonFigures, ProcessSampler};
use crate::client::Login;
use crate::env::Env;

/// Whose bank it is.
pub enum Target<'a> {
    /// One of the bench's own, which can be looked at.
    Own(&'a OwnBank),
    /// Somebody else's.
    Other {
        /// Where it listens.
        address: SocketAddr,
        /// A teller's login.
        login: Login,
    },
}

/// What a trial brought.
#[derive(Clone, Debug)]
pub struct Report {
    /// The load's side.
    pub measured: Measured,
    /// The daemon's; none of somebody else's bank.
    pub daemon: Option<DaemonFigures>,
}

/// Puts the load on the bank. `progress` is told each second how many answers there are so far.
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
