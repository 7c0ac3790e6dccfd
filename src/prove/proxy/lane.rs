//! One connection through the proxy: two ways, each in order, and the fate of each message carried out on them.
//!
//! Replies come in order, one a message. So the way to the bank notes for each message it passed on what is to become
//! of its reply, and the way back goes through these notes; a reply of the proxy's own has its place among them.
//! The way back alone closes the client's socket, and the way there alone the bank's.
//! Left out: what happens to which message (`faults.rs`).

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

/// How long a bank that is not there is waited for.
const CONNECT: Duration = Duration::from_secs(1);
/// How often an idle way back looks whether the bank has hung up.
const IDLE: Duration = Duration::from_millis(20);
/// How long a late copy's connection stays open for the bank to read it.
const LATE_READ: Duration = Duration::from_millis(500);

/// What is to become of the next reply.
enum Note {
    /// Passed on after this time.
    Pass(Duration),
    /// Kept from the client, who does not know of its message.
    Swallow,
    /// Lost, and the connection with it.
    Lose,
    /// Cut after so many thousandths.
    Cut(u64),
    /// The proxy's own.
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

/// Carries one client's messages to the bank and its replies back, until either side or a fault ends it.
pub(in crate::prove) fn carry(shared: &Shared, client: &TcpStream, random: Random) {
    let Ok(bank) = TcpStream::connect_timeout(&shared.to(), CONNECT) else { return };
    // A socket that cannot be told so is only slower.
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
        // What the bank was sent whole it still reads.
        let _ = bank.shutdown(Shutdown::Write);
    });
    hang_up(&bank);
}

/// Passes messages on. Gives the one that is to arrive late, if that is how it ended.
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
                // The bank may be gone already; then the cut is there.
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

/// Passes replies back, until the bank has hung up or one of them is lost.
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
                // The client may be gone already; then nobody sees the half.
                let _ = client.write_all(part(&reply, place));
                return;
            }
        }
    }
}

/// Delivers a copy that was thought lost, and lets the bank read it.
fn deliver_late(shared: &Shared, mut bank: &TcpStream, frame: &[u8], delay: Duration) {
    thread::sleep(delay);
    // Where the bank is no more, the copy is lost after all.
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

    /// No more notes come.
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

/// The next whole frame, its header included; none when the stream ends, breaks or makes no sense.
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

/// Some of a frame, but never all of it.
fn part(frame: &[u8], thousandths: u64) -> &[u8] {
    let thousandths = usize::try_from(thousandths).unwrap_or(0).min(999);
    frame.get(..frame.len().saturating_mul(thousandths) / 1000).unwrap_or_default()
}

fn busy() -> Vec<u8> {
    let mut out = Vec::new();
    // A refusal is a few bytes, far below a frame's limit, which is the only error.
    let put = frame::put(&Reply::Refused(Refusal::Busy), &mut out);
    assert!(put.is_ok(), "a refusal fits a frame");
    out
}

/// Whether the other end has closed an idle connection.
fn has_hung_up(stream: &TcpStream) -> bool {
    let peeked = stream.set_read_timeout(Some(Duration::from_millis(1))).and_then(|()| stream.peek(&mut [0]));
    let restored = stream.set_read_timeout(None);
    match peeked {
        Ok(count) => count == 0 || restored.is_err(),
        Err(error) => !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted),
    }
}

fn hang_up(stream: &TcpStream) {
    // It may be closed already.
    let _ = stream.shutdown(Shutdown::Both);
}
