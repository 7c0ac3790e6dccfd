//! The fault proxy between clients and bank: for each client's connection it opens one to the bank.
//!
//! The seed and the connection determine the faults (`faults.rs`); `lane.rs` injects them.
//! Left out: options (`cli/`).

pub(super) mod faults;
pub(super) mod lane;

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use crate::env::sim::Random;
use crate::prove::proxy::faults::Faults;

/// A running proxy. Stops accepting on drop.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

/// The state that all connections share.
pub(super) struct Shared {
    to: Mutex<SocketAddr>,
    faults: Mutex<Faults>,
    is_stopping: AtomicBool,
    pub(super) tally: Tally,
}

/// Counts so far.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) messages: AtomicU64,
    pub(super) lost_requests: AtomicU64,
    pub(super) late_requests: AtomicU64,
    pub(super) lost_replies: AtomicU64,
    pub(super) duplicates: AtomicU64,
    pub(super) cuts: AtomicU64,
    pub(super) busy: AtomicU64,
}

/// Counts of messages and injected faults.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counts {
    /// Messages from clients.
    pub messages: u64,
    /// Messages lost.
    pub lost_requests: u64,
    /// Lost messages that arrived late, after the client's connection was closed.
    pub late_requests: u64,
    /// Replies lost.
    pub lost_replies: u64,
    /// Requests forwarded twice.
    pub duplicates: u64,
    /// Connections cut in the middle of a frame.
    pub cuts: u64,
    /// Messages that the proxy answered "busy" without forwarding them.
    pub busy: u64,
}

