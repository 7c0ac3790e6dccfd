//! The event loop: the mio shim that moves bytes between sockets and the service, one turn after the other.
//!
//! mio is edge-triggered: no further event comes for a socket that was not read to a short read, or a listener that was
//! not accepted to `WouldBlock`, so both are remembered here. Left out: everything but bytes.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mio::net::{TcpListener, UnixListener};
use mio::{Events, Poll, Token, Waker};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook_mio::v1_0::Signals;

use super::places::{OPERATORS, Refusals};
use super::service::{Delivery, Peer, Service};
use super::sockets::{Accepted, Listener, Socket};
use crate::engine::Fatal;
use crate::env::{Clock, os};
use crate::server::lab::dialogue::Port;

const SIGNALS: Token = Token(0);
/// A listener's token is its index plus this.
const FIRST_LISTENER: usize = 1;
/// Another thread has an answer.
const WAKER: Token = Token(15);
/// A connection's token is its slot plus this.
const FIRST_CONNECTION: usize = 16;

/// Bytes read at a time.
const READ: usize = 64 * 1024;
/// Bytes that a connection may send in a turn, shared by all with unread bytes.
const READ_SHARE: usize = 4 * READ;
/// Bytes that are read in a turn.
const READ_IN_ALL: usize = 4 << 20;
/// The smallest share of a connection, in bytes.
const FEW: usize = 4096;
/// Connections that a listener accepts in a turn.
const ACCEPTS: usize = 64;
/// How long a listener waits after the descriptor table was full.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Polls after the first one in a turn, for sockets that became ready meanwhile.
const LATECOMERS: usize = 2;

/// Where to listen.
#[derive(Clone, Copy, Debug)]
pub struct Listen<'a> {
    /// The native protocol; port 0 takes any.
    pub native: SocketAddr,
    /// The operator's Unix socket. A file of that name is removed: the store's lock is held, so it is a leftover.
    pub operator: &'a Path,
    /// The same socket by a path that leads to the store's directory even after the directory is renamed.
    pub operator_by_handle: &'a Path,
    /// The lab's text, each port at most once; port 0 takes any.
    pub lab: &'a [(Port, SocketAddr)],
    /// The most connections over TCP; further ones are closed at once. The operator's do not count.
    pub max_connections: usize,
}

/// Why the daemon cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address is in use, or not of this machine.
    #[error("cannot listen on {address}: {source}")]
    Address {
        /// The address.
        address: String,
        /// The system's error.
        source: io::Error,
    },
    /// The system has no poll, signals or descriptors left.
    #[error("cannot set up the event loop: {0}")]
    Setup(#[from] io::Error),
}

