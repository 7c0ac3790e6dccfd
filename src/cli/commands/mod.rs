//! The commands of `bankd`, one file each.

pub(super) mod account;
pub(super) mod atm;
pub(super) mod batch;
pub(super) mod batch_lines;
pub(super) mod bench;
pub(super) mod bench_run;
pub(super) mod explain;
pub(super) mod init;
pub(super) mod money;
pub(super) mod prove;
pub(super) mod proxy;
pub(super) mod resolve;
pub(super) mod serve;
pub(super) mod sessions;
pub(super) mod snapshot;
pub(super) mod statement;
pub(super) mod teller;
pub(super) mod utility;
pub(super) mod wal;
