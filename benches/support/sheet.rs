//! Rounds and targets: what a bench prints of the samples of its interleaved rounds, and the same as JSON for tools
//! that make a page of it.
//!
//! `ROUNDS` is how many rounds there are (5), `SECONDS_EACH` how long each load is measured (3), `RESULTS` a file to which
//! a line of JSON is appended for each figure. Left out: measuring.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::time::Duration;

use serde_json::{Value, json};

/// What a ratio should be.
#[derive(Clone, Copy)]
pub enum Target {
    AtLeast(f64),
    AtMost(f64),
}

/// A number by an environment variable.
pub fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// How many interleaved rounds.
pub fn rounds() -> usize {
    setting("ROUNDS", 5) as usize
}

/// How long each load is measured.
pub fn seconds_each() -> Duration {
    Duration::from_secs(setting("SECONDS_EACH", 3))
}

/// The median of the samples, the smallest and the largest.
pub fn median(samples: &[f64]) -> (f64, f64, f64) {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    (sorted[sorted.len() / 2], sorted[0], sorted[sorted.len() - 1])
}

/// Ends the process where the command line asks for a scenario that is not among these.
pub fn refuse_others(names: &[&str]) {
    let unknown = std::env::args().skip(1).find(|word| !word.starts_with("--") && !names.contains(&word.as_str()));
    if let Some(unknown) = unknown {
        eprintln!("no scenario is called {unknown}; there are: {}", names.join(", "));
        std::process::exit(2);
    }
}

/// Whether a scenario is asked for: any whose name is on the command line, all where none is.
pub fn is_wanted(name: &str) -> bool {
    let mut words = std::env::args().skip(1).filter(|word| !word.starts_with("--")).peekable();
    words.peek().is_none() || words.any(|word| word == name)
}

/// Where results go.
pub struct Sheet(Option<File>);

impl Sheet {
    pub fn open() -> Self {
        Self(std::env::var_os("RESULTS").map(|path| OpenOptions::new().create(true).append(true).open(path).unwrap()))
    }

    /// Says what comes.
    pub fn head(&self, scenario: &str, what: &str) {
        println!("\n{scenario}: {what}");
    }

    /// A ratio of interleaved samples, which are in pairs, against its target.
    pub fn ratio(&mut self, scenario: &str, what: &str, of: &[f64], to: &[f64], target: Target) {
        let ratios: Vec<f64> = of.iter().zip(to).map(|(one, other)| one / other).collect();
        self.against(scenario, what, &ratios, target);
    }

    /// Samples of something against its target.
    pub fn against(&mut self, scenario: &str, what: &str, samples: &[f64], target: Target) {
        let (middle, low, high) = median(samples);
        let (is_reached, kind, bound) = match target {
            Target::AtLeast(bound) => (middle >= bound, "at least", bound),
            Target::AtMost(bound) => (middle <= bound, "at most", bound),
        };
        let reached = if is_reached { "reached" } else { "NOT reached" };
        println!("  {what:<66} {middle:>10.2}{}  target {kind} {bound}: {reached}", range(samples, low, high));
        self.keep(json!({
            "scenario": scenario, "what": what, "median": middle, "low": low, "high": high, "rounds": samples.len(),
            "target": {kind: bound}, "reached": is_reached,
        }));
    }

    /// A figure without a target.
    pub fn figure(&mut self, scenario: &str, what: &str, unit: &str, samples: &[f64]) {
        let (middle, low, high) = median(samples);
        println!("  {what:<66} {middle:>10.2} {unit}{}", range(samples, low, high));
        self.keep(json!({
            "scenario": scenario, "what": what, "median": middle, "low": low, "high": high, "rounds": samples.len(), "unit": unit,
        }));
    }

    fn keep(&mut self, line: Value) {
        if let Some(file) = &mut self.0 {
            writeln!(file, "{line}").unwrap();
        }
    }
}

/// From the least to the most, where there is more than one.
fn range(samples: &[f64], low: f64, high: f64) -> String {
    if samples.len() > 1 { format!("  ({low:.2} to {high:.2})") } else { String::new() }
}
