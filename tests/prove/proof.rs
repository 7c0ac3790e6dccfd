//! The proof itself on trial: the daemon passes it, a small sound bank passes it, and each flaw on purpose is found
//! out with the request that shows it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::io::{BufRead, BufReader};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use bankd::env::Env;
use bankd::prove::{Flaw, OnTrial, Plan, Verdict, prove};
use serde_json::Value;

const BANKD: &str = env!("CARGO_BIN_EXE_bankd");

fn bankd(args: &[&str]) -> Output {
    Command::new(BANKD).args(args).stdin(Stdio::null()).output().unwrap()
}

fn on_trial(bank: OnTrial, seed: u64, seconds: u64) -> Verdict {
    let dir = tempfile::tempdir().unwrap();
    let lasting = Duration::from_secs(seconds);
    let plan = Plan { seed, lasting, clients: 5, bank, dir: dir.path().to_owned(), exe: BANKD.into() };
    prove(&Env::os(), &plan, &|_| {}).unwrap()
}

#[test]
fn the_daemon_passes() {
    let output = bankd(&["prove", "--seconds", "5", "--seed", "1", "--json"]);
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), told["clean"].as_bool()), (Some(0), Some(true)), "{told:#}");
    // And it was a trial: each of these happened.
    for (part, name) in [
        ("checked", "answered"),
        ("checked", "declined"),
        ("checked", "cancelled"),
        ("checked", "duplicates_absorbed"),
        ("checked", "reads"),
        ("checked", "receipts"),
        ("checked", "torn_tails"),
        ("deeds", "daemon_kills"),
        ("deeds", "client_kills"),
        ("deeds", "doubts_resolved"),
        ("proxy", "lost_requests"),
        ("proxy", "late_requests"),
        ("proxy", "lost_replies"),
        ("proxy", "duplicates"),
        ("proxy", "cuts"),
        ("proxy", "busy"),
    ] {
        assert!(told[part][name].as_u64() > Some(0), "{part}.{name}: {told:#}");
    }
}

#[test]
fn a_small_sound_bank_passes() {
    let verdict = on_trial(OnTrial::Small(None), 3, 4);
    assert!(verdict.is_clean(), "{:#?}", verdict.violations);
    assert!(verdict.checked.answered > 50 && verdict.deeds.daemon_kills > 1, "{verdict:?}");
}

/// Finds the flaw out, by one of the promises that it breaks. A loaded machine may need more time.
#[track_caller]
fn is_found_out(flaw: Flaw, rules: &[&str]) {
    let mut last = None;
    for (seed, seconds) in [(1, 3), (2, 6), (3, 12)] {
        let verdict = on_trial(OnTrial::Small(Some(flaw)), seed, seconds);
        if verdict.violations.iter().any(|found| rules.contains(&found.rule)) {
            assert!(verdict.violations.iter().any(|found| found.request.is_some()), "no request shows it: {:?}", verdict.violations);
            return;
        }
        last = Some(verdict);
    }
    panic!("{} was not found out: {last:?}", flaw.name());
}

#[test]
fn no_dedupe_is_found_out() {
    is_found_out(Flaw::NoDedupe, &["once"]);
}

#[test]
fn dedupe_lost_on_restart_is_found_out() {
    is_found_out(Flaw::DedupeLostOnRestart, &["once"]);
}

#[test]
fn reply_before_sync_is_found_out() {
    is_found_out(Flaw::ReplyBeforeSync, &["answer"]);
}

#[test]
fn refusals_not_cached_are_found_out() {
    is_found_out(Flaw::RefusalsNotCached, &["answer"]);
}

#[test]
fn apply_before_log_is_found_out() {
    is_found_out(Flaw::ApplyBeforeLog, &["balance", "time"]);
}

#[test]
fn owner_not_checked_is_found_out() {
    is_found_out(Flaw::OwnerNotChecked, &["owner"]);
}

#[test]
fn gap_executed_is_found_out() {
    is_found_out(Flaw::GapExecuted, &["order"]);
}

#[test]
fn late_copy_after_cancel_is_found_out() {
    is_found_out(Flaw::LateCopyAfterCancel, &["once"]);
}

#[test]
fn the_command_lists_its_flaws_and_ends_with_one_for_each() {
    let listed = String::from_utf8(bankd(&["prove", "--list-broken"]).stdout).unwrap();
    assert_eq!(listed.lines().collect::<Vec<_>>(), Flaw::ALL.map(Flaw::name));
    let output = bankd(&["prove", "--seconds", "2", "--broken", "late-copy-after-cancel"]);
    let told = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("[once] request ") && told.contains("was found out"), "{told}");
    assert_eq!(bankd(&["prove", "--broken", "none-such"]).status.code(), Some(2));
}

#[test]
fn no_option_of_serve_breaks_the_bank() {
    let help = String::from_utf8(bankd(&["serve", "--help"]).stdout).unwrap();
    for word in ["--broken", "--flaw", "--lose", "--fault", "--cut", "--busy"] {
        assert!(!help.contains(word), "{word}");
    }
}

#[test]
fn the_proxy_runs_alone() {
    let mut child = Command::new(BANKD)
        .args(["proxy", "--listen", "127.0.0.1:0", "--to", "127.0.0.1:1", "--seed", "3", "--lose-requests", "0.1", "--busy", "0.5"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let line = BufReader::new(child.stdout.take().unwrap()).lines().next().unwrap().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let address: std::net::SocketAddr = line.strip_prefix("ready proxy ").unwrap().parse().unwrap();
    assert_ne!(address.port(), 0);
    assert_eq!(bankd(&["proxy", "--busy", "1.5"]).status.code(), Some(2));
}
