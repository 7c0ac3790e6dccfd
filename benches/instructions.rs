//! Instructions a request on the hot path, counted under valgrind: a regression shows on a noisy machine as well.
//!
//! `cargo bench --bench instructions` counts each scenario, sockets and kernel apart, and compares with the committed
//! figures in `instructions.txt`; `-- --refresh` writes them anew. Everything that is sent is the same in every run,
//! and valgrind shows every program the same processor as long as the real one has what it asks for (AVX2); so figures
//! repeat to the instruction on one machine, and nearly so on another. They do change with the compiler.
//!
//! SHA-256 is counted apart from the rest: valgrind's processor has no instructions for it, real ones do, so its share
//! here would hide everything else. It follows the log's bytes, which are compared instead.
//! Left out: time (the other benches), and the load itself (`turns/`).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_precision_loss,
    clippy::float_arithmetic,
    clippy::indexing_slicing
)]

mod turns;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::{env, fs};

use turns::{RUN, Scenario, Turns};

/// What is counted: a name, what is asked, connections, requests of each in a turn.
const SCENARIOS: [(&str, Scenario, usize, u64); 7] = [
    ("deposits-1x1", Scenario::Deposits, 1, 1),
    ("deposits-64x1", Scenario::Deposits, 64, 1),
    ("deposits-16x256", Scenario::Deposits, 16, 256),
    ("transfers-16x256", Scenario::Transfers, 16, 256),
    ("runs-16x1024", Scenario::Runs, 16, 8 * RUN),
    ("duplicates-16x256", Scenario::Duplicates, 16, 256),
    ("balances-16x256", Scenario::Balances, 16, 256),
];
const ACCOUNTS: u32 = 1_000;
/// Turns before counting, until buffers have their size.
const WARM_UP: usize = 2;
/// Turns that are counted.
const COUNTED: usize = 8;
/// How far a figure may be from the committed one, in hundredths of it.
const TOLERANCE: f64 = 5.0;
/// The only function in which is counted, and whatever it calls.
const MEASURED: &str = "*measured_turns*";

/// One scenario's figures a request.
#[derive(Clone, Copy, PartialEq)]
struct Figures {
    instructions: f64,
    log_bytes: f64,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--test") {
        // `cargo test --benches` only builds it.
        return ExitCode::SUCCESS;
    }
    if let [mode, name] = arguments.as_slice()
        && mode == "--scenario"
    {
        count(name);
        return ExitCode::SUCCESS;
    }
    let found: BTreeMap<&str, Figures> = SCENARIOS.iter().map(|(name, ..)| (*name, under_valgrind(name))).collect();
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/instructions.txt");
    if arguments.iter().any(|argument| argument == "--refresh") {
        fs::write(&committed, written(&found)).unwrap();
    }
    if !cfg!(target_arch = "x86_64") {
        println!("{}", written(&found));
        println!("the committed figures are of x86-64: nothing to compare with");
        return ExitCode::SUCCESS;
    }
    if compare(&found, &read(&fs::read_to_string(&committed).unwrap())) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What runs under valgrind: prints the requests and the bytes of log in the counted turns.
fn count(name: &str) {
    let (_, scenario, connections, depth) = *SCENARIOS.iter().find(|(known, ..)| known == &name).unwrap();
    let mut turns = Turns::new(Path::new(env!("CARGO_TARGET_TMPDIR")), scenario, ACCOUNTS, connections, depth);
    for _ in 0..WARM_UP {
        let input = turns.prepare();
        assert_eq!(turns.run_and_check(&input), turns.requests());
    }
    let inputs: Vec<_> = (0..COUNTED).map(|_| turns.prepare()).collect();
    let before = turns.log_end();
    measured_turns(&mut turns, &inputs);
    println!("{} {}", turns.requests() * inputs.len() as u64, turns.log_end() - before);
}

#[inline(never)]
fn measured_turns(turns: &mut Turns, inputs: &[Vec<Vec<u8>>]) {
    for input in inputs {
        assert!(turns.run(input) > 0);
    }
}

