//! bankd: a persistent transactional bank. Every withdrawal and deposit is in a synced write-ahead log before it is
//! answered, takes effect exactly once, and is answered with the one true answer however often it is asked.
//!
//! Layers, each importing only from those below it (`tests/tidy.rs` holds this):
//! 4 `server`, `client`, `prove`, `bench`; 3 `engine`; 2 `wire`, `bank`, `wal`; 1 everything else. The tour is in `ARCHITECTURE.md`.

#![cfg_attr(
    test,
    allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_possible_wrap,
        clippy::cast_precision_loss,
        clippy::float_arithmetic
    )
)]

// Lengths and offsets go between u64 and usize without loss.
const _: () = assert!(usize::BITS == 64, "bankd needs a machine of 64 bits");

pub mod env;
pub mod model;

pub mod bank;
pub mod wal;
pub mod wire;

pub mod engine;

pub mod bench;
pub mod client;
pub mod prove;
pub mod server;
