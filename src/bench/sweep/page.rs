//! The sweep's files: two CSV tables, and one self-contained HTML page with the charts.
//!
//! Left out: measuring (`sweep/mod.rs`), drawing (`chart.rs`).

use crate::bench::BenchError;
use crate::bench::sweep::chart::{Line, LineStyle, Words, draw};
use crate::bench::sweep::worker::Kind;
use crate::bench::sweep::{ErrorKind, NOTICED, Rate, Series, attempts_expected};

const STYLE: &str = "body{font-family:sans-serif;max-width:46rem;margin:2rem auto;padding:0 1rem;line-height:1.45;color:#111}\
svg{max-width:100%;height:auto}figure{margin:2rem 0}table{border-collapse:collapse;font-size:.85rem}\
td,th{border:1px solid #bbb;padding:.15rem .5rem;text-align:right}th:first-child,td:first-child{text-align:left}";

/// The name of an error in tables, and its description.
const fn error_name(error: ErrorKind) -> (&'static str, &'static str) {
    match error {
        ErrorKind::Answered => ("transaction-error", "the server answers \"transaction error\""),
        ErrorKind::ReplyLost => ("reply-lost", "the server's reply is lost"),
        ErrorKind::RequestLost => ("request-lost", "the client's request is lost"),
    }
}

const fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Money => "deposit",
        Kind::Utility => "lower-case",
    }
}

/// The CSV table of all points of all series.
pub(in crate::bench) fn error_rate_csv(all: &[Series]) -> String {
    let mut out = "error,transaction,error_percent,transactions,attempts_each,attempts_expected,mean_us,expected_us\n".to_owned();
    for series in all {
        let (error, kind) = (error_name(series.error).0, kind_name(series.kind));
        for point in &series.points {
            out.push_str(&format!(
                "{error},{kind},{},{},{:.3},{:.3},{:.1},{:.1}\n",
                point.percent,
                point.transactions,
                point.attempts,
                attempts_expected(f64::from(point.percent)),
                point.mean,
                series.expected(f64::from(point.percent))
            ));
        }
    }
    out
}

/// The CSV table of throughput by connections.
pub(in crate::bench) fn throughput_csv(rates: &[Rate]) -> String {
    let mut out = "connections,deposits_per_second,mean_us\n".to_owned();
    for rate in rates {
        out.push_str(&format!("{},{:.0},{:.1}\n", rate.connections, rate.per_second, rate.mean));
    }
    out
}

