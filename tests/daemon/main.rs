//! The real daemon over its sockets: what it answers, what it survives, and what strangers cannot do to it.

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

mod damage;
mod exactly_once;
mod floods;
mod herd;
mod kill;
mod lab;
mod places;
mod serving;
