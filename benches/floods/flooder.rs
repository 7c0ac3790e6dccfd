//! The floods: a process of this bench's own program that connects, lowers itself to nice 19, says that it is ready, and
//! floods until its standard input ends.
//!
//! Left out: what the flooding connections say (`crowd.rs`), measuring (`honest.rs`).

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bankd::env::os;

use super::bank::Bank;
use super::crowd::{self, peer::Script};

/// What makes this program a flooder.
pub const ARGUMENT: &str = "--flood";
/// Sessions of the teller who lists them.
pub const SESSIONS: usize = 2000;
/// No flood lasts longer, whatever becomes of the bench.
const LONGEST: Duration = Duration::from_secs(120);

/// A flood.
pub struct Flood {
    pub name: &'static str,
    pub what: &'static str,
    kind: Kind,
}

enum Kind {
    /// This many connections that follow a script; the function's argument is the number of the connection.
    Peers(usize, fn(usize) -> Script),
    /// This many threads that connect, send this on the lab's number port, read the answer, and begin again.
    Numbers(usize),
    /// This many threads that connect to the native port, hang up, and begin again.
    Connects(usize),
}

/// All of them.
pub const FLOODS: [Flood; 14] = [
    Flood {
        name: "dribblers",
        what: "1,000 that send a byte a second of a frame that never ends",
        kind: Kind::Peers(1000, crowd::dribbler),
    },
    Flood {
        name: "unread",
        what: "500 that ask for 30,000 bytes of text again and again and never read",
        kind: Kind::Peers(500, crowd::unread),
    },
    Flood { name: "idle", what: "5,000 that greet and say nothing", kind: Kind::Peers(5000, crowd::idle) },
    Flood { name: "primes", what: "40 with 500 pipelined 100-digit primes each, again and again", kind: Kind::Peers(40, crowd::primes) },
    Flood { name: "pings", what: "50 that send pings as fast as they are taken, and read", kind: Kind::Peers(50, crowd::pings) },
    Flood {
        name: "pings-unread",
        what: "50 that send pings as fast as they are taken, and never read",
        kind: Kind::Peers(50, crowd::unread_pings),
    },
    Flood { name: "lists", what: "20 that list 2,000 sessions as fast as they are taken, and read", kind: Kind::Peers(20, crowd::lists) },
    Flood {
        name: "lists-unread",
        what: "20 that list 2,000 sessions as fast as they are taken, and never read",
        kind: Kind::Peers(20, crowd::unread_lists),
    },
    Flood { name: "guesses", what: "10,000 guesses at 2,000 PINs, on 100 connections", kind: Kind::Peers(100, crowd::guesses) },
    Flood { name: "runs", what: "20 that send copies of a run of 1,024 deposits, and read", kind: Kind::Peers(20, crowd::runs) },
    Flood {
        name: "runs-strange",
        what: "50 that send runs of 1,024 deposits without a login, and read",
        kind: Kind::Peers(50, crowd::strange_runs),
    },
    Flood { name: "lowers", what: "50 that ask for 30,000 bytes of text again and again, and read", kind: Kind::Peers(50, crowd::lowers) },
    Flood {
        name: "numbers",
        what: "40 that ask the lab's number port for a 100-digit prime each, on ever new connections",
        kind: Kind::Numbers(40),
    },
    Flood { name: "connects", what: "8 that connect and hang up, again and again", kind: Kind::Connects(8) },
];

/// A flood that goes on in a process of its own.
pub struct Flooder(Child, BufReader<ChildStdout>);

/// Starts a flood; returns when it is connected.
pub fn start(name: &str, bank: &Bank) -> Flooder {
    let child = Command::new(std::env::current_exe().unwrap())
        .args([ARGUMENT, name, &bank.address.to_string(), &bank.numbers.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let mut child = child.unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    output.read_line(&mut String::new()).unwrap();
    Flooder(child, output)
}

impl Flooder {
    /// Ends it; what it says of itself.
    pub fn end(mut self) -> String {
        drop(self.0.stdin.take());
        let mut said = String::new();
        self.1.read_to_string(&mut said).unwrap();
        self.0.wait().unwrap();
        said.trim_end().to_owned()
    }
}

impl Drop for Flooder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Floods until standard input ends, then says what was done.
pub fn run(arguments: &[String]) {
    os::raise_descriptor_limit();
    let flood = FLOODS.iter().find(|flood| flood.name == arguments[0]).unwrap();
    let (native, numbers): (SocketAddr, SocketAddr) = (arguments[1].parse().unwrap(), arguments[2].parse().unwrap());
    let is_over = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&is_over);
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        told.store(true, Ordering::Relaxed);
    });
    let until = Instant::now() + LONGEST;
    let is_over = || is_over.load(Ordering::Relaxed) || Instant::now() > until;
    match flood.kind {
        Kind::Peers(count, script) => println!("{}", crowd::flood(native, count, script, ready, is_over)),
        Kind::Numbers(threads) => flood_by_connections(numbers, threads, &format!("{} prime\n", crowd::prime()), is_over),
        Kind::Connects(threads) => flood_by_connections(native, threads, "", is_over),
    }
}

/// From now on every other process goes first.
fn ready() {
    os::lower_thread_priority();
    println!("ready");
}

fn flood_by_connections(address: SocketAddr, threads: usize, message: &str, is_over: impl Fn() -> bool + Sync) {
    ready();
    let (done, failed) = (AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let (done, failed, is_over) = (&done, &failed, &is_over);
            scope.spawn(move || {
                while !is_over() {
                    let is_answered = crowd::peer::connect(address, thread).and_then(|stream| exchange(stream, message));
                    if is_answered.is_ok() { done } else { failed }.fetch_add(1, Ordering::Relaxed);
                    if is_answered.is_err() {
                        std::thread::sleep(Duration::from_millis(10));
                    }
                }
            });
        }
    });
    println!("{} connections, {} failed", done.into_inner(), failed.into_inner());
}

fn exchange(mut stream: TcpStream, message: &str) -> std::io::Result<()> {
    if message.is_empty() {
        return Ok(());
    }
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(message.as_bytes())?;
    stream.read_to_end(&mut Vec::new()).map(drop)
}
