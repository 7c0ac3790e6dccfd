//! Sockets: TCP and Unix behind one type, listeners that survive a full descriptor table.
//!
//! Left out: what is read and written (`event_loop.rs`).

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
    /// What the system says.
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
    /// What the system says; `Interrupted` is tried again here.
    pub fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        retry(|| match self {
            Self::Tcp(stream) => stream.read(buf),
            Self::Unix(stream) => stream.read(buf),
        })
    }

    /// Writes once.
    ///
    /// # Errors
    /// What the system says; `Interrupted` is tried again here.
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
    /// For anybody, who is taken for this kind of peer.
    Tcp(TcpListener, Peer),
    /// For the operator.
    Unix(UnixListener),
}

/// What accepting once brought.
pub enum Accepted {
    /// A client.
    Client {
        /// Its socket.
        socket: Socket,
        /// What it is.
        peer: Peer,
        /// Where it is, over TCP.
        address: Option<SocketAddr>,
    },
    /// Somebody who is not let in, or was gone again.
    Nobody,
    /// Nobody waits any more.
    Drained,
    /// The descriptor table is full: try again after a while, since no event will come.
    TableFull,
}

impl Listener {
    /// Registers for accepting, edge-triggered.
    ///
    /// # Errors
    /// What the system says.
    pub fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        match self {
            Self::Tcp(listener, _) => listener.register(registry, token, Interest::READABLE),
            Self::Unix(listener) => listener.register(registry, token, Interest::READABLE),
        }
    }

    /// Accepts once. `spare` is a descriptor that is given up when the table is full, so that whoever waits is at
    /// least told to go.
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
                // The client gave up before it was accepted, or the operator's socket was used by somebody else.
                log::debug!("a connection was not accepted: {error}");
                if error.kind() == io::ErrorKind::OutOfMemory { Accepted::TableFull } else { Accepted::Nobody }
            }
        }
    }

    fn accept_client(&self) -> io::Result<(Socket, Peer, Option<SocketAddr>)> {
        match self {
            Self::Tcp(listener, peer) => {
                let (stream, address) = retry(|| listener.accept())?;
                // A reply is written whole, once a turn: there is nothing to wait for.
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
