//! The turn: each request is admitted as it arrives and becomes one item of the turn's list, in order. Once the batch's
//! commit is begun, each item is answered in that order. So `DEPOSIT; BALANCE` in one read shows the deposit.
//!
//! This is the only file that knows both phases; `requests/` has the admission and the answer of each kind of request.
//! Nothing is sent here: the answers leave once the batch is durable (`service.rs`).

use std::ops::Range;
use std::time::Duration;

use crate::bank::Applied;
use crate::engine::{Admission, Fatal, Query};
use crate::model::types::{Lsn, Owner, RequestNumber};
use crate::model::utilities;
use crate::server::budget::ANSWER;
use crate::server::connection::FrontEnd;
use crate::server::native::{self, Question};
use crate::server::requests::refusal_of;
use crate::server::service::{ConnectionId, Service};
use crate::wal::Full;
use crate::wire::message::{Ask, MAX_SESSIONS, Operation, Receipt, Refusal, Reply, SESSIONS_PAGE};

/// One item of the turn's list.
pub(super) enum Item {
    /// `count` money requests of consecutive numbers, which are the batch's next entries.
    Requests { id: ConnectionId, first: RequestNumber, count: usize },
    /// A run. `commands` is its range in the turn's list of commands; those in `admitted` are the batch's next entries.
    Run { id: ConnectionId, first: RequestNumber, commands: Range<usize>, admitted: Range<usize> },
    /// Any other request that became the batch's next entry.
    Logged { id: ConnectionId, logged: Logged },
    /// A request that is decided against applied state.
    Ask { id: ConnectionId, ask: Ask },
    /// A question for a statement, whose answer comes from a thread.
    Statement { id: ConnectionId, query: Query },
    /// A request that was refused when it arrived.
    Refused { id: ConnectionId, refusal: Refusal },
}

/// The kind of entry that a request became.
#[derive(Clone, Copy)]
pub(super) enum Logged {
    /// A cancellation of this number.
    Cancel(RequestNumber),
    /// A login as this owner.
    Login(Owner),
    /// Opening a session, which may not outlive the connection.
    Open { ends_with_connection: bool },
    /// Closing this session.
    Close(Lsn),
    /// Acknowledging replies.
    Ack,
    /// An operator's request.
    Operation,
}

impl Logged {
    /// Whether its connection is read no further in this turn: the requests behind it depend on its outcome.
    pub(super) const fn ends_the_reading(self) -> bool {
        matches!(self, Self::Login(_) | Self::Open { .. } | Self::Close(_) | Self::Operation)
    }
}

/// Whether a request was admitted.
#[must_use]
pub(super) enum Admitted {
    /// It is in the list.
    Yes,
    /// It does not fit the batch any more: no more bytes are decoded in this turn.
    NextTurn,
    /// The connection has used its share of the turn, or there is no room for an answer of this many bytes: its bytes
    /// wait.
    Later(usize),
}

/// Why a request has no reply of its own.
enum Undone {
    Refused(Refusal),
    /// The request cannot be in the list as it is: a bug.
    Broken(&'static str),
}

impl From<Refusal> for Undone {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Admission.
impl Service {
    /// Decodes and admits whole requests at the front of `bytes`; returns how many bytes they took.
    ///
    /// # Errors
    /// [`Fatal`], as `Engine::new_tag`.
    pub(super) fn decode(&mut self, slot: usize, bytes: &[u8]) -> Result<usize, Fatal> {
        let mut consumed = 0;
        let mut one_by_one = false;
        while !self.is_full && consumed < bytes.len() {
            let Some(connection) = self.connections.get(slot).filter(|connection| connection.may_decode()) else { break };
            let id = ConnectionId { slot, generation: connection.generation };
            let rest = bytes.get(consumed..).unwrap_or_default();
            if !one_by_one
                && native::is_request(rest)
                && let (Some(owner), Some(session)) = (connection.owner, connection.session)
            {
                let most = self.budget.requests(connection);
                if most == 0 {
                    self.pause(slot, ANSWER);
                    break;
                }
                let length = self.admit_following(id, owner, session, rest, most);
                consumed += length;
                // A request that is not new, or does not fit, is admitted by itself; more such requests are likely to
                // follow.
                one_by_one = length == 0;
                continue;
            }
            if !self.budget.has_question(connection) {
                self.pause(slot, ANSWER);
                break;
            }
            match native::next(rest, &mut self.run_commands) {
                Ok(None) => break,
                Ok(Some((question, length))) => {
                    let taken = match question {
                        Question::Run { first, acked_below, commands } => self.admit_run(id, first, acked_below, commands),
                        Question::Ask(ask) => self.admit(id, ask)?,
                    };
                    match taken {
                        Admitted::Yes => consumed += length,
                        Admitted::NextTurn => self.is_full = true,
                        Admitted::Later(needs) => {
                            self.pause(slot, needs);
                            break;
                        }
                    }
                }
                Err(refusal) => {
                    let _ = self.refused(id, refusal);
                    self.hang_up(id);
                    consumed = bytes.len();
                }
            }
        }
        Ok(consumed)
    }

