//! The result of a trial as JSON, as a row of CSV, as text, and as a table of quantiles.
//!
//! Left out: measuring (`trial.rs`), printing (`cli/`).

use std::fmt::Write;

use serde_json::{Value, json};

use super::load::{Plan, Spread};
use super::trial::Report;

/// The reported quantiles.
const QUANTILES: [(&str, f64); 6] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999), ("p9999", 0.9999), ("max", 1.0)];
/// Rows of the table of quantiles for each halving of the distance to 100 %.
const TICKS: u32 = 5;

impl Report {
    /// All figures, with the plan. Units are in the field names; shares are from 0 to 1, memory and writes in bytes.
    #[must_use]
    pub fn json(&self, plan: &Plan) -> Value {
        let measured = &self.measured;
        let latency: Vec<(String, Value)> =
            QUANTILES.iter().map(|(name, at)| ((*name).to_owned(), json!(micros(measured.latency.value_at_quantile(*at))))).collect();
        json!({
            "plan": plan_json(plan),
            "seconds": measured.elapsed.as_secs_f64(),
            "answered": measured.answered,
            "per_second": measured.rate(),
            "done": measured.done,
            "declined": measured.declined,
            "replayed": measured.replayed,
            "balances": measured.balances,
            "unsent": measured.unsent,
            "latency_us": Value::Object(latency.into_iter().collect()),
            "latency_mean_us": measured.latency.mean() / 1e3,
            "commits": measured.commits,
            "entries_per_commit": measured.entries_per_commit(),
            "generator_busy": measured.busy,
            "generator_bound": measured.is_generator_bound(),
            "generator_late_p99_us": measured.lateness.as_ref().map(|late| micros(late.value_at_quantile(0.99))),
            "daemon": self.daemon.map(|daemon| json!({
                "cpu_seconds": daemon.cpu.as_secs_f64(),
                "cpu_share": daemon.cpu.as_secs_f64() / measured.elapsed.as_secs_f64(),
                "cpu_us_per_answer": per(daemon.cpu.as_secs_f64() * 1e6, measured.answered),
                "written": daemon.written,
                "written_per_command": per(daemon.written as f64, measured.done + measured.declined),
                "sync_share": daemon.sync_share,
                "resident": daemon.resident,
                "peak": daemon.peak,
            })),
        })
    }

    /// One row for [`CSV_HEADER`], with the end of line.
    #[must_use]
    pub fn csv(&self, plan: &Plan) -> String {
        let measured = &self.measured;
        let mut row = format!(
            "{},{},{},{},{},{},\"{}\",{},{:.3},{},{:.1},{},{},{},{}",
            plan.connections,
            plan.depth,
            plan.run,
            plan.rate.map(|rate| rate.to_string()).unwrap_or_default(),
            plan.accounts,
            spread(plan),
            plan.mix,
            plan.duplicates,
            measured.elapsed.as_secs_f64(),
            measured.answered,
            measured.rate(),
            measured.done,
            measured.declined,
            measured.replayed,
            measured.balances,
        );
        // Writing to a string cannot fail.
        for (_, at) in QUANTILES {
            let _ = write!(row, ",{}", micros(measured.latency.value_at_quantile(at)));
        }
        let _ = write!(row, ",{},{:.1},{:.3}", measured.commits, measured.entries_per_commit(), measured.busy);
        let _ = match self.daemon {
            Some(daemon) => {
                writeln!(
                    row,
                    ",{:.2},{},{:.3},{},{}",
                    daemon.cpu.as_secs_f64(),
                    daemon.written,
                    daemon.sync_share,
                    daemon.resident,
                    daemon.peak
                )
            }
            None => writeln!(row, ",,,,,"),
        };
        row
    }

