//! `batch`: many money commands from a file or standard input, with a window of requests in flight.
//!
//! All lines are read and checked before any is sent. Left out: parsing lines (`batch_lines.rs`), and the exactly-once
//! protocol (`bankd::client`).

use std::io::{BufReader, Read};
use std::path::PathBuf;

use bankd::client::{Answer, Client, ClientError, Fate, Stopped};
use bankd::env::os;
use bankd::model::command::{Command, Outcome};
use bankd::model::types::{AccountId, RequestId};
use bankd::wire::message::{Refusal, Role, Welcome};
use clap::Args;
use serde::Serialize;

use crate::cli::commands::batch_lines::{Line, Lines};
use crate::cli::support::failure::{Exit, Failure};
use crate::cli::support::options::ClientOptions;
use crate::cli::support::output;
use crate::cli::support::output::{RequestJson, outcome_in_words, say, show, show_aside};
use crate::cli::support::undelivered::{Whose, catch_up};

const WHAT: &str = "cannot run the batch";

const HELP: &str = "Each line is `deposit NAME AMOUNT`, `withdraw NAME AMOUNT` or `transfer NAME TO AMOUNT`; commas may separate the words.
Put a name with blanks or commas in double quotes. Empty lines and lines that begin with # are ignored. At most 1,000,000
commands. All lines are checked before any is sent: one invalid line, and nothing is sent. Commands are executed in order;
a declined command does not stop the ones after it. A customer may use only its own account, a teller any account.

If the batch is interrupted, `bankd resolve` prints the outcome of every request that was sent; the first command has
request number 1, the second 2, and so on. The batch locks the journal until it ends; to run other commands meanwhile, use
another journal with --journal.

Exit codes: 0 all done; 3 some declined; 5 outcome unknown, run `bankd resolve`; 2 invalid input, nothing was sent.";

/// `bankd batch`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct Batch {
    /// File with one command per line [default: standard input]
    file: Option<PathBuf>,
    /// Maximum number of requests in flight, 1 to 1024
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = clap::value_parser!(u16).range(1..=1024))]
    window: u16,
    /// Print one JSON object per command, each on its own line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    options: ClientOptions,
}

/// The result of a line, for `--json`.
#[derive(Serialize)]
struct LineJson {
    line: u64,
    #[serde(flatten)]
    request: RequestJson,
}

impl Batch {
    /// Executes all lines in order, and prints the result of each.
    pub fn run(&self) -> Result<Exit, Failure> {
        if self.file.is_none() && self.options.login.pin().is_stdin() {
            return Err(Failure::usage(WHAT, "the commands come from standard input, and so cannot the PIN", "use --pin-file"));
        }
        let (client, welcome) = self.options.client(WHAT)?;
        let lines = self.read(welcome.decimals)?;
        let Some(payer) = self.payer(&lines)? else {
            say("there is nothing to do");
            return Ok(Exit::Done);
        };
        let (mut client, commands) = self.log_in(client, &welcome, &lines, payer)?;
        let teller = Printer { lines: &lines, decimals: welcome.decimals, json: self.json };
        let (mut done, mut declined) = (0, 0);
        let ended = client.execute_all(&commands, usize::from(self.window), &mut |answers| {
            if let (0, Some(first)) = (done, answers.first()) {
                say(&format!("request {} and the following", first.request));
            }
            let shown = teller.answers(done, answers);
            done += answers.len();
            declined += answers.iter().filter(|answer| answer.body.outcome != Outcome::Done).count();
            shown
        });
        if let Err(stopped) = ended {
            return Err(self.stopped(&mut client, &teller, done, stopped));
        }
        client.finish();
        if output::is_lost() && done <= lines.lines.len() {
            return Err(unheard(&lines, done));
        }
        if declined > 0 {
            let why = format!("{declined} of {} commands", lines.lines.len());
            Failure::because(Exit::Declined, "declined by the bank", why, "the others are done").print();
            return Ok(Exit::Declined);
        }
        Ok(Exit::Done)
    }

    fn read(&self, decimals: u8) -> Result<Lines, Failure> {
        let source = self.file.as_ref().map_or("standard input".to_owned(), |file| file.display().to_string());
        let input: Box<dyn Read> = match &self.file {
            None => Box::new(std::io::stdin().lock()),
            Some(file) => Box::new(os::open_stream(file).map_err(|error| {
                Failure::because(Exit::CannotStart, format!("cannot read {source}"), error, "nothing was sent; name a readable file")
            })?),
        };
        Lines::read(&mut BufReader::new(input), decimals)
            .map_err(|bad| Failure::usage(format!("{source}, line {}", bad.at), bad.why, "nothing was sent; correct the line"))
    }

    /// The login's name: the teller, or the one customer whose account every line uses; `None` if there are no lines.
    fn payer<'a>(&'a self, lines: &'a Lines) -> Result<Option<&'a str>, Failure> {
        let Some(first) = lines.lines.first() else { return Ok(None) };
        if let Some(teller) = self.options.login.teller() {
            return Ok(Some(teller));
        }
        if let Some(other) = lines.lines.iter().find(|line| line.name != first.name) {
            let why = "a customer asks for one account, its own, and this line is about another";
            return Err(Failure::usage(format!("line {}", other.at), why, "nothing was sent; log in as a teller, with --teller"));
        }
        Ok(lines.names.get(first.name).map(String::as_str))
    }

