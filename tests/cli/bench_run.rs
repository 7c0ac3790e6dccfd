//! `bankd bench run`: short loads of every kind on a bank of its own and on another's, and what they leave behind.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    clippy::float_arithmetic,
    missing_docs
)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

fn bench(words: &[&str]) -> Output {
    let mut run = Command::new(env!("CARGO_BIN_EXE_bankd"));
    run.args(["bench", "run", "--warm-up", "0.1"]).args(words).stdin(Stdio::null());
    if !words.contains(&"--accounts") {
        run.args(["--accounts", "100"]);
    }
    run.output().unwrap()
}

fn json(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn bankd(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bankd")).args(words).stdin(Stdio::null()).output().unwrap()
}

#[test]
fn a_closed_loop_of_everything_is_in_the_log_as_it_was_answered() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (bank, journal, csv, quantiles) = (path("bank"), path("journal"), path("table.csv"), path("latency.hgrm"));
    let mix = "deposits=4,withdrawals=3,transfers=2,balances=1";
    let words =
        ["-c", "4", "-d", "8", "--mix", mix, "--duplicates", "0.2", "--zipf", "0.99", "--duration", "0.4", "--json", "--dir", &bank];
    let output = bench(&[&words[..], &["--journal", &journal, "--csv", &csv, "--quantiles", &quantiles]].concat());
    let told = json(&output);
    let count = |name: &str| told[name].as_u64().unwrap();
    let (answered, done, replayed, balances) = (count("answered"), count("done"), count("replayed"), count("balances"));
    assert_eq!(answered, done + replayed + balances);
    assert!(count("declined") == 0 && count("unsent") == 0 && count("commits") > 0 && replayed > 0 && balances > 0, "{told}");
    let (again, asked) = (replayed as f64 / done as f64, balances as f64 / (done + balances) as f64);
    assert!((again - 0.2).abs() < 0.1 && (asked - 0.1).abs() < 0.08, "{told}");
    let latency = |name: &str| told["latency_us"][name].as_f64().unwrap();
    assert!(0.0 < latency("p50") && latency("p50") <= latency("p99") && latency("p99") <= latency("max"));
    let daemon = &told["daemon"];
    assert!(daemon["resident"].as_u64().unwrap() > 1 << 20 && daemon["cpu_share"].as_f64().unwrap() > 0.0, "{told}");
    assert!((0.0..=1.0).contains(&daemon["sync_share"].as_f64().unwrap()) && told["generator_bound"].is_boolean());

    // The log holds whatever the journal says was answered, and nothing else was answered.
    let store = format!("{bank}/store");
    let verified = bankd(&["wal", "verify", "--data-dir", &store, "--against", &journal, "--json"]);
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
    let verified: Value = serde_json::from_slice(&verified.stdout).unwrap();
    assert!(verified["receipts"].as_u64().is_some_and(|receipts| receipts >= done), "{verified}");

    let table = fs::read_to_string(&csv).unwrap();
    let columns: Vec<usize> = table.lines().map(|line| line.replace(mix, "").split(',').count()).collect();
    assert_eq!((columns.len(), columns[0]), (2, columns[1]), "{table}");
    let distribution = fs::read_to_string(&quantiles).unwrap();
    assert!(distribution.contains("1/(1-Percentile)") && distribution.contains(&format!("{answered}]")), "{distribution}");

    // Neither a journal nor a bank is written over.
    let again = bench(&["--duration", "0.1", "--journal", &journal, "--dir", &path("other")]);
    assert_eq!(again.status.code(), Some(8));
    assert_eq!(bench(&["--duration", "0.1", "--dir", &bank]).status.code(), Some(8));
}

#[test]
fn an_open_loop_keeps_its_rate_and_runs_are_answered_whole() {
    let open = json(&bench(&["-c", "3", "--rate", "500", "--duration", "0.5", "--json"]));
    // However slow the machine: whatever was meant to be sent in that time is answered in the end.
    // A request right at either end of that time may fall on either side of it.
    let (answered, seconds) = (open["answered"].as_f64().unwrap(), open["seconds"].as_f64().unwrap());
    assert!(answered > 0.0 && (answered - 500.0 * seconds).abs() <= 2.0, "{open}");
    assert!(open["generator_late_p99_us"].as_f64().is_some() && open["unsent"].as_u64() == Some(0), "{open}");
    let runs = ["-c", "2", "-d", "32", "--run", "16", "--mix", "transfers=1", "--duplicates", "0.3", "--duration", "0.3", "--json"];
    let runs = json(&bench(&runs));
    let (done, replayed) = (runs["done"].as_u64().unwrap(), runs["replayed"].as_u64().unwrap());
    assert!(done > 0 && replayed > 0 && done % 16 == 0 && replayed % 16 == 0, "{runs}");
}

#[test]
fn a_foreign_bank_needs_a_teller_and_reveals_nothing() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (list, store, token) = (path("accounts.csv"), path("store"), path("token"));
    let mut text = "kind,name,secret,balance\nteller,till,a long enough token,\n".to_owned();
    (0..100).for_each(|account| text.push_str(&format!("account,a{account},123456,3\n")));
    fs::write(&list, text).unwrap();
    fs::write(&token, "a long enough token\n").unwrap();
    fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).unwrap();
    assert!(bankd(&["init", "--data-dir", &store, "--accounts", &list]).status.success());
    let mut serve = Command::new(env!("CARGO_BIN_EXE_bankd"));
    serve.args(["serve", "--listen", "127.0.0.1:0", "--data-dir", &store]);
    let daemon = bankd::prove::Daemon::start(serve).unwrap();
    let address = daemon.address().to_string();
    let known = ["--server", &address, "--teller", "till", "--token-file", &token, "--duration", "0.3", "--json"];
    // Each account can pay three times.
    let told = json(&bench(&[&known[..], &["-c", "4", "-d", "64", "--mix", "withdrawals=1"]].concat()));
    assert!(told["declined"].as_u64().unwrap() > 0 && told["daemon"].is_null(), "{told}");
    // More accounts than there are: an answer that no load expects, reported as such.
    let wrong = bench(&[&known[..], &["--accounts", "200"]].concat());
    assert_eq!(wrong.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("makes no sense here"), "{wrong:?}");
    assert_eq!(bench(&["--server", &address]).status.code(), Some(2));
    assert_eq!(bench(&["--depth", "2000"]).status.code(), Some(2));
    assert_eq!(bench(&["--server", "127.0.0.1:1", "--teller", "till", "--token-file", &token]).status.code(), Some(4));
}
