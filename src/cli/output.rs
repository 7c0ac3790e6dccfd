//! Lines and JSON: how results are printed, for people and for programs.
//!
//! Left out: failures in words (`failure.rs`).

use std::io::Write;

use bankd::amount::{Amount, DisplayAmount};
use bankd::client::Answer;
use bankd::command::{Command, Outcome};
use bankd::types::{Lsn, RequestId};
use serde_json::{Value, json};

use super::failure::{Exit, Failure};

/// A line of the result, on stdout. A reader that has gone away is no failure of ours.
pub fn tell(line: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
}

/// A line of chatter, on stderr.
pub fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// The JSON of a money command or balance, on one line.
///
/// `outcome` is `done`, the name of an outcome or refusal, or `unknown`; what is not known is null.
pub fn tell_json(outcome: &str, balance: Option<DisplayAmount>, request: Option<RequestId>, lsn: Option<Lsn>, replayed: bool) {
    tell(&request_json(outcome, balance, request, lsn, replayed).to_string());
}

/// The JSON value itself, for commands that print several.
pub fn request_json(outcome: &str, balance: Option<DisplayAmount>, request: Option<RequestId>, lsn: Option<Lsn>, replayed: bool) -> Value {
    json!({
        "outcome": outcome,
        "balance": balance.map(|balance| balance.to_string()),
        "session": request.map(|request| request.session.to_string()),
        "number": request.map(|request| request.number.0),
        "lsn": lsn.map(|lsn| lsn.0),
        "replayed": replayed,
    })
}

/// Prints what became of a money request, and says how the program ends.
pub fn report(answer: &Answer, decimals: u8, json: bool) -> Exit {
    let Answer { request, body, replayed, .. } = answer;
    if let Some(failure) = &answer.journal_failure {
        say(&format!("bankd: the answer stands, but could not be kept: {failure}; `bankd resolve` will ask for it once more"));
    }
    if answer.from_journal {
        say("the bank no longer keeps this answer; the journal does");
    }
    say(&format!("request {request}{}", if *replayed { " (replayed)" } else { "" }));
    if json {
        tell_json(body.outcome.name(), Some(body.balance.display(decimals)), Some(*request), Some(body.lsn), *replayed);
    }
    if body.outcome == Outcome::Done {
        if !json {
            tell(&format!("New balance is {}", body.balance.display(decimals)));
        }
        return Exit::Done;
    }
    if !json {
        tell(declined(body.outcome));
    }
    let next = match body.outcome {
        Outcome::InsufficientBalance => format!("nothing was moved; the balance is {}", body.balance.display(decimals)),
        Outcome::AccountLocked => "nothing was moved; ask the operator to run `bankd account unlock NAME`".to_owned(),
        _ => "nothing was moved".to_owned(),
    };
    Failure::because(Exit::Declined, "declined by the bank", body.outcome.name().replace('_', " "), next).print();
    Exit::Declined
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
    use bankd::types::{Lineage, RequestNumber, SessionId};

    use super::*;

    #[test]
    fn json_has_the_promised_fields_and_types() {
        let session = SessionId { lineage: Lineage(0xabc), lsn: Lsn(77) };
        let request = RequestId { session, number: RequestNumber(3) };
        let done = request_json("done", Some(Amount::new(160).unwrap().display(0)), Some(request), Some(Lsn(78)), true);
        let expected = r#"{"outcome":"done","balance":"160","session":"0000000000000abc-77","number":3,"lsn":78,"replayed":true}"#;
        assert_eq!(done, serde_json::from_str::<Value>(expected).unwrap());
        let unknown = request_json("unknown", None, Some(request), None, false);
        assert!(unknown["balance"].is_null() && unknown["lsn"].is_null() && unknown["number"] == 3);
    }
}
