//! What the benches share: a disk's bare speed, a daemon of their own, and a closed-loop load generator on one thread.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    clippy::float_arithmetic
)]

use std::fs::OpenOptions;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bankd::amount::Amount;
use bankd::command::Command as Money;
use bankd::secret::Secret;
use bankd::types::{AccountId, RequestNumber};
use bankd::wire::frame::{self, Front};
use bankd::wire::message::{Ask, Reply, Role, VERSION};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

pub const TOKEN: &str = "a token for the load generator";

/// A file of zeros, written and synced, as a segment is: what a bare commit writes into.
pub struct BareFile {
    file: std::fs::File,
    length: u64,
    offset: u64,
}

impl BareFile {
    pub fn new(dir: &Path, length: u64) -> Self {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(dir.join("bare")).unwrap();
        let zeros = vec![0; 1 << 20];
        for at in (0..length).step_by(1 << 20) {
            file.write_all_at(&zeros, at).unwrap();
        }
        file.sync_all().unwrap();
        Self { file, length, offset: 0 }
    }

    /// One write and one fdatasync; starts over at the end.
    pub fn commit(&mut self, bytes: &[u8]) {
        if self.offset + bytes.len() as u64 > self.length {
            self.offset = 0;
        }
        self.file.write_all_at(bytes, self.offset).unwrap();
        self.file.sync_data().unwrap();
        self.offset += bytes.len() as u64;
    }
}

/// Median and 99th percentile.
pub fn percentiles(samples: &mut [Duration]) -> (Duration, Duration) {
    samples.sort_unstable();
    (samples[samples.len() / 2], samples[samples.len() * 99 / 100])
}

/// A daemon over a store of its own, ended when dropped.
pub struct Daemon {
    child: Child,
    pub address: SocketAddr,
    dir: tempfile::TempDir,
}

impl Daemon {
    /// Makes a store of `accounts` accounts and a teller, and serves it.
    pub fn start(accounts: u32) -> Self {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let list = dir.path().join("accounts.csv");
        let mut file = io::BufWriter::new(std::fs::File::create(&list).unwrap());
        writeln!(file, "kind,name,secret,balance\nteller,load,{TOKEN},").unwrap();
        for account in 0..accounts {
            writeln!(file, "account,account {account},123456,1000000").unwrap();
        }
        drop(file);
        let store = dir.path().join("store");
        let bankd = env!("CARGO_BIN_EXE_bankd");
        let made = Command::new(bankd).arg("init").arg("--data-dir").arg(&store).arg("--accounts").arg(&list).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let mut child = Command::new(bankd)
            .args(["serve", "--listen", "127.0.0.1:0", "--log-level", "warn", "--data-dir"])
            .arg(&store)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let line = BufReader::new(child.stdout.take().unwrap()).lines().next().unwrap().unwrap();
        let address = line.strip_prefix("ready native ").unwrap().parse().unwrap();
        Self { child, address, dir }
    }

    pub fn resident_kib(&self) -> u64 {
        self.status("VmRSS:")
    }

    /// The most that it ever had resident.
    pub fn peak_kib(&self) -> u64 {
        self.status("VmHWM:")
    }

