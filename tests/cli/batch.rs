//! Batches against the real daemon: many commands in flight, through a lossy proxy, across kills of the bank and of the
//! client. Each is executed once and printed in order.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::support::daemon::Store;
use crate::support::desk::{Desk, done};
use bankd::client::{Client, Login};
use bankd::env::Env;
use bankd::model::amount::Amount;
use bankd::model::command::{Command, Outcome};
use bankd::model::secret::Secret;
use bankd::model::types::AccountId;
use bankd::prove::{Faults, Proxy, Share};
use bankd::wire::message::Role;

const SAMI: AccountId = AccountId(1);

/// Everything that can go wrong on the way, often.
fn faults() -> Faults {
    Faults {
        lose_requests: Share::percent(2),
        lose_replies: Share::percent(2),
        duplicate: Share::percent(5),
        cut: Share::percent(1),
        busy: Share::percent(3),
        late: Share::percent(50),
        delay: Duration::from_micros(300),
        linger: Duration::from_millis(5),
        setup: true,
    }
}

fn lossy(bank: std::net::SocketAddr, seed: u64) -> Proxy {
    Proxy::start("127.0.0.1:0".parse().unwrap(), bank, seed, faults()).unwrap()
}

fn client(dir: &Path, server: std::net::SocketAddr, timeout: u64) -> Client {
    let mut client = Client::new(&Env::os(), &server.to_string(), &dir.join("journal"), Duration::from_secs(timeout));
    client.log_in(Login { role: Role::Customer, name: "Sami".to_owned(), secret: Secret::new("1234".to_owned()) }).unwrap();
    client
}

/// Deposits and withdrawals of different amounts, some of which are declined.
fn commands(count: u64) -> Vec<Command> {
    let amount = |number: u64| Amount::new(1 + number * 7 % 1000).unwrap();
    let command = |number| match number % 5 {
        0 => Command::Withdraw { account: SAMI, amount: Amount::new(10_000_000).unwrap() },
        1 | 2 => Command::Withdraw { account: SAMI, amount: amount(number) },
        _ => Command::Deposit { account: SAMI, amount: amount(number) },
    };
    (1..=count).map(command).collect()
}

/// Holds answers, in order, against what each command does to the balance before it.
fn follow(mut balance: u64, commands: &[Command], answers: &[(Outcome, u64)]) -> u64 {
    assert_eq!(commands.len(), answers.len());
    for (at, (command, (outcome, told))) in commands.iter().zip(answers).enumerate() {
        let amount = command.amount().get();
        let expected = match command {
            Command::Deposit { .. } => Some(balance + amount),
            _ => balance.checked_sub(amount),
        };
        assert_eq!(*outcome, if expected.is_some() { Outcome::Done } else { Outcome::InsufficientBalance }, "command {at}");
        balance = expected.unwrap_or(balance);
        assert_eq!(*told, balance, "command {at}");
    }
    balance
}

#[test]
fn a_window_survives_losses_copies_cuts_delays_and_kills_of_the_bank() {
    let store = Store::new();
    let mut daemon = Some(store.serve());
    let dir = tempfile::tempdir().unwrap();
    for (seed, window) in [(1, 1), (2, 16), (3, 200), (4, 1024)] {
        let proxy = lossy(daemon.as_ref().unwrap().address, seed);
        let mut client = client(dir.path(), proxy.address(), 60);
        let before = client.balance(SAMI).unwrap().0.get();
        let commands = commands(if window == 1 { 100 } else { 800 });
        let mut answers = Vec::new();
        let ended = std::thread::scope(|scope| {
            let batch = scope.spawn(|| {
                client.execute_all(&commands, window, &mut |group| {
                    answers.extend(group.iter().map(|answer| (answer.body.outcome, answer.body.balance.get())));
                    true
                })
            });
            for _ in 0..2 {
                std::thread::sleep(Duration::from_millis(60));
                daemon.take().unwrap().kill();
                proxy.point_to(daemon.insert(store.serve()).address);
            }
            batch.join().unwrap()
        });
        assert_eq!(ended, Ok(()), "window {window}");
        proxy.set_faults(Faults::default());
        let after = follow(before, &commands, &answers);
        assert_eq!(client.balance(SAMI).unwrap().0.get(), after, "window {window}");
        let counts = proxy.counts();
        assert!(counts.lost_requests + counts.lost_replies + counts.cuts + counts.busy > 0, "{counts:?}");
    }
}

