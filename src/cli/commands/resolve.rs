//! `resolve`: resolves the journal's requests whose outcome is unknown, login by login, and acknowledges the answers it holds.
//!
//! The teller machine (`atm.rs`) uses parts of this file to do the same for the customer who logs in.
//! Left out: resolving one request (`bankd::client`).

use std::collections::BTreeSet;

use bankd::client::{Answer, Client, ClientError, ClosedReason, Deadline, End, Journal, Login, Request};
use bankd::env::Env;
use bankd::model::command::Body;
use bankd::model::types::{RequestId, RequestNumber, SessionId};
use bankd::wire::message::Role;
use clap::{Args, ValueEnum};

use crate::cli::support::failure::{Exit, Failure};
use crate::cli::support::options::ClientOptions;
use crate::cli::support::output;
use crate::cli::support::output::{RequestJson, command_in_words, outcome_in_words, say, show, show_json};
use crate::cli::support::undelivered::end_in_words;

const WHAT: &str = "cannot resolve";

/// `bankd resolve`.
#[derive(Debug, Args)]
pub struct Resolve {
    /// Resolve only this customer's requests [default: every customer in the journal, in order of names; each PIN is asked for]
    name: Option<String>,
    /// What to do with a request whose outcome is unknown
    #[arg(long = "unknown", alias = "on-doubt", value_name = "ACTION", value_enum, default_value_t = OnDoubt::Resend)]
    on_doubt: OnDoubt,
    /// Write off this request without contacting the bank, if its login or bank no longer exists: it is never sent again, and
    /// only `bankd explain` can show its outcome
    #[arg(long, value_name = "SESSION/NUMBER", conflicts_with_all = ["name", "on_doubt", "json"])]
    write_off: Option<RequestId>,
    /// Print the results as one JSON array
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    options: ClientOptions,
}

/// What to do with a request whose outcome is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum OnDoubt {
    /// Send it again: it is executed if it was not executed before.
    Resend,
    /// Cancel it: it is never executed if it was not executed before.
    Cancel,
}

impl OnDoubt {
    /// Resolves one request; returns its recorded outcome, or why it has none.
    pub(in crate::cli) fn end(self, client: &mut Client, request: &Request) -> Result<Answer, ClientError> {
        let (id, command) = (request.intent.id, request.intent.command);
        match self {
            Self::Resend => client.resend(id, command),
            Self::Cancel => client.cancel(id),
        }
    }
}

/// A request, in words.
pub(in crate::cli) fn doubt_in_words(request: &Request, decimals: u8) -> String {
    let intent = &request.intent;
    format!("request {}: {} {}", intent.id, intent.name, command_in_words(&intent.command, decimals))
}

/// A request and its outcome, in words.
pub(in crate::cli) fn ending_in_words(request: &Request, body: &Body, replayed: bool, decimals: u8) -> String {
    let replayed = if replayed { " (replayed)" } else { "" };
    format!("{}: {}{replayed}", doubt_in_words(request, decimals), outcome_in_words(body, decimals))
}

/// The results so far.
#[derive(Default)]
struct Findings {
    lines: Vec<RequestJson>,
    /// The requests whose end was printed, or is in `lines`.
    told: Vec<RequestId>,
    /// The first failure, if any.
    failure: Option<Failure>,
}

impl Findings {
    /// Prints a failure and keeps the first; returns whether it was printed.
    fn fail(&mut self, failure: Failure) -> bool {
        let is_printed = failure.print();
        self.failure.get_or_insert(failure);
        is_printed
    }
}

impl Resolve {
    /// Goes through the logins with requests whose outcome is unknown, undelivered or unacknowledged.
    pub fn run(self) -> Result<Exit, Failure> {
        if let Some(id) = self.write_off {
            return self.write_off(id);
        }
        let requests = self.requests()?;
        if requests.iter().all(|request| request.end.is_some()) {
            say("nothing is in doubt in this journal");
        }
        let open = requests.iter().filter(|request| request.end.is_none() || !request.is_told);
        let mut doubtful: BTreeSet<String> = open.map(|request| request.intent.name.clone()).collect();
        if let Some(name) = self.named() {
            // A named login is visited in any case, to acknowledge its answers.
            doubtful.insert(name.to_owned());
        }
        let mut findings = Findings::default();
        if doubtful.len() > 1 && self.options.login.pin().is_one_file() {
            let why = format!("{} logins have something in doubt or undelivered, and one PIN file is one login's", doubtful.len());
            return Err(Failure::usage(WHAT, why, "name one: `bankd resolve NAME --pin-file FILE`"));
        }
        for name in doubtful {
            let theirs: Vec<&Request> = requests.iter().filter(|request| request.intent.name == name).collect();
            if let Err(failure) = self.resolve(&name, &theirs, &mut findings) {
                findings.fail(failure);
            }
        }
        if !self.json || show_json(&findings.lines) {
            self.mark_delivered(&findings.told);
        }
        Ok(findings.failure.map_or(Exit::Done, |failure| failure.exit))
    }

    /// Closes one request as one whose outcome only the bank's log shows.
    fn write_off(&self, id: RequestId) -> Result<Exit, Failure> {
        let what = format!("cannot write off {id}");
        let (mut journal, deadline) = self.journal()?;
        let mut journal = journal.open(&deadline).map_err(|error| Failure::journal(&what, &error))?;
        if !journal.in_doubt().any(|request| request.intent.id == id) {
            return Err(Failure::usage(what, "it is not in doubt in this journal", "nothing was changed; name another with --journal"));
        }
        journal.close(id, ClosedReason::UnknownSession).map_err(|error| Failure::journal(&what, &error))?;
        if show(&format!("{id} is in doubt no more; have the bank run `bankd explain {id}` to see what became of it")) {
            // If this mark fails, the next run prints the line again.
            let _ = journal.tell(&[id]);
        }
        Ok(Exit::Done)
    }

