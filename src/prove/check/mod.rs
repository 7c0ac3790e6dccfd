//! The checker: an independent log reader and an independent model of the bank, and the comparison of both with what the
//! clients observed.

pub(super) mod checker;
#[cfg(test)]
pub(super) mod checker_tests;
pub(super) mod history;
pub(super) mod log_bytes;
pub(super) mod log_reader;
pub(super) mod model;
pub(super) mod real_time;
pub(super) mod verdict;
