//! The event loop: the mio shim that moves bytes between sockets and the service, one turn after the other.
//!
//! mio is edge-triggered: a socket that was not read to a short read, or a listener that was not accepted to
//! `WouldBlock`, is remembered here, since no further event will come for it. Left out: everything but bytes.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mio::net::{TcpListener, UnixListener};
use mio::{Events, Poll, Token};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook_mio::v1_0::Signals;

use super::service::{Peer, Service};
use super::sockets::{Accepted, Listener, Socket};
use crate::engine::Fatal;
use crate::env::{Clock, os};

const SIGNALS: Token = Token(0);
const CLIENTS: Token = Token(1);
const OPERATOR: Token = Token(2);
/// A connection's token is its slot plus this.
const FIRST_CONNECTION: usize = 16;

/// Bytes read at a time.
const READ: usize = 64 * 1024;
/// Reads a connection in one turn, so that nobody starves.
const READS: usize = 4;
/// How long a listener waits after the descriptor table was full.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Polls after the first one in a turn, for whoever became ready meanwhile.
const LATECOMERS: usize = 2;

/// Where to listen.
#[derive(Clone, Copy, Debug)]
pub struct Listen<'a> {
    /// The native protocol; port 0 takes any.
    pub native: SocketAddr,
    /// The operator's Unix socket. What stands there already is removed: the store's lock is ours.
    pub operator: &'a Path,
    /// The most connections; more are closed at once.
    pub max_connections: usize,
}

/// What keeps the daemon from listening.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address is taken or not ours.
    #[error("cannot listen on {address}: {source}")]
    Address {
        /// Which.
        address: String,
        /// What the system says.
        source: io::Error,
    },
    /// The system gives no poll, signals or descriptors.
    #[error("cannot set up the event loop: {0}")]
    Setup(#[from] io::Error),
}

/// The loop and everything that it owns.
pub struct EventLoop {
    poll: Poll,
    service: Service,
    clock: Arc<dyn Clock>,
    signals: Signals,
    clients: Listener,
    /// None where the data directory's path is too long for a socket.
    operator: Option<Listener>,
    /// By slot.
    sockets: Vec<Option<ClientSocket>>,
    /// Sockets that may hold more than was read.
    unread: Vec<usize>,
    /// Given up when the descriptor table is full.
    spare: Option<OwnedFd>,
    /// When to accept again after that.
    accept_again: Option<Duration>,
    max_connections: usize,
    buffer: Vec<u8>,
    address: SocketAddr,
    is_stopping: bool,
}

struct ClientSocket {
    socket: Socket,
    is_unread: bool,
    /// The other side has shut down its sending: read on until 0, whatever a short read says.
    is_read_closed: bool,
}

