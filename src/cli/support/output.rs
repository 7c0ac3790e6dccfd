//! Lines and JSON: how results are printed, for people and for programs.
//!
//! All output to stdout goes through here, so that a write that fails ends with a line on stderr and exit code 1.
//! Left out: failures in words (`failure.rs`).

use std::io::{BufWriter, StdoutLock, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use bankd::client::Answer;
use bankd::model::amount::{Amount, DisplayAmount};
use bankd::model::command::{Body, Command, Outcome};
use bankd::model::types::{Lsn, RequestId};
use serde::Serialize;

use crate::cli::support::failure::{Exit, Failure};

/// Whether a line of stdout could not be printed because its reader has closed the pipe.
static IS_CLOSED: AtomicBool = AtomicBool::new(false);
/// Why a line of stdout could not be printed, where it was anything else. The first such error is kept.
static FAILURE: OnceLock<String> = OnceLock::new();

/// A line of the result, on stdout. What goes wrong is noted for [`check`].
pub fn tell(line: &str) {
    show(line);
}

/// The same; returns whether it was printed.
pub fn show(line: &str) -> bool {
    let mut stdout = std::io::stdout().lock();
    note(writeln!(stdout, "{line}").and_then(|()| stdout.flush()))
}

/// Notes what became of a write to stdout; returns whether it succeeded. Every write that does not go through [`show`]
/// passes through here.
pub fn note(written: std::io::Result<()>) -> bool {
    match &written {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => IS_CLOSED.store(true, Ordering::Relaxed),
        Err(error) => {
            let _ = FAILURE.set(error.to_string());
        }
    }
    written.is_ok()
}

/// Stdout with a buffer, for many lines; what becomes of its writes is for [`note`].
pub fn buffered() -> BufWriter<StdoutLock<'static>> {
    BufWriter::new(std::io::stdout().lock())
}

/// Prints the help or the version.
pub fn help(text: &clap::Error) {
    note(text.print().and_then(|()| std::io::stdout().flush()));
}

/// Whether stdout can be written to no more, for whatever reason: what goes on is then done for no reader.
pub fn is_lost() -> bool {
    IS_CLOSED.load(Ordering::Relaxed) || FAILURE.get().is_some()
}

/// Why stdout refused a line, if it did for another reason than a closed pipe.
pub fn failure() -> Option<&'static str> {
    FAILURE.get().map(String::as_str)
}

/// Ends a command that would have ended with `exit`: with 1 and a line on stderr if stdout refused a line, unless a code
/// other than 0 says more. A closed pipe is a reader that wants no more, and ends nothing.
pub fn check(exit: Exit) -> Exit {
    match failure() {
        Some(why) => {
            Failure::because(Exit::Internal, "cannot write to standard output", why, "what was printed is not complete").print();
            if exit == Exit::Done { Exit::Internal } else { exit }
        }
        None => exit,
    }
}

/// A line of chatter, on stderr.
pub fn say(line: &str) {
    show_aside(line);
}

/// The same, and says whether it could be printed.
pub fn show_aside(line: &str) -> bool {
    writeln!(std::io::stderr(), "{line}").is_ok()
}

/// The JSON of a money command or balance; what is not known is null.
#[derive(Debug, Serialize)]
pub struct RequestJson {
    /// `done`, the name of another outcome or of a refusal, or `unknown`.
    outcome: &'static str,
    balance: Option<String>,
    session: Option<String>,
    number: Option<u64>,
    lsn: Option<u64>,
    replayed: bool,
}

impl RequestJson {
    /// Of a recorded outcome.
    pub fn answer(request: RequestId, body: &Body, replayed: bool, decimals: u8) -> Self {
        let balance = Some(body.balance.display(decimals).to_string());
        Self { balance, lsn: Some(body.lsn.0), replayed, ..Self::without_answer(body.outcome.name(), Some(request)) }
    }

    /// Of a balance.
    pub fn balance(balance: DisplayAmount, lsn: Lsn) -> Self {
        Self { balance: Some(balance.to_string()), lsn: Some(lsn.0), ..Self::without_answer("done", None) }
    }

    /// Of a refusal or an unknown outcome.
    pub fn without_answer(outcome: &'static str, request: Option<RequestId>) -> Self {
        let session = request.map(|request| request.session.to_string());
        Self { outcome, balance: None, session, number: request.map(|request| request.number.0), lsn: None, replayed: false }
    }
}

