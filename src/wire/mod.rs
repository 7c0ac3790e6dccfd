//! The encoding of the native protocol: frames and messages, as described in `docs/protocol.md`.
//!
//! Left out: sockets, buffers and limits of a connection (`server/`, `client/`), and the effects of messages.

pub mod fixed;
pub mod frame;
pub mod message;
mod numbers;
mod views;
