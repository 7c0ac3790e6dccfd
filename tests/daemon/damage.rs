//! A damaged store, met by the real daemon: a torn last batch is dropped with a line that says so; anything else ends
//! with exit code 6, names the place, and changes nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::fs;
use std::path::PathBuf;

use crate::support::daemon::{SAMI, Store, answer, deposit};

const BLOCK: usize = 4096;

/// A store whose last batch is an unsealed deposit: the daemon was killed right after its answer. Returns the segment,
/// its bytes and the offset of that batch.
fn killed_behind_a_deposit(store: &Store) -> (PathBuf, Vec<u8>, usize) {
    let daemon = store.serve();
    let mut client = daemon.login("Sami");
    client.open_session();
    assert!(!answer(&client.request(1, deposit(SAMI, 5))).1);
    assert!(!answer(&client.request(2, deposit(SAMI, 7))).1);
    daemon.kill();
    let mut segments: Vec<PathBuf> = fs::read_dir(store.data()).unwrap().map(|entry| entry.unwrap().path()).collect();
    segments.retain(|path| path.extension().is_some_and(|extension| extension == "seg"));
    segments.sort();
    // The newest one that holds a batch; behind it may stand a spare.
    let written = |path: &PathBuf| (path.clone(), fs::read(path).unwrap());
    let (path, bytes) = segments.iter().rev().map(written).find(|(_, bytes)| bytes[BLOCK] != 0).unwrap();
    let last = (1..bytes.len() / BLOCK).rev().map(|block| block * BLOCK).find(|at| bytes[*at] != 0).unwrap();
    (path, bytes, last)
}

#[test]
fn a_torn_last_batch_is_dropped_aloud() {
    let store = Store::new();
    let (path, mut bytes, last) = killed_behind_a_deposit(&store);
    // The power failed before the batch's third sector was on the disk, so no answer can have been sent.
    bytes[last + 1024..last + 1536].fill(0);
    fs::write(&path, bytes).unwrap();
    let daemon = store.serve();
    assert_eq!(daemon.login("Sami").balance(SAMI), 45_725);
    let (code, said) = daemon.stop();
    assert_eq!(code, Some(0));
    let line = said.lines().find(|line| line.contains("[WARN]") && line.contains("torn")).unwrap_or_else(|| panic!("nothing told: {said}"));
    assert!(line.contains(path.file_name().unwrap().to_str().unwrap()), "{line}");
    // It is decided once and for all.
    let daemon = store.serve();
    assert_eq!(daemon.login("Sami").balance(SAMI), 45_725);
}

#[test]
fn any_other_damage_is_refused_and_left_alone() {
    let store = Store::new();
    let (path, bytes, last) = killed_behind_a_deposit(&store);
    let places = [
        ("the segment's header", 20),
        ("the first batch's header", BLOCK + 50),
        ("the first batch's payload", BLOCK + 270),
        ("padding", BLOCK + 4000),
        ("the last batch's header", last + 50),
        ("the last batch's payload", last + 300),
    ];
    for (what, at) in places {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        fs::write(&path, &damaged).unwrap();
        let (code, said) = store.serve_fails();
        assert_eq!(code, 6, "{what}: {said}");
        assert!(said.contains(path.file_name().unwrap().to_str().unwrap()) && said.contains("offset"), "{what}: {said}");
        assert_eq!(fs::read(&path).unwrap(), damaged, "{what}: the evidence was changed");
    }
    fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    assert_eq!(store.serve_fails().0, 6);
    fs::remove_file(&path).unwrap();
    assert_eq!(store.serve_fails().0, 6);
    let manifest = store.data().join("MANIFEST");
    let kept = fs::read(&manifest).unwrap();
    fs::remove_file(&manifest).unwrap();
    assert_eq!(store.serve_fails().0, 6);
    fs::write(&manifest, kept).unwrap();
    fs::write(&path, &bytes).unwrap();
    assert_eq!(store.serve().login("Sami").balance(SAMI), 45_732);
}