    /// The main figures as lines of text.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let measured = &self.measured;
        let told = |at: f64| micros(measured.latency.value_at_quantile(at));
        let mut lines = vec![
            format!("{:.0} answers a second ({} in {:.1} s)", measured.rate(), measured.answered, measured.elapsed.as_secs_f64()),
            format!(
                "latency in us: p50 {:.0}, p90 {:.0}, p99 {:.0}, p99.9 {:.0}, max {:.0}",
                told(0.5),
                told(0.9),
                told(0.99),
                told(0.999),
                told(1.0)
            ),
            format!("{} commits, {:.1} commands each", measured.commits, measured.entries_per_commit()),
        ];
        if measured.declined + measured.replayed + measured.balances > 0 {
            let (declined, replayed, balances) = (measured.declined, measured.replayed, measured.balances);
            lines.push(format!("{} commands done, {declined} declined; {replayed} repeated, {balances} balances", measured.done));
        }
        if let Some(daemon) = self.daemon {
            lines.push(format!(
                "daemon: {:.0} % of a processor ({:.2} us an answer), {:.0} % of the time waiting for the disk, {:.1} MB written ({:.0} bytes a command), {:.1} MiB resident",
                daemon.cpu.as_secs_f64() / measured.elapsed.as_secs_f64() * 100.0,
                per(daemon.cpu.as_secs_f64() * 1e6, measured.answered),
                daemon.sync_share * 100.0,
                daemon.written as f64 / 1e6,
                per(daemon.written as f64, measured.done + measured.declined),
                daemon.resident as f64 / 1_048_576.0,
            ));
        }
        lines.push(format!("generator: busy {:.0} % of the time", measured.busy * 100.0));
        lines
    }

    /// Reasons to distrust the figures; usually none.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let measured = &self.measured;
        let mut warnings = Vec::new();
        if measured.is_generator_bound() {
            warnings.push("the generator itself was the bottleneck: the bank can do more than this".to_owned());
        }
        if let Some(late) = &measured.lateness {
            let (late, median) = (late.value_at_quantile(0.99), measured.latency.value_at_quantile(0.5));
            if late > median / 2 {
                warnings.push(format!("the generator was late itself, by {:.0} us at its p99: the latencies hold that, too", micros(late)));
            }
        }
        if measured.unsent > 0 {
            warnings.push(format!("the bank did not keep up with the rate: {} commands were due and never sent", measured.unsent));
        }
        warnings
    }

    /// The distribution of latencies in microseconds, in the text format of the HdrHistogram tools (`.hgrm`).
    #[must_use]
    pub fn quantiles(&self) -> String {
        let latency = &self.measured.latency;
        let mut out = format!("{:>12} {:>14} {:>10} {:>14}\n\n", "Value", "Percentile", "TotalCount", "1/(1-Percentile)");
        let mut count = 0;
        for step in latency.iter_quantiles(TICKS) {
            count += step.count_since_last_iteration();
            let quantile = step.quantile_iterated_to();
            let last = if quantile < 1.0 { format!("{:.2}", 1.0 / (1.0 - quantile)) } else { "inf".to_owned() };
            let _ = writeln!(out, "{:>12.3} {quantile:>14.12} {count:>10} {last:>14}", micros(step.value_iterated_to()));
        }
        let _ = writeln!(out, "#[Mean    = {:>12.3}, StdDeviation   = {:>12.3}]", latency.mean() / 1e3, latency.stdev() / 1e3);
        let _ = writeln!(out, "#[Max     = {:>12.3}, Total count    = {:>12}]", micros(latency.max()), latency.len());
        out
    }
}

/// The column names, with the end of line. Latencies are in microseconds, memory and writes in bytes.
pub const CSV_HEADER: &str = "connections,depth,run,rate,accounts,spread,mix,duplicates,seconds,answered,per_second,done,declined,\
replayed,balances,p50_us,p90_us,p99_us,p999_us,p9999_us,max_us,commits,entries_per_commit,generator_busy,daemon_cpu_seconds,\
daemon_written,daemon_sync_share,daemon_resident,daemon_peak\n";

fn plan_json(plan: &Plan) -> Value {
    json!({
        "connections": plan.connections,
        "depth": plan.depth,
        "run": plan.run,
        "rate": plan.rate,
        "warm_up_seconds": plan.warm_up.as_secs_f64(),
        "duration_seconds": plan.duration.as_secs_f64(),
        "accounts": plan.accounts,
        "spread": spread(plan),
        "mix": plan.mix.to_string(),
        "duplicates": plan.duplicates,
        "seed": plan.seed,
    })
}

fn spread(plan: &Plan) -> String {
    match plan.spread {
        Spread::Uniform => "uniform".to_owned(),
        Spread::Zipf(power) => format!("zipf {power}"),
    }
}

fn micros(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e3
}

fn per(whole: f64, count: u64) -> f64 {
    if count == 0 { 0.0 } else { whole / count as f64 }
}
