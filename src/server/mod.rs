//! The daemon: one thread, one loop, one sync per turn.
//!
//! `event_loop` owns the sockets, `connection` a client's bytes and deadlines, `service` the turn: bytes and the time
//! in, bytes out, so that a simulator can drive it and everything below. `arrival` judges what comes in, `walk`
//! answers it in its place, `budget` bounds a turn and all memory, `price` knows what a question costs, `deadlines` ends who
//! is late, `places` counts descriptors, `native` speaks the native protocol, `lab` the lab's text, which `conversation` takes through
//! the turn.
//! Left out: log and bank (`engine/`), flags and files (`cli/`).

mod budget;
mod connection;
mod deadlines;
mod event_loop;
mod lab;
mod native;
mod places;
mod price;
mod requests;
mod service;
mod sockets;
mod turn;

pub use crate::server::lab::dialogue::Port as LabPort;
pub use crate::server::lab::rules::{ErrorRate, LabRules, NoShare};
pub use event_loop::{EventLoop, Listen, ServeError};
pub use places::connections_that_fit;
pub use service::{Delivery, Peer, Service};
