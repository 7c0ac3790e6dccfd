//! The load generator: one thread, many connections, every answer checked and timed.
//!
//! A closed loop keeps a number of commands in flight on each connection. An open loop sends at a fixed rate and measures each
//! latency from the intended time of sending, so that a stall counts for every request that was due meanwhile.
//! It allocates nothing per request. Left out: starting a bank (`trial.rs`), output (`report.rs`, `cli/`).

mod audit;
mod draw;
mod generator;
mod lane;
mod plan;
mod schedule;
mod tally;

pub use generator::{Mark, load};
pub use plan::{BadPlan, Mix, Plan, Spread};
pub use tally::Measured;
