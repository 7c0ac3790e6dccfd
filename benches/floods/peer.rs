//! One flooding connection: a socket that never blocks, a script that it sends, and what it makes of being cut off.
//!
//! Left out: which scripts there are (`flooder.rs`).

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::rc::Rc;
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

/// A connection that was cut off is made again after this long.
const AGAIN: Duration = Duration::from_secs(1);
/// Addresses that connections come from, so that no address runs out of ports.
const SOURCES: usize = 8;

/// When more is sent.
#[derive(Clone, Copy)]
pub enum Pace {
    /// The whole script once.
    Once,
    /// The script's second part again and again, as fast as the socket takes it.
    Always,
    /// The second part again after this many further replies.
    Answered(u64),
    /// One byte of the second part a second.
    ByteASecond,
}

/// What a connection sends, and whether it reads.
pub struct Script {
    pub bytes: Vec<u8>,
    /// Where the second part begins.
    second: usize,
    pace: Pace,
    reads: bool,
}

impl Script {
    pub fn new(first: &[u8], second: &[u8], pace: Pace, reads: bool) -> Self {
        Self { bytes: [first, second].concat(), second: first.len(), pace, reads }
    }
}

/// A connection.
pub struct Peer {
    address: SocketAddr,
    place: usize,
    script: Rc<Script>,
    stream: Option<TcpStream>,
    again: Instant,
    at: usize,
    drip: Instant,
    /// Replies on this connection, and how many there must be before more is sent.
    replied: u64,
    awaited: u64,
    frames: Frames,
    /// Connections made, attempts that failed, bytes sent, bytes and replies read.
    pub connected: u64,
    pub refused: u64,
    pub sent: u64,
    pub read: u64,
    pub replies: u64,
}

impl Peer {
    pub fn new(address: SocketAddr, place: usize, script: Rc<Script>) -> Self {
        let now = Instant::now();
        let (stream, again, drip) = (None, now, now);
        let frames = Frames::default();
        let (connected, refused, sent, read, replies) = (0, 0, 0, 0, 0);
        Self { address, place, script, stream, again, at: 0, drip, replied: 0, awaited: 0, frames, connected, refused, sent, read, replies }
    }

    pub const fn is_connected(&self) -> bool {
        self.stream.is_some()
    }

    /// Does what can be done without waiting; whether there was anything.
    pub fn turn(&mut self) -> bool {
        if self.stream.is_none() {
            return self.connect_again();
        }
        let went = self.write().and_then(|wrote| self.read_all().map(|read| wrote || read));
        if went.is_err() {
            self.stream = None;
            self.again = Instant::now() + AGAIN;
        }
        went.unwrap_or(true)
    }

    fn connect_again(&mut self) -> bool {
        if Instant::now() < self.again {
            return false;
        }
        self.again = Instant::now() + AGAIN;
        match connect(self.address, self.place).and_then(|stream| stream.set_nonblocking(true).map(|()| stream)) {
            Ok(stream) => {
                self.stream = Some(stream);
                (self.at, self.replied, self.frames) = (0, 0, Frames::default());
                self.awaited = if let Pace::Answered(count) = self.script.pace { count + 1 } else { 0 };
                self.connected += 1;
            }
            Err(_) => self.refused += 1,
        }
        true
    }

    fn write(&mut self) -> io::Result<bool> {
        let Some(stream) = &mut self.stream else { return Ok(false) };
        let mut end = self.script.bytes.len();
        if self.at == end {
            match self.script.pace {
                Pace::Always => self.at = self.script.second,
                Pace::Answered(count) if self.replied >= self.awaited => {
                    self.at = self.script.second;
                    self.awaited += count;
                }
                _ => return Ok(false),
            }
        }
        if self.at >= self.script.second && matches!(self.script.pace, Pace::ByteASecond) {
            if self.drip > Instant::now() {
                return Ok(false);
            }
            self.drip = Instant::now() + Duration::from_secs(1);
            end = self.at + 1;
        } else if self.at < self.script.second {
            end = self.script.second;
        }
        match stream.write(&self.script.bytes[self.at..end]) {
            Ok(count) => {
                self.at += count;
                self.sent += count as u64;
                Ok(true)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn read_all(&mut self) -> io::Result<bool> {
        let Some(stream) = self.stream.as_mut().filter(|_| self.script.reads) else { return Ok(false) };
        let mut buffer = [0; 64 << 10];
        match stream.read(&mut buffer) {
            Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                let replies = self.frames.count(&buffer[..count]);
                self.replied += replies;
                self.replies += replies;
                self.read += count as u64;
                Ok(true)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Counts whole frames.
#[derive(Default)]
struct Frames {
    header: Vec<u8>,
    left: usize,
}

impl Frames {
    fn count(&mut self, mut bytes: &[u8]) -> u64 {
        let mut whole = 0;
        while !bytes.is_empty() {
            if self.left == 0 {
                let taken = bytes.len().min(8 - self.header.len());
                self.header.extend_from_slice(&bytes[..taken]);
                bytes = &bytes[taken..];
                if self.header.len() == 8 {
                    self.left = u32::from_le_bytes(self.header[..4].try_into().unwrap()) as usize;
                    self.header.clear();
                }
                continue;
            }
            let taken = bytes.len().min(self.left);
            self.left -= taken;
            bytes = &bytes[taken..];
            whole += u64::from(self.left == 0);
        }
        whole
    }
}

/// Connects from one of several addresses of this machine.
pub fn connect(address: SocketAddr, place: usize) -> io::Result<TcpStream> {
    let socket = rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    let source = SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, 2 + (place % SOURCES) as u8), 0);
    rustix::net::bind(&socket, &source)?;
    sockopt::set_tcp_nodelay(&socket, true)?;
    rustix::net::connect(&socket, &address)?;
    Ok(TcpStream::from(socket))
}
