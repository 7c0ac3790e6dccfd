//! What the test binaries share. Each uses a part of it.
#![allow(dead_code)]

pub mod daemon;
pub mod desk;
pub mod sim;
