//! A customer who uses the command line: each request is a process of its own, such as `bankd withdraw`, and many are killed
//! at a random moment.
//!
//! Left out: what the commands do (`cli/`), and customers inside this process (`customer.rs`).

use std::path::Path;
use std::process::{Command as Process, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::client::Login;
use crate::env::sim::Random;
use crate::model::amount::Amount;
use crate::model::command::{Body, Command, Outcome};
use crate::model::types::{AccountId, Lsn, RequestId};
use crate::prove::actors::arena::{ACCOUNTS, Arena, count, customer_name};
use crate::prove::check::history::{Answered, Event, Write};

/// A process that is killed is killed within this many microseconds; a whole request takes a few milliseconds.
const KILL_WITHIN: u64 = 30_000;

/// Runs commands until the run is over.
pub(in crate::prove) fn run(arena: &Arena, account: AccountId, login: &Login, pin_file: &Path, seed: u64) {
    let mut random = Random::new(seed);
    let mut journal = arena.new_journal("command", login);
    while !arena.is_over() {
        let amount = 1 + random.below(200);
        let to = u32::try_from(random.below(u64::from(ACCOUNTS))).unwrap_or(0);
        let command = match (random.below(8), Amount::new(amount).unwrap_or_default()) {
            (0, _) => None,
            (1..=3, amount) => Some(Command::Deposit { account, amount }),
            (4, amount) if to != account.0 => Some(Command::Transfer { from: account, to: AccountId(to), amount }),
            (_, amount) => Some(Command::Withdraw { account, amount }),
        };
        one(arena, command, &login.name, pin_file, &journal, &mut random);
        if arena.is_long(&journal) {
            // A session with unacknowledged replies is never evicted, and counts against the login's limit for good.
            one(arena, None, &login.name, pin_file, &journal, &mut random);
            journal = arena.new_journal("command", login);
        }
    }
}

/// Runs one process; without a command it resolves the unknown outcomes of the journal.
fn one(arena: &Arena, command: Option<Command>, name: &str, pin_file: &Path, journal: &Path, random: &mut Random) {
    let mut process = Process::new(&arena.exe);
    match command {
        None => process.args(["resolve", name]),
        Some(Command::Deposit { amount, .. }) => process.args(["deposit", name, &amount.get().to_string()]),
        Some(Command::Withdraw { amount, .. }) => process.args(["withdraw", name, &amount.get().to_string()]),
        Some(Command::Transfer { to, amount, .. }) => process.args(["transfer", name, &customer_name(to.0), &amount.get().to_string()]),
    };
    process.args(["--json", "--timeout", "2", "--server", &arena.server]).arg("--pin-file").arg(pin_file).arg("--journal").arg(journal);
    process.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let sent = arena.now();
    // Without a process there is no request.
    let Ok(mut child) = process.spawn() else { return };
    if random.one_in(2) {
        thread::sleep(Duration::from_micros(random.below(KILL_WITHIN)));
        if child.kill().is_ok() {
            count(&arena.deeds.client_kills);
        }
    }
    let Ok(output) = child.wait_with_output() else { return };
    let at = arena.now();
    let Some((id, body)) = serde_json::from_slice::<Value>(&output.stdout).ok().as_ref().and_then(answer) else { return };
    let Some(command) = command else { return };
    let answered = body.map(|(body, replayed)| Answered { at, body, replayed, receipt: None });
    arena.history.note(Event::Write(Write { id, command: Some(command), sent: Some(sent), answered }));
}

/// The request in the JSON, and its answer if there is one.
fn answer(json: &Value) -> Option<(RequestId, Option<(Body, bool)>)> {
    let field = |name: &str| json.get(name);
    let id = format!("{}/{}", field("session")?.as_str()?, field("number")?.as_u64()?).parse().ok()?;
    let body = || {
        let outcome = outcome(field("outcome")?.as_str()?)?;
        let balance = Amount::new(field("balance")?.as_str()?.parse().ok()?)?;
        Some((Body { outcome, balance, lsn: Lsn(field("lsn")?.as_u64()?) }, field("replayed")?.as_bool()?))
    };
    Some((id, body()))
}

fn outcome(name: &str) -> Option<Outcome> {
    use Outcome::{AccountClosed, AccountLocked, BalanceOverflow, Cancelled, Done, InsufficientBalance, NoSuchAccount};
    [Done, InsufficientBalance, NoSuchAccount, AccountClosed, AccountLocked, BalanceOverflow, Cancelled]
        .into_iter()
        .find(|outcome| outcome.name() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commands_json_is_understood() {
        let json = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        let told = json(
            r#"{"outcome":"insufficient_balance","balance":"16","session":"0000000000000abc-77","number":3,"lsn":78,"replayed":true}"#,
        );
        let (id, body) = answer(&told).unwrap();
        let expected = Body { outcome: Outcome::InsufficientBalance, balance: Amount::new(16).unwrap(), lsn: Lsn(78) };
        assert_eq!((id.to_string().as_str(), body), ("0000000000000abc-77/3", Some((expected, true))));
        let unknown =
            json(r#"{"outcome":"unknown","balance":null,"session":"0000000000000abc-77","number":3,"lsn":null,"replayed":false}"#);
        assert!(matches!(answer(&unknown), Some((_, None))));
        assert!(answer(&json(r#"{"outcome":"busy","session":null}"#)).is_none());
    }
}
