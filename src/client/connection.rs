//! One connection to the bank: a socket, the greeting, and messages with a deadline.
//!
//! Errors distinguish "nothing was sent" from "sent, answer unknown", because only the first is safe to report as a failure.
//! After any error the connection must be dropped: the next reply on it could belong to another message.
//! Left out: logins, sessions and retries (`link.rs`).

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use zeroize::Zeroize;

use super::retry::Deadline;
use crate::wire::frame::{self, Front, HEADER, MAX_PAYLOAD};
use crate::wire::message::{Ask, Refusal, Reply, VERSION, Welcome};

/// A connection after the greeting.
pub struct Connection {
    pipe: Pipe,
    welcome: Welcome,
}

/// Why there is no connection. At most a greeting was sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// No process answers there, or not in this protocol.
    #[error("{0}")]
    Unreachable(String),
    /// The peer accepted and closed the connection before any reply: a bank that just ended, or a cut line.
    #[error("{0}")]
    HungUp(String),
    /// The bank answered the greeting with a refusal.
    #[error("{0}")]
    Refused(Refusal),
}

/// Why there is no reply.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// Not one byte of the message left this process.
    #[error("{0}")]
    NotSent(String),
    /// Sent, at least in part; whether the bank acted on it is unknown.
    #[error("{0}")]
    Lost(String),
}

impl Connection {
    /// Connects over TCP to `HOST:PORT` and greets.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub fn tcp(address: &str, deadline: &Deadline) -> Result<Self, ConnectError> {
        let unreachable = |error: io::Error| ConnectError::Unreachable(plain(&error));
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for candidate in address.to_socket_addrs().map_err(unreachable)? {
            let left = deadline.remaining().ok_or_else(|| ConnectError::Unreachable("no answer in time".to_owned()))?;
            match TcpStream::connect_timeout(&candidate, left) {
                Ok(stream) => {
                    // Requests are small and each waits for its reply: do not delay them to fill a packet.
                    stream.set_nodelay(true).map_err(unreachable)?;
                    return Self::greet(Socket::Tcp(stream), deadline);
                }
                Err(error) => last = error,
            }
        }
        Err(unreachable(last))
    }

    /// Connects to the operator's Unix socket and greets.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub fn unix(path: &Path, deadline: &Deadline) -> Result<Self, ConnectError> {
        let stream = UnixStream::connect(path).map_err(|error| ConnectError::Unreachable(plain(&error)))?;
        Self::greet(Socket::Unix(stream), deadline)
    }

    /// The bank's greeting.
    #[must_use]
    pub const fn welcome(&self) -> &Welcome {
        &self.welcome
    }

    /// Sends one message and waits for its reply.
    ///
    /// # Errors
    /// [`AskError`]; the connection is useless then.
    pub fn ask(&mut self, ask: &Ask, deadline: &Deadline) -> Result<Reply, AskError> {
        self.pipe.ask(ask, deadline)
    }

    /// Sends several messages in one write, without waiting for replies; the replies come in the same order.
    ///
    /// # Errors
    /// [`AskError`]; the connection is useless then.
    pub fn send(&mut self, asks: &[Ask], deadline: &Deadline) -> Result<(), AskError> {
        self.pipe.send(asks, deadline)
    }

    /// Waits for the next reply.
    ///
    /// # Errors
    /// [`AskError::Lost`]; the connection is useless then.
    pub fn receive(&mut self, deadline: &Deadline) -> Result<Reply, AskError> {
        self.pipe.receive(deadline)
    }

    /// Whether a whole reply was read already, so that [`receive`](Self::receive) does not block.
    #[must_use]
    pub fn has_reply(&self) -> bool {
        matches!(frame::front(&self.pipe.input), Ok(Front::Whole { .. }))
    }

    /// The socket of a TCP connection, for callers with their own event loop. `None` if it is no TCP connection, is broken, or
    /// holds unread input.
    #[must_use]
    pub fn into_stream(self) -> Option<TcpStream> {
        let Pipe { socket, input, broken, .. } = self.pipe;
        match socket {
            Socket::Tcp(stream) if input.is_empty() && !broken => Some(stream),
            _ => None,
        }
    }

    fn greet(socket: Socket, deadline: &Deadline) -> Result<Self, ConnectError> {
        let mut pipe = Pipe { socket, output: Vec::with_capacity(1024), input: Vec::with_capacity(1024), broken: false };
        match pipe.ask(&Ask::Hello { version: VERSION }, deadline) {
            Ok(Reply::Welcome(welcome)) if welcome.version == VERSION => Ok(Self { pipe, welcome }),
            Ok(Reply::Refused(refusal)) => Err(ConnectError::Refused(refusal)),
            Ok(_) => Err(ConnectError::Unreachable("what answers there is no bankd of this version".to_owned())),
            Err(AskError::Lost(why)) if pipe.input.is_empty() => Err(ConnectError::HungUp(why)),
            Err(error) => Err(ConnectError::Unreachable(error.to_string())),
        }
    }
}

/// Messages both ways over a socket.
///
/// Invariant: after an error it is `broken` and refuses to send or receive.
struct Pipe {
    socket: Socket,
    output: Vec<u8>,
    input: Vec<u8>,
    broken: bool,
}

impl Pipe {
    fn ask(&mut self, ask: &Ask, deadline: &Deadline) -> Result<Reply, AskError> {
        self.send(std::slice::from_ref(ask), deadline)?;
        self.receive(deadline)
    }

