//! The daemon: one thread, one loop, one sync per turn.
//!
//! `event_loop` owns the sockets and `sockets` wraps them; `connection` holds a client's bytes and deadlines. `service`
//! takes bytes and the time and returns bytes, so that a simulator can drive it and everything below. `turn` admits
//! requests to the batch and answers them in order; `requests` has both phases of each kind of request. `budget` bounds
//! a turn and all memory, `price` estimates the cost of a query, `deadlines` closes overdue connections, `places`
//! limits their number. `native` decodes and encodes the native protocol; `lab` is the lab's text protocol.
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
mod spent;
mod turn;

pub use crate::server::lab::dialogue::Port as LabPort;
pub use crate::server::lab::rules::{ErrorRate, LabRules, NoShare};
pub use event_loop::{EventLoop, Listen, ServeError};
pub use places::connections_that_fit;
pub use service::{Delivery, Peer, Service};
