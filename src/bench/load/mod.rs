//! The load generator: one thread, many connections, every answer checked and timed.
//!
//! Closed loop (so many commands in flight a connection) or open loop (so many a second, each timed from the moment at
//! which it was meant to be sent, so that a bank that stalls is charged for all who would have come meanwhile).
//! It allocates nothing per request. Left out: whose bank it is (`trial.rs`), files and words (`report.rs`, `cli/`).

mod audit;
mod draw;
mod frames;
mod generator;
mod lane;
mod plan;
mod schedule;
mod tally;

pub use generator::{Mark, load};
pub use plan::{BadPlan, Mix, Plan, Spread};
pub use tally::Measured;
