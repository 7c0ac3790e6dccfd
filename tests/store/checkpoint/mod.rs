//! Checkpoints of a whole store on a simulated disk: made, found again, damaged, contradicted, interrupted anywhere.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss
)]

mod background;
mod keeping;
mod making;
mod put_aside;
mod snapshots;
mod starts;
pub mod support;
