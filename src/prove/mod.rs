//! `bankd prove`: tests the exactly-once guarantee under injected faults. A proxy loses, duplicates, delays and cuts
//! messages, client and bank processes are killed, and a checker compares both sides with the log.
//!
//! It uses only the client and the wire, and reads the log by its own reader. The server never calls it.
//! Left out: options and printing (`cli/`).

mod actors;
mod broken;
mod check;
mod daemon;
mod error;
mod proxy;
mod run;

pub use crate::prove::check::log_reader::LogReadError;
pub use crate::prove::check::verdict::{Checked, Deeds, Verdict, Violation};
pub use crate::prove::proxy::faults::{BadShare, Faults, Share};
pub use broken::{Flaw, SmallBankError, serve as serve_small_bank};
pub use daemon::{Daemon, Ended};
pub use error::ProveError;
pub use proxy::{Counts, Proxy};
pub use run::{OnTrial, Plan, prove};
