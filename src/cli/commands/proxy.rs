//! `bankd proxy`: the fault proxy alone, in front of any bank, until it is ended.
//!
//! Left out: what it does to messages (`bankd::prove`).

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
    /// Where clients connect; port 0 takes any
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The bank
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7070")]
    to: SocketAddr,
    /// What decides each message's fate; the same seed decides the same for the same messages
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    faults: FaultOptions,
}

/// What goes wrong, and how often.
#[derive(Clone, Copy, Debug, Args)]
pub struct FaultOptions {
    /// Probability that a message to the bank is lost, such as 0.05
    #[arg(long, value_name = "P", default_value = "0")]
    lose_requests: Share,
    /// Probability that a reply is lost
    #[arg(long, value_name = "P", default_value = "0")]
    lose_replies: Share,
    /// Probability that a numbered request reaches the bank twice
    #[arg(long, value_name = "P", default_value = "0")]
    duplicate: Share,
    /// The longest delay on each way; a plain number is milliseconds
    #[arg(long, value_name = "DURATION", default_value = "0", value_parser = millis)]
    delay_ms: Duration,
    /// Probability that the connection is cut in the middle of a frame
    #[arg(long, value_name = "P", default_value = "0")]
    cut: Share,
    /// Probability that the proxy answers "busy" in the bank's stead
    #[arg(long, value_name = "P", default_value = "0")]
    busy: Share,
    /// Of the lost requests, the share that arrives late, when its client has gone elsewhere
    #[arg(long, value_name = "P", default_value = "0")]
    late: Share,
    /// How long a connection is silent after a loss before it is cut; a plain number is milliseconds
    #[arg(long, value_name = "DURATION", default_value = "50", value_parser = millis)]
    linger_ms: Duration,
    /// Touch greetings, logins and the opening of sessions as well
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
    /// Passes on until the process ends.
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