    fn status(&self, field: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        status.lines().find_map(|line| line.strip_prefix(field)).unwrap().trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// How many checkpoints its store has.
    pub fn checkpoints(&self) -> usize {
        let names = std::fs::read_dir(self.dir.path().join("store")).unwrap().map(|entry| entry.unwrap().path());
        names.filter(|path| path.extension().is_some_and(|extension| extension == "ckpt")).count()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// What a load does: closed loop, every connection with `depth` requests in flight, deposits to accounts in turn.
#[derive(Clone, Copy)]
pub struct Load {
    pub connections: usize,
    pub depth: u64,
    pub accounts: u32,
    pub duration: Duration,
}

/// What came of it.
pub struct Measured {
    pub rate: f64,
    pub p50: Duration,
    pub p99: Duration,
}

struct Connection {
    stream: TcpStream,
    input: Vec<u8>,
    output: Vec<u8>,
    sent: u64,
    answered: u64,
    times: std::collections::VecDeque<Instant>,
}

impl Load {
    pub fn run(self, address: SocketAddr) -> Measured {
        let mut poll = Poll::new().unwrap();
        let mut connections: Vec<Connection> = (0..self.connections).map(|_| Connection::open(address)).collect();
        for (index, connection) in connections.iter_mut().enumerate() {
            poll.registry().register(&mut connection.stream, Token(index), Interest::READABLE | Interest::WRITABLE).unwrap();
        }
        let mut account = 0;
        let mut samples = Vec::with_capacity(1 << 20);
        let began = Instant::now();
        let warm = began + self.duration / 5;
        let end = began + self.duration;
        for connection in &mut connections {
            connection.top_up(self.depth, self.accounts, &mut account);
        }
        let mut events = Events::with_capacity(1024);
        let mut counted = 0_u64;
        while Instant::now() < end {
            poll.poll(&mut events, Some(Duration::from_secs(10))).unwrap();
            assert!(!events.is_empty(), "the daemon has not answered for 10 s");
            for event in &events {
                let connection = &mut connections[event.token().0];
                if event.is_readable() {
                    let before = samples.len();
                    connection.read(&mut samples);
                    let now = Instant::now();
                    if now < warm {
                        samples.truncate(before);
                    } else {
                        counted += (samples.len() - before) as u64;
                    }
                }
                connection.top_up(self.depth, self.accounts, &mut account);
            }
        }
        let seconds = (Instant::now() - warm).as_secs_f64();
        let (p50, p99) = percentiles(&mut samples);
        Measured { rate: counted as f64 / seconds, p50, p99 }
    }
}

impl Connection {
    fn open(address: SocketAddr) -> Self {
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        let login = Ask::Login { role: Role::Teller, name: "load".to_owned(), secret: Secret::new(TOKEN.to_owned()) };
        for ask in [Ask::Hello { version: VERSION }, login, Ask::OpenSession] {
            let mut bytes = Vec::new();
            frame::put(&ask, &mut bytes).unwrap();
            stream.write_all(&bytes).unwrap();
            let mut input = Vec::new();
            loop {
                if let Front::Whole { payload, .. } = frame::front(&input).unwrap() {
                    let reply: Reply = bankd::codec::decode(payload).unwrap();
                    assert!(!matches!(reply, Reply::Refused(_)), "{reply:?}");
                    break;
                }
                let mut byte = [0; 1024];
                let count = stream.read(&mut byte).unwrap();
                input.extend_from_slice(&byte[..count]);
            }
        }
        stream.set_nonblocking(true).unwrap();
        Self { stream: TcpStream::from_std(stream), input: Vec::new(), output: Vec::new(), sent: 0, answered: 0, times: Default::default() }
    }

    fn top_up(&mut self, depth: u64, accounts: u32, account: &mut u32) {
        while self.sent - self.answered < depth {
            self.sent += 1;
            *account = (*account + 1) % accounts;
            let command = Money::Deposit { account: AccountId(*account), amount: Amount::new(1).unwrap() };
            let ask = Ask::Request { number: RequestNumber(self.sent), acked_below: RequestNumber(self.answered + 1), command };
            frame::put(&ask, &mut self.output).unwrap();
            self.times.push_back(Instant::now());
        }
        while !self.output.is_empty() {
            match self.stream.write(&self.output) {
                Ok(count) => drop(self.output.drain(..count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn read(&mut self, samples: &mut Vec<Duration>) {
        let mut buffer = [0; 1 << 16];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => panic!("the daemon hung up"),
                Ok(count) => self.input.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => panic!("{error}"),
            }
        }
        let now = Instant::now();
        let mut consumed = 0;
        while let Front::Whole { payload, consumed: length } = frame::front(&self.input[consumed..]).unwrap() {
            let reply: Reply = bankd::codec::decode(payload).unwrap();
            assert!(matches!(reply, Reply::Answer { number, .. } if number.0 == self.answered + 1), "{reply:?}");
            self.answered += 1;
            consumed += length;
            samples.push(now - self.times.pop_front().unwrap());
        }
        self.input.drain(..consumed);
    }
}
