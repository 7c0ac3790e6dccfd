//! Load and charts: what errors on the way cost, and what connections bring.
//!
//! It uses the client, the wire and the fault proxy, as any outsider would. Means and charts are the one place where
//! floating point is right: no money is among them. Left out: options and printing (`cli/`).
#![expect(clippy::float_arithmetic, clippy::cast_precision_loss, reason = "means of measured times, and charts of them")]

mod bank;
mod chart;
mod clerk;
mod page;
mod sweep;
mod throughput;

pub use sweep::{BenchError, Sweep, sweep};
