//! The performance page, its charts and the README's table are what `benches/compare/page.py` makes of the results that are
//! kept beside them: no figure was written by hand.
#![allow(clippy::unwrap_used, missing_docs)]

use std::path::Path;
use std::process::Command;

#[test]
fn every_figure_is_one_that_was_measured() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut check = Command::new("python3");
    check.env("PYTHONDONTWRITEBYTECODE", "1").arg(root.join("benches/compare/page.py"));
    let output = check.arg(root.join("docs/performance/results")).arg("--check").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_changed_figure_is_found() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let dir = tempfile::tempdir().unwrap();
    for name in ["machine.json", "compare.json", "end_to_end.jsonl", "cost.jsonl"] {
        let text = std::fs::read_to_string(root.join("docs/performance/results").join(name)).unwrap();
        let text = if name == "end_to_end.jsonl" { text.replacen("\"median\":", "\"median\":9", 1) } else { text };
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    let mut check = Command::new("python3");
    check.env("PYTHONDONTWRITEBYTECODE", "1").arg(root.join("benches/compare/page.py")).arg(dir.path()).arg("--check");
    let output = check.output().unwrap();
    assert!(!output.status.success() && String::from_utf8_lossy(&output.stderr).contains("docs/performance.md"));
}
