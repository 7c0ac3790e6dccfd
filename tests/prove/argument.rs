//! The argument in docs/exactly-once.md names tests that exist.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The names of all functions below a directory.
fn functions(dir: &Path, into: &mut BTreeSet<String>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            functions(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            into.extend(text.split("fn ").skip(1).map(|rest| rest.split('(').next().unwrap().to_owned()));
        }
    }
}

#[test]
fn each_failure_names_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut known = BTreeSet::new();
    for dir in ["src", "tests"] {
        functions(&root.join(dir), &mut known);
    }
    let page = fs::read_to_string(root.join("docs/exactly-once.md")).unwrap();
    let rows = page.lines().skip_while(|line| !line.starts_with("| Failure |")).skip(2).take_while(|line| line.starts_with('|'));
    let mut named = 0;
    for row in rows {
        let shown_by = row.trim_end_matches(['|', ' ']).rsplit('|').next().unwrap();
        let quoted: Vec<&str> = shown_by.split('`').skip(1).step_by(2).collect();
        assert!(!quoted.is_empty() || shown_by.contains("the same"), "nothing shows it: {row}");
        for name in quoted {
            if name.contains('.') {
                let bins = ["", "cli", "daemon", "store", "server", "wal", "prove"].map(|bin| format!("tests/{bin}/{name}"));
                let is_there = bins.into_iter().chain([format!("src/{name}"), name.to_owned()]).any(|file| root.join(file).is_file());
                assert!(is_there, "there is no {name}: {row}");
            } else if name.contains('_') && !["tests", "tests/store"].iter().any(|dir| root.join(dir).join(name).is_dir()) {
                assert!(known.contains(name), "there is no test {name}: {row}");
                named += 1;
            }
        }
    }
    assert!(named >= 30, "only {named} tests are named");
}