/// The loop and everything that it owns.
pub struct EventLoop {
    poll: Poll,
    service: Service,
    clock: Arc<dyn Clock>,
    signals: Signals,
    listeners: Vec<Listener>,
    /// By slot.
    sockets: Vec<Option<ClientSocket>>,
    /// Slots of sockets that may hold unread bytes, and were not read in this turn.
    unread: Vec<usize>,
    /// The same, of sockets that were read in this turn: `unread` is read first.
    read: Vec<usize>,
    /// Bytes that may still be read in this turn.
    read_left: usize,
    /// Connections with unread bytes when the turn began, plus one.
    sharers: usize,
    /// Indexes of listeners that may have more connections to accept.
    unaccepted: Vec<usize>,
    refusals: Refusals,
    /// A spare descriptor, released when the descriptor table is full.
    spare: Option<OwnedFd>,
    /// When to accept again after the table was full.
    accept_again: Option<Duration>,
    max_connections: usize,
    buffer: Vec<u8>,
    /// The name and the address of each front end.
    ready: Vec<(&'static str, SocketAddr)>,
    is_stopping: bool,
    /// Another thread has an answer.
    is_woken: bool,
}

struct ClientSocket {
    socket: Socket,
    /// The peer has shut down its sending: read until 0, even after a short read.
    is_read_closed: bool,
    /// The address of a lab client; its connecting and disconnecting are logged.
    lab_address: Option<SocketAddr>,
}

impl EventLoop {
    /// Listens. Recovery is over by now: clients are served at once.
    ///
    /// # Errors
    /// [`ServeError`].
    pub fn listen(service: Service, clock: Arc<dyn Clock>, listen: Listen<'_>) -> Result<Self, ServeError> {
        let address_error = |address: String| move |source| ServeError::Address { address, source };
        let poll = Poll::new()?;
        let mut listeners = Vec::new();
        let mut ready = Vec::new();
        let lab = listen.lab.iter().map(|(port, address)| (port.name(), Peer::Lab(*port), *address));
        for (name, peer, address) in std::iter::once(("native", Peer::Client, listen.native)).chain(lab) {
            let tcp = TcpListener::bind(address).map_err(address_error(address.to_string()))?;
            ready.push((name, tcp.local_addr()?));
            listeners.push(Listener::Tcp(tcp, peer));
        }
        listeners.extend(bind_operator(listen.operator_by_handle).map_err(address_error(listen.operator.display().to_string()))?);
        for (place, listener) in listeners.iter_mut().enumerate() {
            assert!(FIRST_LISTENER + place < WAKER.0, "tokens for all listeners");
            listener.register(poll.registry(), Token(FIRST_LISTENER + place))?;
        }
        if listen.lab.iter().any(|(port, _)| *port == Port::Atm) {
            // The wording of the report's server.
            log::info!("Socket created successfully");
            log::info!("successfully Binded");
            log::info!("Server is listening");
        }
        let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP])?;
        poll.registry().register(&mut signals, SIGNALS, mio::Interest::READABLE)?;
        let waker = Waker::new(poll.registry(), WAKER)?;
        service.engine().wake_for_statements(Box::new(move || {
            // If it fails, the answer is sent with the next event.
            let _ = waker.wake();
        }));
        Ok(Self {
            poll,
            service,
            clock,
            signals,
            listeners,
            sockets: Vec::new(),
            unread: Vec::new(),
            read: Vec::new(),
            read_left: READ_IN_ALL,
            sharers: 1,
            unaccepted: Vec::new(),
            refusals: Refusals::default(),
            spare: Some(os::spare_descriptor()?),
            accept_again: None,
            max_connections: listen.max_connections,
            buffer: vec![0; READ],
            ready,
            is_stopping: false,
            is_woken: false,
        })
    }

    /// The name and the address of each front end.
    #[must_use]
    pub fn ready(&self) -> &[(&'static str, SocketAddr)] {
        &self.ready
    }

    /// Serves until SIGTERM or SIGINT, then seals the log and returns.
    ///
    /// # Errors
    /// [`Fatal`]: the process must end at once; no answer of this turn is sent.
    pub fn run(mut self) -> Result<(), Fatal> {
        let mut events = Events::with_capacity(1024);
        while !self.is_stopping {
            // A commit is in flight: do not block in poll; read what has arrived, then wait for it.
            let patience = if self.service.is_in_flight() { Some(Duration::ZERO) } else { self.patience() };
            self.service.is_ready(self.clock.monotonic());
            self.poll(&mut events, patience)?;
            self.service.resume(self.clock.monotonic())?;
            self.read_left = READ_IN_ALL;
            self.sharers = self.unread.len().saturating_add(self.read.len()).saturating_add(1);
            self.accept_on();
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
            self.settle()?;
            if std::mem::take(&mut self.is_woken) || self.service.has_statements() {
                self.service.answer_statements(self.clock.monotonic())?;
            }
            match self.service.finish_turn(self.clock.monotonic())? {
                Delivery::Flush => self.flush(),
                Delivery::Withhold => {}
            }
        }
        self.settle()?;
        self.service.end(self.clock.monotonic())
    }

    /// Waits for the last turn's batch, if it is in flight, and sends its answers.
    fn settle(&mut self) -> Result<(), Fatal> {
        if self.service.is_in_flight() {
            self.service.finish_commit()?;
            self.flush();
        }
        Ok(())
    }

    fn patience(&self) -> Option<Duration> {
        let now = self.clock.monotonic();
        if !self.unaccepted.is_empty() || self.unread.iter().chain(&self.read).any(|slot| self.service.may_read(*slot)) {
            return Some(Duration::ZERO);
        }
        let accept = self.accept_again.map(|at| at.saturating_sub(now));
        [self.service.patience(now), accept, self.refusals.patience(now)].into_iter().flatten().min()
    }

    fn poll(&mut self, events: &mut Events, patience: Option<Duration>) -> Result<(), Fatal> {
        match self.poll.poll(events, patience) {
            // A signal; its own event follows.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            result => result.map_err(|source| Fatal::Loop { call: "poll", source }),
        }
    }

    /// Handles the events: signals, new connections, reads and writes.
    fn gather(&mut self, events: &Events) -> Result<(), Fatal> {
        for event in events {
            match event.token() {
                SIGNALS => self.take_signals(),
                WAKER => self.is_woken = true,
                Token(token) if token < FIRST_CONNECTION => self.accept(token.wrapping_sub(FIRST_LISTENER)),
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
            for place in 0..self.listeners.len() {
                self.accept(place);
            }
        }
        Ok(())
    }

    /// Reads sockets with unread bytes of an earlier turn.
    fn read_on(&mut self) -> Result<(), Fatal> {
        let mut unread = std::mem::take(&mut self.unread);
        unread.append(&mut self.read);
        for slot in unread {
            if self.service.note_unread(slot, false) {
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

    /// Accepts from listeners with waiting connections of an earlier turn, and logs the refused ones.
    fn accept_on(&mut self) {
        for place in std::mem::take(&mut self.unaccepted) {
            self.accept(place);
        }
        if let Some(count) = self.refusals.due(self.clock.monotonic()) {
            log::warn!("{count} connections were closed at once: all places are taken (--max-connections {})", self.max_connections);
        }
    }

    fn accept(&mut self, place: usize) {
        for _ in 0..ACCEPTS {
            let Some(listener) = self.listeners.get(place) else { return };
            match listener.accept(&mut self.spare) {
                Accepted::Client { socket, peer, address } => self.admit(socket, peer, address),
                Accepted::Nobody => {}
                Accepted::Drained => return,
                Accepted::TableFull => {
                    self.accept_again = Some(self.clock.monotonic().saturating_add(ACCEPT_PAUSE));
                    return;
                }
            }
        }
        // Stopped early: no event comes for the connections that still wait.
        if !self.unaccepted.contains(&place) {
            self.unaccepted.push(place);
        }
    }

    fn admit(&mut self, mut socket: Socket, peer: Peer, address: Option<SocketAddr>) {
        let operators = self.service.operator_count();
        let is_taken = match peer {
            Peer::Operator(_) => operators >= OPERATORS,
            _ => self.service.connection_count().saturating_sub(operators) >= self.max_connections,
        };
        if is_taken {
            self.refusals.count();
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
            let lab_address = address.filter(|_| matches!(peer, Peer::Lab(_)));
            if let Some(address) = lab_address {
                log::info!("Got connection from {}", Pair(address));
            }
            *place = Some(ClientSocket { socket, is_read_closed: false, lab_address });
        }
    }

    fn read(&mut self, slot: usize) -> Result<(), Fatal> {
        let share = (READ_IN_ALL / self.sharers).clamp(FEW, READ_SHARE);
        let mut left = share;
        while left > 0 && self.read_left > 0 {
            let room = self.service.input_room(slot).min(left).min(READ);
            if room == 0 {
                break;
            }
            let Some(Some(client)) = self.sockets.get_mut(slot) else { return Ok(()) };
            let Some(buffer) = self.buffer.get_mut(..room) else { break };
            match client.socket.read(buffer) {
                Ok(0) => {
                    self.service.end_of_input(slot);
                    return Ok(());
                }
                Ok(count) => {
                    let is_drained = count < room && !client.is_read_closed;
                    left = left.saturating_sub(count);
                    self.read_left = self.read_left.saturating_sub(count);
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
        // Stopped early: no event comes for the unread bytes.
        if !self.service.note_unread(slot, true) {
            if left == share { self.unread.push(slot) } else { self.read.push(slot) }
        }
        Ok(())
    }

    /// Writes once to each connection with output.
    fn flush(&mut self) {
        let dirty = self.service.take_dirty();
        for slot in &dirty {
            self.write(*slot);
        }
        self.service.give_back_dirty(dirty);
    }

    fn write(&mut self, slot: usize) {
        if self.service.is_in_flight() {
            // No further event says that the socket has room for the output of an earlier turn.
            self.service.mark_dirty(slot);
            return;
        }
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
        let dropped = self.sockets.get_mut(slot).and_then(Option::take);
        if let Some(address) = dropped.and_then(|client| client.lab_address) {
            log::info!("Disconnected from {}", Pair(address));
        }
        self.service.close(slot);
    }
}

/// An address in the format of the report's server.
struct Pair(SocketAddr);

impl std::fmt::Display for Pair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "('{}', {})", self.0.ip(), self.0.port())
    }
}

/// Binds the operator's socket; replaces the leftover of a killed daemon.
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
