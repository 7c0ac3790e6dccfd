//! Sessions: opening, resuming, closing and listing them, and which connection has which session.
//!
//! Left out: the session table (`bank/`), the turn's list (`turn.rs`).

use crate::engine::Admission;
use crate::model::types::{Lsn, Owner, RequestNumber, SessionId};
use crate::server::service::{ConnectionId, Service};
use crate::server::turn::{Admitted, Item, Logged};
use crate::wire::message::{Ask, Refusal, Reply, SessionInfo};

impl Service {
    /// Admits the opening of a session.
    pub(in crate::server) fn admit_open(&mut self, id: ConnectionId, owner: Owner) -> Admitted {
        let ends_with_connection = self.connection(id).is_some_and(|connection| connection.front_end.is_lab());
        let live = &self.live;
        match self.engine.submit_open(owner, &|session| live.contains_key(&session)) {
            Ok(Admission::Listed) => self.refused(id, Refusal::TooManySessions),
            Ok(Admission::Logged) => self.list_logged(id, Logged::Open { ends_with_connection }),
            Err(full) => self.full(id, full),
        }
    }

    /// The reply to a session that was opened; it becomes the connection's.
    pub(in crate::server) fn answer_opened(&mut self, id: ConnectionId, lsn: Lsn, ends_with_connection: bool) -> Reply {
        if ends_with_connection && self.connection(id).is_none() {
            self.abandon_opened(id, lsn);
        }
        let session = self.engine.bank().epochs().session(lsn);
        self.take_over(id, lsn);
        Reply::Session(SessionInfo { session, last: RequestNumber(0), acked_below: RequestNumber(1) })
    }

    /// Admits the resumption of a session: nothing behind it is read before it is answered.
    pub(in crate::server) fn admit_resume(&mut self, id: ConnectionId, session: SessionId) -> Admitted {
        self.block(id);
        self.list(id, Item::Ask { id, ask: Ask::ResumeSession { session } });
        Admitted::Yes
    }

    /// The reply to a resumption; the session becomes the connection's, if it is `owner`'s.
    pub(in crate::server) fn answer_resume(&mut self, id: ConnectionId, owner: Owner, session: SessionId) -> Result<Reply, Refusal> {
        let resumed = self.resumable(owner, session);
        if let Some(connection) = self.connection(id) {
            connection.is_blocked = false;
        }
        let info = resumed?;
        self.take_over(id, session.lsn);
        Ok(Reply::Session(info))
    }

    /// Admits the closing of a session.
    pub(in crate::server) fn admit_close(&mut self, id: ConnectionId, owner: Owner, session: SessionId) -> Admitted {
        if !self.engine.bank().has_place(session) {
            return self.refused(id, Refusal::StoreRolledBack);
        }
        let admission = self.engine.submit_close(owner, session.lsn);
        self.list_admission(id, admission, Logged::Close(session.lsn), Ask::CloseSession { session })
    }

    /// The reply to a session that was closed: no connection has it any more.
    pub(in crate::server) fn answer_closed(&mut self, session: Lsn) -> Reply {
        if let Some(id) = self.live.remove(&session)
            && let Some(connection) = self.connection(id)
        {
            connection.session = None;
        }
        Reply::Closed
    }

    /// The owner's sessions opened by entries after `after`, oldest first, at most `most`.
    pub(in crate::server) fn sessions(&self, owner: Owner, after: Lsn, most: usize) -> Vec<SessionInfo> {
        let bank = self.engine.bank();
        let info = |lsn: Lsn| {
            let view = bank.session(lsn)?;
            Some(SessionInfo { session: bank.epochs().session(lsn), last: view.last, acked_below: view.acked_below })
        };
        bank.sessions_of(owner).into_iter().filter(|lsn| *lsn > after).filter_map(info).take(most).collect()
    }

    fn resumable(&self, owner: Owner, session: SessionId) -> Result<SessionInfo, Refusal> {
        let bank = self.engine.bank();
        if !bank.has_place(session) {
            return Err(Refusal::StoreRolledBack);
        }
        let view = bank.session(session.lsn).filter(|view| view.owner == owner).ok_or(Refusal::UnknownSession)?;
        Ok(SessionInfo { session, last: view.last, acked_below: view.acked_below })
    }

    /// Makes a session the connection's; an older connection that had it is closed.
    fn take_over(&mut self, id: ConnectionId, session: Lsn) {
        let Some(connection) = self.connection(id) else { return };
        let before = connection.session.replace(session);
        if let Some(before) = before.filter(|before| *before != session && self.live.get(before) == Some(&id)) {
            self.live.remove(&before);
        }
        if let Some(older) = self.live.insert(session, id).filter(|older| *older != id)
            && let Some(connection) = self.connection(older)
        {
            connection.session = None;
            connection.is_closing = true;
            self.mark_dirty(older.slot);
        }
    }
}