/// The HTML page.
pub(in crate::bench) fn html(all: &[Series], rates: &[Rate], seed: u64) -> Result<String, BenchError> {
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>What errors cost</title><style>{STYLE}</style></head><body>\n\
         <h1>What errors cost</h1>\n\
         <p>One client does one transaction after the other through a proxy that makes a share of the attempts fail, and sends each again \
         at once until it is answered. A deposit is numbered, logged and synced, and takes effect once however often it is sent: at the \
         end of each series the account holds exactly what was answered for. Turning text into lower case may be done any number of \
         times, and is the control group. A lost message is noticed after {} ms, and then the client connects anew; a deposit's client \
         also logs in, which is a synced entry in the log, and takes up its session.</p>\n\
         <p>If an attempt fails with probability <i>p</i>, a transaction takes 1/(1&minus;<i>p</i>) attempts. With <i>s</i> the mean time \
         of an attempt that is answered and <i>f</i> that of one that fails, until the next can be sent, it takes \
         <i>s</i> + <i>f</i> (1/(1&minus;<i>p</i>) &minus; 1): the curves named \"expected\". Figures 14 and 15 are the lab report's. \
         Errors are drawn from the seed {seed}; the times are of one machine.</p>\n",
        NOTICED.as_millis()
    );
    let mut figure = |svg: &str, caption: &str| out.push_str(&format!("<figure>{svg}<figcaption>{caption}</figcaption></figure>\n"));
    for (name, error) in [("Figure 14a", ErrorKind::Answered), ("Figure 14b", ErrorKind::ReplyLost), ("Figure 15", ErrorKind::RequestLost)]
    {
        let side = if error == ErrorKind::RequestLost { "Client-side errors" } else { "Server-side errors" };
        let words =
            Words { title: format!("{side}: {}", error_name(error).1), x: "attempts that fail [%]", y: "mean time of a transaction [ms]" };
        let svg = draw(&words, &time_lines(all, error))?;
        figure(&svg, &format!("{name}. Mean time of a transaction against the error rate; {}.", error_name(error).1));
    }
    let words = Words { title: "Attempts a transaction takes".to_owned(), x: "attempts that fail [%]", y: "attempts a transaction" };
    figure(&draw(&words, &attempt_lines(all))?, "Attempts a transaction against the error rate, and 1/(1&minus;<i>p</i>). Deposits.");
    let words = Words { title: "Throughput".to_owned(), x: "connections, one request in flight each", y: "deposits a second [thousands]" };
    let points = rates.iter().map(|rate| (rate.connections as f64, rate.per_second / 1e3)).collect();
    let line = Line { name: "deposits".to_owned(), look: LineStyle::Disc, points };
    figure(
        &draw(&words, &[line])?,
        "Synced deposits a second against connections, without errors and without the proxy. One sync serves all who asked meanwhile.",
    );
    out.push_str("<h2>The figures</h2>\n");
    out.push_str(&table(&error_rate_csv(all)));
    out.push_str(&table(&throughput_csv(rates)));
    out.push_str("</body></html>\n");
    Ok(out)
}

fn time_lines(all: &[Series], error: ErrorKind) -> Vec<Line> {
    let mut lines = Vec::new();
    for series in all.iter().filter(|series| series.error == error) {
        let (look, expected, name) = match series.kind {
            Kind::Money => (LineStyle::Disc, LineStyle::Dashed, "deposit"),
            Kind::Utility => (LineStyle::Triangle, LineStyle::Dotted, "lower-case (idempotent)"),
        };
        let measured = series.points.iter().map(|point| (f64::from(point.percent), point.mean / 1e3)).collect();
        let curve = (0..=60_u8).map(f64::from).map(|percent| (percent, series.expected(percent) / 1e3)).collect();
        lines.push(Line { name: format!("{name}, measured"), look, points: measured });
        lines.push(Line { name: format!("{name}, expected"), look: expected, points: curve });
    }
    lines
}

fn attempt_lines(all: &[Series]) -> Vec<Line> {
    let looks =
        [(ErrorKind::Answered, LineStyle::Disc), (ErrorKind::ReplyLost, LineStyle::Triangle), (ErrorKind::RequestLost, LineStyle::Cross)];
    let mut lines: Vec<Line> = Vec::new();
    for (error, look) in looks {
        for series in all.iter().filter(|series| series.error == error && series.kind == Kind::Money) {
            let points = series.points.iter().map(|point| (f64::from(point.percent), point.attempts)).collect();
            lines.push(Line { name: error_name(error).1.to_owned(), look, points });
        }
    }
    let expected = (0..=60_u8).map(|percent| (f64::from(percent), attempts_expected(f64::from(percent)))).collect();
    lines.push(Line { name: "1/(1-p)".to_owned(), look: LineStyle::Dashed, points: expected });
    lines
}

/// A CSV text without quoted fields as an HTML table.
fn table(csv: &str) -> String {
    let mut out = "<table>\n".to_owned();
    for (index, line) in csv.lines().enumerate() {
        let cell = if index == 0 { "th" } else { "td" };
        out.push_str("<tr>");
        line.split(',').for_each(|field| out.push_str(&format!("<{cell}>{}</{cell}>", field.replace('_', " "))));
        out.push_str("</tr>\n");
    }
    out + "</table>\n"
}