/// JSON, on one line of stdout.
pub fn tell_json(value: &impl Serialize) {
    show_json(value);
}

/// The same, and says whether it could be printed.
pub fn show_json(value: &impl Serialize) -> bool {
    // Only a map with keys that are no strings fails, and there is none.
    show(&serde_json::to_string(value).unwrap_or_default())
}

/// Prints what became of a money request; says how the program ends, and whether the result could be printed.
pub fn report(answer: &Answer, decimals: u8, json: bool) -> (Exit, bool) {
    let Answer { request, body, replayed, .. } = answer;
    if let Some(failure) = &answer.journal_failure {
        say(&format!("bankd: the answer stands, but could not be kept: {failure}; `bankd resolve` will ask for it once more"));
    }
    if answer.from_journal {
        say("the bank no longer keeps this answer; the journal does");
    }
    say(&format!("request {request}{}", if *replayed { " (replayed)" } else { "" }));
    let is_shown = match body.outcome {
        _ if json => show_json(&RequestJson::answer(*request, body, *replayed, decimals)),
        Outcome::Done => show(&format!("New balance is {}", body.balance.display(decimals))),
        outcome => show(declined(outcome)),
    };
    if body.outcome == Outcome::Done {
        return (Exit::Done, is_shown);
    }
    let next = match body.outcome {
        Outcome::InsufficientBalance => format!("nothing was moved; the balance is {}", body.balance.display(decimals)),
        Outcome::AccountLocked => "nothing was moved; ask the operator to run `bankd account unlock NAME`".to_owned(),
        _ => "nothing was moved".to_owned(),
    };
    Failure::because(Exit::Declined, "declined by the bank", body.outcome.name().replace('_', " "), next).print();
    (Exit::Declined, is_shown)
}

/// A recorded outcome in words for a customer; the report's own where it has them.
pub const fn declined(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Done => "Done",
        Outcome::InsufficientBalance => "Insufficient Balance",
        Outcome::NoSuchAccount => "There is no such account",
        Outcome::AccountClosed => "The account is closed",
        Outcome::AccountLocked => "The account is locked",
        Outcome::BalanceOverflow => "The account would hold more than it can",
        Outcome::Cancelled => "The request was cancelled",
    }
}

/// A recorded outcome with the balance behind it, where it tells one: `Done, balance 160`.
pub fn outcome_in_words(body: &Body, decimals: u8) -> String {
    let outcome = declined(body.outcome);
    match body.outcome {
        Outcome::Cancelled | Outcome::NoSuchAccount => outcome.to_owned(),
        _ => format!("{outcome}, balance {}", body.balance.display(decimals)),
    }
}

/// A command in words: `withdraw 20 (account 1)`.
pub fn command_in_words(command: &Command, decimals: u8) -> String {
    let amount = |amount: Amount| amount.display(decimals);
    match command {
        Command::Deposit { account, amount: moved } => format!("deposit {} (account {})", amount(*moved), account.0),
        Command::Withdraw { account, amount: moved } => format!("withdraw {} (account {})", amount(*moved), account.0),
        Command::Transfer { from, to, amount: moved } => format!("transfer {} (account {} to {})", amount(*moved), from.0, to.0),
    }
}

#[cfg(test)]
mod tests {
    use bankd::model::types::{Epoch, RequestNumber, SessionId};

    use super::*;

    #[test]
    fn json_has_the_promised_fields_in_order() {
        let session = SessionId { epoch: Epoch(0xabc), lsn: Lsn(77) };
        let request = RequestId { session, number: RequestNumber(3) };
        let body = Body { outcome: Outcome::Done, balance: Amount::new(160).unwrap(), lsn: Lsn(78) };
        let text = |json: &RequestJson| serde_json::to_string(json).unwrap();
        assert_eq!(
            text(&RequestJson::answer(request, &body, true, 1)),
            r#"{"outcome":"done","balance":"16.0","session":"0000000000000abc-77","number":3,"lsn":78,"replayed":true}"#
        );
        assert_eq!(
            text(&RequestJson::without_answer("unknown", Some(request))),
            r#"{"outcome":"unknown","balance":null,"session":"0000000000000abc-77","number":3,"lsn":null,"replayed":false}"#
        );
    }
}