impl EventLoop {
    /// Listens. Recovery is over by now: whoever connects is served.
    ///
    /// # Errors
    /// [`ServeError`].
    pub fn listen(service: Service, clock: Arc<dyn Clock>, listen: Listen<'_>) -> Result<Self, ServeError> {
        let address_error = |address: String| move |source| ServeError::Address { address, source };
        let poll = Poll::new()?;
        let tcp = TcpListener::bind(listen.native).map_err(address_error(listen.native.to_string()))?;
        let address = tcp.local_addr()?;
        let mut clients = Listener::Tcp(tcp);
        clients.register(poll.registry(), CLIENTS)?;
        let mut operator = bind_operator(listen.operator).map_err(address_error(listen.operator.display().to_string()))?;
        if let Some(operator) = &mut operator {
            operator.register(poll.registry(), OPERATOR)?;
        }
        let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP])?;
        poll.registry().register(&mut signals, SIGNALS, mio::Interest::READABLE)?;
        Ok(Self {
            poll,
            service,
            clock,
            signals,
            clients,
            operator,
            sockets: Vec::new(),
            unread: Vec::new(),
            spare: Some(os::spare_descriptor()?),
            accept_again: None,
            max_connections: listen.max_connections,
            buffer: vec![0; READ],
            address,
            is_stopping: false,
        })
    }

    /// Where the native protocol is spoken.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until SIGTERM or SIGINT, then seals the log and returns.
    ///
    /// # Errors
    /// [`Fatal`]: the process must end at once; nobody of this turn is answered.
    pub fn run(mut self) -> Result<(), Fatal> {
        let mut events = Events::with_capacity(1024);
        while !self.is_stopping {
            let patience = self.patience();
            self.poll(&mut events, patience)?;
            self.service.resume(self.clock.monotonic())?;
            self.gather(&events)?;
            self.read_on()?;
            for _ in 0..LATECOMERS {
                if !self.service.has_work() || self.service.is_full() {
                    break;
                }
                self.poll(&mut events, Some(Duration::ZERO))?;
                if events.is_empty() {
                    break;
                }
                self.gather(&events)?;
            }
            self.service.finish_turn(self.clock.monotonic())?;
            self.flush();
        }
        self.service.seal()
    }

    fn patience(&self) -> Option<Duration> {
        let now = self.clock.monotonic();
        if self.unread.iter().any(|slot| self.service.may_read(*slot)) {
            return Some(Duration::ZERO);
        }
        let accept = self.accept_again.map(|at| at.saturating_sub(now));
        match (self.service.patience(now), accept) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        }
    }

    fn poll(&mut self, events: &mut Events, patience: Option<Duration>) -> Result<(), Fatal> {
        match self.poll.poll(events, patience) {
            // A signal came: its own event follows.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            result => result.map_err(|source| Fatal::Loop { call: "poll", source }),
        }
    }

    /// Takes what the events announce.
    fn gather(&mut self, events: &Events) -> Result<(), Fatal> {
        for event in events {
            match event.token() {
                SIGNALS => self.take_signals(),
                CLIENTS | OPERATOR => self.accept(event.token()),
                Token(token) => {
                    let slot = token.wrapping_sub(FIRST_CONNECTION);
                    let Some(Some(client)) = self.sockets.get_mut(slot) else { continue };
                    client.is_read_closed |= event.is_read_closed();
                    if event.is_readable() || event.is_read_closed() {
                        self.read(slot)?;
                    }
                    if event.is_writable() {
                        self.write(slot);
                    }
                }
            }
        }
        if self.accept_again.is_some_and(|at| at <= self.clock.monotonic()) {
            self.accept_again = None;
            self.accept(CLIENTS);
            self.accept(OPERATOR);
        }
        Ok(())
    }

    /// Goes on with sockets that were not read to the end in an earlier turn.
    fn read_on(&mut self) -> Result<(), Fatal> {
        for slot in std::mem::take(&mut self.unread) {
            if let Some(Some(client)) = self.sockets.get_mut(slot)
                && std::mem::take(&mut client.is_unread)
            {
                self.read(slot)?;
            }
        }
        Ok(())
    }

    fn take_signals(&mut self) {
        for signal in self.signals.pending() {
            if signal == SIGHUP {
                log::info!("SIGHUP: nothing to reopen, the log goes to standard error");
            } else {
                log::info!("ending on signal {signal}");
                self.is_stopping = true;
            }
        }
    }

    fn accept(&mut self, token: Token) {
        loop {
            let listener = if token == CLIENTS { Some(&self.clients) } else { self.operator.as_ref() };
            let Some(listener) = listener else { return };
            match listener.accept(&mut self.spare) {
                Accepted::Client(socket, peer) => self.admit(socket, peer),
                Accepted::Nobody => {}
                Accepted::Drained => return,
                Accepted::TableFull => {
                    self.accept_again = Some(self.clock.monotonic().saturating_add(ACCEPT_PAUSE));
                    return;
                }
            }
        }
    }

    fn admit(&mut self, mut socket: Socket, peer: Peer) {
        if self.service.connection_count() >= self.max_connections {
            log::warn!("a connection was closed at once: there are {} already", self.max_connections);
            return;
        }
        let slot = self.service.open(peer, self.clock.monotonic());
        if let Err(error) = socket.register(self.poll.registry(), Token(FIRST_CONNECTION.saturating_add(slot))) {
            log::warn!("a connection could not be registered: {error}");
            self.service.close(slot);
            return;
        }
        if self.sockets.len() <= slot {
            self.sockets.resize_with(slot + 1, || None);
        }
        if let Some(place) = self.sockets.get_mut(slot) {
            *place = Some(ClientSocket { socket, is_unread: false, is_read_closed: false });
        }
    }

    fn read(&mut self, slot: usize) -> Result<(), Fatal> {
        for _ in 0..READS {
            if !self.service.may_read(slot) {
                break;
            }
            let Some(Some(client)) = self.sockets.get_mut(slot) else { return Ok(()) };
            match client.socket.read(&mut self.buffer) {
                Ok(0) => {
                    self.service.end_of_input(slot);
                    return Ok(());
                }
                Ok(count) => {
                    let is_drained = count < READ && !client.is_read_closed;
                    self.service.receive(slot, self.buffer.get(..count).unwrap_or_default(), self.clock.monotonic())?;
                    if is_drained {
                        return Ok(());
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(_) => {
                    self.drop_connection(slot);
                    return Ok(());
                }
            }
        }
        // Stopped early: no event will tell of what is left.
        if let Some(Some(client)) = self.sockets.get_mut(slot)
            && !client.is_unread
        {
            client.is_unread = true;
            self.unread.push(slot);
        }
        Ok(())
    }

    /// One write for each connection that has something to say.
    fn flush(&mut self) {
        let dirty = self.service.take_dirty();
        for slot in &dirty {
            self.write(*slot);
        }
        self.service.give_back_dirty(dirty);
    }

    fn write(&mut self, slot: usize) {
        let Some(Some(client)) = self.sockets.get_mut(slot) else { return };
        loop {
            let unsent = self.service.unsent(slot);
            if unsent.is_empty() {
                break;
            }
            match client.socket.write(unsent) {
                Ok(count) if count > 0 => self.service.wrote(slot, count, self.clock.monotonic()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                _ => {
                    self.drop_connection(slot);
                    return;
                }
            }
        }
        if self.service.is_finished(slot) {
            self.drop_connection(slot);
        }
    }

    fn drop_connection(&mut self, slot: usize) {
        // Dropping the socket closes it, which takes it out of the poll.
        if let Some(place) = self.sockets.get_mut(slot) {
            *place = None;
        }
        self.service.close(slot);
    }
}

/// Binds the operator's socket, replacing what a killed daemon left behind.
fn bind_operator(path: &Path) -> io::Result<Option<Listener>> {
    os::remove_socket(path)?;
    match UnixListener::bind(path) {
        Ok(listener) => Ok(Some(Listener::Unix(listener))),
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
            log::warn!("no operator commands: the path {} is too long for a Unix socket", path.display());
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
