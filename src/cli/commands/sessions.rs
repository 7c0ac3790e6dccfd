//! `sessions`: a login's sessions at the bank, listed and closed.
//!
//! A session with something unacknowledged is closed by name or with `--unacknowledged`; one in which this journal has a
//! doubt only with both.
//! Left out: opening them, which every run does for itself.

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
    /// Close one session, or all that have nothing unacknowledged
    Close {
        /// The account's name (with --teller: any account's; the sessions are the teller's)
        name: String,
        /// The session
        session: Option<SessionId>,
        /// Close sessions with something unacknowledged as well: those of journals that are lost. Answers that no journal
        /// holds are then in the bank's log alone; what this journal has in doubt there counts as "ask the bank"
        #[arg(long)]
        unacknowledged: bool,
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
    // A bank with more sessions than it lists at once is asked until it lists none that may go.
    let (mut closed, mut left) = (0_usize, 0_usize);
    loop {
        let sessions = client.sessions().map_err(failed)?;
        let may_go = |info: &&SessionInfo| (unacknowledged || is_acknowledged(info)) && !doubts.contains(&info.session);
        let going: Vec<SessionId> = sessions.iter().filter(may_go).map(|info| info.session).collect();
        left = sessions.len().saturating_sub(going.len()).max(if going.is_empty() { 0 } else { left });
        for session in &going {
            match client.close_session(*session) {
                // Another run of the same login has closed it meanwhile.
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
