//! One connection through the proxy: two ordered directions, and the injection of each message's fate.
//!
//! Replies come in order, one a message. So the forward direction queues a note on the fate of each reply, and the backward
//! direction follows these notes; replies of the proxy itself have their place in the queue.
//! Left out: the choice of faults (`faults.rs`).

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::env::sim::Random;
use crate::model::codec;
use crate::prove::proxy::faults::{Drawn, Fate, Kind};
use crate::prove::proxy::{Shared, count, lock};
use crate::wire::frame::{self, Front};
use crate::wire::message::{Ask, Refusal, Reply};

/// Timeout of the connection to the bank.
const CONNECT: Duration = Duration::from_secs(1);
/// How often the idle backward direction checks whether the bank closed the connection.
const IDLE: Duration = Duration::from_millis(20);
/// How long the connection of a late copy stays open, so that the bank can read it.
const LATE_READ: Duration = Duration::from_millis(500);

/// The fate of the next reply.
enum Note {
    /// Forwarded after this time.
    Pass(Duration),
    /// Dropped: it answers a duplicate that the client did not send.
    Swallow,
    /// Lost, and the connection cut.
    Lose,
    /// Cut after this many thousandths.
    Cut(u64),
    /// A reply of the proxy itself.
    Own(Vec<u8>),
}

#[derive(Default)]
struct Notes {
    queue: VecDeque<Note>,
    is_done: bool,
}

#[derive(Default)]
struct Lane {
    notes: Mutex<Notes>,
    changed: Condvar,
}

enum Next {
    Note(Note),
    Idle,
    Done,
}

/// Forwards one client's messages to the bank and the replies back, until either side or a fault ends the connection.
pub(in crate::prove) fn carry(shared: &Shared, client: &TcpStream, random: Random) {
    let Ok(bank) = TcpStream::connect_timeout(&shared.to(), CONNECT) else { return };
    // Without it the connection is only slower.
    let _ = client.set_nodelay(true).and_then(|()| bank.set_nodelay(true));
    let lane = Lane::default();
    thread::scope(|scope| {
        scope.spawn(|| {
            way_back(shared, &lane, client, &bank);
            hang_up(client);
        });
        let late = way_there(shared, &lane, client, &bank, random);
        lane.finish();
        if let Some((frame, delay)) = late {
            hang_up(client);
            deliver_late(shared, &bank, &frame, delay);
        }
        // The bank still reads the whole messages that it was sent.
        let _ = bank.shutdown(Shutdown::Write);
    });
    hang_up(&bank);
}

/// Forwards messages. Returns the lost message that is to arrive late, if one ended the connection, and its delay.
fn way_there(
    shared: &Shared,
    lane: &Lane,
    mut client: &TcpStream,
    mut bank: &TcpStream,
    mut random: Random,
) -> Option<(Vec<u8>, Duration)> {
    let tally = &shared.tally;
    let mut input = Vec::new();
    while let Some(message) = next_frame(&mut client, &mut input) {
        count(&tally.messages);
        let faults = shared.faults();
        let kind = match frame::front(&message) {
            Ok(Front::Whole { payload, .. }) => codec::decode(payload).map_or(Kind::Plain, |ask: Ask| Kind::of(&ask)),
            _ => Kind::Plain,
        };
        let Drawn { fate, request_delay, reply_delay } = faults.draw(kind, &mut random);
        thread::sleep(request_delay);
        let mut copies = 1;
        match fate {
            Fate::Pass => lane.note(Note::Pass(reply_delay)),
            Fate::Duplicate => {
                count(&tally.duplicates);
                lane.note(Note::Pass(reply_delay));
                lane.note(Note::Swallow);
                copies = 2;
            }
            Fate::LoseReply => lane.note(Note::Lose),
            Fate::CutReply(place) => lane.note(Note::Cut(place)),
            Fate::Busy => {
                count(&tally.busy);
                lane.note(Note::Own(busy()));
                copies = 0;
            }
            Fate::LoseRequest { late } => {
                count(&tally.lost_requests);
                thread::sleep(faults.linger);
                hang_up(client);
                return late.map(|delay| (message, delay));
            }
            Fate::CutRequest(place) => {
                count(&tally.cuts);
                // If the bank has closed the connection already, it is cut as intended.
                let _ = bank.write_all(part(&message, place));
                hang_up(client);
                return None;
            }
        }
        for _ in 0..copies {
            if bank.write_all(&message).is_err() {
                hang_up(client);
                return None;
            }
        }
    }
    None
}

