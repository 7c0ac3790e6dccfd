//! Faults between client and bank, and the proof that each request still takes effect once: a proxy that loses,
//! repeats, delays and cuts, processes that are killed, and a checker that believes neither side.
//!
//! It uses the client and the wire, as any outsider would, and reads the log by a reader of its own. Nothing here can
//! be reached from the daemon. Left out: options and printing (`cli/`).

mod faults;
mod proxy;
mod proxy_lane;

pub use faults::{BadShare, Faults, Share};
pub use proxy::{Counts, Proxy};
