//! The fault proxy: it takes connections, and makes one to the bank for each.
//!
//! What goes wrong is decided by seed and connection (`faults.rs`) and carried out there (`proxy_lane.rs`).
//! Left out: options (`cli/`).

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use super::faults::Faults;
use super::proxy_lane;
use crate::env::sim::Random;

/// A proxy at work, until it is dropped.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

/// What all its connections share.
pub(super) struct Shared {
    to: Mutex<SocketAddr>,
    faults: Mutex<Faults>,
    is_stopping: AtomicBool,
    pub(super) tally: Tally,
}

/// What was done so far.
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

/// How often the proxy did what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counts {
    /// Messages that came from clients.
    pub messages: u64,
    /// Of them lost.
    pub lost_requests: u64,
    /// Of the lost ones: arrived late, when their client had gone elsewhere.
    pub late_requests: u64,
    /// Replies lost.
    pub lost_replies: u64,
    /// Requests passed on twice.
    pub duplicates: u64,
    /// Connections cut in the middle of a frame.
    pub cuts: u64,
    /// Answered "busy" in the bank's stead.
    pub busy: u64,
}

impl Proxy {
    /// Listens at `listen` (port 0 takes any) and passes on to `to`.
    ///
    /// # Errors
    /// What the system says of the address.
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

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where later connections go.
    pub fn point_to(&self, bank: SocketAddr) {
        *lock(&self.shared.to) = bank;
    }

    /// What goes wrong with later messages.
    pub fn set_faults(&self, faults: Faults) {
        *lock(&self.shared.faults) = faults;
    }

    /// What was done so far.
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

    /// Passes on until the process ends.
    pub fn run(mut self) {
        if let Some(accepting) = self.accepting.take() {
            // It ends only with the process.
            let _ = accepting.join();
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.is_stopping.store(true, Ordering::SeqCst);
        // Wakes it; what is under way ends with its own sockets.
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

/// Adds one.
pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Whoever panicked with the lock left a value that is whole all the same.
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
        // Without a thread the connection is dropped, which is one more fault on the way.
        let _ = thread::Builder::new().name("proxy lane".to_owned()).spawn(move || proxy_lane::carry(&shared, &client, random));
    }
}
