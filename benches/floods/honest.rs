//! The honest clients: a depositor with a fixed schedule, and newcomers who connect, greet and ping.
//!
//! A latency counts from the moment when the request was due, so that a stall is seen by every request that fell into it.
//! Left out: floods (`flooder.rs`), the daemon (`bank.rs`).

use std::fmt;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bankd::client::{Connection, Deadline, Login};
use bankd::env::Env;
use bankd::model::amount::Amount;
use bankd::model::command::Command;
use bankd::model::types::{AccountId, RequestNumber};
use bankd::wire::frame::{self, Front};
use bankd::wire::message::{Ask, Reply};

use super::bank::{ACCOUNTS, teller};

/// Unanswered requests at most: a session holds 1,024.
const IN_FLIGHT: u64 = 900;
/// How long an answer is awaited at most.
const PATIENCE: Duration = Duration::from_secs(15);
/// How often a newcomer comes.
const NEWCOMER_EVERY: Duration = Duration::from_millis(100);

/// What the honest clients saw.
pub struct Honest {
    /// In milliseconds, sorted.
    latencies: Vec<f64>,
    /// The newcomers', from the moment when each was due until its ping was answered.
    newcomers: Vec<f64>,
    /// Requests and newcomers without the right answer.
    pub lost: u64,
}

impl Honest {
    /// The latency below which that share of requests stayed.
    pub fn at(&self, share: f64) -> f64 {
        let last = self.latencies.len().saturating_sub(1);
        self.latencies.get((last as f64 * share) as usize).copied().unwrap_or(f64::INFINITY)
    }

    /// The longest that a newcomer waited.
    pub fn newcomer(&self) -> f64 {
        self.newcomers.iter().copied().fold(0.0, f64::max)
    }
}

impl fmt::Display for Honest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { latencies, newcomers, lost } = self;
        write!(f, "{} deposits, p50 {:.2}, p99 {:.2}, worst {:.2} ms; ", latencies.len(), self.at(0.5), self.at(0.99), self.at(1.0))?;
        write!(f, "{} newcomers, worst {:.2} ms; {lost} lost", newcomers.len(), self.newcomer())
    }
}

/// The depositor, with a session of its own. A daemon that has still to do with a flood that is over is awaited for a
/// minute.
pub fn depositor(address: SocketAddr) -> TcpStream {
    let began = Instant::now();
    while let Err(error) = Connection::tcp(&address.to_string(), &deadline()) {
        assert!(began.elapsed() < Duration::from_secs(60), "the daemon serves nobody any more: {error}");
        std::thread::sleep(Duration::from_millis(100));
    }
    connect(address, &teller("honest"), true)
}

/// Measures for `lasting`, with `rate` deposits a second.
pub fn measure(address: SocketAddr, depositor: TcpStream, lasting: Duration, rate: u64) -> Honest {
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let newcomers = scope.spawn(|| newcomers(address, &is_over));
        let (latencies, lost_deposits) = deposit(depositor, lasting, rate);
        is_over.store(true, Ordering::Relaxed);
        let (newcomers, lost_newcomers) = newcomers.join().unwrap();
        Honest { latencies, newcomers, lost: lost_deposits + lost_newcomers }
    })
}

/// Opens sessions of the flooding teller, many at a time.
pub fn open_sessions(address: SocketAddr, count: usize) {
    let mut streams: Vec<TcpStream> = (0..50).map(|_| connect(address, &teller("flood"), false)).collect();
    let mut question = Vec::new();
    frame::put(&Ask::OpenSession, &mut question).unwrap();
    for _ in 0..count / streams.len() {
        streams.iter_mut().for_each(|stream| stream.write_all(&question).unwrap());
        for stream in &mut streams {
            let mut answer = [0; 44];
            stream.read_exact(&mut answer).unwrap();
        }
    }
}

