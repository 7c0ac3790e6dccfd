//! Load and charts: what the bank does in a second and how long each request takes, what errors on the way cost, and
//! what connections bring.
//!
//! It uses the client, the wire and the fault proxy, as any outsider would. Means and charts are the one place where
//! floating point is right: no money is among them. Left out: options and printing (`cli/`).
#![expect(clippy::float_arithmetic, clippy::cast_precision_loss, reason = "means of measured times, and charts of them")]

mod bank;
pub mod load;
mod process_sampler;
mod report;
mod sweep;
mod trial;

pub use crate::bench::process_sampler::DaemonFigures;
pub use bank::OwnBank;
pub use report::CSV_HEADER;
pub use sweep::{BenchError, Sweep, sweep};
pub use trial::{Report, Target, trial};
