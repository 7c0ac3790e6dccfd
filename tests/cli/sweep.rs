//! The sweep runs to its end in a few seconds with few transactions, and leaves tables and one page.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::fs;
use std::process::{Command, Stdio};

#[test]
fn a_quick_sweep_leaves_tables_and_a_page() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("sweep");
    // What stands there is written over.
    fs::create_dir(&out).unwrap();
    fs::write(out.join("index.html"), "of an older run").unwrap();
    let mut sweep = Command::new(env!("CARGO_BIN_EXE_bankd"));
    sweep.args(["bench", "sweep", "--quick", "--seed", "4", "--out"]).arg(&out).stdin(Stdio::null());
    let output = sweep.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let read = |name: &str| fs::read_to_string(out.join(name)).unwrap();
    let errors = read("error-rate.csv");
    assert_eq!(errors.lines().count(), 1 + 6 * 7);
    for line in errors.lines().skip(1) {
        let fields: Vec<&str> = line.split(',').collect();
        let [attempts, mean]: [f64; 2] = [fields[4].parse().unwrap(), fields[6].parse().unwrap()];
        assert!(attempts >= 1.0 && mean > 0.0, "{line}");
        assert!(fields[2] != "0" || fields[4] == "1.000", "without errors one attempt is enough: {line}");
    }
    assert_eq!(read("throughput.csv").lines().count(), 5);
    let page = read("index.html");
    assert_eq!(page.matches("<svg").count(), 5);
    for outside in ["src=", "href=", "@import", "url("] {
        assert!(!page.contains(outside), "the page needs {outside}");
    }
}
