//! The writing side of the log: the open batch, the commit, new segments, compression of finished ones.

pub(super) mod committer;
pub(super) mod compress;
pub(super) mod log;
pub(super) mod open_batch;
pub(super) mod segment_pool;
pub(super) mod segment_writer;
