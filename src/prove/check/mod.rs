//! The checker: a reader of the log and a model of the bank of its own, and what clients saw held against both.

pub(super) mod checker;
#[cfg(test)]
pub(super) mod checker_tests;
pub(super) mod history;
pub(super) mod log_bytes;
pub(super) mod log_reader;
pub(super) mod model;
pub(super) mod real_time;
pub(super) mod verdict;
