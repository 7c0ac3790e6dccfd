//! The generator's loop: connects, keeps up the load of the plan, and measures it.
//!
//! One thread waits in one poll for answers and, in an open loop, for a timer set to the next request. It never spins, since
//! the bank's background threads need the processors too. Left out: the state of a connection (`lane.rs`).

use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

use super::audit::Audit;
use super::draw::Draw;
use super::lane::{Lane, Source};
use super::plan::Plan;
use super::schedule::{Schedule, nanos};
use super::tally::{Measured, Tally};
use crate::bench::BenchError;
use crate::client::{ClientError, Deadline, Link, Login};
use crate::env::Env;
use crate::env::alarm::Alarm;
use crate::model::types::StoreId;
use crate::wire::message::{Ask, Reply};

/// A bank without an answer for this long counts as failed.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes read at a time.
const READ: usize = 256 * 1024;
/// Time between two progress marks, and between two syncs of the journal.
const TICK: Duration = Duration::from_secs(1);
/// A request that is due sooner than this is polled for, without a timer.
const SOON: Duration = Duration::from_micros(5);
/// The timer's token; lanes use their index.
const ALARM: Token = Token(usize::MAX);

/// Progress of a load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// The warm-up is over.
    Begin,
    /// About a second has passed; the number of answers so far, warm-up included.
    Tick(u64),
    /// The measured time is over.
    End,
}

/// Runs the load of `plan` against the bank at `server`, checks every answer, and returns the measurements. `mark` is called
/// on the generator's thread and should be brief. With `journal`, every command and answer is written to a new file there.
///
/// # Errors
/// [`BenchError`]: an invalid plan, a bank that is unreachable or answers wrongly, a journal that cannot be written.
pub fn load(
    env: &Env,
    server: SocketAddr,
    login: &Login,
    plan: &Plan,
    journal: Option<&Path>,
    mark: &mut dyn FnMut(Mark),
) -> Result<Measured, BenchError> {
    plan.check()?;
    let (lanes, store) = connect(env, server, login, plan)?;
    let audit = journal.map(|path| Audit::create(env, path, store, login, &server.to_string())).transpose()?;
    let source = Source { draw: Draw::new(plan), audit, run: plan.run, depth: plan.depth };
    let poll = Poll::new().map_err(|error| system(&error))?;
    let alarm = Alarm::new().map_err(|error| system(&error))?;
    let began = env.clock.monotonic();
    let (warm, end) = (began + plan.warm_up, began + plan.warm_up + plan.duration);
    let tally = Tally::new(plan.rate.map(|_| (nanos(warm), nanos(end))))?;
    let mut generator = Generator { env, poll, alarm, lanes, source, tally, buffer: vec![0; READ], waited: Duration::ZERO, last: began };
    generator.register()?;
    let mut events = Events::with_capacity(1024);
    let mut schedule = Schedule::new(plan, began);
    generator.run(&mut events, &mut schedule, (began, warm, end), mark)?;
    let unsent = generator.drain(&mut events, &mut schedule)?;
    generator.say_farewell(&mut events)?;
    Ok(generator.tally.end(unsent))
}

/// Connects every lane, logs it in and opens its session.
fn connect(env: &Env, server: SocketAddr, login: &Login, plan: &Plan) -> Result<(Vec<Lane>, StoreId), BenchError> {
    let bank = |error: &dyn std::fmt::Display| BenchError::Bank(error.to_string());
    let mut lanes = Vec::with_capacity(plan.connections);
    let mut store = StoreId::default();
    for _ in 0..plan.connections {
        let deadline = Deadline::after(&env.clock, PATIENCE);
        let mut link = Link::new(env, &server.to_string());
        store = link.connect(&deadline).map_err(|error| failed(&error))?.store;
        link.log_in(login.clone(), &deadline).map_err(|error| failed(&error))?;
        let session = match link.ask(&Ask::OpenSession, None, &deadline).map_err(|error| failed(&error))? {
            Reply::Session(info) => info.session,
            other => return Err(bank(&format!("it opens no session: {other:?}"))),
        };
        let connection = link.into_connection().ok_or_else(|| bank(&"it closed the connection"))?;
        let stream = connection.into_stream().ok_or_else(|| bank(&"it sends more than one reply to a message"))?;
        stream.set_nonblocking(true).map_err(|error| system(&error))?;
        lanes.push(Lane::new(mio::net::TcpStream::from_std(stream), session, plan));
    }
    Ok((lanes, store))
}

