//! Faults between client and bank, and the proof that each request still takes effect once: a proxy that loses,
//! repeats, delays and cuts, processes that are killed, and a checker that believes neither side.
//!
//! It uses the client and the wire, as any outsider would, and reads the log by a reader of its own. Nothing here can
//! be reached from the daemon. Left out: options and printing (`cli/`).

mod actors;
mod broken;
mod check;
mod daemon;
mod proxy;
mod run;

pub use crate::prove::check::log_reader::LogReadError;
pub use crate::prove::check::verdict::{Checked, Deeds, Verdict, Violation};
pub use crate::prove::proxy::faults::{BadShare, Faults, Share};
pub use broken::{Flaw, SmallBankError, serve as serve_small_bank};
pub use daemon::{Daemon, Ended};
pub use proxy::{Counts, Proxy};
pub use run::{OnTrial, Plan, ProveError, prove};
