//! The lab's front end: text dialogues on three ports. They become the same requests as any other client's.

pub(super) mod dialogue;
#[cfg(test)]
mod dialogue_tests;
pub(super) mod line_ends;
pub(super) mod rules;
pub(super) mod session;
pub(super) mod text;
