//! The teller machine against the real daemon: the report's dialogue, word for word, and what a customer may do to it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use crate::support::daemon::Store;
use crate::support::desk::{Desk, Lose, Proxy, done};

const GREETING: [&str; 4] = [
    "Socket created successfully",
    "Connected with the bank's server successfully",
    "Enter Your Account Name : ",
    "Enter Your Account Pin : ",
];

const LOGGED_IN: [&str; 7] = [
    "Successfully Logged in",
    "",
    "Enter the commands below:",
    "1. To check your account balance -> Press '1'",
    "2. To withdraw from your account -> Press '2'",
    "3. To deposit money in your account -> Press '3'",
    "4. To terminate the transaction -> Press '4'",
];

/// The dialogue's lines between the menu and the two times at the end, which are looked at as well.
fn after_the_menu(out: &str) -> Vec<&str> {
    let lines: Vec<&str> = out.lines().collect();
    let begin = lines.iter().position(|line| *line == LOGGED_IN[6]).expect("the menu") + 2;
    assert!(lines[lines.len() - 2].starts_with("Connection time: "), "{out}");
    assert!(lines[lines.len() - 1].starts_with("Total time: ") && out.ends_with(" seconds\n"), "{out}");
    lines[begin..lines.len() - 2].to_vec()
}

#[test]
fn the_reports_dialogue() {
    let store = Store::new();
    let daemon = store.serve();
    let desk = Desk::new(store.root(), daemon.address);
    let told = desk.typed(&["atm"], "Sami\n1234\n1\n2\n1000\n3\n2000\n4\n");
    assert_eq!((told.code, told.err.as_str()), (0, ""));
    let lines: Vec<&str> = told.out.lines().collect();
    assert_eq!(lines[..11], [GREETING.as_slice(), &LOGGED_IN].concat());
    assert_eq!(
        after_the_menu(&told.out),
        [
            "Current balance is 45720",
            "Enter Amount : ",
            "New balance is 44720",
            "Enter Amount : ",
            "New balance is 46720",
            "Connection closed!"
        ]
    );
    assert_eq!(desk.balance("Sami"), "46720");
}

#[test]
fn whatever_is_typed_gets_one_line_and_the_machine_goes_on() {
    let store = Store::new();
    let daemon = store.serve();
    let desk = Desk::new(store.root(), daemon.address);
    let told = desk.typed(
        &["atm"],
        "Sami\n9999\nNobody\n1234\n\n\nSami\n1234\n2\nten\n2\n0\n2\n-5\n3\n9223372036854775808\n3\n1.5\n5\n\nbalance\n2\n45721\n3\n9223372036854775807\n1\n4\n",
    );
    assert_eq!((told.code, told.err.as_str()), (0, ""));
    assert_eq!(told.out.lines().filter(|line| *line == "Incorrect account name/pin").count(), 3);
    let answers: Vec<&str> = after_the_menu(&told.out).into_iter().filter(|line| *line != "Enter Amount : ").collect();
    assert_eq!(
        answers,
        [
            "Invalid amount: the amount is not a number",
            "Invalid amount: the amount must be more than zero",
            "Invalid amount: the amount must not be negative",
            "Invalid amount: the amount is too large",
            "Invalid amount: the amount has more decimals than this bank keeps (0)",
            "Enter a valid command",
            "Enter a valid command",
            "Enter a valid command",
            "Insufficient Balance",
            "The account would hold more than it can",
            "Current balance is 45720",
            "Connection closed!"
        ]
    );
}

#[test]
fn the_end_of_input_ends_it_cleanly_wherever_it_comes() {
    let store = Store::new();
    let daemon = store.serve();
    let desk = Desk::new(store.root(), daemon.address);
    for input in ["", "Sami", "Sami\n", "Sami\n1234\n", "Sami\n1234\n2\n", "Sami\n1234\n1"] {
        let told = desk.typed(&["atm"], input);
        assert_eq!((told.code, told.err.as_str()), (0, ""), "{input:?}");
        assert!(told.out.contains("Connection closed!\nConnection time: "), "{told:?}");
    }
    assert_eq!(desk.balance("Sami"), "45720");
}

#[test]
fn a_locked_login_is_said() {
    let store = Store::new();
    let daemon = store.serve();
    let desk = Desk::new(store.root(), daemon.address);
    let wrong: String = (0..5).map(|pin| format!("Sami\n000{pin}\n")).collect();
    let told = desk.typed(&["atm"], &format!("{wrong}Sami\n1234\n"));
    assert!(told.out.contains("Account locked: "), "{told:?}");
    assert!(!told.out.contains("Successfully Logged in"));
}

