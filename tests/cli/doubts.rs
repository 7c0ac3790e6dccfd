//! That doubts end: a number ahead, a session closed behind a machine, lost journals, a doubt that is written off.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use crate::support::daemon::{Store, deposit};
use crate::support::desk::{Desk, Lose, Proxy};

#[test]
fn a_number_ahead_is_never_in_doubt() {
    let store = Store::new();
    let daemon = store.serve();
    let desk = Desk::new(store.root(), daemon.address);
    let id = desk.pin(&["withdraw", "Sami", "20"]).request();
    let ahead = format!("{}/51", id.split('/').next().unwrap());
    for _ in 0..3 {
        let refused = desk.pin(&["withdraw", "Sami", "20", "--request", &ahead]);
        assert_eq!(refused.code, 3, "{refused:?}");
        assert!(!desk.pin(&["balance", "Sami"]).err.contains("doubt"));
    }
    let resolved = desk.pin(&["resolve"]);
    assert_eq!(resolved.code, 0, "{resolved:?}");
    assert!(resolved.err.contains("nothing is in doubt"), "{resolved:?}");
    assert_eq!(desk.balance("Sami"), "45700");
}

/// The command dies before it hears that its number is ahead: resolving ends that as well, and says so once.
#[test]
fn a_number_ahead_that_was_left_in_doubt_ends_with_its_session() {
    let store = Store::new();
    let daemon = store.serve();
    let mut desk = Desk::new(store.root(), daemon.address);
    let id = desk.pin(&["withdraw", "Sami", "20"]).request();
    let ahead = format!("{}/51", id.split('/').next().unwrap());
    let proxy = Proxy::start(daemon.address, Lose::Reply, usize::MAX);
    desk.server = proxy.address;
    assert_eq!(desk.pin(&["withdraw", "Sami", "20", "--request", &ahead, "--timeout", "500ms"]).code, 5);
    desk.server = daemon.address;
    let resolved = desk.pin(&["resolve"]);
    assert_eq!(resolved.code, 5, "{resolved:?}");
    assert!(resolved.err.contains(&format!("bankd explain {ahead}")), "{resolved:?}");
    let again = desk.pin(&["resolve"]);
    assert_eq!(again.code, 0, "{again:?}");
    assert_eq!(desk.balance("Sami"), "45700");
}

#[test]
fn a_session_closed_under_an_idle_machine_is_replaced() {
    let store = Store::new();
    let daemon = store.serve();
    let desk = Desk::new(store.root(), daemon.address);
    let mut machine = desk.command(&["atm", "--verbose"]).stdin(Stdio::piped()).spawn().unwrap();
    let mut typed = machine.stdin.take().unwrap();
    let mut lines = BufReader::new(machine.stdout.take().unwrap()).lines().map(Result::unwrap);
    typed.write_all(b"Sami\n1234\n3\n100\n").unwrap();
    assert!(lines.any(|line| line == "New balance is 45820"));
    let sessions = desk.pin(&["sessions", "list", "Sami", "--json"]).json();
    let data = store.data();
    for session in sessions.as_array().unwrap() {
        let session = session["session"].as_str().unwrap();
        assert_eq!(desk.run(&["sessions", "revoke", session, "--data-dir", data.to_str().unwrap()]).code, 0);
    }
    typed.write_all(b"3\n100\n4\n").unwrap();
    assert!(lines.any(|line| line == "New balance is 45920"), "the machine goes on");
    assert!(lines.any(|line| line == "Connection closed!"));
    assert!(machine.wait().unwrap().success());
    assert!(desk.run(&["resolve"]).err.contains("nothing is in doubt"));
    assert_eq!(desk.balance("Sami"), "45920");
}

#[test]
fn after_64_lost_journals_the_advice_lets_the_owner_in_again() {
    let store = Store::new();
    let mut daemon = store.serve();
    let _ = &mut daemon;
    for _ in 0..64 {
        let mut lost = daemon.login("Sami");
        lost.open_session();
        lost.request(1, deposit(bankd::model::types::AccountId(1), 1));
    }
    let desk = Desk::new(store.root(), daemon.address);
    let locked_out = desk.pin(&["withdraw", "Sami", "20", "--timeout", "2s"]);
    assert!(locked_out.code == 3 && locked_out.err.contains("bankd sessions close"), "{locked_out:?}");
    assert_eq!(desk.pin(&["resolve", "Sami"]).code, 0);
    let closed_none = desk.pin(&["sessions", "close", "Sami"]);
    assert!(closed_none.code == 3 && closed_none.err.contains("sessions close Sami --unacknowledged"), "{closed_none:?}");
    let closed = desk.pin(&["sessions", "close", "Sami", "--unacknowledged"]);
    assert_eq!((closed.code, closed.out.as_str()), (0, "closed 64 session(s)\n"), "{closed:?}");
    assert_eq!(desk.pin(&["withdraw", "Sami", "20"]).code, 0);
}

#[test]
fn a_doubt_can_be_written_off_without_the_bank() {
    let store = Store::new();
    let daemon = store.serve();
    let proxy = Proxy::start(daemon.address, Lose::Reply, usize::MAX);
    let desk = Desk::new(store.root(), proxy.address);
    let id = desk.pin(&["withdraw", "Sami", "20", "--timeout", "0.5"]).request();
    drop(daemon);
    let done = desk.run(&["resolve", "--write-off", &id]);
    assert!(done.code == 0 && done.out.contains("bankd explain"), "{done:?}");
    assert_eq!(desk.run(&["resolve", "--write-off", &id]).code, 2);
    assert!(desk.run(&["resolve"]).err.contains("nothing is in doubt"));
}
