//! The log's tools as an operator meets them: beside a running daemon, on a stopped store, on a damaged one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::daemon::{SAMI, Store, answer, deposit, refusal, withdraw};
use crate::support::desk::{Desk, Done};
use bankd::wire::message::{Refusal, Reply};

const BLOCK: usize = 4096;

fn tool(store: &Store, args: &[&str]) -> Done {
    let data = store.data();
    let output = store.bankd(&[args, &["--data-dir", data.to_str().unwrap()]].concat());
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Done { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
}

fn files(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files: Vec<PathBuf> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file()).collect();
    files.sort();
    files.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

/// The newest segment that holds a batch, its bytes, and where its last batch begins.
fn last_batch(store: &Store) -> (PathBuf, Vec<u8>, usize) {
    let segments = files(&store.data()).into_iter().filter(|(path, _)| path.extension().is_some_and(|extension| extension == "seg"));
    let (path, bytes) = segments.rev().find(|(_, bytes)| bytes[BLOCK] != 0).unwrap();
    let last = (1..bytes.len() / BLOCK).rev().map(|block| block * BLOCK).find(|at| bytes[*at] != 0).unwrap();
    (path, bytes, last)
}

#[test]
fn they_look_beside_a_running_daemon_and_touch_nothing() {
    let store = Store::new();
    let daemon = store.serve();
    let desk = Desk::new(store.root(), daemon.address);
    let done = desk.pin(&["withdraw", "Sami", "20"]);
    let declined = desk.pin(&["withdraw", "Sami", "99999"]);
    // The seal comes a moment after the last answer; the tools go as far as the last sealed batch.
    std::thread::sleep(std::time::Duration::from_millis(400));
    let before = files(&store.data());

    let verified = tool(&store, &["wal", "verify"]);
    assert_eq!(verified.code, 0, "{verified:?}");
    assert!(verified.out.contains("chain head"), "{verified:?}");
    let stat = tool(&store, &["wal", "stat", "--json"]);
    assert_eq!(stat.code, 0, "{stat:?}");
    assert!(stat.json().is_object());
    let explained = tool(&store, &["explain", &done.request()]);
    assert_eq!(explained.code, 0, "{explained:?}");
    assert!(explained.out.contains("withdraw 20") && explained.out.contains("balance 45700"), "{explained:?}");
    let explained = tool(&store, &["explain", &declined.request()]);
    assert!(explained.out.to_lowercase().contains("insufficient"), "{explained:?}");
    let unknown = tool(&store, &["explain", &format!("{}/1", done.request().replace("/1", "9"))]);
    assert_eq!(unknown.code, 3, "{unknown:?}");

    let dumped = tool(&store, &["wal", "dump"]);
    assert!(dumped.out.lines().count() > 6 && dumped.out.contains("login attempt"), "{dumped:?}");
    let one = tool(&store, &["wal", "dump", "--lsn", "3..4", "--json"]);
    assert_eq!(one.out.lines().count(), 2, "{one:?}");
    one.out.lines().for_each(|line| drop(serde_json::from_str::<serde_json::Value>(line).unwrap()));
    let of_sami = tool(&store, &["wal", "dump", "--account", "Sami", "--outcomes"]);
    assert!(!of_sami.out.contains("Farhan") && of_sami.out.contains("withdraw 20"), "{of_sami:?}");
    for unknown in ["Nobody", "99"] {
        let dumped = tool(&store, &["wal", "dump", "--account", unknown]);
        assert!(dumped.code == 3 && dumped.out.is_empty() && dumped.err.contains(unknown), "{dumped:?}");
    }

    assert_eq!(files(&store.data()), before, "looking changed something");
    daemon.stop();
    assert_eq!(tool(&store, &["wal", "verify"]).code, 0);
}

/// The tags of PINs stand in the log; no tool shows a byte of them.
#[test]
fn tags_are_not_shown() {
    let store = Store::new();
    store.serve().stop();
    let (_, bytes) = files(&store.data()).into_iter().find(|(path, _)| path.ends_with("0000000001.seg")).unwrap();
    let name = bytes.windows(4).position(|window| window == b"Sami").unwrap();
    // Key id, salt and tag stand behind the name.
    let tag: String = bytes[name + 4 + 4 + 16..name + 4 + 4 + 16 + 8].iter().map(|byte| format!("{byte:02x}")).collect();
    for args in [["wal", "dump"].as_slice(), &["wal", "dump", "--json"], &["wal", "dump", "--outcomes"]] {
        let shown = tool(&store, args);
        assert_eq!(shown.code, 0, "{shown:?}");
        assert!(!shown.out.contains(&tag), "{shown:?}");
    }
}

#[test]
fn damage_is_named_and_a_corrupt_tail_can_be_dropped() {
    let store = Store::new();
    let daemon = store.serve();
    let mut client = daemon.login("Sami");
    let session = client.open_session();
    client.request(1, deposit(SAMI, 5));
    client.request(2, withdraw(SAMI, 7));
    daemon.kill();
    let (path, mut bytes, last) = last_batch(&store);
    // In the padding, so that the request in it can still be read.
    bytes[last + 4000] ^= 1;
    fs::write(&path, &bytes).unwrap();

    let verified = tool(&store, &["wal", "verify"]);
    assert_eq!(verified.code, 6, "{verified:?}");
    assert!(verified.err.contains(path.file_name().unwrap().to_str().unwrap()) && verified.err.contains(&last.to_string()), "{verified:?}");
    assert_eq!(store.serve_fails().0, 6);

    let before = files(&store.data());
    let planned = tool(&store, &["wal", "repair", "--drop-tail", "--dry-run"]);
    assert_eq!(planned.code, 6, "a dry run ends as a start does: {planned:?}");
    assert!(planned.out.contains(&format!("{session}/2")), "the request that is dropped is named: {planned:?}");
    let kept = |files: Vec<(PathBuf, Vec<u8>)>| files.into_iter().filter(|(path, _)| !path.ends_with("LOCK")).collect::<Vec<_>>();
    assert_eq!(kept(files(&store.data())), kept(before), "a dry run changed something");

    let repaired = tool(&store, &["wal", "repair", "--drop-tail"]);
    assert_eq!(repaired.code, 0, "{repaired:?}");
    let copies: Vec<_> = fs::read_dir(store.root()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(copies.iter().any(|path| path.to_str().unwrap().contains("store.repair-")), "what was dropped is kept: {copies:?}");
    assert_eq!(tool(&store, &["wal", "verify"]).code, 0);
    let daemon = store.serve();
    let mut client = daemon.login("Sami");
    assert_eq!(client.balance(SAMI), 45_725);
    // A client with other answers learns that the store was rolled back, and nothing is executed under the old numbers.
    assert_eq!(refusal(&client.resume(session)), Refusal::StoreRolledBack);
    client.open_session();
    assert!(!answer(&client.request(1, deposit(SAMI, 1))).1);
    daemon.stop();
    let again = tool(&store, &["wal", "repair", "--drop-tail"]);
    assert!(again.code == 0 && again.out.contains("nothing to repair"), "{again:?}");
}

#[test]
fn a_corrupt_middle_is_not_dropped_unasked() {
    let store = Store::new();
    let daemon = store.serve();
    let mut client = daemon.login("Sami");
    client.open_session();
    for number in 1..=4 {
        assert!(matches!(client.request(number, deposit(SAMI, 5)), Reply::Answer { .. }));
    }
    daemon.kill();
    let (path, mut bytes, last) = last_batch(&store);
    bytes[last - 2 * BLOCK + 300] ^= 1;
    fs::write(&path, &bytes).unwrap();
    assert_eq!(store.serve_fails().0, 6);
    let refused = tool(&store, &["wal", "repair", "--drop-tail"]);
    assert_ne!(refused.code, 0, "{refused:?}");
    assert!(refused.err.contains("--from-batch"), "{refused:?}");
    assert_eq!(fs::read(&path).unwrap(), bytes);
}

/// The whole directory is put back to an older copy, and another history goes on from there: every checksum holds, the
/// chain holds, and an answer that a client was given earlier exposes it.
#[test]
fn an_old_receipt_exposes_a_rewritten_history() {
    let store = Store::new();
    store.serve().stop();
    let old = files(&store.data());
    let daemon = store.serve();
    let mut desk = Desk::new(store.root(), daemon.address);
    assert_eq!(desk.pin(&["withdraw", "Sami", "20"]).code, 0);
    daemon.stop();
    let journal = desk.journal();
    let against = ["wal", "verify", "--against", journal.to_str().unwrap()];
    assert_eq!(tool(&store, &against).code, 0);

    for (path, _) in files(&store.data()) {
        fs::remove_file(path).unwrap();
    }
    old.iter().for_each(|(path, bytes)| fs::write(path, bytes).unwrap());
    let shorter = tool(&store, &against);
    assert_eq!(shorter.code, 6, "the log ends before the receipt: {shorter:?}");
    let daemon = store.serve();
    let own = desk.secret("other-journal", "");
    fs::remove_file(own).unwrap();
    desk.server = daemon.address;
    for _ in 0..3 {
        let told = desk.pin(&["deposit", "Sami", "20", "--journal", "other-journal"]);
        assert_eq!(told.code, 0, "{told:?}");
    }
    daemon.stop();
    assert_eq!(tool(&store, &["wal", "verify"]).code, 0, "by itself it is sound");
    let exposed = tool(&store, &against);
    assert_eq!(exposed.code, 6, "{exposed:?}");
    assert!(exposed.err.contains("rewritten"), "{exposed:?}");
}
