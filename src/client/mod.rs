//! To be filled in this very change set.
