//! `sessions`: lists and closes a login's sessions at the bank.
//!
//! A session with unacknowledged answers is closed by its id or with `--unacknowledged`; one with a request whose outcome
//! this journal does not know only with both.
//! Left out: opening sessions, which every run does itself.

use bankd::client::ClientError;
use bankd::model::types::SessionId;
use bankd::wire::message::{Operation, Refusal, SessionInfo};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::cli::support::failure::{Exit, Failure};
use crate::cli::support::operator::{OperatorOptions, operate};
use crate::cli::support::options::{ClientOptions, Desk};
use crate::cli::support::output::{say, tell};

/// `bankd sessions`.
#[derive(Debug, Args)]
pub struct Sessions {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List a login's sessions, oldest first
    List {
        /// Name of the customer's account; with --teller the name of any account, and the sessions are the teller's
        name: String,
        /// Print the sessions as one JSON array
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        options: ClientOptions,
    },
    /// Close one session, or all sessions without unacknowledged answers
    Close {
        /// Name of the customer's account; with --teller the name of any account, and the sessions are the teller's
        name: String,
        /// The session's id, as printed by `bankd sessions list` [default: all without unacknowledged answers]
        session: Option<SessionId>,
        /// Close sessions with unacknowledged answers as well, such as those of lost journals. Only the bank's log then holds
        /// their answers; outcomes there that this journal does not know must be looked up with `bankd explain`
        #[arg(long)]
        unacknowledged: bool,
        #[command(flatten)]
        options: ClientOptions,
    },
    /// Close any login's session, as the operator
    Revoke {
        /// The session's id
        session: SessionId,
        #[command(flatten)]
        operator: OperatorOptions,
    },
}

impl Sessions {
    /// Runs the subcommand.
    pub fn run(self) -> Result<Exit, Failure> {
        match self.action {
            Action::List { name, json, options } => list(&name, json, &options),
            Action::Close { name, session, unacknowledged, options } => close(&name, session, unacknowledged, &options),
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

fn close(name: &str, named: Option<SessionId>, unacknowledged: bool, options: &ClientOptions) -> Result<Exit, Failure> {
    let what = "cannot close the session";
    let Desk { mut client, .. } = options.desk(what, name)?;
    let failed = |error| Failure::client(what, &error);
    let doubts: Vec<SessionId> = {
        let deadline = client.deadline();
        let journal = client.journal().open(&deadline).map_err(|error| Failure::journal(what, &error))?;
        journal.in_doubt().map(|request| request.intent.id.session).collect()
    };
    if let Some(session) = named {
        if doubts.contains(&session) && !unacknowledged {
            let why = format!("this journal has a request in doubt in {session}");
            return Err(Failure::usage(what, why, format!("run `bankd resolve {name}` first, or add --unacknowledged")));
        }
        client.close_session(session).map_err(failed)?;
        tell(&format!("closed {session}"));
        return Ok(Exit::Done);
    }
    // One listing may not show all sessions, so list and close until it shows none to close.
    let (mut closed, mut left) = (0_usize, 0_usize);
    loop {
        let sessions = client.sessions().map_err(failed)?;
        let may_go = |info: &&SessionInfo| (unacknowledged || is_acknowledged(info)) && !doubts.contains(&info.session);
        let going: Vec<SessionId> = sessions.iter().filter(may_go).map(|info| info.session).collect();
        left = sessions.len().saturating_sub(going.len()).max(if going.is_empty() { 0 } else { left });
        for session in &going {
            match client.close_session(*session) {
                // Another process closed it in the meantime.
                Ok(()) | Err(ClientError::Refused(Refusal::UnknownSession)) => closed += 1,
                Err(error) => return Err(failed(error)),
            }
        }
        if going.is_empty() {
            break;
        }
    }
    tell(&format!("closed {closed} session(s)"));
    if left == 0 {
        return Ok(Exit::Done);
    }
    let next = if unacknowledged {
        format!("this journal has something in doubt in {left}; run `bankd resolve {name}`")
    } else {
        format!(
            "{left} have something unacknowledged; run `bankd resolve {name}` with each journal that is left, then \
             `bankd sessions close {name} --unacknowledged` for those whose journals are lost"
        )
    };
    if closed > 0 {
        say(&next);
        return Ok(Exit::Done);
    }
    Err(Failure::new(Exit::Declined, format!("no session was closed: {next}")))
}

fn is_acknowledged(info: &SessionInfo) -> bool {
    info.acked_below.0 > info.last.0
}
