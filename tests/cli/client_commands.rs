//! The client's commands against the real daemon: money, utilities, sessions, the operator; words, JSON, exit codes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use crate::support::daemon::Store;
use crate::support::desk::Desk;

#[test]
fn one_request_gets_one_answer_across_a_kill() {
    let store = Store::new();
    let daemon = store.serve();
    let mut desk = Desk::new(store.root(), daemon.address);
    let first = desk.pin(&["withdraw", "Sami", "45560"]);
    assert_eq!((first.code, first.out.as_str()), (0, "New balance is 160\n"), "{first:?}");
    let id = first.request();
    let declined = desk.pin(&["withdraw", "Sami", "161", "--json"]);
    assert_eq!(declined.code, 3);
    assert_eq!(declined.json()["outcome"], "insufficient_balance");
    daemon.kill();
    assert_eq!(desk.pin(&["balance", "Sami"]).code, 4);
    let daemon = store.serve();
    desk.server = daemon.address;
    assert_eq!(desk.pin(&["deposit", "Sami", "1000"]).out, "New balance is 1160\n");

    let again = desk.pin(&["withdraw", "Sami", "45560", "--request", &id]);
    assert_eq!((again.code, again.out.as_str()), (0, "New balance is 160\n"));
    assert!(again.err.contains(&format!("request {id} (replayed)")), "{again:?}");
    let told = desk.pin(&["withdraw", "Sami", "45560", "--request", &id, "--json"]).json();
    let (session, number) = id.split_once('/').unwrap();
    assert_eq!((told["outcome"].as_str(), told["balance"].as_str(), told["replayed"].as_bool()), (Some("done"), Some("160"), Some(true)));
    assert_eq!((told["session"].as_str(), told["number"].as_u64()), (Some(session), number.parse().ok()));
    assert!(told["lsn"].is_u64());
    // The refusal stays what it was, though the money is there now.
    let refused = format!("{}/1", declined.json()["session"].as_str().unwrap());
    let again = desk.pin(&["withdraw", "Sami", "161", "--request", &refused, "--json"]);
    assert_eq!(
        (again.code, again.json()["outcome"].as_str(), again.json()["replayed"].as_bool()),
        (3, Some("insufficient_balance"), Some(true))
    );
    assert_eq!(desk.balance("Sami"), "1160");
}

#[test]
fn another_journal_and_another_machine_get_the_same_answer() {
    let store = Store::new();
    let daemon = store.serve();
    let desk = Desk::new(store.root(), daemon.address);
    let id = desk.pin(&["deposit", "Kader", "5"]).request();
    let elsewhere = tempfile::tempdir().unwrap();
    let other = Desk::new(elsewhere.path(), daemon.address);
    assert_eq!(other.pin(&["deposit", "Kader", "5", "--request", &id]).out, "New balance is 1205\n");
    // Only the owner may see it.
    let stranger = other.pin(&["deposit", "Sami", "5", "--request", &id, "--json"]);
    assert_eq!(stranger.code, 3, "{stranger:?}");
    assert_eq!(desk.balance("Kader"), "1205");
    assert_eq!(desk.balance("Sami"), "45720");
}

#[test]
fn a_conflict_or_gap_executes_nothing_and_leaves_nothing_in_doubt() {
    let store = Store::new();
    let daemon = store.serve();
    let desk = Desk::new(store.root(), daemon.address);
    let id = desk.pin(&["withdraw", "Sami", "20"]).request();
    for (amount, named, outcome) in [("21", id.clone(), "conflict"), ("20", id.replace("/1", "/9"), "gap")] {
        let told = desk.pin(&["withdraw", "Sami", amount, "--request", &named, "--json"]);
        assert_eq!((told.code, told.json()["outcome"].as_str()), (3, Some(outcome)), "{told:?}");
        assert_eq!(told.err.lines().count(), 1, "{told:?}");
    }
    assert!(desk.run(&["resolve"]).err.contains("nothing is in doubt"));
    assert_eq!(desk.balance("Sami"), "45700");
    // A request of another history: only the bank can tell.
    let told = desk.pin(&["withdraw", "Sami", "20", "--request", "0123456789abcdef-5/1", "--json"]);
    assert_eq!((told.code, told.json()["outcome"].as_str()), (5, Some("unknown")));
    assert!(told.err.contains("bankd explain 0123456789abcdef-5/1"), "{told:?}");
}

