//! `bankd serve`: opens the store and runs the daemon until a signal.
//!
//! Left out: the running daemon (`server/`).

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use bankd::engine::{self, Keeping, StoreEnv, StoreError};
use bankd::env::os;
use bankd::server::{ErrorRate, EventLoop, LabPort, LabRules, Listen, Service, connections_that_fit};
use clap::builder::FalseyValueParser;

use crate::cli::commands::init;
use crate::cli::support::failure::{Exit, Failure};
use crate::cli::support::{logging, output, progress, store_paths};

/// The store of `--demo`.
const DEMO_STORE: &str = "data/demo/store";

/// Run the bank daemon until SIGTERM or SIGINT.
#[derive(Debug, clap::Args)]
pub struct Serve {
    /// Directory of the store [default: data/store, or data/demo/store with --demo]
    #[arg(long, value_name = "DIR", env = "BANKD_DATA_DIR", value_parser = store_paths::data_dir)]
    data_dir: Option<PathBuf>,
    /// Secret key that protects the stored PINs and tokens [default: DIR.key, beside the store]
    #[arg(long, value_name = "FILE", env = "BANKD_KEY_FILE")]
    key_file: Option<PathBuf>,
    /// Address to listen on for the native protocol; port 0 selects a free port
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7070", env = "BANKD_LISTEN")]
    listen: SocketAddr,
    /// Create the store with four demo accounts if it does not exist
    #[arg(long)]
    demo: bool,
    /// Allow addresses that other machines can reach, although traffic is not encrypted
    #[arg(long)]
    insecure_listen: bool,
    /// Maximum number of client connections, at least 1; lowered to fit the limit of open files (ulimit -n). Operator
    /// connections are not counted
    #[arg(long, value_name = "N", default_value = "10000", value_parser = clap::value_parser!(u32).range(1..))]
    max_connections: u32,
    /// Do not compress finished log segments
    #[arg(long, env = "BANKD_NO_COMPRESS", value_parser = FalseyValueParser::new())]
    no_compress: bool,
    /// How much of the log to keep
    #[arg(long, value_name = "WHAT", default_value = "all", env = "BANKD_RETAIN_LOG")]
    retain_log: Retain,
    #[command(flatten)]
    place: store_paths::PlaceOption,
    /// Verbosity of the messages on stderr: off, error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL", default_value = "info", env = "BANKD_LOG")]
    log_level: log::LevelFilter,
    #[command(flatten)]
    lab: Lab,
}

/// How much of the log is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Retain {
    /// Keep all of it, as an audit trail
    All,
    /// Delete segments that lie wholly before the older of the two checkpoints
    Needed,
}

/// The lab's text protocol.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "The lab's text protocol")]
struct Lab {
    /// Also serve a plain-text protocol on three ports, for the clients of the lab report. Its transactions are durable, but
    /// a client that loses its connection cannot retry safely: only the native protocol has idempotent retries
    #[arg(long)]
    lab: bool,
    /// Address of the lower-case service; port 0 selects a free port, "off" disables it
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:4553", requires = "lab")]
    lab_listen_lower: LabAddress,
    /// Address of the prime and palindrome service; port 0 selects a free port, "off" disables it
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:5345", requires = "lab")]
    lab_listen_number: LabAddress,
    /// Address of the teller machine (ATM) service; port 0 selects a free port, "off" disables it
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:5353", requires = "lab")]
    lab_listen_atm: LabAddress,
    /// Share of deposits and withdrawals, 0 to 1, that fail on purpose with an error and are not executed
    #[arg(long, value_name = "P", default_value = "0", requires = "lab")]
    lab_error_rate: ErrorRate,
    /// End a login after this many successful deposits and withdrawals, at least 1 [default: no limit]
    #[arg(long, value_name = "N", requires = "lab", value_parser = clap::value_parser!(u64).range(1..))]
    lab_max_transactions: Option<u64>,
    /// Random seed for --lab-error-rate; the same seed selects the same errors [default: a new one at each start]
    #[arg(long, value_name = "S", requires = "lab")]
    lab_seed: Option<u64>,
}

/// An address to listen on, or `off`.
#[derive(Clone, Copy, Debug)]
struct LabAddress(Option<SocketAddr>);

impl FromStr for LabAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self(None));
        }
        text.parse().map(|address| Self(Some(address))).map_err(|_| "not an address such as 127.0.0.1:0, and not off".to_owned())
    }
}

impl Lab {
    /// The ports and addresses to listen on.
    fn ports(&self) -> Vec<(LabPort, SocketAddr)> {
        let ports =
            [(LabPort::Lower, self.lab_listen_lower), (LabPort::Number, self.lab_listen_number), (LabPort::Atm, self.lab_listen_atm)];
        ports.into_iter().filter_map(|(port, address)| address.0.filter(|_| self.lab).map(|address| (port, address))).collect()
    }

