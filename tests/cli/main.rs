//! The commands as their users run them: real processes over a real daemon, and a proxy that loses messages.

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

mod batch;
mod bench_run;
mod client_commands;
mod doubts;
mod examples;
mod in_doubt;
mod log_tools;
mod names;
mod output;
mod schedules;
mod snapshot;
mod snapshots;
mod sweep;
mod teller_machine;
