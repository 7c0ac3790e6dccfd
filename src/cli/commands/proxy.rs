//! `bankd proxy`: runs the fault proxy in front of any bank, until the process is ended.
//!
//! Left out: the faults themselves (`bankd::prove`).

use std::net::SocketAddr;
use std::time::Duration;

use bankd::prove::{Faults, Proxy, Share};
use clap::Args;

use crate::cli::support::durations::millis;
use crate::cli::support::failure::{Exit, Failure};
use crate::cli::support::output;
use crate::cli::support::output::show;

/// `bankd proxy`.
#[derive(Debug, Args)]
pub struct ProxyCommand {
    /// Address that clients connect to; port 0 selects a free port
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Address of the bank
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7070")]
    to: SocketAddr,
    /// Random seed; the same seed applies the same faults to the same messages
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    faults: FaultOptions,
}

/// Which faults are injected, and how often.
#[derive(Clone, Copy, Debug, Args)]
pub struct FaultOptions {
    /// Probability, 0 to 1, that a message to the bank is lost, such as 0.05
    #[arg(long, value_name = "P", default_value = "0")]
    lose_requests: Share,
    /// Probability, 0 to 1, that a reply is lost
    #[arg(long, value_name = "P", default_value = "0")]
    lose_replies: Share,
    /// Probability, 0 to 1, that a request with a number reaches the bank twice
    #[arg(long, value_name = "P", default_value = "0")]
    duplicate: Share,
    /// Maximum random delay in each direction, at most 1m; a plain number is milliseconds
    #[arg(long, value_name = "DURATION", default_value = "0", value_parser = millis)]
    delay_ms: Duration,
    /// Probability, 0 to 1, that the connection is cut in the middle of a frame
    #[arg(long, value_name = "P", default_value = "0")]
    cut: Share,
    /// Probability, 0 to 1, that the proxy itself answers "busy"
    #[arg(long, value_name = "P", default_value = "0")]
    busy: Share,
    /// Share of the lost requests, 0 to 1, that reach the bank late, after the client has reconnected
    #[arg(long, value_name = "P", default_value = "0")]
    late: Share,
    /// How long a connection stays silent after a lost message before it is cut, at most 1m; a plain number is milliseconds
    #[arg(long, value_name = "DURATION", default_value = "50", value_parser = millis)]
    linger_ms: Duration,
    /// Inject faults into greetings, logins and the opening of sessions as well
    #[arg(long)]
    setup: bool,
}

impl FaultOptions {
    const fn faults(self) -> Faults {
        let Self { lose_requests, lose_replies, duplicate, delay_ms, cut, busy, late, linger_ms, setup } = self;
        Faults { lose_requests, lose_replies, duplicate, cut, busy, late, delay: delay_ms, linger: linger_ms, setup }
    }
}

impl ProxyCommand {
    /// Forwards messages until the process ends.
    pub fn run(&self) -> Result<Exit, Failure> {
        let proxy = Proxy::start(self.listen, self.to, self.seed, self.faults.faults()).map_err(|error| {
            let what = format!("cannot listen on {}", self.listen);
            Failure::because(Exit::CannotStart, what, error, "name another address with --listen")
        })?;
        if !show(&format!("ready proxy {}", proxy.address())) && output::failure().is_some() {
            // `output::check` prints why.
            return Ok(Exit::Done);
        }
        proxy.run();
        Ok(Exit::Done)
    }
}
