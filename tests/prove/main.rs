//! The proof and what it rests on: runs of `bankd prove`, and the pages that argue, checked against the code.

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

mod argument;
mod by_hand;
mod performance_page;
mod proof;
