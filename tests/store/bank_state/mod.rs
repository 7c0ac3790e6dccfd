//! The bank's state machine from outside: against an independent model, and rule by rule.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_possible_wrap
)]

mod against_model;
mod image;
mod model;
mod rules;
mod sessions;
pub mod support;
