//! An honest client beside floods: its latency and the daemon's memory, alone and beside each flood.
//!
//! `cargo bench --bench floods -- primes lists` runs those two; without names, all. `BANKD=PATH` measures another daemon,
//! `ROUNDS` (3) and `SECONDS_EACH` (4) say how much, `RATE` (250) how many deposits a second the honest client sends.
//! Each round has a bank of its own, and three phases: alone, beside the flood, alone again.
//! Left out: the honest client (`floods/honest.rs`), the floods (`floods/flooder.rs`, `floods/crowd.rs`), the daemon (`floods/bank.rs`).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::float_arithmetic,
    missing_docs
)]

#[path = "floods/bank.rs"]
mod bank;
#[path = "floods/crowd.rs"]
mod crowd;
#[path = "floods/flooder.rs"]
mod flooder;
#[path = "floods/honest.rs"]
mod honest;
#[allow(dead_code)]
#[path = "support/sheet.rs"]
mod sheet;

use std::time::{Duration, Instant};

use bank::Bank;
use bankd::env::os;
use bankd::env::process::process_figures;
use flooder::FLOODS;
use honest::Honest;
use sheet::{Sheet, Target, setting};

/// How much longer than alone the worst request may take beside a flood, in milliseconds.
const WORST_ABOVE: f64 = 10.0;
/// How much more memory than alone the daemon may hold beside a flood, in MiB.
const MEMORY_ABOVE: f64 = 64.0;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    // `cargo bench --no-run` and `cargo test --benches` only build it.
    if arguments.iter().any(|argument| argument == "--test") {
        return;
    }
    if let Some(place) = arguments.iter().position(|argument| argument == flooder::ARGUMENT) {
        flooder::run(&arguments[place + 1..]);
        return;
    }
    os::raise_descriptor_limit();
    let names: Vec<&str> = FLOODS.iter().map(|flood| flood.name).collect();
    sheet::refuse_others(&names);
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut sheet = Sheet::open();
    println!("daemon: {}", bank::exe().display());
    println!("The flood is a process of its own, at nice 19 once it is connected: it has what the others leave of the processors.");
    println!("Latencies are in ms, from the moment when a request was due; memory is the daemon's peak of resident MiB in the phase.");
    let rows: Vec<Row> = FLOODS
        .iter()
        .filter(|flood| sheet::is_wanted(flood.name))
        .map(|flood| measure(flood.name, flood.what, dir.path(), &mut sheet))
        .collect();
    print_table(&rows);
}

/// What was seen in one phase.
struct Phase {
    honest: Honest,
    peak: f64,
    processor: f64,
}

fn phase(bank: &Bank, lasting: Duration, flood: Option<&str>) -> Phase {
    // The peak counts from here on.
    std::fs::write(format!("/proc/{}/clear_refs", bank.id()), "5").unwrap();
    let before = process_figures(bank.id()).unwrap();
    let depositor = honest::depositor(bank.address);
    let flooder = flood.map(|name| flooder::start(name, bank));
    let began = Instant::now();
    let honest = honest::measure(bank.address, depositor, lasting, setting("RATE", 250));
    let took = began.elapsed();
    if let Some(flooder) = flooder {
        println!("    flood: {}", flooder.end());
    }
    let Ok(after) = process_figures(bank.id()) else { panic!("the daemon is gone") };
    let peak = after.peak as f64 / 1_048_576.0;
    Phase { honest, peak, processor: (after.cpu - before.cpu).as_secs_f64() / took.as_secs_f64() * 100.0 }
}

/// A flood's figures over all rounds.
struct Row {
    name: &'static str,
    alone: [f64; 3],
    beside: [f64; 3],
    above: f64,
    newcomer: f64,
    lost: u64,
    memory: [f64; 2],
    memory_above: f64,
    processor: f64,
}

