//! A whole store on a simulated disk that crashes, fails and rots: the bank, checkpoints, tools, and power cuts anywhere.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    missing_docs
)]

#[path = "../support/mod.rs"]
mod support;

mod bank_state;
mod checkpoint;
mod judgement;
mod ordered_log;
mod power_cut;
mod statements;
mod tools;
