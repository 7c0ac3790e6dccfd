//! The reading side of the log: recovery, inspection, and what a repair needs to know.

pub(super) mod anchor;
pub(super) mod hold;
pub(super) mod inspect;
pub(super) mod mend;
pub(super) mod reader;
pub(super) mod recover;
pub(super) mod repair;
pub(super) mod segment_scan;
pub(super) mod size;
pub(super) mod tail_check;