#[test]
fn a_transfer_moves_both_sides_or_neither() {
    let store = Store::new();
    let daemon = store.serve();
    let desk = Desk::new(store.root(), daemon.address);
    assert_eq!(desk.pin(&["transfer", "Sami", "Farhan", "720"]).out, "New balance is 45000\n");
    assert_eq!((desk.balance("Sami"), desk.balance("Farhan")), ("45000".to_owned(), "1889".to_owned()));
    for (args, code) in
        [(["transfer", "Sami", "Farhan", "45001"], 3), (["transfer", "Sami", "Nobody", "1"], 3), (["transfer", "Sami", "Sami", "1"], 2)]
    {
        let told = desk.pin(&args);
        assert_eq!(told.code, code, "{told:?}");
    }
    assert_eq!((desk.balance("Sami"), desk.balance("Farhan")), ("45000".to_owned(), "1889".to_owned()));
}

#[test]
fn what_makes_no_sense_gets_one_clear_line_and_changes_nothing() {
    let store = Store::new();
    let daemon = store.serve();
    let desk = Desk::new(store.root(), daemon.address);
    for (amount, why) in [
        ("ten", "not a number"),
        ("0", "more than zero"),
        ("-5", "negative"),
        ("9223372036854775808", "too large"),
        ("1.5", "more decimals"),
        ("", "not a number"),
    ] {
        let told = desk.pin(&["withdraw", "Sami", amount]);
        assert_eq!((told.code, told.err.lines().count()), (2, 1), "{told:?}");
        assert!(told.err.contains(why) && told.err.contains("nothing was sent"), "{told:?}");
    }
    assert_eq!(desk.pin(&["withdraw", "Sami", "1", "--request", "junk"]).code, 2);
    assert_eq!(desk.run(&["withdraw", "Sami"]).code, 2);
    assert_eq!(desk.run(&["nonsense"]).code, 2);
    assert_eq!(desk.run(&["--help"]).code, 0);
    assert_eq!(desk.balance("Sami"), "45720");
}

#[test]
fn wrong_pins_are_declined_and_five_lock_until_the_operator_unlocks() {
    let store = Store::new();
    let daemon = store.serve();
    let desk = Desk::new(store.root(), daemon.address);
    let told = desk.typed(&["balance", "Sami", "--pin-stdin", "--json"], "0000\n");
    assert_eq!((told.code, told.json()["outcome"].as_str()), (3, Some("bad_login")));
    assert_eq!(desk.typed(&["balance", "Sam", "--pin-stdin"], "1234\n").code, 3);
    for pin in ["0001", "0002", "0003", "0004"] {
        desk.typed(&["balance", "Sami", "--pin-stdin"], pin);
    }
    let locked = desk.pin(&["balance", "Sami", "--json"]);
    assert_eq!((locked.code, locked.json()["outcome"].as_str()), (3, Some("login_locked")));
    let data = store.data();
    let unlocked = desk.run(&["account", "unlock", "Sami", "--data-dir", data.to_str().unwrap()]);
    assert_eq!(unlocked.code, 0, "{unlocked:?}");
    assert_eq!(desk.balance("Sami"), "45720");
}

#[test]
fn the_utilities_are_the_servers() {
    let store = Store::new();
    let daemon = store.serve();
    let desk = Desk::new(store.root(), daemon.address);
    let googol = format!("1{}", "0".repeat(99));
    for (args, said) in [
        (vec!["prime", "97"], "Prime"),
        (vec!["prime", "-5"], "NonPrime"),
        (vec!["prime", "--", "-7"], "NonPrime"),
        (vec!["prime", &googol], "NonPrime"),
        (vec!["palindrome", "007"], "Palindrome"),
        (vec!["palindrome", "-121"], "NonPalindrome"),
        (vec!["lower", "LOUD \u{c9}"], "loud \u{e9}"),
        (vec!["lower", "--", "-X"], "-x"),
    ] {
        let told = desk.run(&args);
        assert_eq!((told.code, told.out.trim_end()), (0, said), "{args:?} {told:?}");
    }
    assert_eq!(desk.run(&["prime", "7", "--json"]).json()["prime"], true);
    let long = "9".repeat(101);
    for number in ["seven", "", "1.0", &long] {
        let told = desk.run(&["prime", number, "--json"]);
        assert_eq!((told.code, told.json()["outcome"].as_str()), (3, Some("not_an_integer")), "{told:?}");
    }
}

