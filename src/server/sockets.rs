//! Sockets: TCP and Unix behind one type, listeners that survive a full descriptor table.
//!
//! Left out: reading, writing and their order (`event_loop.rs`).

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use mio::event::Source;
use mio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use mio::{Interest, Registry, Token};

use super::service::Peer;
use crate::env::os;

/// A client's socket.
pub enum Socket {
    /// Over TCP.
    Tcp(TcpStream),
    /// Over the operator's Unix socket.
    Unix(UnixStream),
}

impl Socket {
    /// Registers for reading and writing, edge-triggered.
    ///
    /// # Errors
    /// The system's error.
    pub fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let interest = Interest::READABLE | Interest::WRITABLE;
        match self {
            Self::Tcp(stream) => stream.register(registry, token, interest),
            Self::Unix(stream) => stream.register(registry, token, interest),
        }
    }

    /// Reads once.
    ///
    /// # Errors
    /// The system's error; `WouldBlock` if no bytes are there. `Interrupted` is retried.
    pub fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        retry(|| match self {
            Self::Tcp(stream) => stream.read(buf),
            Self::Unix(stream) => stream.read(buf),
        })
    }

    /// Writes once.
    ///
    /// # Errors
    /// The system's error; `WouldBlock` if the socket has no room. `Interrupted` is retried.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        retry(|| match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
        })
    }
}

fn retry<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// A listening socket.
pub enum Listener {
    /// For clients over TCP, which become this kind of peer.
    Tcp(TcpListener, Peer),
    /// For the operator.
    Unix(UnixListener),
}

/// The result of accepting once.
pub enum Accepted {
    /// A client.
    Client {
        /// Its socket.
        socket: Socket,
        /// Its kind.
        peer: Peer,
        /// Its address, over TCP.
        address: Option<SocketAddr>,
    },
    /// A connection that was refused, or was closed before it was accepted.
    Nobody,
    /// No connection waits.
    Drained,
    /// The descriptor table is full: retry after a while, since no event will come.
    TableFull,
}

impl Listener {
    /// Registers for accepting, edge-triggered.
    ///
    /// # Errors
    /// The system's error.
    pub fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        match self {
            Self::Tcp(listener, _) => listener.register(registry, token, Interest::READABLE),
            Self::Unix(listener) => listener.register(registry, token, Interest::READABLE),
        }
    }

    /// Accepts once. `spare` is a descriptor that is released when the table is full, to accept one waiting connection
    /// and close it, rather than leave its client without an answer.
    pub fn accept(&self, spare: &mut Option<OwnedFd>) -> Accepted {
        match self.accept_client() {
            Ok((socket, peer, address)) => Accepted::Client { socket, peer, address },
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Accepted::Drained,
            Err(error) if os::is_out_of_descriptors(&error) => {
                drop(spare.take());
                let shed = self.accept_client().is_ok();
                *spare = os::spare_descriptor().ok();
                if shed { Accepted::Nobody } else { Accepted::TableFull }
            }
            Err(error) => {
                // The client gave up before it was accepted, or is not the operator but used the operator's socket.
                log::debug!("a connection was not accepted: {error}");
                if error.kind() == io::ErrorKind::OutOfMemory { Accepted::TableFull } else { Accepted::Nobody }
            }
        }
    }

    fn accept_client(&self) -> io::Result<(Socket, Peer, Option<SocketAddr>)> {
        match self {
            Self::Tcp(listener, peer) => {
                let (stream, address) = retry(|| listener.accept())?;
                // A reply is written whole, once a turn: do not delay it.
                stream.set_nodelay(true)?;
                Ok((Socket::Tcp(stream), *peer, Some(address)))
            }
            Self::Unix(listener) => {
                let (stream, _) = retry(|| listener.accept())?;
                let uid = os::peer_uid(&stream)?;
                if uid != os::own_uid() && uid != 0 {
                    return Err(io::Error::new(io::ErrorKind::PermissionDenied, format!("uid {uid} is not the operator")));
                }
                Ok((Socket::Unix(stream), Peer::Operator(uid), None))
            }
        }
    }
}
