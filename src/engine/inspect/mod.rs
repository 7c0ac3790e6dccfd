//! Inspects a store without changing it: its history, one request, the whole log, and whether a start accepts it.

pub(super) mod explain;
pub(super) mod history;
pub(super) mod judge;
pub(super) mod verify;
