//! `bankd serve`: opens the store and runs the daemon until a signal.
//!
//! Left out: everything that it does while it runs (`server/`).

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use bankd::engine::{self, Env};
use bankd::env::os;
use bankd::server::{EventLoop, Listen, Service};

use super::failure::{Exit, Failure};
use super::{init, logging, store_paths};

/// The store of `--demo`.
const DEMO_STORE: &str = "data/demo/store";

/// Runs the daemon.
#[derive(Debug, clap::Args)]
pub struct Serve {
    /// The store's directory [default: data/store, with --demo data/demo/store]
    #[arg(long, value_name = "DIR", env = "BANKD_DATA_DIR")]
    data_dir: Option<PathBuf>,
    /// The key of PINs and tokens [default: the data directory's name with .key behind it]
    #[arg(long, value_name = "FILE", env = "BANKD_KEY_FILE")]
    key_file: Option<PathBuf>,
    /// Where to listen for the native protocol; port 0 takes any
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7070", env = "BANKD_LISTEN")]
    listen: SocketAddr,
    /// Make the store with the lab's four accounts if there is none
    #[arg(long)]
    demo: bool,
    /// Listen on an address that other machines reach, though nothing is encrypted
    #[arg(long)]
    insecure_listen: bool,
    /// The most connections at a time
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    max_connections: usize,
    #[command(flatten)]
    place: store_paths::PlaceOption,
    /// What to log: error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL", default_value = "info", env = "BANKD_LOG")]
    log_level: log::LevelFilter,
}

impl Serve {
    /// Serves until SIGTERM or SIGINT.
    ///
    /// # Errors
    /// [`Failure`] with exit code 6, 7 or 8 where it cannot start, 1 where it had to end.
    pub fn run(self) -> Result<(), Failure> {
        let logging = logging::init(self.log_level);
        os::restrict_umask();
        os::forbid_core_dumps();
        if !self.listen.ip().is_loopback() && !self.insecure_listen {
            return Err(Failure::new(
                Exit::CannotStart,
                format!(
                    "{} can be reached from other machines, and nothing is encrypted: PINs and balances could be read on the way; listen on 127.0.0.1, or add --insecure-listen if that is meant",
                    self.listen
                ),
            ));
        }
        let default = if self.demo { DEMO_STORE } else { store_paths::DEFAULT_STORE };
        let dir = self.data_dir.unwrap_or_else(|| PathBuf::from(default));
        let key_file = self.key_file.unwrap_or_else(|| store_paths::key_file_of(&dir));
        let env = Env::os();
        engine::refuse_place(&env, &dir, self.place.allow_tmpfs)?;
        if self.demo && !engine::exists(&env, &dir)? {
            init::create_demo(&env, &dir, &key_file)?;
        }
        let engine = engine::open(&env, &dir, &key_file)?;
        let operator = store_paths::operator_socket(&dir);
        let listen = Listen { native: self.listen, operator: &operator, max_connections: self.max_connections };
        let event_loop = EventLoop::listen(Service::new(engine), env.clock.clone(), listen)?;
        say_ready(&event_loop);
        let ended = event_loop.run();
        remove_operator_socket(&operator);
        let ended = ended
            .map_err(|fatal| Failure::new(Exit::Internal, format!("the daemon ended: {fatal}; start it again, it recovers from its log")));
        drop(logging);
        ended
    }
}

fn say_ready(event_loop: &EventLoop) {
    let mut out = std::io::stdout().lock();
    // Whoever started the daemon may have closed its end; that is no reason not to serve.
    let written = writeln!(out, "ready native {}", event_loop.address()).and_then(|()| out.flush());
    if let Err(error) = written {
        log::warn!("nobody reads that the daemon is ready: {error}");
    }
}

fn remove_operator_socket(path: &Path) {
    if let Err(error) = os::remove_socket(path) {
        log::warn!("the operator's socket {} stays behind: {error}", path.display());
    }
}