    /// Admits one request.
    ///
    /// # Errors
    /// [`Fatal`], as `Engine::new_tag`.
    pub(super) fn admit(&mut self, id: ConnectionId, ask: Ask) -> Result<Admitted, Fatal> {
        let Some(connection) = self.connection(id) else { return Ok(Admitted::Yes) };
        let (owner, session) = (connection.owner, connection.session);
        if connection.greeted == matches!(ask, Ask::Hello { .. }) {
            return Ok(self.refuse_hello_first(id));
        }
        // The hot path first.
        if let Ask::Request { number, acked_below, command } = ask {
            return Ok(self.admit_request(id, owner, session, number, acked_below, command));
        }
        if let Some(price) = self.price(&ask, owner)
            && let Admitted::Later(needs) = self.pay(id, price)
        {
            return Ok(Admitted::Later(needs));
        }
        let refusal = match (ask, owner, session) {
            (Ask::Hello { version }, ..) => return Ok(self.admit_hello(id, version)),
            (ask @ (Ask::Prime { .. } | Ask::Lower { .. } | Ask::Palindrome { .. } | Ask::Ping), ..) => {
                return Ok(self.admit_query(id, ask));
            }
            (Ask::Login { role, name, secret }, ..) => return Ok(self.admit_login(id, owner, role, &name, &secret)),
            (_, None, _) => Refusal::NotLoggedIn,
            (Ask::Statement { account, before, from, to, limit, with_refused }, Some(owner), _) => {
                let limit = usize::from(limit);
                return Ok(self.admit_statement(id, owner, Query { account, before, from, to, limit, with_refused }));
            }
            (ask @ Ask::FindAccount { .. }, Some(Owner::Operator(_)), _) => return Ok(self.admit_query(id, ask)),
            (Ask::Operate(operation), Some(owner @ Owner::Operator(_)), _) => return self.admit_operation(id, owner, operation),
            (_, Some(Owner::Operator(_)), _) | (Ask::Operate(_), ..) => Refusal::NotPermitted,
            (Ask::OpenSession, Some(owner), _) => return Ok(self.admit_open(id, owner)),
            (Ask::ResumeSession { session }, ..) => return Ok(self.admit_resume(id, session)),
            (Ask::CloseSession { session }, Some(owner), _) => return Ok(self.admit_close(id, owner, session)),
            (ask @ (Ask::ListSessions | Ask::ListSessionsAfter { .. } | Ask::Balance { .. } | Ask::FindAccount { .. }), ..) => {
                return Ok(self.admit_query(id, ask));
            }
            (Ask::Cancel { .. } | Ask::Ack { .. }, _, None) => Refusal::NoSession,
            (Ask::Cancel { number, acked_below }, Some(owner), Some(session)) => {
                return Ok(self.admit_cancel(id, owner, session, number, acked_below));
            }
            (Ask::Ack { acked_below }, Some(owner), Some(session)) => return Ok(self.admit_ack(id, owner, session, acked_below)),
            (Ask::Request { .. } | Ask::Run { .. }, ..) => return Err(Fatal::Broken("a money request is admitted before this")),
        };
        Ok(self.refused(id, refusal))
    }