/// A connection that has logged in, with a session of its own if that is wanted.
fn connect(address: SocketAddr, login: &Login, with_session: bool) -> TcpStream {
    let deadline = deadline();
    let mut connection = Connection::tcp(&address.to_string(), &deadline).unwrap();
    let login = Ask::Login { role: login.role, name: login.name.clone(), secret: login.secret.clone() };
    let reply = connection.ask(&login, &deadline);
    assert!(matches!(reply, Ok(Reply::LoggedIn { .. })), "{reply:?}");
    if with_session {
        let reply = connection.ask(&Ask::OpenSession, &deadline);
        assert!(matches!(reply, Ok(Reply::Session(_))), "{reply:?}");
    }
    let stream = connection.into_stream().unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn deadline() -> Deadline {
    Deadline::after(&Env::os().clock, PATIENCE)
}

/// The latencies in milliseconds, sorted, and how many requests had no answer.
fn deposit(stream: TcpStream, lasting: Duration, rate: u64) -> (Vec<f64>, u64) {
    let count = lasting.as_secs() * rate;
    let began = Instant::now() + Duration::from_millis(5);
    let due = |number: u64| began + Duration::from_nanos(number * 1_000_000_000 / rate);
    let (answered, is_broken) = (AtomicU64::new(0), AtomicBool::new(false));
    let mut latencies: Vec<f64> = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut latencies = Vec::new();
            read_answers(&stream, count, |number| {
                latencies.push(due(number).elapsed().as_secs_f64() * 1e3);
                answered.store(number, Ordering::Release);
            });
            is_broken.store(true, Ordering::Release);
            latencies
        });
        write_requests(&stream, count, &answered, &is_broken, due);
        reader.join().unwrap()
    });
    latencies.sort_by(f64::total_cmp);
    let lost = count - latencies.len() as u64;
    (latencies, lost)
}

fn write_requests(mut stream: &TcpStream, count: u64, answered: &AtomicU64, is_broken: &AtomicBool, due: impl Fn(u64) -> Instant) {
    let mut bytes = Vec::new();
    for number in 1..=count {
        std::thread::sleep(due(number).saturating_duration_since(Instant::now()));
        while number - answered.load(Ordering::Acquire) > IN_FLIGHT && !is_broken.load(Ordering::Acquire) {
            std::thread::sleep(Duration::from_micros(200));
        }
        let command = Command::Deposit { account: AccountId(number as u32 % ACCOUNTS), amount: Amount::new(1).unwrap() };
        let acked_below = RequestNumber(answered.load(Ordering::Acquire) + 1);
        bytes.clear();
        frame::put(&Ask::Request { number: RequestNumber(number), acked_below, command }, &mut bytes).unwrap();
        if is_broken.load(Ordering::Acquire) || stream.write_all(&bytes).is_err() {
            return;
        }
    }
}

/// Reads answers until the last, the first refusal or the end of the connection.
fn read_answers(mut stream: &TcpStream, count: u64, mut answer: impl FnMut(u64)) {
    let (mut input, mut buffer, mut next) = (Vec::new(), vec![0; 64 << 10], 1);
    while next <= count {
        match stream.read(&mut buffer) {
            Ok(0) => return println!("    the honest client was cut off"),
            Ok(taken) => input.extend_from_slice(&buffer[..taken]),
            Err(error) => return println!("    the honest client got no answer: {error}"),
        }
        let mut at = 0;
        while let Front::Whole { payload, consumed } = frame::front(&input[at..]).unwrap() {
            match bankd::model::codec::decode(payload).unwrap() {
                Reply::Answer { number, .. } if number == RequestNumber(next) => answer(next),
                other => return println!("    the honest client was told {other:?}"),
            }
            at += consumed;
            next += 1;
        }
        input.drain(..at);
    }
}

/// Their latencies in milliseconds, and how many were turned away.
fn newcomers(address: SocketAddr, is_over: &AtomicBool) -> (Vec<f64>, u64) {
    let (mut latencies, mut lost, mut due) = (Vec::new(), 0, Instant::now());
    while !is_over.load(Ordering::Relaxed) {
        due += NEWCOMER_EVERY;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let deadline = deadline();
        let answer = Connection::tcp(&address.to_string(), &deadline).map_err(|error| error.to_string());
        match answer.and_then(|mut connection| connection.ask(&Ask::Ping, &deadline).map_err(|error| error.to_string())) {
            Ok(Reply::Pong) => latencies.push(due.elapsed().as_secs_f64() * 1e3),
            other => {
                println!("    a newcomer was turned away: {other:?}");
                lost += 1;
            }
        }
    }
    (latencies, lost)
}