    fn rules(&self, env: &StoreEnv) -> Result<LabRules, Failure> {
        let seed = match self.lab_seed {
            Some(seed) => seed,
            None => {
                let mut bytes = [0; 8];
                env.entropy
                    .fill(&mut bytes)
                    .map_err(|error| Failure::new(Exit::CannotStart, format!("the system has no random numbers: {error}")))?;
                u64::from_le_bytes(bytes)
            }
        };
        Ok(LabRules { error_rate: self.lab_error_rate, max_transactions: self.lab_max_transactions, seed })
    }
}

impl Serve {
    /// Serves until SIGTERM or SIGINT.
    ///
    /// # Errors
    /// [`Failure`] with exit code 6, 7 or 8 if it cannot start, 1 if it had to stop.
    pub fn run(self) -> Result<(), Failure> {
        let logging = logging::init(self.log_level);
        os::raise_descriptor_limit();
        os::restrict_umask();
        os::forbid_core_dumps();
        let lab = self.lab.ports();
        let addresses = std::iter::once(self.listen).chain(lab.iter().map(|(_, address)| *address));
        if let Some(open) = addresses.into_iter().find(|address| !address.ip().is_loopback() && !self.insecure_listen) {
            return Err(Failure::new(
                Exit::CannotStart,
                format!(
                    "{open} can be reached from other machines, and nothing is encrypted: PINs and balances could be read on the way; listen on 127.0.0.1, or add --insecure-listen if that is meant"
                ),
            ));
        }
        let (env, _) = progress::env(|line| log::info!("{line}"));
        let keeping = Keeping { compresses: !self.no_compress, drops: self.retain_log == Retain::Needed };
        let env = StoreEnv { keeping, ..env };
        let rules = self.lab.rules(&env)?;
        let default = if self.demo { DEMO_STORE } else { store_paths::DEFAULT_STORE };
        let dir = self.data_dir.unwrap_or_else(|| os::canonical(Path::new(default)));
        let key_file = store_paths::key_file(self.key_file, &dir)?;
        engine::refuse_place(&env, &dir, self.place.allow_tmpfs)?;
        let engine = match engine::open(&env, &dir, &key_file) {
            Err(StoreError::NoStore { .. }) if self.demo => {
                init::create_demo(&env, &dir, &key_file)?;
                engine::open(&env, &dir, &key_file)?
            }
            opened => opened?,
        };
        let operator = store_paths::operator_socket(&dir);
        let max_connections = connections(self.max_connections, os::descriptor_limit())?;
        // The directory stays open until the end, so that the socket removed then is this store's, even if the path was renamed.
        let dir = engine.held_dir();
        let held = dir.as_ref().map_or_else(|| operator.clone(), |dir| store_paths::operator_socket(dir.path()));
        let listen = Listen { native: self.listen, operator: &operator, operator_by_handle: &held, lab: &lab, max_connections };
        let event_loop = EventLoop::listen(Service::with_lab(engine, rules), env.clock.clone(), listen)?;
        if let Err(failure) = say_ready(&event_loop) {
            remove_operator_socket(&held);
            return Err(failure);
        }
        let ended = event_loop.run();
        remove_operator_socket(&held);
        let ended = ended
            .map_err(|fatal| Failure::new(Exit::Internal, format!("the daemon ended: {fatal}; start it again, it recovers from its log")));
        drop(logging);
        ended
    }
}

/// The connection limit: `wanted`, or as many as fit into `limit` descriptors beside those that the log needs.
fn connections(wanted: u32, limit: usize) -> Result<usize, Failure> {
    let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
    let open = os::open_descriptors()
        .map_err(|error| Failure::new(Exit::CannotStart, format!("the open files of this process cannot be counted: {error}")))?;
    match connections_that_fit(limit, open) {
        0 => Err(Failure::new(
            Exit::CannotStart,
            format!("the limit of {limit} open files leaves none for connections beside the log's; raise it with ulimit -n 1024"),
        )),
        fit if fit < wanted => {
            log::warn!(
                "--max-connections is lowered from {wanted} to {fit}: the limit is {limit} open files, and the log and the operator keep theirs"
            );
            Ok(fit)
        }
        _ => Ok(wanted),
    }
}

/// Prints where the daemon listens. A closed pipe is accepted: the program that started the daemon does not read the line.
/// Any other write error is a failure.
fn say_ready(event_loop: &EventLoop) -> Result<(), Failure> {
    for (name, address) in event_loop.ready() {
        output::show(&format!("ready {name} {address}"));
    }
    if let Some(why) = output::failure() {
        let next = "nothing was served; start it with a standard output that takes it";
        return Err(Failure::because(Exit::Internal, "cannot print where the daemon listens", why, next));
    }
    if output::is_lost() {
        log::warn!("standard output is closed: where the daemon listens was not read");
    }
    Ok(())
}

fn remove_operator_socket(path: &Path) {
    if let Err(error) = os::remove_socket(path) {
        log::warn!("the operator's socket {} stays behind: {error}", path.display());
    }
}
