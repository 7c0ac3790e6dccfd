//! Lines of a statement: in words, as CSV and as JSON.
//!
//! Left out: which lines (`commands/statement.rs`).

use std::io::Write;

use bankd::model::command::Outcome;
use bankd::model::types::AccountId;
use bankd::wire::message::{LineKind, StatementLine};
use serde_json::{Value, json};

use crate::cli::support::output::{buffered, declined, note, tell, utc};

/// The format of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One line for each movement.
    Words,
    /// CSV with a header.
    Csv,
    /// One JSON object.
    Json,
}

/// Prints a statement line by line, so that a long one takes no memory.
pub struct Printer {
    format: Format,
    decimals: u8,
    is_first: bool,
}

impl Printer {
    /// Prints what comes before the first line.
    pub fn begin(format: Format, name: &str, account: AccountId, decimals: u8) -> Self {
        match format {
            Format::Words => {}
            Format::Csv => tell("time,lsn,kind,other,amount,balance,outcome,request"),
            Format::Json => put(&format!("{{\"account\":{},\"name\":{},\"movements\":[", account.0, Value::from(name))),
        }
        Self { format, decimals, is_first: true }
    }

    /// Prints one line.
    pub fn line(&mut self, line: &StatementLine) {
        match self.format {
            Format::Words => tell(&in_words(line, self.decimals)),
            Format::Csv => put(&in_csv(line, self.decimals)),
            Format::Json => {
                let comma = if self.is_first { "" } else { "," };
                put(&format!("{comma}{}", in_json(line, self.decimals)));
            }
        }
        self.is_first = false;
    }

    /// Prints what comes after the last line.
    pub fn end(&self, has_more: bool, is_cut: bool) {
        match self.format {
            Format::Words if self.is_first => tell("no movements"),
            Format::Words | Format::Csv => {}
            Format::Json => tell(&format!("],\"has_more\":{has_more},\"is_cut\":{is_cut}}}")),
        }
    }
}

fn put(text: &str) {
    let mut out = buffered();
    note(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
}

/// The kind's name, and the other account.
const fn kind(line: &StatementLine) -> (&'static str, Option<(AccountId, &String)>) {
    match &line.kind {
        LineKind::Opening => ("opening", None),
        LineKind::Deposit => ("deposit", None),
        LineKind::Withdrawal => ("withdrawal", None),
        LineKind::TransferTo { account, name } => ("transfer_to", Some((*account, name))),
        LineKind::TransferFrom { account, name } => ("transfer_from", Some((*account, name))),
    }
}

/// The amount with the sign of its effect.
fn signed_amount(line: &StatementLine, decimals: u8) -> String {
    let sign = match line.kind {
        LineKind::Withdrawal | LineKind::TransferTo { .. } => "-",
        LineKind::Opening | LineKind::Deposit | LineKind::TransferFrom { .. } => "+",
    };
    format!("{sign}{}", line.amount.display(decimals))
}

/// A line for a person.
pub fn in_words(line: &StatementLine, decimals: u8) -> String {
    let (name, other) = kind(line);
    let what = match other {
        Some((account, other)) if other.is_empty() => format!("{} account {}", name.replace('_', " "), account.0),
        Some((_, other)) => format!("{} {other}", name.replace('_', " ")),
        None => name.to_owned(),
    };
    let time: String = utc(line.time).chars().take(19).collect();
    let request = line.request.map_or(String::new(), |request| format!("  request {request}"));
    let end = match line.outcome {
        Outcome::Done => format!("balance {}", line.balance.display(decimals)),
        outcome => format!("refused: {}, balance {}", declined(outcome).to_lowercase(), line.balance.display(decimals)),
    };
    format!("{}  {what:<24}  {:>12}  {end}  entry {}{request}", time.replace('T', " "), signed_amount(line, decimals), line.lsn)
}

fn in_csv(line: &StatementLine, decimals: u8) -> String {
    let (name, other) = kind(line);
    let mut writer = csv::WriterBuilder::new().from_writer(Vec::new());
    let fields = [
        utc(line.time),
        line.lsn.to_string(),
        name.to_owned(),
        other.map(|(_, name)| name.clone()).unwrap_or_default(),
        signed_amount(line, decimals),
        line.balance.display(decimals).to_string(),
        line.outcome.name().to_owned(),
        line.request.map(|request| request.to_string()).unwrap_or_default(),
    ];
    // Writing to memory does not fail.
    let _ = writer.write_record(&fields);
    writer.into_inner().ok().and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default()
}

fn in_json(line: &StatementLine, decimals: u8) -> Value {
    let (name, other) = kind(line);
    json!({
        "time": utc(line.time),
        "lsn": line.lsn.0,
        "kind": name,
        "other_account": other.map(|(account, _)| account.0),
        "other": other.map(|(_, name)| name),
        "amount": line.amount.display(decimals).to_string(),
        "balance": line.balance.display(decimals).to_string(),
        "outcome": line.outcome.name(),
        "request": line.request.map(|request| request.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use bankd::model::amount::Amount;
    use bankd::model::types::{BankTime, Epoch, Lsn, RequestId, RequestNumber, SessionId};

    use super::*;

    #[test]
    fn a_line_in_words_csv_and_json() {
        let session = SessionId { epoch: Epoch(0xABC), lsn: Lsn(77) };
        let mut line = StatementLine {
            lsn: Lsn(80),
            time: BankTime(1_700_000_000_000_000),
            kind: LineKind::TransferTo { account: AccountId(3), name: "Ada, Countess".to_owned() },
            amount: Amount::new(2050).unwrap(),
            balance: Amount::new(100_000).unwrap(),
            outcome: Outcome::Done,
            request: Some(RequestId { session, number: RequestNumber(3) }),
        };
        let words =
            "2023-11-14 22:13:20  transfer to Ada, Countess        -20.50  balance 1000.00  entry 80  request 0000000000000abc-77/3";
        assert_eq!(in_words(&line, 2), words);
        let csv = "2023-11-14T22:13:20.000000Z,80,transfer_to,\"Ada, Countess\",-20.50,1000.00,done,0000000000000abc-77/3\n";
        assert_eq!(in_csv(&line, 2), csv);
        assert_eq!(in_json(&line, 2)["amount"], "20.50");
        line.outcome = Outcome::InsufficientBalance;
        assert!(in_words(&line, 0).contains("refused: insufficient balance, balance 100000"), "{}", in_words(&line, 0));
    }
}
