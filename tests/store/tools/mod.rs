//! A whole store as an operator meets it when something is wrong: calls that fail, bytes that rot, tails to be
//! repaired, logs of old, and the tools that look at all of it. On a simulated disk.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::cast_possible_truncation, missing_docs)]

mod fail_stop;
mod history;
mod joined;
mod mend_cuts;
mod repair;
pub mod support;
