//! The page on checking the chain by hand is followed to the letter: its script runs as it stands there.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::support::daemon::{SAMI, Store, answer, deposit};

const PAGE: &str = include_str!("../../docs/check-by-hand.md");

fn follow(store: &Store, segment: &Path) -> Output {
    let script = PAGE.split("```sh\n").nth(1).unwrap().split("```").next().unwrap();
    let path = store.root().join("check.sh");
    fs::write(&path, script).unwrap();
    Command::new("sh").arg(path).arg(segment).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// What `zstd -d` does, which is not on every machine.
fn unpacked(path: &Path) -> PathBuf {
    if path.extension().is_none_or(|extension| extension != "zst") {
        return path.to_owned();
    }
    let plain = path.with_extension("");
    fs::write(&plain, zstd::stream::decode_all(fs::File::open(path).unwrap()).unwrap()).unwrap();
    plain
}

#[test]
fn the_page_finds_the_chain_head_that_the_bank_tells_and_any_change() {
    let tools = ["dd", "sha256sum", "od", "tr", "cut"];
    if tools.iter().any(|tool| Command::new(tool).arg("--version").output().is_err()) {
        println!("skipped: the page needs {tools:?}");
        return;
    }
    let store = Store::new();
    let daemon = store.serve();
    let mut client = daemon.login("Sami");
    client.open_session();
    for number in 1..=5 {
        assert!(!answer(&client.request(number, deposit(SAMI, number))).1);
    }
    daemon.stop();

    let mut segments: Vec<PathBuf> = fs::read_dir(store.data()).unwrap().map(|entry| unpacked(&entry.unwrap().path())).collect();
    segments.retain(|path| path.extension().is_some_and(|extension| extension == "seg"));
    segments.sort();
    segments.dedup();
    assert!(segments.len() >= 2, "{segments:?}");
    let mut head = "0".repeat(64);
    let mut last = PathBuf::new();
    for segment in segments {
        let output = follow(&store, &segment);
        assert!(output.status.success(), "{output:?}");
        let text = said(&output);
        let Some(before) = text.lines().find_map(|line| line.strip_prefix("before ")) else { continue };
        assert_eq!(before, head, "{} goes on from the segment in front of it", segment.display());
        head = text.lines().find_map(|line| line.strip_prefix("after ")).unwrap().to_owned();
        last = segment;
    }
    let data = store.data();
    let verified = store.bankd(&["wal", "verify", "--data-dir", data.to_str().unwrap()]);
    assert!(said(&verified).contains(&format!("chain head {head} ")), "{}", said(&verified));

    let mut bytes = fs::read(&last).unwrap();
    bytes[4096 + 256 + 20] ^= 1;
    fs::write(&last, bytes).unwrap();
    let output = follow(&store, &last);
    assert!(!output.status.success() && said(&output).contains("broken at 4096"), "{output:?}");
}