    /// Lists a request that became an entry.
    pub(super) fn list_logged(&mut self, id: ConnectionId, logged: Logged) -> Admitted {
        if logged.ends_the_reading() {
            self.block(id);
        }
        self.list(id, Item::Logged { id, logged });
        Admitted::Yes
    }

    /// Lists a request by its admission: as `logged` if it became an entry, as `ask` if it is decided later.
    pub(super) fn list_admission(&mut self, id: ConnectionId, admission: Result<Admission, Full>, logged: Logged, ask: Ask) -> Admitted {
        match admission {
            Ok(Admission::Logged) => self.list_logged(id, logged),
            Ok(Admission::Listed) => {
                self.list(id, Item::Ask { id, ask });
                Admitted::Yes
            }
            Err(full) => self.full(id, full),
        }
    }

    /// Handles a request that found no room: it waits for the next batch, or is refused if the disk has none.
    pub(super) fn full(&mut self, id: ConnectionId, full: Full) -> Admitted {
        match full {
            Full::Batch => Admitted::NextTurn,
            Full::NoSpace => self.refused(id, Refusal::NoSpace),
        }
    }

    /// Lists a refusal.
    pub(super) fn refused(&mut self, id: ConnectionId, refusal: Refusal) -> Admitted {
        self.list(id, Item::Refused { id, refusal });
        Admitted::Yes
    }

    /// Stops reading from the connection until its last request is answered.
    pub(super) fn block(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connection(id) {
            connection.is_blocked = true;
        }
    }

    /// Closes the connection after its last answer.
    pub(super) fn hang_up(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connection(id) {
            connection.is_closing = true;
        }
    }
}

/// Answering.
impl Service {
    /// Answers every item of the list, in order, and applies the batch's entries meanwhile.
    ///
    /// # Errors
    /// [`Fatal`]: an invariant is broken, and no answer of this turn may leave.
    pub(super) fn answer_all(&mut self, now: Duration) -> Result<(), Fatal> {
        let receipt = self.engine.receipt();
        let mut turn = std::mem::take(&mut self.turn);
        let mut run_commands = std::mem::take(&mut self.run_commands);
        for item in turn.drain(..) {
            match item {
                Item::Requests { id, first, count } => self.answer_requests(id, first, count, &receipt, now)?,
                Item::Run { id, first, commands, admitted } => {
                    let commands = run_commands.get(commands).unwrap_or_default();
                    self.answer_run(id, first, commands, &admitted, &receipt, now)?;
                }
                Item::Logged { id, logged } => {
                    let reply = self.answer_logged(id, logged, receipt)?;
                    self.reply(id, &reply, now)?;
                }
                Item::Ask { id, ask } => {
                    let reply = match self.decide(id, ask, receipt) {
                        Ok(reply) => reply,
                        Err(Undone::Refused(refusal)) => Reply::Refused(refusal),
                        Err(Undone::Broken(rule)) => return Err(Fatal::Broken(rule)),
                    };
                    self.reply(id, &reply, now)?;
                }
                Item::Statement { id, query } => self.statement_asks.push((id, query)),
                Item::Refused { id, refusal } => self.reply(id, &Reply::Refused(refusal), now)?,
            }
        }
        self.turn = turn;
        run_commands.clear();
        self.run_commands = run_commands;
        Ok(())
    }

    /// Appends a reply to its connection's output. If the connection is gone, the reply is dropped; its request was
    /// executed all the same.
    pub(super) fn reply(&mut self, id: ConnectionId, reply: &Reply, now: Duration) -> Result<(), Fatal> {
        let Some(connection) = self.connection(id) else { return Ok(()) };
        connection.begin_replies(1, now);
        match connection.front_end {
            FrontEnd::Native => native::put(reply, connection.output())?,
            FrontEnd::Lab(_) => self.say(id, reply)?,
        }
        self.mark_dirty(id.slot);
        Ok(())
    }

