//! The lab's front end: text dialogues on three ports over the same requests as every other client's.

pub(super) mod dialogue;
#[cfg(test)]
mod dialogue_tests;
pub(super) mod line_ends;
pub(super) mod rules;
pub(super) mod session;
pub(super) mod text;