fn failed(error: &ClientError) -> BenchError {
    match error {
        ClientError::Unreachable { address, why } => BenchError::Unreachable { address: address.clone(), why: why.clone() },
        other => BenchError::Bank(other.to_string()),
    }
}

/// A running load.
struct Generator<'a> {
    env: &'a Env,
    poll: Poll,
    alarm: Alarm,
    lanes: Vec<Lane>,
    source: Source,
    tally: Tally,
    buffer: Vec<u8>,
    /// How long it waited for events in the measured time.
    waited: Duration,
    /// When the last answer was read.
    last: Duration,
}

impl Generator<'_> {
    fn register(&mut self) -> Result<(), BenchError> {
        for (index, lane) in self.lanes.iter_mut().enumerate() {
            let interest = Interest::READABLE | Interest::WRITABLE;
            self.poll.registry().register(&mut lane.stream, Token(index), interest).map_err(|error| system(&error))?;
        }
        let alarm = self.alarm.as_raw_fd();
        self.poll.registry().register(&mut SourceFd(&alarm), ALARM, Interest::READABLE).map_err(|error| system(&error))
    }

    /// Runs until the end of the measured time.
    fn run(
        &mut self,
        events: &mut Events,
        schedule: &mut Option<Schedule>,
        (began, warm, end): (Duration, Duration, Duration),
        mark: &mut dyn FnMut(Mark),
    ) -> Result<(), BenchError> {
        let (mut opened, mut tick) = (began, began + TICK);
        if schedule.is_none() {
            for index in 0..self.lanes.len() {
                self.fill(index, began, &mut None)?;
            }
        }
        loop {
            let now = self.now();
            if now >= warm && !self.tally.is_open() {
                mark(Mark::Begin);
                opened = self.now();
                self.tally.open();
            }
            if now >= end {
                break;
            }
            if now >= tick {
                tick += TICK;
                mark(Mark::Tick(self.tally.seen));
                self.source.audit.as_mut().map_or(Ok(()), Audit::sync)?;
            }
            let left = if self.tally.is_open() { end } else { warm }.min(tick).saturating_sub(now);
            match schedule {
                None => self.wait(events, left)?,
                Some(due) => self.send_due(due, events, now, left)?,
            }
            self.gather(events, schedule)?;
        }
        let closed = self.now();
        self.tally.close(closed.saturating_sub(opened), self.waited);
        mark(Mark::End);
        Ok(())
    }

    /// Sends the requests that are due, and waits for events until the next is due at the latest.
    fn send_due(&mut self, schedule: &mut Schedule, events: &mut Events, now: Duration, left: Duration) -> Result<(), BenchError> {
        while schedule.next() <= now {
            let (moment, index) = schedule.deal();
            self.tally.late(nanos(now.saturating_sub(moment)));
            self.send_waiting(schedule, index)?;
        }
        let until_next = schedule.next().saturating_sub(self.now());
        if until_next < SOON {
            return self.poll(events, Duration::ZERO);
        }
        self.alarm.set(until_next).map_err(|error| system(&error))?;
        self.wait(events, left)
    }

    /// Handles the events: reads answers, and sends further requests, for which each answer makes room.
    fn gather(&mut self, events: &Events, schedule: &mut Option<Schedule>) -> Result<(), BenchError> {
        for event in events {
            if event.token() == ALARM {
                continue;
            }
            let Token(index) = event.token();
            let now = if event.is_readable() { self.read(index)? } else { self.now() };
            if event.is_read_closed() {
                return Err(BenchError::Bank("it closed a connection".to_owned()));
            }
            self.fill(index, now, schedule)?;
        }
        Ok(())
    }

    /// Reads and checks all available answers of a connection. Returns the time of the last read.
    fn read(&mut self, index: usize) -> Result<Duration, BenchError> {
        let Some(lane) = self.lanes.get_mut(index) else { return Ok(self.last) };
        while let Some((bytes, is_more)) = lane.read(&mut self.buffer)? {
            self.last = self.env.clock.monotonic();
            lane.take(bytes, nanos(self.last), &mut self.tally, &mut self.source)?;
            if !is_more {
                break;
            }
        }
        Ok(self.last)
    }

    /// Sends as many requests as there is room for: new ones in a closed loop, waiting ones in an open loop.
    fn fill(&mut self, index: usize, now: Duration, schedule: &mut Option<Schedule>) -> Result<(), BenchError> {
        if let Some(schedule) = schedule {
            return self.send_waiting(schedule, index);
        }
        let Some(lane) = self.lanes.get_mut(index) else { return Ok(()) };
        while lane.has_room(&self.source) {
            lane.send(nanos(now), &mut self.source)?;
        }
        lane.flush()
    }

    fn send_waiting(&mut self, schedule: &mut Schedule, index: usize) -> Result<(), BenchError> {
        let Some(lane) = self.lanes.get_mut(index) else { return Ok(()) };
        while lane.has_room(&self.source)
            && let Some(moment) = schedule.take(index)
        {
            lane.send(moment, &mut self.source)?;
        }
        lane.flush()
    }

    /// Waits for events, and adds up the waiting time.
    fn wait(&mut self, events: &mut Events, at_most: Duration) -> Result<(), BenchError> {
        let before = self.now();
        self.poll(events, at_most)?;
        let after = self.now();
        if self.tally.is_open() {
            self.waited += after.saturating_sub(before);
        }
        if events.is_empty() && after.saturating_sub(self.last) > PATIENCE && self.is_waiting() {
            return Err(BenchError::Bank(format!("it has not answered for {} s", PATIENCE.as_secs())));
        }
        Ok(())
    }

    fn poll(&mut self, events: &mut Events, at_most: Duration) -> Result<(), BenchError> {
        match self.poll.poll(events, Some(at_most)) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => Ok(()),
            polled => polled.map_err(|error| system(&error)),
        }
    }

    /// Reads all outstanding answers, and sends the waiting requests of an open loop while there is time. Returns how many
    /// commands were never sent.
    fn drain(&mut self, events: &mut Events, schedule: &mut Option<Schedule>) -> Result<u64, BenchError> {
        self.last = self.now();
        let until = self.last + PATIENCE;
        let mut none = Some(Schedule::default());
        while self.is_waiting() {
            self.wait(events, TICK)?;
            let is_time = self.now() < until && schedule.is_some();
            self.gather(events, if is_time { schedule } else { &mut none })?;
        }
        self.source.audit.as_mut().map_or(Ok(()), Audit::sync)?;
        Ok((schedule.as_ref().map_or(0, Schedule::waiting) * self.source.run) as u64)
    }

    /// Closes every session, so that the next load does not reach the limit of sessions.
    fn say_farewell(&mut self, events: &mut Events) -> Result<(), BenchError> {
        for lane in &mut self.lanes {
            lane.say_farewell()?;
            lane.flush()?;
        }
        self.drain(events, &mut None).map(|_| ())
    }

    fn is_waiting(&self) -> bool {
        self.lanes.iter().any(|lane| lane.in_flight() > 0)
    }

    fn now(&self) -> Duration {
        self.env.clock.monotonic()
    }
}

fn system(error: &std::io::Error) -> BenchError {
    BenchError::Io { what: "the generator's sockets".to_owned(), source: std::io::Error::new(error.kind(), error.to_string()) }
}
