//! A connection that reconnects and logs in as needed, and sends exactly the messages that prober and intruder choose.
//!
//! Left out: journals and retries (`client/`).

use std::thread;
use std::time::Duration;

use crate::client::{Connection, Deadline, Login};
use crate::model::types::{Owner, SessionId};
use crate::prove::actors::arena::Arena;
use crate::wire::message::{Ask, Refusal, Reply};

/// Timeout of one reply.
const PATIENCE: Duration = Duration::from_millis(400);
/// Pause between two tries.
const PAUSE: Duration = Duration::from_millis(15);
/// The most tries after the run is over, when no more faults are injected.
const LAST_TRIES: u32 = 200;

/// A login and its connection.
pub(in crate::prove) struct Caller<'a> {
    arena: &'a Arena,
    login: Login,
    live: Option<(Connection, Owner, Option<SessionId>)>,
}

impl<'a> Caller<'a> {
    pub(in crate::prove) const fn new(arena: &'a Arena, login: Login) -> Self {
        Self { arena, login, live: None }
    }

    /// Sends once, in `session` if there is one. Returns the reply and the connection's owner; none if no reply came, whether
    /// or not the message arrived.
    pub(in crate::prove) fn once(&mut self, ask: &Ask, session: Option<SessionId>) -> Option<(Reply, Owner)> {
        let deadline = Deadline::after(&self.arena.env.clock, PATIENCE);
        let reply = self.ready(session, &deadline).and_then(|owner| {
            let (connection, ..) = self.live.as_mut()?;
            Some((connection.ask(ask, &deadline).ok()?, owner))
        });
        match &reply {
            None => self.live = None,
            Some((Reply::Session(info), _)) => {
                if let Some((_, _, joined)) = &mut self.live {
                    *joined = Some(info.session);
                }
            }
            Some((Reply::Refused(Refusal::NoSession | Refusal::NotLoggedIn), _)) => {
                self.live = None;
                return None;
            }
            Some(_) => {}
        }
        reply
    }

    /// Retries until a reply other than "busy" comes; after the run is over, a limited number of times.
    pub(in crate::prove) fn ask(&mut self, ask: &Ask, session: Option<SessionId>) -> Option<(Reply, Owner)> {
        let mut tries = 0;
        loop {
            match self.once(ask, session) {
                None | Some((Reply::Refused(Refusal::Busy), _)) => {}
                reply => return reply,
            }
            tries += u32::from(self.arena.is_over());
            if tries > LAST_TRIES {
                return None;
            }
            thread::sleep(PAUSE);
        }
    }

    fn ready(&mut self, session: Option<SessionId>, deadline: &Deadline) -> Option<Owner> {
        if self.live.is_none() {
            let mut connection = Connection::tcp(&self.arena.server, deadline).ok()?;
            let Login { role, name, secret } = self.login.clone();
            let Ok(Reply::LoggedIn { owner }) = connection.ask(&Ask::Login { role, name, secret }, deadline) else { return None };
            self.live = Some((connection, owner, None));
        }
        let (connection, owner, joined) = self.live.as_mut()?;
        match session {
            Some(session) if *joined != Some(session) => match connection.ask(&Ask::ResumeSession { session }, deadline) {
                Ok(Reply::Session(info)) if info.session == session => *joined = Some(session),
                _ => {
                    self.live = None;
                    return None;
                }
            },
            _ => {}
        }
        Some(*owner)
    }
}
