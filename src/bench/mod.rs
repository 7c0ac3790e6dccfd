//! Load generator and charts: throughput and latency of the bank, the cost of errors, and throughput by connections.
//!
//! It uses only the client, the wire and the fault proxy. Floating point is allowed here alone: for means and charts, never
//! for money. Left out: options and printing (`cli/`).
#![expect(clippy::float_arithmetic, clippy::cast_precision_loss, reason = "means of measured times, and charts of them")]

mod bank;
mod error;
pub mod load;
mod process_sampler;
mod report;
mod sweep;
mod trial;

pub use crate::bench::process_sampler::DaemonFigures;
pub use bank::OwnBank;
pub use error::BenchError;
pub use report::CSV_HEADER;
pub use sweep::{Sweep, sweep};
pub use trial::{Report, Target, trial};
