//! The operator's connection: the Unix socket in the store's directory, and one command over it.
//!
//! The bank identifies the operator by the peer's uid; there is no login.
//! Left out: the commands (`account.rs`, `teller.rs`).

use std::path::PathBuf;
use std::time::Duration;

use bankd::client::{AskError, ConnectError, Connection, Deadline};
use bankd::env::Disk;
use bankd::env::Env;
use bankd::env::os::OsDisk;
use bankd::wire::message::{Ask, Operation, Reply, Welcome};
use clap::Args;

use crate::cli::support::failure::{Exit, Failure};
use crate::cli::support::output::tell;
use crate::cli::support::store_paths;

/// Time limit of an operator's command.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The option that names the store.
#[derive(Clone, Debug, Args)]
pub struct OperatorOptions {
    /// Directory of the store; its daemon must be running
    #[arg(long, value_name = "DIR", env = "BANKD_DATA_DIR", default_value = store_paths::DEFAULT_STORE, value_parser = store_paths::data_dir)]
    data_dir: PathBuf,
}

/// The operator's connection, after the greeting.
pub struct Operator {
    connection: Connection,
    deadline: Deadline,
    what: String,
}

impl OperatorOptions {
    /// Connects. `what` names the failed command in errors.
    pub fn connect(&self, what: &str) -> Result<Operator, Failure> {
        let path = store_paths::operator_socket(&self.data_dir);
        let deadline = Deadline::after(&Env::os().clock, TIMEOUT);
        // The path of a Unix socket has a small length limit; the path by handle is short for any directory.
        let held = OsDisk.anchored(&self.data_dir).ok().flatten();
        let short = held.as_ref().and_then(|disk| disk.by_handle(&self.data_dir));
        match Connection::unix(&short.map_or_else(|| path.clone(), |dir| store_paths::operator_socket(&dir)), &deadline) {
            Ok(connection) => Ok(Operator { connection, deadline, what: what.to_owned() }),
            Err(ConnectError::Unreachable(why) | ConnectError::HungUp(why)) => {
                let why = format!("no daemon answers at {}: {why}", path.display());
                let next = "nothing was sent; start it with `bankd serve`, or name its store with --data-dir";
                Err(Failure::because(Exit::Unreachable, what, why, next))
            }
            Err(ConnectError::Refused(refusal)) => Err(Failure::refused(what, refusal)),
        }
    }
}

impl Operator {
    /// The bank's greeting.
    pub const fn welcome(&self) -> &Welcome {
        self.connection.welcome()
    }

    /// Sends one command, once: operator commands have no request number, so they cannot be retried safely.
    pub fn ask(&mut self, operation: Operation) -> Result<Reply, Failure> {
        match self.connection.ask(&Ask::Operate(operation), &self.deadline) {
            Ok(Reply::Refused(refusal)) => Err(Failure::refused(&self.what, refusal)),
            Ok(reply) => Ok(reply),
            Err(AskError::NotSent(why)) => Err(Failure::because(Exit::Unreachable, &self.what, why, "nothing was sent; run it again")),
            Err(AskError::Lost(why)) => {
                let why = format!("the answer was lost ({why}); it may have been done");
                Err(Failure::because(Exit::OutcomeUnknown, &self.what, why, "look with `bankd account list` before you run it again"))
            }
        }
    }

    /// Sends a question, which changes nothing.
    pub fn query(&mut self, ask: &Ask) -> Result<Reply, Failure> {
        match self.connection.ask(ask, &self.deadline) {
            Ok(Reply::Refused(refusal)) => Err(Failure::refused(&self.what, refusal)),
            Ok(reply) => Ok(reply),
            Err(AskError::NotSent(why) | AskError::Lost(why)) => {
                Err(Failure::because(Exit::Unreachable, &self.what, why, "nothing was changed; run it again"))
            }
        }
    }

    /// Sends one command whose reply is only a confirmation.
    pub fn operate(&mut self, operation: Operation) -> Result<Exit, Failure> {
        match self.ask(operation)? {
            Reply::Operated { lsn } => {
                tell(&format!("done, with log entry {lsn}"));
                Ok(Exit::Done)
            }
            Reply::Closed => {
                tell("done");
                Ok(Exit::Done)
            }
            _ => Err(self.nonsense()),
        }
    }

    /// The failure for a reply of the wrong kind.
    pub fn nonsense(&self) -> Failure {
        let next = "check that client and server are of the same version";
        Failure::because(Exit::Internal, &self.what, "the server answered another question", next)
    }
}

/// Connects and sends one command.
pub fn operate(options: &OperatorOptions, what: &str, operation: Operation) -> Result<Exit, Failure> {
    options.connect(what)?.operate(operation)
}
