//! The process of the bank under test: start, kill, restart, and its captured stderr.
//!
//! Left out: when it is killed (`run.rs`).

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};

use super::error::ProveError;

/// A running bank process. Killed on drop.
pub struct Daemon {
    child: Child,
    address: SocketAddr,
    stderr: Option<JoinHandle<String>>,
}

/// How a bank process ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit status, if it ended before [`Daemon::kill`].
    pub by_itself: Option<String>,
    /// Its stderr.
    pub said: String,
}

impl Daemon {
    /// Starts a bank that prints `ready native ADDR` on its standard output.
    ///
    /// # Errors
    /// [`ProveError::Bank`] with its stderr, if it does not start.
    pub fn start(mut command: Command) -> Result<Self, ProveError> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| ProveError::Bank(format!("it cannot be started: {error}")))?;
        let stderr = child.stderr.take().map(|mut stderr| {
            thread::spawn(move || {
                let mut bytes = Vec::new();
                // Unreadable stderr is only missing from the report.
                let _ = stderr.read_to_end(&mut bytes);
                String::from_utf8_lossy(&bytes).into_owned()
            })
        });
        let stdout = child.stdout.take();
        let mut daemon = Self { child, address: SocketAddr::from(([127, 0, 0, 1], 0)), stderr };
        let mut lines = stdout.into_iter().flat_map(|stdout| BufReader::new(stdout).lines()).map_while(Result::ok);
        let ready = lines.find_map(|line| line.strip_prefix("ready native ").and_then(|address| address.trim().parse().ok()));
        match ready {
            Some(address) => {
                daemon.address = address;
                Ok(daemon)
            }
            None => Err(ProveError::Bank(daemon.kill().said)),
        }
    }

    /// The address it listens on.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends SIGKILL and waits for the end.
    pub fn kill(mut self) -> Ended {
        let before = self.child.try_wait().ok().flatten();
        self.end();
        let said = self.stderr.take().and_then(|stderr| stderr.join().ok()).unwrap_or_default();
        Ended { by_itself: before.map(|status| status.to_string()), said }
    }

    fn end(&mut self) {
        // The process may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.end();
    }
}
