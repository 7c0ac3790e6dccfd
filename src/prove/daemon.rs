//! The bank on trial: a process that is started, killed and started again, and what it said.
//!
//! Left out: when (`run.rs`).

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};

use super::run::ProveError;

/// A running bank. Dropped, it is killed.
pub struct Daemon {
    child: Child,
    address: SocketAddr,
    stderr: Option<JoinHandle<String>>,
}

/// How a bank's life ended.
#[derive(Debug)]
pub struct Ended {
    /// How, if it was not we who ended it.
    pub by_itself: Option<String>,
    /// What it said.
    pub said: String,
}

impl Daemon {
    /// Starts a bank that prints `ready native ADDR` on its standard output.
    ///
    /// # Errors
    /// [`ProveError::Bank`] with what it said, if it does not come up.
    pub fn start(mut command: Command) -> Result<Self, ProveError> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| ProveError::Bank(format!("it cannot be started: {error}")))?;
        let stderr = child.stderr.take().map(|mut stderr| {
            thread::spawn(move || {
                let mut bytes = Vec::new();
                // What cannot be read is only not shown.
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

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL, at once.
    pub fn kill(mut self) -> Ended {
        let before = self.child.try_wait().ok().flatten();
        self.end();
        let said = self.stderr.take().and_then(|stderr| stderr.join().ok()).unwrap_or_default();
        Ended { by_itself: before.map(|status| status.to_string()), said }
    }

    fn end(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.end();
    }
}
