//! The read side of the log: recovery, inspection, and diagnosis for repair.

pub(super) mod anchor;
pub(super) mod continuity;
pub(super) mod hold;
pub(super) mod inspect;
pub(super) mod lookup;
pub(super) mod mend;
pub(super) mod reader;
pub(super) mod recover;
pub(super) mod region;
pub(super) mod repair;
pub(super) mod segment_scan;
pub(super) mod size;
pub(super) mod tail_check;
