//! A name is not a thing: whichever of its names a store is called by, whatever becomes of its name, it is the same store.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::support::daemon::{SAMI, Store, answer, deposit};

/// The names and contents of a directory's files; of a socket, only the name.
fn content(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(dir).unwrap().map(Result::unwrap);
    entries.map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap_or_default())).collect()
}

#[test]
fn the_key_of_a_new_store_is_beside_it_however_its_directory_is_typed() {
    let store = Store::new();
    for (number, spell) in
        [|name: &str| format!("{name}/"), |name: &str| format!("./{name}/."), |name: &str| name.to_owned()].iter().enumerate()
    {
        let name = format!("s{number}");
        let made = store.bankd(&["init", "--allow-tmpfs", "--data-dir", &spell(&name)]);
        assert!(made.status.success(), "{made:?}");
        assert!(store.root().join(format!("{name}.key")).exists() && !store.root().join(&name).join(".key").exists());
        let verified = store.bankd(&["wal", "verify", "--data-dir", &spell(&name)]);
        assert!(verified.status.success(), "{verified:?}");
    }
}

#[test]
fn a_store_starts_by_a_link_and_by_a_dot() {
    let store = Store::new();
    drop(store.serve());
    let linked = Store::new();
    symlink(store.data(), linked.data()).unwrap();
    let daemon = linked.serve();
    let (code, said) = store.serve_fails();
    assert!(code == 7 && said.contains("in use by process"), "{code} {said}");
    assert_eq!(daemon.stop().0, Some(0));
    assert!(!linked.root().join("store.key").exists(), "the key is the store's, not the link's");
    let listed = std::process::Command::new(env!("CARGO_BIN_EXE_bankd"))
        .args(["wal", "stat", "--data-dir", "."])
        .current_dir(store.data())
        .output()
        .unwrap();
    assert!(listed.status.success(), "{listed:?}");
}

#[test]
fn a_key_inside_the_store_is_refused() {
    let store = Store::new();
    let inside = ["init", "--allow-tmpfs", "--data-dir", "store", "--key-file", "store/../store/key"];
    let refused = store.bankd(&inside);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.status.code() == Some(2) && said.contains("is inside the store") && said.contains("--key-file"), "{said}");
    assert!(!store.data().exists());
    drop(store.serve());
    fs::rename(store.root().join("store.key"), store.data().join("key")).unwrap();
    symlink(store.data().join("key"), store.root().join("store.key")).unwrap();
    let (code, said) = store.serve_fails();
    assert!(code == 2 && said.contains("is inside the store"), "{code} {said}");
}

#[test]
fn without_its_lock_file_a_store_is_still_in_use() {
    let store = Store::new();
    let daemon = store.serve();
    fs::remove_file(store.data().join("LOCK")).unwrap();
    let (code, said) = store.serve_fails();
    assert!(code == 7 && said.contains("in use by another process"), "{code} {said}");
    assert_eq!(daemon.stop().0, Some(0));
}

/// Moved away under a running daemon, with another running store in its old place: each goes on in its own directory.
#[test]
fn a_store_that_is_moved_never_touches_the_one_in_its_place() {
    let (store, other) = (Store::new(), Store::new());
    let daemon = store.serve();
    let beside = other.serve();
    let moved = store.root().join("moved");
    fs::rename(store.data(), &moved).unwrap();
    fs::rename(other.data(), store.data()).unwrap();
    let (before, segments) = (content(&store.data()), content(&moved).len());

    let mut client = daemon.login("Sami");
    client.open_session();
    for number in 1..=600 {
        answer(&client.request(number, deposit(SAMI, 1)));
    }
    assert!(content(&moved).len() > segments, "segments were made");
    assert_eq!(content(&store.data()), before);
    assert_eq!(daemon.stop().0, Some(0));
    assert_eq!(content(&store.data()), before, "the operator's socket included");
    assert!(!content(&moved).contains_key("operator.sock"));
    drop(beside);
}
