//! The clients of a proof: those that keep the rules, those that die, and those that break the rules.

pub(super) mod arena;
pub(super) mod caller;
pub(super) mod commander;
pub(super) mod customer;
pub(super) mod intruder;
pub(super) mod prober;
