//! The connections of one flood: what they send, and the loop that serves each of them in turn.
//!
//! Left out: one connection (`peer.rs`), the process around a flood (`flooder.rs`). `tests/daemon/floods.rs` has these in small.

#[path = "peer.rs"]
pub mod peer;

use std::fmt;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bankd::model::amount::Amount;
use bankd::model::command::Command as Money;
use bankd::model::secret::Secret;
use bankd::model::types::{AccountId, RequestNumber};
use bankd::wire::frame;
use bankd::wire::message::{Ask, Role, VERSION};
use peer::{Pace, Peer, Script};

use super::bank::{ACCOUNTS, teller};

/// How long the connections may take to connect before the flood begins.
const CONNECTING: Duration = Duration::from_secs(30);

/// What the connections of a flood did.
pub struct Done {
    /// Connections that stand at the end.
    pub connected: u64,
    /// Connections made in all.
    pub made: u64,
    /// Attempts that failed.
    pub refused: u64,
    /// Bytes sent.
    pub sent: u64,
    /// Bytes read.
    pub read: u64,
    /// Replies read.
    pub replies: u64,
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { connected, made, refused, sent, read, replies } = self;
        let (sent, read) = (*sent as f64 / 1e6, *read as f64 / 1e6);
        write!(f, "{connected} connections at the end, {made} made in all, {refused} refused; ")?;
        write!(f, "{sent:.1} MB sent, {read:.1} MB and {replies} replies read")
    }
}

/// Connects, greets, calls `ready`, and floods until `is_over`, which is asked after each turn of a connection.
pub fn flood(address: SocketAddr, count: usize, script: fn(usize) -> Script, ready: impl FnOnce(), is_over: impl Fn() -> bool) -> Done {
    // Most floods have one script for all.
    let first = Rc::new(script(0));
    let is_one = script(1).bytes == first.bytes;
    let script = |place| if is_one { Rc::clone(&first) } else { Rc::new(script(place)) };
    let mut peers: Vec<Peer> = (0..count).map(|place| Peer::new(address, place, script(place))).collect();
    let connecting = Instant::now();
    for peer in &mut peers {
        if connecting.elapsed() < CONNECTING {
            // It connects, then it greets.
            peer.turn();
            peer.turn();
        }
    }
    ready();
    while !is_over() {
        let mut is_idle = true;
        for peer in &mut peers {
            is_idle &= !peer.turn();
            if is_over() {
                break;
            }
        }
        if is_idle {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    let sum = |of: &dyn Fn(&Peer) -> u64| peers.iter().map(of).sum();
    Done {
        connected: sum(&|peer| u64::from(peer.is_connected())),
        made: sum(&|peer| peer.connected),
        refused: sum(&|peer| peer.refused),
        sent: sum(&|peer| peer.sent),
        read: sum(&|peer| peer.read),
        replies: sum(&|peer| peer.replies),
    }
}

fn frames(asks: impl IntoIterator<Item = Ask>) -> Vec<u8> {
    let mut bytes = Vec::new();
    asks.into_iter().for_each(|ask| frame::put(&ask, &mut bytes).unwrap());
    bytes
}

/// A script that greets, and then says that again and again.
fn greets_and(pace: Pace, reads: bool, asks: impl IntoIterator<Item = Ask>) -> Script {
    Script::new(&frames([hello()]), &frames(asks), pace, reads)
}

/// The same by the flooding teller.
fn logs_in_and(reads: bool, before: impl IntoIterator<Item = Ask>, asks: impl IntoIterator<Item = Ask>) -> Script {
    let login = teller("flood");
    let login = Ask::Login { role: login.role, name: login.name, secret: login.secret };
    Script::new(&frames([hello(), login].into_iter().chain(before)), &frames(asks), Pace::Always, reads)
}

const fn hello() -> Ask {
    Ask::Hello { version: VERSION }
}

/// The least prime of 100 digits.
pub fn prime() -> String {
    format!("1{}289", "0".repeat(96))
}

pub fn dribbler(_: usize) -> Script {
    let mut frame = frames([Ask::Lower { text: "x".repeat(30_000) }]);
    frame.pop();
    Script::new(&frames([hello()]), &frame, Pace::ByteASecond, true)
}

fn lower() -> Vec<Ask> {
    vec![Ask::Lower { text: "X".repeat(30_000) }; 4]
}

pub fn unread(_: usize) -> Script {
    greets_and(Pace::Always, false, lower())
}

pub fn lowers(_: usize) -> Script {
    greets_and(Pace::Always, true, lower())
}

pub fn idle(_: usize) -> Script {
    greets_and(Pace::Once, true, [])
}

pub fn primes(_: usize) -> Script {
    greets_and(Pace::Answered(500), true, vec![Ask::Prime { number: prime() }; 500])
}

pub fn pings(_: usize) -> Script {
    greets_and(Pace::Always, true, vec![Ask::Ping; 5000])
}

pub fn unread_pings(_: usize) -> Script {
    greets_and(Pace::Always, false, vec![Ask::Ping; 5000])
}

pub fn lists(_: usize) -> Script {
    logs_in_and(true, [], vec![Ask::ListSessions; 5000])
}

pub fn unread_lists(_: usize) -> Script {
    logs_in_and(false, [], vec![Ask::ListSessions; 5000])
}

/// Five at each of twenty accounts, which locks them.
pub fn guesses(place: usize) -> Script {
    let guess = |account: usize, guess: usize| Ask::Login {
        role: Role::Customer,
        name: format!("account {}", account % ACCOUNTS as usize),
        secret: Secret::new(format!("{guess:010}")),
    };
    greets_and(Pace::Once, true, (0..20).flat_map(|account| (0..5).map(move |number| guess(place * 20 + account, number))))
}

fn deposits() -> Ask {
    let command = Money::Deposit { account: AccountId(1), amount: Amount::new(1).unwrap() };
    Ask::Run { first: RequestNumber(1), acked_below: RequestNumber(1), commands: vec![command; 1024] }
}

pub fn runs(_: usize) -> Script {
    logs_in_and(true, [Ask::OpenSession, deposits()], [deposits(), deposits()])
}

pub fn strange_runs(_: usize) -> Script {
    greets_and(Pace::Always, true, [deposits(), deposits()])
}