#[test]
fn lines_are_told_in_order_and_a_declined_one_ends_with_3() {
    let store = Store::new();
    let daemon = store.serve();
    let desk = Desk::new(store.root(), daemon.address);
    let text = "# salaries\ndeposit Sami 280\nwithdraw,Sami,99999\n\ntransfer Sami Farhan 1000\n";
    let told = desk.typed(&["batch", "--pin-file", "pin"], text);
    assert_eq!(told.code, 3, "{told:?}");
    let expected = [
        "line 2: deposit Sami 280: Done, balance 46000",
        "line 3: withdraw Sami 99999: Insufficient Balance, balance 46000",
        "line 5: transfer Sami Farhan 1000: Done, balance 45000",
    ];
    assert_eq!(told.out.lines().collect::<Vec<_>>(), expected);
    assert!(told.err.contains("1 of 3 commands"), "{told:?}");
    // As a teller, from a file, for any account, and for programs.
    desk.secret("token", "a long and winding token");
    let data = store.data();
    let added = desk.run(&["teller", "add", "till", "--token-file", "token", "--data-dir", data.to_str().unwrap()]);
    assert_eq!(added.code, 0, "{added:?}");
    fs::write(store.root().join("lines"), "deposit Sami 1\ndeposit Farhan 2\n").unwrap();
    let told = desk.run(&["batch", "lines", "--window", "1", "--json", "--teller", "till", "--token-file", "token"]);
    assert_eq!(told.code, 0, "{told:?}");
    let lines: Vec<serde_json::Value> = told.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((lines.len(), &lines[0]["line"], &lines[0]["balance"]), (2, &1.into(), &"45001".into()));
    assert_eq!((&lines[1]["outcome"], &lines[1]["number"], &lines[1]["replayed"]), (&"done".into(), &2.into(), &false.into()));
    // Every outcome was printed, and every answer is acknowledged.
    assert_eq!(desk.pin(&["balance", "Sami"]).err, "");
    let sessions = desk.pin(&["sessions", "list", "Sami", "--json"]).json();
    assert_eq!(sessions[0]["acked_below"], 4, "{sessions}");
}

#[test]
fn bad_input_is_named_and_changes_nothing() {
    let store = Store::new();
    let daemon = store.serve();
    let desk = Desk::new(store.root(), daemon.address);
    for (text, why) in [
        ("deposit Sami 1\ndeposit Sami ten\n", "standard input, line 2: the amount is not a number"),
        ("deposit Sami 1\ndeposit Farhan 1\n", "line 2: a customer asks for one account"),
        ("deposit Sami 1\ntransfer Sami Nobody 1\n", "there is no account \"Nobody\""),
        ("deposit Sami 1\nsteal Sami 1\n", "line 2: it is none of"),
    ] {
        let told = desk.typed(&["batch", "--pin-file", "pin"], text);
        assert!(told.code == 2 && told.err.contains(why) && told.err.contains("nothing was sent") && told.out.is_empty(), "{told:?}");
    }
    let told = desk.typed(&["batch", "--pin-stdin"], "1234\ndeposit Sami 1\n");
    assert!(told.code == 2 && told.err.contains("use --pin-file"), "{told:?}");
    assert_eq!(desk.pin(&["batch", "absent"]).code, 8);
    assert_eq!(desk.pin(&["batch", "--window", "1025"]).code, 2);
    assert_eq!(desk.typed(&["batch"], "# nothing\n").err, "there is nothing to do\n");
    assert_eq!(desk.balance("Sami"), "45720");
    drop(daemon);
    let told = desk.typed(&["batch", "--pin-file", "pin", "--timeout", "1"], "deposit Sami 1\n");
    assert_eq!(told.code, 4, "{told:?}");
}