    /// Applies the batch's next entry, which is of that kind, and makes its reply.
    ///
    /// # Errors
    /// [`Fatal::Broken`] if the outcome does not belong to the entry's kind.
    fn answer_logged(&mut self, id: ConnectionId, logged: Logged, receipt: Receipt) -> Result<Reply, Fatal> {
        let (lsn, applied) = self.engine.apply_next()?;
        if logged.ends_the_reading()
            && let Some(connection) = self.connection(id)
        {
            connection.is_blocked = false;
        }
        Ok(match (logged, applied) {
            (Logged::Cancel(number), Applied::Answer { body, replayed }) => Reply::Answer { number, body, replayed, receipt },
            (Logged::Login(owner), Applied::Login(login)) => self.answer_login(id, owner, login),
            (Logged::Open { ends_with_connection }, Applied::SessionOpened) => self.answer_opened(id, lsn, ends_with_connection),
            (Logged::Close(session), Applied::Closed) => self.answer_closed(session),
            (Logged::Ack, Applied::Acked { acked_below }) => Reply::Acked { acked_below },
            (Logged::Operation | Logged::Open { .. }, Applied::Refused(refused)) => Reply::Refused(refusal_of(refused)),
            (Logged::Operation, Applied::Done | Applied::Opened(_) | Applied::TellerAdded(_)) => self.answer_operation(lsn),
            // The session ended earlier in the same batch.
            (Logged::Cancel(_) | Logged::Close(_) | Logged::Ack, Applied::UnknownSession) => Reply::Refused(Refusal::UnknownSession),
            _ => return Err(Fatal::Broken("an entry has a result that its kind cannot have")),
        })
    }

    /// Decides a request by the applied state.
    fn decide(&mut self, id: ConnectionId, ask: Ask, receipt: Receipt) -> Result<Reply, Undone> {
        let connection = self.connection(id).ok_or(Refusal::NoSession)?;
        let (owner, session) = (connection.owner, connection.session);
        let owned = owner.ok_or(Refusal::NotLoggedIn);
        let own_session = session.ok_or(Refusal::UnknownSession);
        Ok(match ask {
            Ask::Request { number, command, .. } => {
                let (body, replayed) = self.decide_numbered(own_session?, number, Some(&command))?;
                Reply::Answer { number, body, replayed, receipt }
            }
            Ask::Cancel { number, .. } => {
                let (body, replayed) = self.decide_numbered(own_session?, number, None)?;
                Reply::Answer { number, body, replayed, receipt }
            }
            Ask::Ack { acked_below } => self.decide_ack(own_session?, acked_below)?,
            Ask::ResumeSession { session } => self.answer_resume(id, owned?, session)?,
            Ask::Balance { account } => self.balance(owned?, account)?,
            Ask::FindAccount { name } => self.find_account(&name)?,
            Ask::ListSessions => Reply::Sessions(self.sessions(owned?, Lsn(0), MAX_SESSIONS)),
            Ask::ListSessionsAfter { after } => Reply::Sessions(self.sessions(owned?, after, SESSIONS_PAGE)),
            Ask::Hello { .. } => Reply::Welcome(self.welcome()),
            Ask::Lower { text } => Reply::Text(utilities::lower(&text)),
            Ask::Prime { number } => utilities::is_prime(&number).map(Reply::Truth).map_err(|_| Refusal::NotAnInteger)?,
            Ask::Palindrome { number } => utilities::is_palindrome(&number).map(Reply::Truth).map_err(|_| Refusal::NotAnInteger)?,
            Ask::Ping => Reply::Pong,
            Ask::Operate(Operation::ListAccounts { from }) => Reply::Accounts(self.accounts(from)),
            // The session is closed, or was never this owner's.
            Ask::CloseSession { .. } | Ask::Operate(Operation::CloseSession { .. }) => {
                return Err(Undone::Refused(Refusal::UnknownSession));
            }
            Ask::Login { .. } | Ask::OpenSession | Ask::Run { .. } | Ask::Operate(_) | Ask::Statement { .. } => {
                return Err(Undone::Broken("a request that has an item of its own is listed without one"));
            }
        })
    }
}
