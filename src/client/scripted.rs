//! A peer for tests that answers by script: it replies, keeps silent or hangs up exactly where a test says so.
//!
//! Left out: any bank. What the real one answers is tested against the real one.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use crate::types::{BankTime, Lineage, StoreId};
use crate::wire::frame::{self, Front};
use crate::wire::message::{Ask, Limits, Reply, VERSION, Welcome};

/// What the peer does with the next message.
pub(super) enum Step {
    /// Answers it.
    Reply(Reply),
    /// Reads it and hangs up.
    Drop,
}

/// A running peer. One list of steps a connection; behind the last list nobody listens any more.
pub(super) struct Peer {
    pub(super) address: String,
    seen: Arc<Mutex<Vec<Ask>>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Peer {
    /// Every message so far but the greetings, in order.
    pub(super) fn asked(&self) -> Vec<Ask> {
        self.seen.lock().unwrap().clone()
    }

    /// Waits until the script is played to its end.
    pub(super) fn join(mut self) -> Vec<Ask> {
        self.thread.take().unwrap().join().unwrap();
        self.asked()
    }
}

/// The greeting of every scripted peer.
pub(super) fn welcome() -> Welcome {
    Welcome {
        version: VERSION,
        store: StoreId([7; 16]),
        lineage: Lineage(0xabc),
        decimals: 0,
        limits: Limits { payload: 65_536, window: 1024, run: 1024 },
        bank_time: BankTime(1),
    }
}

/// Starts a peer that plays `connections`, one after the other.
pub(super) fn scripted(connections: Vec<Vec<Step>>) -> Peer {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let thread = std::thread::spawn(move || {
        for steps in connections {
            let (mut stream, _) = listener.accept().unwrap();
            let mut input = Vec::new();
            assert_eq!(next(&mut stream, &mut input), Some(Ask::Hello { version: VERSION }));
            say(&mut stream, &Reply::Welcome(welcome()));
            for step in steps {
                let Some(ask) = next(&mut stream, &mut input) else { break };
                log.lock().unwrap().push(ask);
                match step {
                    Step::Reply(reply) => say(&mut stream, &reply),
                    Step::Drop => break,
                }
            }
        }
    });
    Peer { address, seen, thread: Some(thread) }
}

fn next(stream: &mut TcpStream, input: &mut Vec<u8>) -> Option<Ask> {
    loop {
        if let Front::Whole { payload, consumed } = frame::front(input).unwrap() {
            let ask = crate::codec::decode(payload).unwrap();
            input.drain(..consumed);
            return Some(ask);
        }
        let mut chunk = [0; 4096];
        match stream.read(&mut chunk) {
            Ok(0) | Err(_) => return None,
            Ok(count) => input.extend_from_slice(&chunk[..count]),
        }
    }
}

fn say(stream: &mut TcpStream, reply: &Reply) {
    let mut bytes = Vec::new();
    frame::put(reply, &mut bytes).unwrap();
    let _ = stream.write_all(&bytes);
}
