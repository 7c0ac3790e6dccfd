//! The write side of the log: the open batch, commits, segment creation, compression of finished segments.

pub(super) mod committer;
pub(super) mod compress;
pub(super) mod log;
pub(super) mod open_batch;
pub(super) mod segment_pool;
pub(super) mod segment_writer;
