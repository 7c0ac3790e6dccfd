//! Bare sockets: how fast this machine's loopback carries a load's bytes when they are not looked at.
//!
//! A peer on a thread of its own answers every question's bytes with an answer's bytes; both ends are one poll loop, as
//! the daemon and the generator are. Left out: frames, checksums, disks, money.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

/// Bytes read at a time, as the daemon reads.
const READ: usize = 64 * 1024;

/// What goes one way and the other, in bytes.
#[derive(Clone, Copy)]
pub struct Exchange {
    pub question: usize,
    pub answer: usize,
}

/// A single request and its answer.
pub const SINGLE: Exchange = Exchange { question: 44, answer: 81 };

impl Exchange {
    /// Frames of `commands` transfers and their answers.
    pub const fn run(commands: usize) -> Self {
        Self { question: 36 + 20 * commands, answer: 68 + 25 * commands }
    }
}

/// How many exchanges a second `connections` connections carry, with `depth` in flight on each.
pub fn rate(connections: usize, depth: usize, exchange: Exchange, lasting: Duration) -> f64 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let is_over = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&is_over);
    let peer = std::thread::spawn(move || {
        let streams = (0..connections).map(|_| listener.accept().unwrap().0).collect();
        let mut ends = Ends::new(streams, exchange.question, exchange.answer);
        while !told.load(Ordering::Relaxed) {
            ends.turn();
        }
    });
    let streams = (0..connections).map(|_| std::net::TcpStream::connect(address).unwrap()).collect();
    let mut ends = Ends::new(streams, exchange.answer, exchange.question);
    for end in &mut ends.ends {
        end.owed = depth * exchange.question;
        end.write(&ends.zeros);
    }
    let began = Instant::now();
    let warm = lasting / 5;
    let mut at_warm = None;
    while began.elapsed() < lasting {
        ends.turn();
        if at_warm.is_none() && began.elapsed() >= warm {
            at_warm = Some((ends.taken, Instant::now()));
        }
    }
    let (taken, since) = at_warm.unwrap();
    let rate = (ends.taken - taken) as f64 / since.elapsed().as_secs_f64();
    is_over.store(true, Ordering::Relaxed);
    peer.join().unwrap();
    rate
}

struct Ends {
    poll: Poll,
    events: Events,
    ends: Vec<End>,
    buffer: Vec<u8>,
    zeros: Vec<u8>,
    taken: u64,
}

struct End {
    stream: TcpStream,
    takes: usize,
    gives: usize,
    partial: usize,
    owed: usize,
}

impl Ends {
    fn new(streams: Vec<std::net::TcpStream>, takes: usize, gives: usize) -> Self {
        let poll = Poll::new().unwrap();
        let ends = streams.into_iter().enumerate().map(|(index, stream)| {
            stream.set_nonblocking(true).unwrap();
            stream.set_nodelay(true).unwrap();
            let mut stream = TcpStream::from_std(stream);
            poll.registry().register(&mut stream, Token(index), Interest::READABLE | Interest::WRITABLE).unwrap();
            End { stream, takes, gives, partial: 0, owed: 0 }
        });
        let ends = ends.collect();
        Self { poll, events: Events::with_capacity(1024), ends, buffer: vec![0; READ], zeros: vec![0; 1 << 20], taken: 0 }
    }

    fn turn(&mut self) {
        self.poll.poll(&mut self.events, Some(Duration::from_millis(100))).unwrap();
        for event in &self.events {
            let end = &mut self.ends[event.token().0];
            if event.is_readable() {
                self.taken += end.read(&mut self.buffer);
            }
            end.write(&self.zeros);
        }
    }
}

impl End {
    fn read(&mut self, buffer: &mut [u8]) -> u64 {
        let mut taken = 0;
        loop {
            match self.stream.read(buffer) {
                Ok(0) => return taken,
                Ok(count) => {
                    let whole = (self.partial + count) / self.takes;
                    self.partial = (self.partial + count) % self.takes;
                    self.owed += whole * self.gives;
                    taken += whole as u64;
                    if count < buffer.len() {
                        return taken;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return taken,
                // The other end has gone home.
                Err(_) => return taken,
            }
        }
    }

    fn write(&mut self, zeros: &[u8]) {
        while self.owed > 0 {
            match self.stream.write(&zeros[..self.owed.min(zeros.len())]) {
                Ok(count) => self.owed -= count,
                Err(_) => return,
            }
        }
    }
}
