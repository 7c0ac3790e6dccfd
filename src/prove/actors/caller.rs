//! Sends exactly the messages that prober and intruder choose, each once or until a reply comes.
//!
//! Left out: connecting and logging in (`client/link.rs`), journals.

use std::thread;
use std::time::Duration;

use crate::client::{Deadline, Link, Login};
use crate::model::types::{Owner, SessionId};
use crate::prove::actors::arena::Arena;
use crate::wire::message::{Ask, Refusal, Reply};

/// Timeout of one reply.
const PATIENCE: Duration = Duration::from_millis(400);
/// Pause between two tries.
const PAUSE: Duration = Duration::from_millis(15);
/// The most tries after the run is over, when no more faults are injected.
const LAST_TRIES: u32 = 200;

/// A link that is logged in, and the run that it belongs to.
pub(in crate::prove) struct Caller<'a> {
    arena: &'a Arena,
    link: Link,
}

impl<'a> Caller<'a> {
    pub(in crate::prove) fn new(arena: &'a Arena, login: Login) -> Self {
        let mut link = Link::new(&arena.env, &arena.server);
        link.set_login(login);
        Self { arena, link }
    }

    /// Sends once, in `session` if there is one. Returns the reply and the connection's owner; none if no reply came, whether
    /// or not the message arrived.
    pub(in crate::prove) fn once(&mut self, ask: &Ask, session: Option<SessionId>) -> Option<(Reply, Owner)> {
        let deadline = Deadline::after(&self.arena.env.clock, PATIENCE);
        let reply = self.link.once(ask, session, &deadline).ok()?;
        Some((reply, self.link.login()?.1))
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
}