fn under_valgrind(name: &str) -> Figures {
    let profile = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("callgrind.{name}.out"));
    let output = Command::new("valgrind")
        .args(["--quiet", "--tool=callgrind", "--collect-atstart=no", &format!("--toggle-collect={MEASURED}")])
        .arg(format!("--callgrind-out-file={}", profile.display()))
        .arg(env::current_exe().unwrap())
        .args(["--scenario", name])
        .output()
        .expect("valgrind is needed: Debian's package valgrind");
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout).unwrap();
    let mut said = said.split_whitespace().map(|number| number.parse::<f64>().unwrap());
    let (requests, bytes) = (said.next().unwrap(), said.next().unwrap());
    let costs = costs(&fs::read_to_string(&profile).unwrap());
    let hashing: u64 = costs.iter().filter(|(function, _)| function.contains("sha2::")).map(|(_, cost)| cost).sum();
    let all: u64 = costs.values().sum();
    assert!(all > hashing, "{name}: nothing was counted in {MEASURED}");
    let figures = Figures { instructions: (all - hashing) as f64 / requests, log_bytes: bytes / requests };
    println!(
        "{name:<18} {:>9.1} instructions, {:>6.1} for SHA-256 in software, {:>6.1} bytes of log a request",
        figures.instructions,
        hashing as f64 / requests,
        figures.log_bytes
    );
    figures
}

/// What each function took by itself, from a profile in callgrind's format: `fn=(id) name` opens a function, and lines
/// that begin with a number or a sign are costs; the one after `calls=` is what was called, not its own.
fn costs(profile: &str) -> BTreeMap<String, u64> {
    let (mut names, mut costs) = (BTreeMap::new(), BTreeMap::new());
    let mut function = String::new();
    let mut is_callee = false;
    for line in profile.lines() {
        if let Some((id, name)) = line.strip_prefix("fn=").or_else(|| line.strip_prefix("cfn=")).and_then(|rest| rest.split_once(')')) {
            if !name.is_empty() {
                names.insert(id.to_owned(), name.trim().to_owned());
            }
            if line.starts_with("fn=") {
                function.clone_from(&names[id]);
            }
        } else if line.starts_with("calls=") {
            is_callee = true;
        } else if line.starts_with(|first: char| first.is_ascii_digit() || matches!(first, '+' | '-' | '*'))
            && !std::mem::take(&mut is_callee)
        {
            let cost = line.split_whitespace().nth(1).map_or(0, |cost| cost.parse().unwrap());
            *costs.entry(function.clone()).or_insert(0) += cost;
        }
    }
    costs
}

fn written(figures: &BTreeMap<&str, Figures>) -> String {
    let mut text = format!(
        "# Instructions and bytes of log a request, x86-64, SHA-256 apart. Written by `cargo bench --bench instructions -- --refresh`\n# with {}\n",
        compiler()
    );
    for (name, figures) in figures {
        writeln!(text, "{name} {:.1} {:.1}", figures.instructions, figures.log_bytes).unwrap();
    }
    text
}

fn read(text: &str) -> BTreeMap<&str, Figures> {
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let mut fields = line.split_whitespace();
            let name = fields.next().unwrap();
            let mut number = || fields.next().unwrap().parse().unwrap();
            (name, Figures { instructions: number(), log_bytes: number() })
        })
        .collect()
}

fn compiler() -> String {
    let output = Command::new(env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned())).arg("--version").output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Whether every figure is within the tolerance of the committed one. One that became much better counts as well: the
/// committed figures would let it be lost again.
fn compare(found: &BTreeMap<&str, Figures>, committed: &BTreeMap<&str, Figures>) -> bool {
    let mut holds = found.keys().eq(committed.keys());
    if !holds {
        println!("other scenarios are committed than were counted");
    }
    for (name, found) in found {
        let Some(committed) = committed.get(name) else { continue };
        for (what, found, committed) in
            [("instructions", found.instructions, committed.instructions), ("bytes of log", found.log_bytes, committed.log_bytes)]
        {
            let off = if found == committed { 0.0 } else { (found / committed - 1.0) * 100.0 };
            if off.is_nan() || off.abs() > TOLERANCE {
                println!("{name}: {found:.1} {what} a request, {committed:.1} are committed: {off:+.1} %");
                holds = false;
            }
        }
    }
    if !holds {
        println!(
            "if it is meant to be so, or the compiler is another one: cargo bench --bench instructions -- --refresh, and commit benches/instructions.txt"
        );
    }
    holds
}
