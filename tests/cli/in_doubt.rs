//! Doubts and how they end: lost replies, lost requests, killed clients, damaged journals, against the real daemon.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::fs;
use std::time::Duration;

use crate::support::daemon::Store;
use crate::support::desk::{Desk, Lose, Proxy};
use bankd::client::{Deadline, Journal};
use bankd::env::Env;

#[test]
fn a_reply_that_is_lost_now_and_then_is_no_matter() {
    let store = Store::new();
    let daemon = store.serve();
    for (lose, replayed) in [(Lose::Reply, true), (Lose::Request, false)] {
        let proxy = Proxy::start(daemon.address, lose, 3);
        let desk = Desk::new(store.root(), proxy.address);
        let told = desk.pin(&["withdraw", "Sami", "20", "--json"]);
        assert_eq!((told.code, proxy.lost()), (0, 3), "{told:?}");
        assert_eq!(told.json()["replayed"], replayed);
    }
    let desk = Desk::new(store.root(), daemon.address);
    assert_eq!(desk.balance("Sami"), "45680");
}

#[test]
fn an_unknown_outcome_is_resolved_to_the_one_true_answer() {
    let store = Store::new();
    let daemon = store.serve();
    let proxy = Proxy::start(daemon.address, Lose::Reply, usize::MAX);
    let mut desk = Desk::new(store.root(), proxy.address);
    let told = desk.pin(&["withdraw", "Sami", "20", "--timeout", "1", "--json"]);
    assert_eq!((told.code, told.json()["outcome"].as_str(), told.json()["number"].as_u64()), (5, Some("unknown"), Some(1)), "{told:?}");
    let id = told.request();
    assert!(told.err.contains(&format!("--request {id}")), "{told:?}");

    desk.server = daemon.address;
    // Its number is bound to its command: nothing else is sent under it.
    let other = desk.pin(&["withdraw", "Sami", "30", "--request", &id, "--json"]);
    assert_eq!((other.code, other.json()["outcome"].as_str()), (3, Some("conflict")));
    assert!(desk.pin(&["balance", "Sami"]).err.contains("1 earlier request(s) of Sami are in doubt"));
    let resolved = desk.pin(&["resolve", "--json"]);
    assert_eq!(resolved.code, 0, "{resolved:?}");
    let answer = &resolved.json()[0];
    assert_eq!(
        (answer["outcome"].as_str(), answer["balance"].as_str(), answer["replayed"].as_bool()),
        (Some("done"), Some("45700"), Some(true))
    );
    assert!(desk.run(&["resolve"]).err.contains("nothing is in doubt"));
    assert_eq!(desk.pin(&["withdraw", "Sami", "20", "--request", &id]).out, "New balance is 45700\n");
    assert_eq!(desk.balance("Sami"), "45700");
}

#[test]
fn a_request_that_never_arrived_is_sent_by_resolve_or_cancelled_for_good() {
    let store = Store::new();
    let daemon = store.serve();
    for (how, outcome, balance) in [("cancel", "cancelled", "45720"), ("resend", "done", "45700")] {
        let proxy = Proxy::start(daemon.address, Lose::Request, usize::MAX);
        let mut desk = Desk::new(store.root(), proxy.address);
        let id = desk.pin(&["withdraw", "Sami", "20", "--timeout", "1"]).request();
        desk.server = daemon.address;
        let resolved = desk.pin(&["resolve", "Sami", "--on-doubt", how, "--json"]).json();
        assert_eq!(resolved[0]["outcome"], outcome);
        let again = desk.pin(&["withdraw", "Sami", "20", "--request", &id, "--json"]).json();
        assert_eq!((again["outcome"].as_str(), again["replayed"].as_bool()), (Some(outcome), Some(true)));
        assert_eq!(desk.balance("Sami"), balance);
    }
}

#[test]
fn a_client_that_is_killed_before_its_answer_leaves_a_doubt_that_ends_well() {
    let store = Store::new();
    let daemon = store.serve();
    let proxy = Proxy::start(daemon.address, Lose::Silently, 1);
    let mut desk = Desk::new(store.root(), proxy.address);
    let mut child = desk.command(&["withdraw", "Sami", "20", "--pin-file", "pin"]).spawn().unwrap();
    while proxy.lost() == 0 {
        std::thread::sleep(Duration::from_millis(10));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    desk.server = daemon.address;
    // The next withdrawal is a new one, whatever is in doubt.
    assert_eq!(desk.pin(&["withdraw", "Sami", "100"]).out, "New balance is 45600\n");
    let resolved = desk.pin(&["resolve"]);
    assert!(resolved.out.contains("withdraw 20 (account 1): Done, balance 45700 (replayed)"), "{resolved:?}");
    assert_eq!(desk.balance("Sami"), "45600");
    // And nothing of it is left unacknowledged.
    let sessions = desk.pin(&["sessions", "list", "Sami", "--json"]).json();
    assert!(sessions.as_array().unwrap().iter().all(|session| session["acked_below"] == 2), "{sessions}");
}

#[test]
fn a_closed_session_leaves_the_answer_to_the_bank() {
    let store = Store::new();
    let daemon = store.serve();
    let proxy = Proxy::start(daemon.address, Lose::Reply, usize::MAX);
    let mut desk = Desk::new(store.root(), proxy.address);
    let id = desk.pin(&["withdraw", "Sami", "20", "--timeout", "1"]).request();
    desk.server = daemon.address;
    let session = id.split('/').next().unwrap();
    let refused = desk.pin(&["sessions", "close", "Sami", session]);
    assert!(refused.code == 2 && refused.err.contains("bankd resolve Sami"), "{refused:?}");
    let data = store.data();
    assert_eq!(desk.run(&["sessions", "revoke", session, "--data-dir", data.to_str().unwrap()]).code, 0);
    let resolved = desk.pin(&["resolve"]);
    assert_eq!(resolved.code, 5, "{resolved:?}");
    assert!(resolved.err.contains(&format!("bankd explain {id}")), "{resolved:?}");
    assert!(desk.run(&["resolve"]).err.contains("nothing is in doubt"), "it is closed, and not sent again");
    assert_eq!(desk.balance("Sami"), "45700");
}

#[test]
fn the_journal_holds_no_pin_and_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let store = Store::new();
    let daemon = store.serve();
    let desk = Desk::new(store.root(), daemon.address);
    let data = store.data();
    desk.secret("pin", "918273");
    let set = desk.run(&["account", "pin", "Sami", "--pin-file", "pin", "--data-dir", data.to_str().unwrap()]);
    assert_eq!(set.code, 0, "{set:?}");
    assert_eq!(desk.pin(&["withdraw", "Sami", "20"]).code, 0);
    let bytes = fs::read(desk.journal()).unwrap();
    assert!(!bytes.windows(6).any(|window| window == b"918273"));
    assert!(bytes.windows(4).any(|window| window == b"Sami"), "it was looked at");
    assert_eq!(fs::metadata(desk.journal()).unwrap().permissions().mode() & 0o077, 0);
}