/// The bank goes away for good in the middle: the first lines are printed as done, some are unknown, the rest was not
/// sent, and `resolve` prints the unknown ones. Done, resolved and unsent lines are all lines.
#[test]
fn past_the_deadline_each_line_is_unknown_or_not_sent() {
    let store = Store::new();
    let daemon = store.serve();
    let proxy =
        Proxy::start("127.0.0.1:0".parse().unwrap(), daemon.address, 7, Faults { delay: Duration::from_millis(2), ..Faults::default() })
            .unwrap();
    let mut desk = Desk::new(store.root(), proxy.address());
    let lines: String = (0..2000).map(|_| "deposit Sami 1\n").collect();
    let mut child = desk.command(&["batch", "--pin-file", "pin", "--timeout", "1", "--json"]);
    let file = desk.secret("lines", lines.trim_end());
    child.stdin(fs::File::open(file).unwrap());
    let child = child.spawn().unwrap();
    while proxy.counts().messages < 200 {
        std::thread::sleep(Duration::from_millis(5));
    }
    daemon.kill();
    let told = done(child);
    assert_eq!(told.code, 5, "{}", told.err);
    assert!(told.err.contains("run `bankd resolve` to learn it; from line "), "{}", told.err);
    let lines: Vec<serde_json::Value> = told.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let count = |outcome: &str| lines.iter().filter(|line| line["outcome"] == outcome).count();
    let (sure, unknown, unsent) = (count("done"), count("unknown"), count("not_sent"));
    assert!(lines.len() == 2000 && sure + unknown + unsent == 2000 && sure > 0 && unknown > 0 && unsent > 0, "{sure} {unknown} {unsent}");
    let order: Vec<&str> = lines.iter().map(|line| line["outcome"].as_str().unwrap()).collect();
    assert!(order[..sure].iter().all(|outcome| *outcome == "done") && order[sure + unknown..].iter().all(|outcome| *outcome == "not_sent"));

    let daemon = store.serve();
    desk.server = daemon.address;
    let resolved = desk.pin(&["resolve", "--json"]);
    assert_eq!((resolved.code, resolved.json().as_array().unwrap().len()), (0, unknown));
    assert_eq!(desk.balance("Sami"), (45_720 + sure + unknown).to_string());
}

/// The client is killed in the middle: what it printed is done, and `resolve` prints everything else that it had sent
/// or had an answer to. No line is printed twice.
#[test]
fn resolve_reports_a_batch_that_was_killed() {
    let store = Store::new();
    let daemon = store.serve();
    for (at, on_doubt) in [(40, "resend"), (300, "cancel"), (700, "resend")] {
        let proxy = lossy(daemon.address, at);
        let mut desk = Desk::new(store.root(), proxy.address());
        let before: u64 = Desk::new(store.root(), daemon.address).balance("Sami").parse().unwrap();
        let text: String = (0..3000).map(|_| "deposit Sami 1\n").collect();
        let file = desk.secret("lines", text.trim_end());
        let mut child = desk.command(&["batch", "--pin-file", "pin", "--json", "--window", "50"]);
        child.stdin(fs::File::open(file).unwrap());
        let mut child = child.spawn().unwrap();
        while proxy.counts().messages < at {
            std::thread::sleep(Duration::from_millis(1));
        }
        child.kill().unwrap();
        let told = done(child);
        // A line that the kill cut short does not count.
        let whole = told.out.rfind('\n').map_or("", |end| &told.out[..end]);
        let mut numbers: Vec<u64> = Vec::new();
        for line in whole.lines() {
            numbers.push(serde_json::from_str::<serde_json::Value>(line).unwrap()["number"].as_u64().unwrap());
        }
        let by_itself = numbers.len();
        assert_eq!(numbers, (1..=by_itself as u64).collect::<Vec<_>>(), "in order");

        desk.server = daemon.address;
        let resolved = desk.pin(&["resolve", "--on-doubt", on_doubt, "--json"]);
        assert_eq!(resolved.code, 0, "{resolved:?}");
        let mut executed: std::collections::BTreeSet<u64> = numbers.into_iter().collect();
        for answer in resolved.json().as_array().unwrap() {
            if answer["outcome"] == "done" {
                executed.insert(answer["number"].as_u64().unwrap());
            }
        }
        let after: u64 = desk.balance("Sami").parse().unwrap();
        assert_eq!(after - before, executed.len() as u64, "killed after {at} messages: told what moved, once each");
        assert!(executed.len() < 3000, "it was killed in the middle");
        assert_eq!(desk.pin(&["resolve", "Sami", "--json"]).json(), serde_json::json!([]), "and only once");
    }
}
