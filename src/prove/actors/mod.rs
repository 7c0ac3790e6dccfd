//! The clients of a test run: correct ones, ones that are killed, and ones that violate the protocol's rules.

pub(super) mod arena;
pub(super) mod caller;
pub(super) mod commander;
pub(super) mod customer;
pub(super) mod intruder;
pub(super) mod prober;