#[test]
fn a_damaged_or_busy_journal_is_refused_before_anything_is_sent() {
    let store = Store::new();
    let daemon = store.serve();
    let desk = Desk::new(store.root(), daemon.address);
    assert_eq!(desk.pin(&["withdraw", "Sami", "20"]).code, 0);
    let env = Env::os();
    let mut journal = Journal::new(&env, &desk.journal());
    let held = journal.open(&Deadline::after(&env.clock, Duration::from_secs(20))).unwrap();
    let told = desk.pin(&["withdraw", "Sami", "20", "--timeout", "1"]);
    assert_eq!(told.code, 7);
    assert!(told.err.contains(&format!("in use by process {}", std::process::id())), "{told:?}");
    drop(held);
    // A torn tail is cut; anything else is refused and left as it is.
    let whole = fs::read(desk.journal()).unwrap();
    fs::write(desk.journal(), &whole[..whole.len() - 3]).unwrap();
    assert_eq!(desk.pin(&["withdraw", "Sami", "20"]).out, "New balance is 45680\n");
    let mut bad = fs::read(desk.journal()).unwrap();
    bad[60] ^= 1;
    fs::write(desk.journal(), &bad).unwrap();
    let told = desk.pin(&["withdraw", "Sami", "20"]);
    assert_eq!(told.code, 6);
    assert!(told.err.contains("the record at byte 24 is damaged"), "{told:?}");
    assert_eq!(fs::read(desk.journal()).unwrap(), bad);
    fs::remove_file(desk.journal()).unwrap();
    assert_eq!(desk.balance("Sami"), "45680");
}

/// An answer that could not be shown, here because the printer is out of paper, is shown by the next command that logs
/// in as the same customer, whichever command that is, and by no other customer's.
#[test]
fn the_next_command_shows_what_was_answered_and_never_shown() {
    let store = Store::new();
    let daemon = store.serve();
    let desk = Desk::new(store.root(), daemon.address);
    let unseen = |amount: &str| {
        let mut withdrawal = desk.command(&["withdraw", "Sami", amount, "--pin-file", "pin"]);
        withdrawal.stdout(fs::OpenOptions::new().write(true).open("/dev/full").unwrap());
        let told = crate::support::desk::done(withdrawal.spawn().unwrap());
        (told.code, told.request())
    };
    let nothing_is_shown_again = || {
        for told in [desk.pin(&["balance", "Sami"]), desk.pin(&["resolve", "Sami"])] {
            assert!(told.code == 0 && !told.err.contains("request ") && !told.out.contains("request "), "{told:?}");
        }
    };
    let (code, id) = unseen("20");
    assert_eq!(code, 1, "it was done, and could not be shown");
    let line = format!("of an earlier run: request {id}: Sami withdraw 20 (account 1): Done, balance 45700");
    assert_eq!(desk.pin(&["balance", "Farhan"]).err, "", "it is Sami's");
    let told = desk.pin(&["withdraw", "Sami", "700", "--json"]);
    assert!(told.code == 0 && told.err.lines().any(|said| said == line), "{told:?}");
    assert_eq!(told.json()["balance"], "45000", "the result is that of this command alone");
    nothing_is_shown_again();

    let (_, id) = unseen("99999");
    let told = desk.typed(&["atm"], "Sami\n1234\n4\n");
    let line = format!("of an earlier run: request {id}: Sami withdraw 99999 (account 1): Insufficient Balance, balance 45000");
    let (at, menu) = (told.out.find(&line), told.out.find("Enter the commands below"));
    assert!(at.is_some() && at < menu, "{told:?}");
    nothing_is_shown_again();

    let (_, id) = unseen("1");
    let told = desk.pin(&["resolve", "--json"]);
    assert_eq!((told.code, &told.json()[0]["outcome"], &told.json()[0]["balance"]), (0, &"done".into(), &"44999".into()));
    let session = told.json()[0]["session"].as_str().unwrap().to_owned();
    assert_eq!(id, format!("{session}/1"));
    nothing_is_shown_again();
    unseen("1");
    let told = desk.pin(&["resolve"]);
    assert!(told.out.ends_with("Sami withdraw 1 (account 1): Done, balance 44998\n"), "{told:?}");
    nothing_is_shown_again();
}
