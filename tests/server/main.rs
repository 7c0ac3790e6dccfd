//! The server without its sockets: messages as bytes, and the bounds and order of a turn.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    missing_docs
)]

mod fuzzish;
mod golden_wire;
mod lab_turn;
mod turn_bounds;
