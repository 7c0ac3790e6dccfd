//! The programs in `examples/`, compiled and run against the real daemon.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::daemon::{BANKD, Store};
use crate::support::desk::{Desk, Done, Lose, Proxy, done};

/// The path of a compiled example. `cargo test --test examples` alone does not build it; after a whole `cargo test` this
/// finds everything fresh.
fn example(name: &str) -> PathBuf {
    let dir = Path::new(BANKD).parent().unwrap();
    let profile = match dir.file_name().unwrap().to_str().unwrap() {
        "debug" => "dev",
        other => other,
    };
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--locked", "--offline", "--profile", profile, "--example", name, "--target-dir"]).arg(target);
    if dir.parent() != Some(target) {
        build.arg("--target").arg(dir.parent().unwrap().file_name().unwrap());
    }
    assert!(build.current_dir(env!("CARGO_MANIFEST_DIR")).status().unwrap().success());
    dir.join("examples").join(name)
}

/// Runs an example in the desk's directory, with its PIN file and journal.
fn run(name: &str, store: &Store, server: SocketAddr, args: &[&str], input: &str) -> Done {
    let mut command = Command::new(example(name));
    command.arg(server.to_string()).args(args).args(["pin", "journal"]).current_dir(store.root());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    done(child)
}

#[test]
fn a_withdrawal_prints_the_balance() {
    let store = Store::new();
    let daemon = store.serve();
    let desk = Desk::new(store.root(), daemon.address);
    let first = run("withdraw", &store, daemon.address, &["Sami", "20"], "");
    assert_eq!((first.code, first.out.as_str()), (0, "withdrew 20, balance 45700\n"), "{first:?}");
    let second = run("withdraw", &store, daemon.address, &["Sami", "20"], "");
    assert_eq!((second.code, second.out.as_str()), (0, "withdrew 20, balance 45680\n"), "a printed outcome is not printed again");
    let declined = run("withdraw", &store, daemon.address, &["Sami", "1000000"], "");
    assert_eq!((declined.code, declined.out.as_str()), (0, "declined: insufficient_balance, balance 45680\n"), "{declined:?}");
    assert_eq!(desk.balance("Sami"), "45680");
}

#[test]
fn a_withdrawal_whose_reply_or_request_is_lost_takes_effect_once() {
    let store = Store::new();
    let daemon = store.serve();
    let desk = Desk::new(store.root(), daemon.address);
    for (lose, balance) in [(Lose::Reply, "45700"), (Lose::Request, "45680")] {
        // More losses than there is time for: the outcome stays unknown.
        let proxy = Proxy::start(daemon.address, lose, usize::MAX);
        let lost = run("withdraw", &store, proxy.address, &["Sami", "20"], "");
        assert_eq!((lost.code, lost.out.as_str()), (1, ""), "{lost:?}");
        assert!(lost.err.contains("unknown") && lost.err.contains("run the same command again"), "{lost:?}");
        let again = run("withdraw", &store, daemon.address, &["Sami", "20"], "");
        assert_eq!((again.code, again.out), (0, format!("withdrew 20, balance {balance}\n")), "{}", again.err);
        assert_eq!(desk.balance("Sami"), balance);
    }
}

#[test]
fn a_batch_is_executed_in_order() {
    let store = Store::new();
    let daemon = store.serve();
    let desk = Desk::new(store.root(), daemon.address);
    let bad = run("batch", &store, daemon.address, &["Sami"], "deposit 30\nspend 1\n");
    assert_eq!((bad.code, bad.out.as_str()), (1, ""), "one bad line, and nothing is sent: {bad:?}");
    let done = run("batch", &store, daemon.address, &["Sami"], "deposit 30\nwithdraw 1000000\nwithdraw 50\n");
    assert_eq!(done.code, 0, "{done:?}");
    let ends: Vec<&str> = done.out.lines().map(|line| line.split_once(' ').unwrap().1).collect();
    assert_eq!(ends, ["done, balance 45750", "insufficient_balance, balance 45750", "done, balance 45700"]);
    assert_eq!(desk.balance("Sami"), "45700");
}