#[test]
fn it_survives_a_bank_that_is_killed_and_comes_back() {
    let store = Store::new();
    let daemon = store.serve();
    let proxy = Proxy::start(daemon.address, Lose::Reply, 0);
    let desk = Desk::new(store.root(), proxy.address);
    let mut atm = desk.command(&["atm"]).stdin(Stdio::piped()).spawn().unwrap();
    let mut input = atm.stdin.take().unwrap();
    let mut output = BufReader::new(atm.stdout.take().unwrap()).lines().map(Result::unwrap);
    input.write_all(b"Sami\n1234\n2\n20\n").unwrap();
    assert!(output.any(|line| line == "New balance is 45700"));
    daemon.kill();
    input.write_all(b"2\n30\n1\n").unwrap();
    std::thread::sleep(std::time::Duration::from_millis(300));
    let daemon = store.serve();
    proxy.point_to(daemon.address);
    assert!(output.any(|line| line == "New balance is 45670"));
    assert!(output.any(|line| line == "Current balance is 45670"));
    input.write_all(b"4\n").unwrap();
    assert!(output.any(|line| line == "Connection closed!"));
    assert_eq!(done(atm).code, 0);
}

#[test]
fn lost_replies_are_asked_for_again_and_an_unknown_outcome_ends_it() {
    let store = Store::new();
    let daemon = store.serve();
    let proxy = Proxy::start(daemon.address, Lose::Reply, 2);
    let mut desk = Desk::new(store.root(), proxy.address);
    let told = desk.typed(&["atm", "--verbose"], "Sami\n1234\n2\n20\n2\n30\n4\n");
    assert_eq!(after_the_menu(&told.out)[1..], ["New balance is 45700", "Enter Amount : ", "New balance is 45670", "Connection closed!"]);
    assert_eq!((told.code, proxy.lost(), told.err.matches("(replayed)").count()), (0, 2, 1), "{told:?}");

    let proxy = Proxy::start(daemon.address, Lose::Reply, usize::MAX);
    desk.server = proxy.address;
    let told = desk.typed(&["atm", "--timeout", "1"], "Sami\n1234\n2\n70\n2\n70\n");
    assert_eq!(told.code, 5, "{told:?}");
    assert_eq!(told.out.matches("Enter Amount").count(), 1);
    assert!(told.out.contains("Do not repeat it") && told.err.contains("bankd resolve"), "{told:?}");
    desk.server = daemon.address;
    assert_eq!(desk.balance("Sami"), "45600");
}

/// The machine dies after it sent a withdrawal and before its answer came. The next one, on the same journal, prints
/// that something is in doubt, and shows its customer the outcome before the menu.
#[test]
fn the_menu_comes_after_what_a_dead_machine_left_in_doubt() {
    let store = Store::new();
    let daemon = store.serve();
    for (lose, how, ending, balance) in [
        (Lose::Silently, "resend", "done, balance 45700 (replayed)", "45700"),
        (Lose::Silently, "cancel", "done, balance 45680 (replayed)", "45680"),
        (Lose::Request, "cancel", "cancelled", "45680"),
        (Lose::Request, "resend", "done, balance 45660", "45660"),
    ] {
        let proxy = Proxy::start(daemon.address, lose, usize::MAX);
        let mut desk = Desk::new(store.root(), proxy.address);
        let mut machine = desk.command(&["atm"]).stdin(Stdio::piped()).spawn().unwrap();
        machine.stdin.as_mut().unwrap().write_all(b"Sami\n1234\n2\n20\n").unwrap();
        while proxy.lost() == 0 {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        machine.kill().unwrap();
        machine.wait().unwrap();

        desk.server = daemon.address;
        let other = desk.typed(&["atm"], "Farhan\n1234\n4\n");
        assert!(other.out.contains("1 request(s) of an earlier run are in doubt"), "{other:?}");
        assert!(!other.out.contains("Sami"), "another customer's doubts are not told: {other:?}");
        let told = desk.typed(&["atm", "--on-doubt", how], "Sami\n1234\n1\n4\n");
        assert_eq!(told.code, 0, "{told:?}");
        let line = told.out.lines().find(|line| line.starts_with("request ")).unwrap_or_else(|| panic!("nothing told: {told:?}"));
        assert!(line.contains("Sami withdraw 20") && line.to_lowercase().contains(ending), "{line}");
        assert!(told.out.find(line).unwrap() < told.out.find("Enter the commands below").unwrap(), "{told:?}");
        assert!(told.out.contains(&format!("Current balance is {balance}\n")), "{told:?}");
        let later = desk.typed(&["atm"], "Sami\n1234\n4\n");
        assert!(!later.out.contains("in doubt") && !later.out.contains("request "), "{later:?}");
    }
}