    /// The journal's requests that this run resolves.
    fn requests(&self) -> Result<Vec<Request>, Failure> {
        let (mut journal, deadline) = self.journal()?;
        let journal = journal.open(&deadline).map_err(|error| Failure::journal(WHAT, &error))?;
        let role = if self.options.login.teller().is_some() { Role::Teller } else { Role::Customer };
        let mine = |request: &&Request| request.intent.role == role && self.named().is_none_or(|name| request.intent.name == name);
        let others = journal.in_doubt().filter(|request| !mine(request)).count();
        if others > 0 {
            say(&format!("{others} request(s) of others stay in doubt; run `bankd resolve`, for a teller with --teller"));
        }
        Ok(journal.requests().filter(mine).cloned().collect())
    }

    fn journal(&self) -> Result<(Journal, Deadline), Failure> {
        let env = Env::os();
        let deadline = Deadline::after(&env.clock, self.options.server.timeout());
        Ok((Journal::new(&env, &self.options.journal.path()?), deadline))
    }

    /// Marks requests as delivered. If that fails, the next run prints them again.
    fn mark_delivered(&self, told: &[RequestId]) {
        if let Ok((mut journal, deadline)) = self.journal() {
            let _ = journal.open(&deadline).and_then(|mut journal| journal.tell(told));
        }
    }

    /// The one login that this run is limited to, if any.
    fn named(&self) -> Option<&str> {
        self.options.login.teller().or(self.name.as_deref())
    }

    fn resolve(&self, name: &str, theirs: &[&Request], findings: &mut Findings) -> Result<(), Failure> {
        let (mut client, welcome) = self.options.client(WHAT)?;
        let elsewhere = |request: &&&Request| request.intent.store != welcome.store;
        if let Some(request) = theirs.iter().filter(|request| request.end.is_none()).find(elsewhere) {
            let why = format!("request {} was sent to another bank, at {}", request.intent.id, request.intent.address);
            let next = format!("run `bankd resolve {name} --server {}`", request.intent.address);
            findings.fail(Failure::because(Exit::OutcomeUnknown, WHAT, why, next));
        }
        let login: Login = self.options.login.login(name)?;
        client.log_in(login).map_err(|error| Failure::client(&format!("cannot resolve for {name}"), &error))?;
        for request in theirs.iter().filter(|request| request.intent.store == welcome.store) {
            // Without a reader, leave the rest for a later run.
            if output::is_lost() {
                break;
            }
            match request.end {
                None => self.end(&mut client, request, welcome.decimals, findings),
                Some(_) if request.is_told => {}
                Some(end) => self.tell_late(request, end, welcome.decimals, findings),
            }
        }
        acknowledge(&mut client);
        Ok(())
    }

    /// Resolves one request, and prints its outcome or why it is still unknown.
    fn end(&self, client: &mut Client, request: &Request, decimals: u8, findings: &mut Findings) {
        match self.on_doubt.end(client, request) {
            Ok(answer) => {
                findings.lines.push(RequestJson::answer(request.intent.id, &answer.body, answer.replayed, decimals));
                if self.json || show(&ending_in_words(request, &answer.body, answer.replayed, decimals)) {
                    findings.told.push(request.intent.id);
                }
            }
            Err(error) => {
                let failure = Failure::client(&doubt_in_words(request, decimals), &error);
                let outcome = match &error {
                    ClientError::Refused(refusal) => refusal.name(),
                    _ => "unknown",
                };
                findings.lines.push(RequestJson::without_answer(outcome, Some(request.intent.id)));
                // Marks it as delivered if it was closed; a request whose outcome is still unknown ignores the mark.
                if findings.fail(failure) {
                    findings.told.push(request.intent.id);
                }
            }
        }
    }

    /// Prints an answer that an earlier run received but did not print.
    fn tell_late(&self, request: &Request, end: End, decimals: u8, findings: &mut Findings) {
        let id = request.intent.id;
        findings.lines.push(match end {
            End::Answered(settled) => RequestJson::answer(id, &settled.body, settled.replayed, decimals),
            End::Closed(_) if request.must_be_asked_about() => RequestJson::without_answer("unknown", Some(id)),
            End::Closed(_) => RequestJson::without_answer("not_executed", Some(id)),
        });
        let is_shown = if request.must_be_asked_about() {
            let why = "the bank no longer answers it";
            findings.fail(Failure::because(
                Exit::OutcomeUnknown,
                doubt_in_words(request, decimals),
                why,
                format!("have the bank run `bankd explain {id}`"),
            ))
        } else {
            self.json || end_in_words(request, decimals).is_none_or(|words| show(&words))
        };
        if is_shown {
            findings.told.push(id);
        }
    }
}

/// Acknowledges the answers of this login's earlier sessions that the journal holds, so that the bank may discard them.
fn acknowledge(client: &mut Client) {
    let Ok(sessions) = client.sessions() else { return };
    let deadline = client.deadline();
    let held: Vec<(SessionId, RequestNumber)> = match client.journal().open(&deadline) {
        Ok(journal) => sessions.iter().map(|info| (info.session, journal.acked_below(info.session))).collect(),
        Err(_) => return,
    };
    for (info, (session, below)) in sessions.iter().zip(held) {
        // Optional: if it fails, the next run acknowledges.
        if below > info.acked_below && client.acknowledge(session, below).is_err() {
            return;
        }
    }
}
