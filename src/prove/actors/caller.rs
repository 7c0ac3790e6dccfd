//! A caller that sends exactly what it is told, over a connection that it makes again: what the prober and the
//! intruder speak through.
//!
//! Left out: journals and retries as customers need them (`client/`).

use std::thread;
use std::time::Duration;

use crate::client::{Connection, Deadline, Login};
use crate::model::types::{Owner, SessionId};
use crate::prove::actors::arena::Arena;
use crate::wire::message::{Ask, Refusal, Reply};

/// How long one reply is waited for.
const PATIENCE: Duration = Duration::from_millis(400);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(15);
/// How many tries there are when the proof is over and nothing goes wrong any more.
const LAST_TRIES: u32 = 200;

/// A login that connects as needed.
pub(in crate::prove) struct Caller<'a> {
    arena: &'a Arena,
    login: Login,
    live: Option<(Connection, Owner, Option<SessionId>)>,
}

impl<'a> Caller<'a> {
    pub(in crate::prove) const fn new(arena: &'a Arena, login: Login) -> Self {
        Self { arena, login, live: None }
    }

    /// One try, in that session if one is named. None where no reply came, whether the message arrived or not; and
    /// with the reply, as whom it was asked.
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

    /// Tries until something other than "busy" comes. Once the proof is over it gives up some time.
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
