//! A scripted peer for tests: it replies, stays silent or closes the connection exactly where the test says so.
//!
//! Also builds the messages and the client of such tests. Left out: a real bank, which other tests use.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::link::Login;
use crate::client::client::Client;
use crate::client::journal::index::End;
use crate::env::Env;
use crate::model::amount::Amount;
use crate::model::command::{Body, Command, Outcome};
use crate::model::secret::Secret;
use crate::model::types::{AccountId, BankTime, Epoch, Lineage, Lsn, Owner, RequestId, RequestNumber, SessionId, StoreId};
use crate::wire::frame::{self, Front};
use crate::wire::message::{Ask, Limits, Receipt, Refusal, Reply, Role, SessionInfo, VERSION, Welcome};

/// What the peer does with the next message.
#[derive(Clone)]
pub(super) enum Step {
    /// Answers it.
    Reply(Reply),
    /// Reads as many messages as there are replies, then sends the replies.
    Replies(Vec<Reply>),
    /// Reads it and closes the connection.
    Drop,
}

/// A running peer. It plays one list of steps per connection, and stops listening after the last list.
pub(super) struct Peer {
    pub(super) address: String,
    seen: Arc<Mutex<Vec<Ask>>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Peer {
    /// Every message received so far, except greetings, in order.
    pub(super) fn asked(&self) -> Vec<Ask> {
        self.seen.lock().unwrap().clone()
    }

    /// Waits for the end of the script; returns every message received.
    pub(super) fn join(mut self) -> Vec<Ask> {
        self.thread.take().unwrap().join().unwrap();
        self.asked()
    }
}

pub(super) const SESSION: SessionId = SessionId { epoch: Epoch(0xabc), lsn: Lsn(77) };

pub(super) fn id(number: u64) -> RequestId {
    RequestId { session: SESSION, number: RequestNumber(number) }
}

pub(super) fn withdraw(amount: u64) -> Command {
    Command::Withdraw { account: AccountId(1), amount: Amount::new(amount).unwrap() }
}

pub(super) fn logged_in() -> Step {
    Step::Reply(Reply::LoggedIn { owner: Owner::Customer(AccountId(1)) })
}

pub(super) fn session() -> Step {
    Step::Reply(Reply::Session(SessionInfo { session: SESSION, last: RequestNumber(0), acked_below: RequestNumber(1) }))
}

pub(super) fn answer(number: u64, balance: u64, replayed: bool) -> Step {
    let body = Body { outcome: Outcome::Done, balance: Amount::new(balance).unwrap(), lsn: Lsn(78) };
    Step::Reply(Reply::Answer { number: RequestNumber(number), body, replayed, receipt: Receipt::default() })
}

/// One step that sends the replies of these steps, after as many messages were read.
pub(super) fn together(steps: impl IntoIterator<Item = Step>) -> Step {
    let reply = |step| if let Step::Reply(reply) = step { reply } else { panic!("not a reply") };
    Step::Replies(steps.into_iter().map(reply).collect())
}

pub(super) fn refused(refusal: Refusal) -> Step {
    Step::Reply(Reply::Refused(refusal))
}

pub(super) fn acked(below: u64) -> Step {
    Step::Reply(Reply::Acked { acked_below: RequestNumber(below) })
}

pub(super) fn request(number: u64, acked_below: u64, amount: u64) -> Ask {
    Ask::Request { number: RequestNumber(number), acked_below: RequestNumber(acked_below), command: withdraw(amount) }
}

/// A logged-in client, as in a new process.
pub(super) fn client(dir: &tempfile::TempDir, peer: &Peer, timeout: u64) -> Client {
    let mut client = Client::new(&Env::os(), &peer.address, &dir.path().join("journal"), Duration::from_millis(timeout));
    client.connect().unwrap();
    client.log_in(Login { role: Role::Customer, name: "Sami".to_owned(), secret: Secret::new("1234".to_owned()) }).unwrap();
    client
}

pub(super) fn end(client: &mut Client, number: u64) -> Option<End> {
    let deadline = client.deadline();
    client.journal().open(&deadline).unwrap().find(id(number)).unwrap().end
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
        'connections: for steps in connections {
            let (mut stream, _) = listener.accept().unwrap();
            let mut input = Vec::new();
            assert_eq!(next(&mut stream, &mut input), Some(Ask::Hello { version: VERSION }));
            say(&mut stream, &Reply::Welcome(welcome()));
            for step in steps {
                let count = if let Step::Replies(replies) = &step { replies.len() } else { 1 };
                for _ in 0..count {
                    let Some(ask) = next(&mut stream, &mut input) else { continue 'connections };
                    log.lock().unwrap().push(ask);
                }
                match step {
                    Step::Reply(reply) => say(&mut stream, &reply),
                    Step::Replies(replies) => replies.iter().for_each(|reply| say(&mut stream, reply)),
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
            let ask = crate::model::codec::decode(payload).unwrap();
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
