//! `sessions`: a login's sessions at the bank, listed and closed.
//!
//! A session with something unacknowledged is only closed by name, and never while this journal has a doubt in it.
//! Left out: opening them, which every run does for itself.

use bankd::types::SessionId;
use bankd::wire::message::{Operation, SessionInfo};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::failure::{Exit, Failure};
use super::operator::{OperatorOptions, operate};
use super::options::{ClientOptions, Desk};
use super::output::{say, tell};

/// `bankd sessions`.
#[derive(Debug, Args)]
pub struct Sessions {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Lists a login's sessions, oldest first
    List {
        /// The account's name (with --teller: any account's; the sessions are the teller's)
        name: String,
        /// Print a JSON array
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        options: ClientOptions,
    },
    /// Closes one session, or all with nothing unacknowledged
    Close {
        /// The account's name (with --teller: any account's; the sessions are the teller's)
        name: String,
        /// The session
        session: Option<SessionId>,
        #[command(flatten)]
        options: ClientOptions,
    },
    /// Closes anybody's session, as the operator
    Revoke {
        /// The session
        session: SessionId,
        #[command(flatten)]
        operator: OperatorOptions,
    },
}

impl Sessions {
    /// Lists or closes.
    pub fn run(self) -> Result<Exit, Failure> {
        match self.action {
            Action::List { name, json, options } => list(&name, json, &options),
            Action::Close { name, session, options } => close(&name, session, &options),
            Action::Revoke { session, operator } => operate(&operator, "cannot close the session", Operation::CloseSession { session }),
        }
    }
}

fn list(name: &str, as_json: bool, options: &ClientOptions) -> Result<Exit, Failure> {
    let what = "cannot list the sessions";
    let Desk { mut client, .. } = options.desk(what, name)?;
    let sessions = client.sessions().map_err(|error| Failure::client(what, &error))?;
    if as_json {
        let shown = sessions
            .iter()
            .map(|info| json!({ "session": info.session.to_string(), "last": info.last.0, "acked_below": info.acked_below.0 }));
        tell(&Value::Array(shown.collect()).to_string());
        return Ok(Exit::Done);
    }
    for info in &sessions {
        let state = if is_acknowledged(info) { "all acknowledged" } else { "not all acknowledged" };
        tell(&format!("{}  {} request(s), {state}", info.session, info.last));
    }
    Ok(Exit::Done)
}

fn close(name: &str, named: Option<SessionId>, options: &ClientOptions) -> Result<Exit, Failure> {
    let what = "cannot close the session";
    let Desk { mut client, .. } = options.desk(what, name)?;
    let failed = |error| Failure::client(what, &error);
    let doubts: Vec<SessionId> = {
        let deadline = client.deadline();
        let journal = client.journal().open(&deadline).map_err(|error| Failure::journal(what, &error))?;
        journal.in_doubt().map(|request| request.intent.id.session).collect()
    };
    if let Some(session) = named {
        if doubts.contains(&session) {
            let why = format!("this journal has a request in doubt in {session}");
            return Err(Failure::usage(what, why, format!("run `bankd resolve {name}` first")));
        }
        client.close_session(session).map_err(failed)?;
        tell(&format!("closed {session}"));
        return Ok(Exit::Done);
    }
    let (mut closed, mut left) = (0_usize, 0_usize);
    for info in client.sessions().map_err(failed)? {
        if is_acknowledged(&info) && !doubts.contains(&info.session) {
            client.close_session(info.session).map_err(failed)?;
            closed += 1;
        } else {
            left += 1;
        }
    }
    tell(&format!("closed {closed} session(s)"));
    if left > 0 {
        say(&format!("{left} session(s) with something unacknowledged are left; run `bankd resolve {name}`, or close them by name"));
    }
    Ok(Exit::Done)
}

fn is_acknowledged(info: &SessionInfo) -> bool {
    info.acked_below.0 > info.last.0
}
