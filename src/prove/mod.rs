//! Faults between client and bank, and the proof that each request still takes effect once: a proxy that loses,
//! repeats, delays and cuts, processes that are killed, and a checker that believes neither side.
//!
//! It uses the client and the wire, as any outsider would, and reads the log by a reader of its own. Nothing here can
//! be reached from the daemon. Left out: options and printing (`cli/`).

mod arena;
mod broken;
mod caller;
mod checker;
#[cfg(test)]
mod checker_tests;
mod commander;
mod customer;
mod daemon;
mod faults;
mod history;
mod intruder;
mod log_bytes;
mod log_reader;
mod model;
mod prober;
mod proxy;
mod proxy_lane;
mod real_time;
mod run;
mod verdict;

pub use broken::{Flaw, SmallBankError, serve as serve_small_bank};
pub use daemon::{Daemon, Ended};
pub use faults::{BadShare, Faults, Share};
pub use log_reader::LogReadError;
pub use proxy::{Counts, Proxy};
pub use run::{OnTrial, Plan, ProveError, prove};
pub use verdict::{Checked, Deeds, Verdict, Violation};
