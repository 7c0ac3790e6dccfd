//! The data types that all layers share, and their encodings.

pub mod amount;
pub mod bytes;
pub mod codec;
pub mod command;
pub mod entry;
pub mod invariant;
pub mod names;
pub mod secret;
pub mod types;
pub mod utilities;
