//! That nothing is called done whose result could not be printed: a full device behind stdout, a reader that has gone.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::fs::{self, OpenOptions};
use std::process::Stdio;

use crate::support::daemon::{BANKD, Store};
use crate::support::desk::{Desk, Done, done};

fn full() -> Stdio {
    OpenOptions::new().write(true).open("/dev/full").unwrap().into()
}

/// Runs a command whose stdout takes nothing.
fn unprinted(desk: &Desk, args: &[&str]) -> Done {
    done(desk.command(args).stdout(full()).spawn().unwrap())
}

fn one_line(ended: &Done, args: &[&str]) {
    assert_eq!(ended.code, 1, "{args:?}: {ended:?}");
    let said = ended.err.lines().filter(|line| line.contains("standard output")).count();
    assert_eq!(said, 1, "{args:?}: {ended:?}");
}

#[test]
fn every_command_says_that_its_result_was_not_written() {
    let store = Store::new();
    let daemon = store.serve();
    let desk = Desk::new(store.root(), daemon.address);
    let data = store.data();
    let data = data.to_str().unwrap();
    for args in [
        ["--help"].as_slice(),
        &["--version"],
        &["wal", "--help"],
        &["prove", "--list-broken"],
        &["lower", "ABC"],
        &["prime", "7", "--json"],
        &["balance", "Sami", "--pin-file", "pin"],
        &["balance", "Sami", "--pin-file", "pin", "--json"],
        &["sessions", "list", "Sami", "--pin-file", "pin", "--json"],
        &["account", "list", "--data-dir", data],
        &["wal", "dump", "--data-dir", data],
        &["wal", "stat", "--data-dir", data],
        &["wal", "verify", "--data-dir", data],
        &["snapshot", "copy", "--data-dir", data],
        &["init", "--data-dir", "fresh"],
        &["atm"],
    ] {
        one_line(&unprinted(&desk, args), args);
    }
}

#[test]
fn an_answer_that_could_not_be_printed_is_shown_by_the_next_command() {
    let store = Store::new();
    let daemon = store.serve();
    let desk = Desk::new(store.root(), daemon.address);
    let args = ["withdraw", "Sami", "20", "--pin-file", "pin"];
    one_line(&unprinted(&desk, &args), &args);
    let next = desk.pin(&["balance", "Sami"]);
    assert!(next.err.contains("of an earlier run: ") && next.err.contains("balance 45700"), "{next:?}");
    assert!(!desk.pin(&["balance", "Sami"]).err.contains("of an earlier run"), "once");
}

#[test]
fn a_daemon_that_cannot_print_where_it_listens_does_not_serve() {
    let store = Store::new();
    drop(store.serve());
    let mut serve = std::process::Command::new(BANKD);
    serve.args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(store.data()).env("BANKD_ALLOW_TMPFS", "1");
    let ended = done(serve.stdout(full()).stderr(Stdio::piped()).spawn().unwrap());
    assert!(ended.code == 1 && ended.err.contains("cannot print where the daemon listens"), "{ended:?}");
}

#[test]
fn a_batch_whose_reader_is_gone_sends_no_more() {
    let store = Store::new();
    let daemon = store.serve();
    let desk = Desk::new(store.root(), daemon.address);
    fs::write(store.root().join("lines"), "deposit Sami 1\n".repeat(500)).unwrap();
    let args = ["batch", "lines", "--window", "1", "--pin-file", "pin"];
    let mut child = desk.command(&args).spawn().unwrap();
    drop(child.stdout.take());
    let ended = done(child);
    assert!(ended.code == 1 && ended.err.contains("on nothing was sent"), "{ended:?}");
    let next = desk.pin(&["balance", "Sami"]);
    let balance: u64 = next.out.trim().strip_prefix("Current balance is ").unwrap().parse().unwrap();
    assert!((45_721..45_750).contains(&balance), "{balance}");
    let shown = next.err.lines().filter(|line| line.contains("of an earlier run")).count() as u64;
    assert_eq!(shown, balance - 45_720, "each answer that was not shown is shown now: {next:?}");
}

#[test]
fn a_reader_that_wants_no_more_is_no_failure() {
    let store = Store::new();
    let daemon = store.serve();
    let desk = Desk::new(store.root(), daemon.address);
    let mut child = desk.command(&["prove", "--list-broken"]).spawn().unwrap();
    drop(child.stdout.take());
    let ended = done(child);
    assert_eq!((ended.code, ended.err.as_str()), (0, ""));
}

#[test]
fn a_machine_whose_terminal_is_gone_moves_no_money() {
    let store = Store::new();
    let daemon = store.serve();
    let desk = Desk::new(store.root(), daemon.address);
    let mut child = desk.command(&["atm"]).stdin(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    use std::io::Write;
    let _ = child.stdin.take().unwrap().write_all(b"Sami\n1234\n2\n20\n4\n");
    let ended = done(child);
    assert!(ended.code == 1 && ended.err.contains("standard output is gone"), "{ended:?}");
    assert_eq!(desk.balance("Sami"), "45720");
}
