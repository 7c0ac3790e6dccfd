//! The daemon: one thread, one loop, one sync per turn.
//!
//! `event_loop` owns the sockets, `connection` a client's bytes and deadlines, `service` the turn: bytes and the time
//! in, bytes out, so that a simulator can drive it and everything below. `arrival` judges what comes in, `walk`
//! answers it in its place, `native` speaks the native protocol.
//! Left out: log and bank (`engine/`), flags and files (`cli/`).

mod arrival;
mod connection;
mod event_loop;
mod native;
mod service;
mod sockets;
mod walk;

pub use event_loop::{EventLoop, Listen, ServeError};
pub use service::{Peer, Service};