#[test]
fn the_operator_opens_locks_and_closes_and_tellers_act_for_any_account() {
    let store = Store::new();
    let daemon = store.serve();
    let desk = Desk::new(store.root(), daemon.address);
    let data = store.data();
    let operator = |args: &[&str]| desk.run(&[args, &["--data-dir", data.to_str().unwrap()]].concat());
    desk.secret("new", "445566");
    desk.secret("short", "4455");
    assert_eq!(operator(&["account", "open", "Zoe", "--balance", "12", "--pin-file", "short"]).code, 2);
    assert_eq!(operator(&["account", "open", "Zoe", "--balance", "x", "--pin-file", "new"]).code, 2);
    assert_eq!(operator(&["account", "open", "Zoe", "--balance", "12", "--pin-file", "new"]).code, 0);
    assert_eq!(operator(&["account", "open", "Zoe", "--balance", "12", "--pin-file", "new"]).code, 3);
    assert_eq!(desk.run(&["withdraw", "Zoe", "2", "--pin-file", "new"]).out, "New balance is 10\n");
    assert_eq!(operator(&["account", "lock", "Zoe"]).code, 0);
    let locked = desk.run(&["withdraw", "Zoe", "2", "--pin-file", "new", "--json"]);
    assert_eq!((locked.code, locked.json()["outcome"].as_str()), (3, Some("account_locked")));
    let listed = operator(&["account", "list"]).out;
    assert!(listed.contains("4  Zoe  10  locked"), "{listed}");
    assert_eq!(operator(&["account", "unlock", "Zoe"]).code, 0);
    assert_eq!(operator(&["account", "pin", "Zoe", "--pin-file", "short", "--allow-short-pin"]).code, 0);
    assert_eq!(desk.run(&["balance", "Zoe", "--pin-file", "new"]).code, 3);

    desk.secret("token", "a long token");
    assert_eq!(operator(&["teller", "add", "T1", "--token-file", "token"]).code, 0);
    let teller = ["--teller", "T1", "--token-file", "token"];
    assert_eq!(desk.run(&[["deposit", "Farhan", "1"].as_slice(), &teller].concat()).out, "New balance is 1170\n");
    assert_eq!(desk.run(&[["withdraw", "Zoe", "10"].as_slice(), &teller].concat()).out, "New balance is 0\n");
    assert_eq!(operator(&["teller", "revoke", "T1"]).code, 0);
    assert_eq!(desk.run(&[["balance", "Farhan"].as_slice(), &teller].concat()).code, 3);
    assert_eq!(operator(&["account", "close", "Farhan"]).code, 3);
    assert_eq!(operator(&["account", "close", "Zoe"]).code, 0);
    daemon.kill();
    assert_eq!(operator(&["account", "list"]).code, 4);
}

#[test]
fn a_run_acknowledges_everything_and_its_session_can_be_closed() {
    let store = Store::new();
    let daemon = store.serve();
    let desk = Desk::new(store.root(), daemon.address);
    for _ in 0..3 {
        assert_eq!(desk.pin(&["deposit", "Sami", "1"]).code, 0);
    }
    let sessions = desk.pin(&["sessions", "list", "Sami", "--json"]).json();
    let sessions = sessions.as_array().unwrap();
    assert_eq!(sessions.len(), 3);
    assert!(sessions.iter().all(|session| session["acked_below"] == 2 && session["last"] == 1), "{sessions:?}");
    let named = sessions[0]["session"].as_str().unwrap();
    assert_eq!(desk.pin(&["sessions", "close", "Sami", named]).code, 0);
    let data = store.data();
    let other = sessions[1]["session"].as_str().unwrap();
    assert_eq!(desk.run(&["sessions", "revoke", other, "--data-dir", data.to_str().unwrap()]).code, 0);
    assert_eq!(desk.pin(&["sessions", "close", "Sami"]).out, "closed 1 session(s)\n");
    assert_eq!(desk.pin(&["sessions", "list", "Sami"]).out, "");
}

/// `docs/protocol.md` is enough to write a client from: the one in `docs/examples` uses Python's standard library only.
#[test]
fn a_strangers_client_gets_one_answer_too() {
    let store = Store::new();
    let daemon = store.serve();
    let desk = Desk::new(store.root(), daemon.address);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/examples/client.py");
    let mut python = std::process::Command::new("python3");
    python.args([script, &daemon.address.to_string(), "Sami"]).stdin(std::fs::File::open(store.root().join("pin")).unwrap());
    let output = match python.output() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return eprintln!("not run: there is no python3 here"),
        output => output.unwrap(),
    };
    let out = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = out.lines().collect();
    assert!(output.status.success() && lines.len() == 4, "{out}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(lines[0], "decimals 0, balance 45720");
    assert!(lines[1].contains(": done, balance 45725, entry ") && lines[1].ends_with("replayed False"), "{out}");
    assert_eq!(lines[2], "the same again: identical True, replayed True, balance 45725");
    assert_eq!(lines[3], "the next number: balance 45730, replayed False");
    assert_eq!(desk.balance("Sami"), "45730");
}
