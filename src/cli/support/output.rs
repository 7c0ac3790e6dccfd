//! Lines and JSON: how results are printed, for people and for programs.
//!
//! All output to stdout goes through this file, so that a failed write is reported on stderr with exit code 1.
//! Left out: failures in words (`failure.rs`).

use std::io::{BufWriter, StdoutLock, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use bankd::client::Answer;
use bankd::model::amount::{Amount, DisplayAmount};
use bankd::model::command::{Body, Command, Outcome};
use bankd::model::types::{BankTime, Lsn, RequestId};
use serde::Serialize;
use time::UtcDateTime;

use crate::cli::support::failure::{Exit, Failure};

/// Whether a write to stdout failed because its reader closed the pipe.
static IS_CLOSED: AtomicBool = AtomicBool::new(false);
/// The first error of a write to stdout that is not a closed pipe.
static FAILURE: OnceLock<String> = OnceLock::new();

/// Prints a line of the result on stdout. An error is noted for [`check`].
pub fn tell(line: &str) {
    show(line);
}

/// As [`tell`]; returns whether the line was printed.
pub fn show(line: &str) -> bool {
    let mut stdout = std::io::stdout().lock();
    note(writeln!(stdout, "{line}").and_then(|()| stdout.flush()))
}

/// Notes the result of a write to stdout; returns whether it succeeded. Every write that bypasses [`show`] must be passed
/// here.
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

/// Buffered stdout, for many lines; pass the result of each write to [`note`].
pub fn buffered() -> BufWriter<StdoutLock<'static>> {
    BufWriter::new(std::io::stdout().lock())
}

/// Prints the help or the version.
pub fn help(text: &clap::Error) {
    note(text.print().and_then(|()| std::io::stdout().flush()));
}

/// Whether a write to stdout has failed, for any reason: further output reaches no reader.
pub fn is_lost() -> bool {
    IS_CLOSED.load(Ordering::Relaxed) || FAILURE.get().is_some()
}

/// The first stdout error that is not a closed pipe.
pub fn failure() -> Option<&'static str> {
    FAILURE.get().map(String::as_str)
}

/// The final exit code of a command that ends with `exit`. If a write to stdout failed, prints a line on stderr, and 0
/// becomes 1. A closed pipe is no error: its reader wants no more.
pub fn check(exit: Exit) -> Exit {
    match failure() {
        Some(why) => {
            Failure::because(Exit::Internal, "cannot write to standard output", why, "what was printed is not complete").print();
            if exit == Exit::Done { Exit::Internal } else { exit }
        }
        None => exit,
    }
}

/// Prints a remark on stderr.
pub fn say(line: &str) {
    show_aside(line);
}

/// As [`say`]; returns whether the line was printed.
pub fn show_aside(line: &str) -> bool {
    writeln!(std::io::stderr(), "{line}").is_ok()
}

/// The JSON of a money command or balance; unknown fields are null.
#[derive(Debug, Serialize)]
pub struct RequestJson {
    /// The name of an outcome (`done`) or of a refusal, or `unknown`.
    outcome: &'static str,
    balance: Option<String>,
    session: Option<String>,
    number: Option<u64>,
    lsn: Option<u64>,
    replayed: bool,
}

impl RequestJson {
    /// For a recorded outcome.
    pub fn answer(request: RequestId, body: &Body, replayed: bool, decimals: u8) -> Self {
        let balance = Some(body.balance.display(decimals).to_string());
        Self { balance, lsn: Some(body.lsn.0), replayed, ..Self::without_answer(body.outcome.name(), Some(request)) }
    }

    /// For a balance.
    pub fn balance(balance: DisplayAmount, lsn: Lsn) -> Self {
        Self { balance: Some(balance.to_string()), lsn: Some(lsn.0), ..Self::without_answer("done", None) }
    }

    /// For a refusal or an unknown outcome.
    pub fn without_answer(outcome: &'static str, request: Option<RequestId>) -> Self {
        let session = request.map(|request| request.session.to_string());
        Self { outcome, balance: None, session, number: request.map(|request| request.number.0), lsn: None, replayed: false }
    }
}

/// Prints JSON on one line of stdout.
pub fn tell_json(value: &impl Serialize) {
    show_json(value);
}

/// As [`tell_json`]; returns whether the line was printed.
pub fn show_json(value: &impl Serialize) -> bool {
    // Serialization fails only for maps with non-string keys, and no value has one.
    show(&serde_json::to_string(value).unwrap_or_default())
}

/// Prints the answer to a money request; returns the exit code, and whether the result was printed.
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

/// A recorded outcome in words for a customer, in the lab report's wording where it has one.
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

/// A recorded outcome, followed by the balance if it has one: `Done, balance 160`.
pub fn outcome_in_words(body: &Body, decimals: u8) -> String {
    let outcome = declined(body.outcome);
    match body.outcome {
        Outcome::Cancelled | Outcome::NoSuchAccount => outcome.to_owned(),
        _ => format!("{outcome}, balance {}", body.balance.display(decimals)),
    }
}

/// Bank time as a date and time in UTC: `2026-01-31T23:59:59.123456Z`.
pub fn utc(time: BankTime) -> String {
    // Only a time beyond the year 999,999 is no date, and 64 bits of microseconds end before.
    let Ok(at) = UtcDateTime::from_unix_timestamp_nanos(i128::from(time.0) * 1000) else { return time.0.to_string() };
    let (year, month, day) = (at.year(), u8::from(at.month()), at.day());
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:06}Z", at.hour(), at.minute(), at.second(), at.microsecond())
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
    fn bank_time_in_utc() {
        for (micros, text) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (951_782_400_000_000, "2000-02-29T00:00:00.000000Z"),
            (951_868_799_999_999, "2000-02-29T23:59:59.999999Z"),
            (951_868_800_000_000, "2000-03-01T00:00:00.000000Z"),
            (1_700_000_000_000_000, "2023-11-14T22:13:20.000000Z"),
            (4_107_542_400_000_000, "2100-03-01T00:00:00.000000Z"),
            (253_402_300_800_000_000, "10000-01-01T00:00:00.000000Z"),
            (u64::MAX, "586524-01-19T08:01:49.551615Z"),
        ] {
            assert_eq!(utc(BankTime(micros)), text);
        }
    }

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
