//! The native protocol as bytes: framing and messages. Described for strangers in `docs/protocol.md`.
//!
//! Left out: sockets, buffers and limits of a connection (`server/`, `client/`), and what a message does.

pub mod fixed;
pub mod frame;
pub mod message;