    fn send(&mut self, asks: &[Ask], deadline: &Deadline) -> Result<(), AskError> {
        if self.broken {
            return Err(AskError::NotSent("the connection is closed".to_owned()));
        }
        self.output.clear();
        if let Err(error) = asks.iter().try_for_each(|ask| frame::put(ask, &mut self.output)) {
            return Err(AskError::NotSent(format!("the message does not fit a frame: {error}")));
        }
        let sent = write_frame(&mut self.socket, &self.output, deadline);
        // It may contain a PIN.
        self.output.zeroize();
        self.broken = sent.is_err();
        sent
    }

    fn receive(&mut self, deadline: &Deadline) -> Result<Reply, AskError> {
        if self.broken {
            return Err(AskError::Lost("the connection is closed".to_owned()));
        }
        let reply = read_frame(&mut self.socket, &mut self.input, deadline);
        self.broken = reply.is_err();
        reply
    }
}

enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    fn allow(&self, reading: bool, left: Duration) -> io::Result<()> {
        match (self, reading) {
            (Self::Tcp(stream), true) => stream.set_read_timeout(Some(left)),
            (Self::Tcp(stream), false) => stream.set_write_timeout(Some(left)),
            (Self::Unix(stream), true) => stream.set_read_timeout(Some(left)),
            (Self::Unix(stream), false) => stream.set_write_timeout(Some(left)),
        }
    }

    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buf),
            Self::Unix(stream) => stream.read(buf),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
        }
    }
}

fn write_frame(socket: &mut Socket, mut bytes: &[u8], deadline: &Deadline) -> Result<(), AskError> {
    let mut sent_any = false;
    while !bytes.is_empty() {
        let written = match deadline.remaining() {
            None => Err(io::ErrorKind::TimedOut.into()),
            Some(left) => socket.allow(false, left).and_then(|()| socket.write(bytes)),
        };
        match written {
            Ok(0) => return Err(failed_sending(sent_any, &io::ErrorKind::WriteZero.into())),
            Ok(count) => {
                sent_any = true;
                bytes = bytes.get(count..).unwrap_or_default();
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed_sending(sent_any, &error)),
        }
    }
    Ok(())
}

fn failed_sending(sent_any: bool, error: &io::Error) -> AskError {
    if sent_any { AskError::Lost(plain(error)) } else { AskError::NotSent(plain(error)) }
}

/// Reads one frame; bytes after it stay in `input` for the next.
fn read_frame(socket: &mut Socket, input: &mut Vec<u8>, deadline: &Deadline) -> Result<Reply, AskError> {
    let lost = |error: io::Error| AskError::Lost(plain(&error));
    // Large enough to read the replies to many requests at once.
    let mut chunk = [0; 16 << 10];
    loop {
        match frame::front(input).map_err(|error| AskError::Lost(format!("the bank sent {error}")))? {
            Front::Whole { payload, consumed } => {
                let reply = crate::model::codec::decode(payload).map_err(|error| AskError::Lost(format!("the bank sent {error}")))?;
                input.drain(..consumed);
                return Ok(reply);
            }
            Front::Incomplete(_) => {}
        }
        assert!(input.len() < HEADER + MAX_PAYLOAD, "a frame of full length is whole");
        let left = deadline.remaining().ok_or_else(|| lost(io::ErrorKind::TimedOut.into()))?;
        match socket.allow(true, left).and_then(|()| socket.read(&mut chunk)) {
            Ok(0) => return Err(AskError::Lost("the bank closed the connection".to_owned())),
            Ok(count) => input.extend_from_slice(chunk.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(lost(error)),
        }
    }
}

/// An I/O error in words for a customer.
fn plain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "no answer in time".to_owned(),
        io::ErrorKind::ConnectionRefused => "no program listens there".to_owned(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => "the connection broke".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::scripted::{Step, scripted};
    use super::*;
    use crate::env::Env;

    fn soon() -> Deadline {
        Deadline::after(&Env::os().clock, Duration::from_secs(5))
    }

    #[test]
    fn greets_and_asks() {
        let peer = scripted(vec![vec![Step::Reply(Reply::Pong)]]);
        let mut connection = Connection::tcp(&peer.address, &soon()).unwrap();
        assert_eq!(connection.welcome().decimals, 0);
        assert_eq!(connection.ask(&Ask::Ping, &soon()), Ok(Reply::Pong));
        assert_eq!(peer.asked(), [Ask::Ping]);
    }

    #[test]
    fn a_lost_reply_is_no_unsent_message() {
        let peer = scripted(vec![vec![Step::Drop]]);
        let mut connection = Connection::tcp(&peer.address, &soon()).unwrap();
        assert!(matches!(connection.ask(&Ask::Ping, &soon()), Err(AskError::Lost(_))));
        assert!(matches!(connection.ask(&Ask::Ping, &soon()), Err(AskError::NotSent(_))), "useless behind an error");
    }

    #[test]
    fn no_bank_and_no_answer_are_errors_in_time() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        assert_eq!(Connection::tcp(&free, &soon()).err(), Some(ConnectError::Unreachable("no program listens there".to_owned())));
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let short = Deadline::after(&Env::os().clock, Duration::from_millis(50));
        let error = Connection::tcp(&silent.local_addr().unwrap().to_string(), &short).err();
        assert_eq!(error, Some(ConnectError::HungUp("no answer in time".to_owned())));
    }

    #[test]
    fn what_is_no_bank_is_refused() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let other = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest);
        });
        assert!(matches!(Connection::tcp(&address, &soon()).err(), Some(ConnectError::Unreachable(why)) if why.contains("frame")));
        other.join().unwrap();
    }
}