/// Forwards replies, until the bank closes the connection or a reply is lost.
fn way_back(shared: &Shared, lane: &Lane, mut client: &TcpStream, mut bank: &TcpStream) {
    let tally = &shared.tally;
    let mut input = Vec::new();
    loop {
        let note = match lane.next() {
            Next::Note(note) => note,
            Next::Idle if has_hung_up(bank) => return,
            Next::Idle => continue,
            Next::Done => return,
        };
        if let Note::Own(reply) = &note {
            if client.write_all(reply).is_err() {
                return;
            }
            continue;
        }
        let Some(reply) = next_frame(&mut bank, &mut input) else { return };
        match note {
            Note::Pass(delay) => {
                thread::sleep(delay);
                if client.write_all(&reply).is_err() {
                    return;
                }
            }
            Note::Swallow | Note::Own(_) => {}
            Note::Lose => {
                count(&tally.lost_replies);
                thread::sleep(shared.faults().linger);
                return;
            }
            Note::Cut(place) => {
                count(&tally.cuts);
                // The client may have closed the connection already.
                let _ = client.write_all(part(&reply, place));
                return;
            }
        }
    }
}

/// Delivers a lost message late, and leaves the bank time to read it.
fn deliver_late(shared: &Shared, mut bank: &TcpStream, frame: &[u8], delay: Duration) {
    thread::sleep(delay);
    // If the bank has closed the connection, the copy stays lost.
    if bank.write_all(frame).and_then(|()| bank.shutdown(Shutdown::Write)).is_ok() {
        count(&shared.tally.late_requests);
        thread::sleep(LATE_READ);
    }
}

impl Lane {
    fn note(&self, note: Note) {
        lock(&self.notes).queue.push_back(note);
        self.changed.notify_one();
    }

    /// Ends the queue of notes.
    fn finish(&self) {
        lock(&self.notes).is_done = true;
        self.changed.notify_one();
    }

    fn next(&self) -> Next {
        let notes = lock(&self.notes);
        let waiting = |notes: &mut Notes| notes.queue.is_empty() && !notes.is_done;
        let (mut notes, _) = self.changed.wait_timeout_while(notes, IDLE, waiting).unwrap_or_else(PoisonError::into_inner);
        match notes.queue.pop_front() {
            Some(note) => Next::Note(note),
            None if notes.is_done => Next::Done,
            None => Next::Idle,
        }
    }
}

/// The next whole frame, header included; none when the stream ends, fails or is malformed.
pub(in crate::prove) fn next_frame(stream: &mut impl Read, input: &mut Vec<u8>) -> Option<Vec<u8>> {
    let mut chunk = [0; 4096];
    loop {
        let whole = match frame::front(input).ok()? {
            Front::Whole { consumed, .. } => Some(consumed),
            Front::Incomplete(_) => None,
        };
        if let Some(consumed) = whole {
            return Some(input.drain(..consumed).collect());
        }
        match stream.read(&mut chunk) {
            Ok(0) => return None,
            Ok(count) => input.extend_from_slice(chunk.get(..count)?),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
}

/// A proper prefix of a frame.
fn part(frame: &[u8], thousandths: u64) -> &[u8] {
    let thousandths = usize::try_from(thousandths).unwrap_or(0).min(999);
    frame.get(..frame.len().saturating_mul(thousandths) / 1000).unwrap_or_default()
}

fn busy() -> Vec<u8> {
    let mut out = Vec::new();
    // The only error is a payload beyond the frame's limit, and a refusal has a few bytes.
    let put = frame::put(&Reply::Refused(Refusal::Busy), &mut out);
    assert!(put.is_ok(), "a refusal fits a frame");
    out
}

/// Whether the peer has closed an idle connection.
fn has_hung_up(stream: &TcpStream) -> bool {
    let peeked = stream.set_read_timeout(Some(Duration::from_millis(1))).and_then(|()| stream.peek(&mut [0]));
    let restored = stream.set_read_timeout(None);
    match peeked {
        Ok(count) => count == 0 || restored.is_err(),
        Err(error) => !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted),
    }
}

fn hang_up(stream: &TcpStream) {
    // The socket may be closed already.
    let _ = stream.shutdown(Shutdown::Both);
}
