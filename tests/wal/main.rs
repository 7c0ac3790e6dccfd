//! The write-ahead log as its callers see it: on a simulated disk that crashes, fails and rots, and on a real one.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss
)]

mod aside;
mod crash;
mod damage;
mod faults;
mod files;
mod forged;
mod golden;
mod joined;
mod os;
mod packing;
mod rot;
mod starts;
mod support;