    /// Logs in, and looks up every account.
    fn log_in(&self, mut client: Client, welcome: &Welcome, lines: &Lines, name: &str) -> Result<(Client, Vec<Command>), Failure> {
        client.log_in(self.options.login.login(name)?).map_err(|error| Failure::client(WHAT, &error))?;
        let role = if self.options.login.teller().is_some() { Role::Teller } else { Role::Customer };
        catch_up(&mut client, Whose { role, name, store: welcome.store }, welcome.decimals, &show_aside);
        let mut ids = Vec::with_capacity(lines.names.len());
        for name in &lines.names {
            ids.push(client.find_account(name).map_err(|error| match error {
                ClientError::Refused(Refusal::NoSuchAccount) => {
                    Failure::usage(WHAT, format!("there is no account {name:?}"), "nothing was sent; correct the name")
                }
                error => Failure::client(WHAT, &error),
            })?);
        }
        let id = |place: usize| ids.get(place).copied().unwrap_or(AccountId(u32::MAX));
        let commands = lines.lines.iter().map(|line| line.command(&id)).collect();
        Ok((client, commands))
    }

    /// Prints the results of the lines after the first `done`, and returns the failure that ends the batch.
    fn stopped(&self, client: &mut Client, teller: &Printer<'_>, done: usize, stopped: Stopped) -> Failure {
        let Stopped { failure, rest } = stopped;
        let mut told: Vec<RequestId> = Vec::new();
        let lines = &teller.lines.lines;
        let mut fates = rest.iter();
        for line in lines.iter().skip(done) {
            told.extend(teller.fate(line, fates.next()));
        }
        client.mark_all_delivered(&told);
        let unsent = rest.iter().position(|fate| matches!(fate, Fate::NotExecuted(_) | Fate::NotSent(_))).unwrap_or(rest.len());
        let unsent = lines.get(done + unsent).map_or(String::new(), |line| format!("; from line {} on nothing was sent", line.at));
        match &failure {
            ClientError::OutcomeUnknown { .. } => {
                let resolve = match self.options.login.teller() {
                    Some(teller) => format!("bankd resolve --teller {teller} --token-file FILE"),
                    None => "bankd resolve".to_owned(),
                };
                let next = format!("run `{resolve}` to learn it{unsent}");
                Failure::because(Exit::OutcomeUnknown, "the batch stopped", &failure, next)
            }
            ClientError::Unreachable { .. } if done > 0 => {
                let next = format!("what is printed above is done{unsent}");
                Failure::because(Exit::Unreachable, "the batch stopped", &failure, next)
            }
            failure => Failure::client(WHAT, failure),
        }
    }
}

/// The failure of a batch whose stdout was lost.
fn unheard(lines: &Lines, done: usize) -> Failure {
    let rest = lines.lines.get(done).map_or("every command was answered".to_owned(), |line| {
        format!(
            "the commands up to line {} were answered; from line {} on nothing was sent",
            done.checked_sub(1).and_then(|last| lines.lines.get(last)).map_or(0, |line| line.at),
            line.at
        )
    });
    let next = "the next command of this login prints the answers that were not shown";
    Failure::because(Exit::Internal, "the batch stopped", "its results cannot be printed any more", format!("{rest}; {next}"))
}

/// Prints results.
struct Printer<'a> {
    lines: &'a Lines,
    decimals: u8,
    json: bool,
}

impl Printer<'_> {
    /// Prints the answers to the lines after the first `done`; returns whether they were printed.
    fn answers(&self, done: usize, answers: &[Answer]) -> bool {
        let lines = self.lines.lines.iter().skip(done);
        let text: Vec<String> = lines.zip(answers).map(|(line, answer)| self.answer(line, answer)).collect();
        if let Some(failure) = answers.iter().find_map(|answer| answer.journal_failure.as_ref()) {
            say(&format!("bankd: these answers stand, but could not be kept: {failure}; `bankd resolve` will ask for them once more"));
        }
        show(&text.join("\n"))
    }

    fn answer(&self, line: &Line, answer: &Answer) -> String {
        let Answer { request, body, replayed, .. } = answer;
        if self.json {
            return self.json(line, RequestJson::answer(*request, body, *replayed, self.decimals));
        }
        let replayed = if *replayed { " (replayed)" } else { "" };
        self.text(line, &format!("{}{replayed}", outcome_in_words(body, self.decimals)))
    }

    /// Prints the result of a line of a batch that stopped; `fate` is `None` if the line got no request number. Returns the
    /// request if it has ended and the line was printed.
    fn fate(&self, line: &Line, fate: Option<&Fate>) -> Option<RequestId> {
        let (text, outcome, request, ended) = match fate {
            Some(Fate::Answered(answer)) => return show(&self.answer(line, answer)).then_some(answer.request),
            Some(Fate::InDoubt(id)) => (format!("outcome unknown (request {id})"), "unknown", Some(*id), None),
            Some(Fate::AskTheBank(id)) => (format!("only the bank's log knows: `bankd explain {id}`"), "unknown", Some(*id), Some(*id)),
            Some(Fate::NotExecuted(id)) => ("refused, not executed".to_owned(), "not_executed", Some(*id), Some(*id)),
            Some(Fate::NotSent(id)) => ("not sent".to_owned(), "not_sent", None, Some(*id)),
            None => ("not sent".to_owned(), "not_sent", None, None),
        };
        let text = if self.json { self.json(line, RequestJson::without_answer(outcome, request)) } else { self.text(line, &text) };
        let is_shown = show(&text);
        ended.filter(|_| is_shown)
    }

    fn text(&self, line: &Line, what: &str) -> String {
        format!("line {}: {}: {what}", line.at, self.lines.words(line, self.decimals))
    }

    fn json(&self, line: &Line, request: RequestJson) -> String {
        // Serialization fails only for maps with non-string keys, and no value has one.
        serde_json::to_string(&LineJson { line: line.at, request }).unwrap_or_default()
    }
}