impl Proxy {
    /// Listens on `listen` (port 0 for any free port) and forwards to `to`.
    ///
    /// # Errors
    /// The system's error, such as `AddrInUse`.
    pub fn start(listen: SocketAddr, to: SocketAddr, seed: u64, faults: Faults) -> io::Result<Self> {
        let listener = TcpListener::bind(listen)?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            to: Mutex::new(to),
            faults: Mutex::new(faults),
            is_stopping: AtomicBool::new(false),
            tally: Tally::default(),
        });
        let theirs = Arc::clone(&shared);
        let accepting = thread::Builder::new().name("proxy".to_owned()).spawn(move || accept(&listener, &theirs, seed))?;
        Ok(Self { address, shared, accepting: Some(accepting) })
    }

    /// The address it listens on.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Forwards later connections to `bank`.
    pub fn point_to(&self, bank: SocketAddr) {
        *lock(&self.shared.to) = bank;
    }

    /// Sets the faults of later messages.
    pub fn set_faults(&self, faults: Faults) {
        *lock(&self.shared.faults) = faults;
    }

    /// Counts so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let tally = &self.shared.tally;
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Counts {
            messages: read(&tally.messages),
            lost_requests: read(&tally.lost_requests),
            late_requests: read(&tally.late_requests),
            lost_replies: read(&tally.lost_replies),
            duplicates: read(&tally.duplicates),
            cuts: read(&tally.cuts),
            busy: read(&tally.busy),
        }
    }

    /// Forwards until the process ends.
    pub fn run(mut self) {
        if let Some(accepting) = self.accepting.take() {
            // The thread ends only with the process.
            let _ = accepting.join();
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.is_stopping.store(true, Ordering::SeqCst);
        // Wakes the accepting thread. Open connections end with their own sockets.
        drop(TcpStream::connect(self.address));
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

impl Shared {
    pub(super) fn to(&self) -> SocketAddr {
        *lock(&self.to)
    }

    pub(super) fn faults(&self) -> Faults {
        *lock(&self.faults)
    }
}

/// Increments a counter.
pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Locks, also after a panic of another thread: no lock is held across a half-done change.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>, seed: u64) {
    let mut seeds = Random::new(seed);
    for client in listener.incoming() {
        if shared.is_stopping.load(Ordering::SeqCst) {
            return;
        }
        let random = Random::new(seeds.next_u64());
        let (Ok(client), shared) = (client, Arc::clone(shared)) else { continue };
        // If no thread can be started, the connection is dropped: one more fault.
        let _ = thread::Builder::new().name("proxy lane".to_owned()).spawn(move || lane::carry(&shared, &client, random));
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::time::Duration;

    use super::*;
    use crate::model::codec;
    use crate::model::types::RequestNumber;
    use crate::prove::proxy::faults::Share;
    use crate::prove::proxy::lane::next_frame;
    use crate::wire::frame::{self, HEADER};
    use crate::wire::message::{Ask, Refusal, Reply};

    /// A bank that answers each `Ack` with its number, and records it.
    struct Bank {
        address: SocketAddr,
        asked: Arc<Mutex<Vec<u64>>>,
    }

    fn bank() -> Bank {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, asked) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(Vec::new())));
        let noted = Arc::clone(&asked);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (mut stream, noted) = (stream.unwrap(), Arc::clone(&noted));
                thread::spawn(move || {
                    let mut input = Vec::new();
                    while let Some(message) = next_frame(&mut stream, &mut input) {
                        let Ok(Ask::Ack { acked_below }) = codec::decode(&message[HEADER..]) else { panic!("not an Ack") };
                        noted.lock().unwrap().push(acked_below.0);
                        let mut out = Vec::new();
                        frame::put(&Reply::Acked { acked_below }, &mut out).unwrap();
                        let _ = stream.write_all(&out);
                    }
                });
            }
        });
        Bank { address, asked }
    }

    /// Sends `count` messages in one write, and returns the replies until the end: numbers, and 0 for "busy".
    fn ask(proxy: &Proxy, count: u64) -> Vec<u64> {
        let mut stream = TcpStream::connect(proxy.address()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut out = Vec::new();
        for number in 1..=count {
            frame::put(&Ask::Ack { acked_below: RequestNumber(number) }, &mut out).unwrap();
        }
        stream.write_all(&out).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let (mut input, mut told) = (Vec::new(), Vec::new());
        while let Some(reply) = next_frame(&mut stream, &mut input) {
            told.push(match codec::decode(&reply[HEADER..]).unwrap() {
                Reply::Acked { acked_below } => acked_below.0,
                Reply::Refused(Refusal::Busy) => 0,
                other => panic!("{other:?}"),
            });
        }
        assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0, "nothing comes behind the end");
        told
    }

    fn proxy(bank: &Bank, faults: Faults) -> Proxy {
        Proxy::start("127.0.0.1:0".parse().unwrap(), bank.address, 5, faults).unwrap()
    }

    fn waited_for(bank: &Bank, expected: &[u64]) {
        for _ in 0..1000 {
            if *bank.asked.lock().unwrap() == expected {
                return;
            }
            thread::sleep(Duration::from_millis(5));
        }
        panic!("the bank read {:?}", bank.asked.lock().unwrap());
    }

    #[test]
    fn without_faults_everything_arrives_in_order() {
        let bank = bank();
        let proxy = proxy(&bank, Faults::default());
        let all: Vec<u64> = (1..=200).collect();
        assert_eq!(ask(&proxy, 200), all);
        waited_for(&bank, &all);
        assert_eq!(proxy.counts(), Counts { messages: 200, ..Counts::default() });
    }

    #[test]
    fn copies_reach_the_bank_and_one_reply_the_client() {
        let bank = bank();
        let proxy = proxy(&bank, Faults { duplicate: Share::ALWAYS, delay: Duration::from_millis(1), ..Faults::default() });
        assert_eq!(ask(&proxy, 3), [1, 2, 3]);
        waited_for(&bank, &[1, 1, 2, 2, 3, 3]);
    }

    #[test]
    fn busy_stands_in_its_place_and_is_not_passed_on() {
        let bank = bank();
        let proxy = proxy(&bank, Faults { busy: Share::percent(50), ..Faults::default() });
        let told = ask(&proxy, 100);
        let executed: Vec<u64> = told.iter().copied().filter(|number| *number != 0).collect();
        assert!(told.len() == 100 && (20..80).contains(&executed.len()));
        assert!(told.iter().zip(1..).all(|(told, number)| *told == 0 || *told == number), "{told:?}");
        waited_for(&bank, &executed);
        assert_eq!(proxy.counts().busy, 100 - executed.len() as u64);
    }

    /// Each case has its own bank, which may still be reading earlier messages when the client's connection closes.
    #[test]
    fn a_lost_message_takes_with_it_what_comes_behind() {
        let lose_replies = Faults { lose_replies: Share::ALWAYS, ..Faults::default() };
        let lose_requests = Faults { lose_requests: Share::ALWAYS, ..Faults::default() };
        let late = Faults { late: Share::ALWAYS, ..lose_requests };
        for (faults, expected) in [(lose_replies, (1, 0, 0)), (lose_requests, (0, 1, 0)), (late, (0, 1, 1))] {
            let bank = bank();
            let proxy = proxy(&bank, faults);
            assert_eq!(ask(&proxy, 3), [0; 0]);
            match expected {
                // The bank may have received the others already.
                (1, ..) => assert_eq!(bank.asked.lock().unwrap().first(), Some(&1)),
                (_, _, 1) => waited_for(&bank, &[1]),
                _ => thread::sleep(Duration::from_millis(50)),
            }
            let counted = || {
                let counts = proxy.counts();
                (counts.lost_replies, counts.lost_requests, counts.late_requests)
            };
            // A late copy is counted once the bank has it.
            (0..1000).take_while(|_| counted() != expected).for_each(|_| thread::sleep(Duration::from_millis(5)));
            assert_eq!(counted(), expected);
            assert!(expected.1 == 0 || bank.asked.lock().unwrap().len() == expected.2 as usize);
        }
    }

    #[test]
    fn cuts_leave_no_whole_frame() {
        let bank = bank();
        let proxy = proxy(&bank, Faults { cut: Share::ALWAYS, ..Faults::default() });
        for _ in 0..20 {
            assert_eq!(ask(&proxy, 1), [0; 0]);
        }
        assert_eq!(proxy.counts().cuts, 20);
    }
}