fn measure(name: &'static str, what: &str, dir: &std::path::Path, sheet: &mut Sheet) -> Row {
    sheet.head(name, what);
    let lasting = Duration::from_secs(setting("SECONDS_EACH", 4));
    let mut rounds = Vec::new();
    for round in 1..=setting("ROUNDS", 3) {
        let dir = tempfile::tempdir_in(dir).unwrap();
        let bank = Bank::start(dir.path());
        if name.starts_with("lists") {
            honest::open_sessions(bank.address, flooder::SESSIONS);
        }
        let before = phase(&bank, lasting, None);
        let beside = phase(&bank, lasting, Some(name));
        let after = phase(&bank, lasting, None);
        for (when, phase) in [("before", &before), ("beside", &beside), ("after", &after)] {
            println!("  {round} {when}: {}, {:.1} MiB, {:.0} % of a processor", phase.honest, phase.peak, phase.processor);
        }
        rounds.push((before, beside, after));
    }
    let each = |of: &dyn Fn(&(Phase, Phase, Phase)) -> f64| rounds.iter().map(of).collect::<Vec<f64>>();
    let (middle, worst) = (|samples: Vec<f64>| sheet::median(&samples).0, |samples: Vec<f64>| samples.into_iter().fold(0.0, f64::max));
    let of_alone = |at: f64| each(&|(before, _, after)| before.honest.at(at).max(after.honest.at(at)));
    let of_beside = |at: f64| each(&|(_, beside, _)| beside.honest.at(at));
    let above = each(&|(before, beside, after)| beside.honest.at(1.0) - before.honest.at(1.0).max(after.honest.at(1.0)));
    let memory_above = each(&|(before, beside, _)| beside.peak - before.peak);
    let row = Row {
        name,
        alone: [middle(of_alone(0.5)), middle(of_alone(0.99)), worst(of_alone(1.0))],
        beside: [middle(of_beside(0.5)), middle(of_beside(0.99)), worst(of_beside(1.0))],
        above: middle(above.clone()),
        newcomer: worst(each(&|(_, beside, _)| beside.honest.newcomer())),
        lost: rounds.iter().map(|(before, beside, after)| before.honest.lost + beside.honest.lost + after.honest.lost).sum(),
        memory: [middle(each(&|(before, ..)| before.peak)), worst(each(&|(_, beside, _)| beside.peak))],
        memory_above: worst(memory_above.clone()),
        processor: middle(each(&|(_, beside, _)| beside.processor)),
    };
    for (what, at) in [("p50", 0.5), ("p99", 0.99), ("worst", 1.0)] {
        sheet.figure(name, &format!("alone, {what}"), "ms", &of_alone(at));
        sheet.figure(name, &format!("beside, {what}"), "ms", &of_beside(at));
    }
    sheet.against(name, "worst above alone: ms", &above, Target::AtMost(WORST_ABOVE));
    sheet.against(name, "peak of memory above alone: MiB", &memory_above, Target::AtMost(MEMORY_ABOVE));
    row
}

fn print_table(rows: &[Row]) {
    println!();
    println!("{:<14}|{:^26}|{:^26}|{:^15}|{:^16}|{:^26}|", "", "alone", "beside", "worst above", "newcomers", "memory");
    println!(
        "{:<14}|{:>8}{:>8}{:>10}|{:>8}{:>8}{:>10}|{:>8} {:<6}|{:>10}{:>6}|{:>6}{:>7}{:>7} {:<5}|{:>5}",
        "flood", "p50", "p99", "worst", "p50", "p99", "worst", "alone", "", "worst", "lost", "alone", "beside", "above", "", "cpu %"
    );
    for row in rows {
        let verdict = |is_reached: bool| if is_reached { "ok" } else { "NOT" };
        let ([a50, a99, a], [b50, b99, b]) = (row.alone, row.beside);
        println!(
            "{:<14}|{a50:>8.2}{a99:>8.2}{a:>10.2}|{b50:>8.2}{b99:>8.2}{b:>10.2}|{:>8.2} {:<6}|{:>10.2}{:>6}|{:>6.1}{:>7.1}{:>7.1} {:<5}|{:>5.0}",
            row.name,
            row.above,
            verdict(row.above <= WORST_ABOVE && row.lost == 0),
            row.newcomer,
            row.lost,
            row.memory[0],
            row.memory[1],
            row.memory_above,
            verdict(row.memory_above <= MEMORY_ABOVE),
            row.processor
        );
    }
    println!("p50, p99 and worst above alone: the median of the rounds. Worst, newcomers and memory: the worst of all rounds.");
}
