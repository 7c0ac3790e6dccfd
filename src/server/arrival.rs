//! Arrival: each question is judged as it comes and becomes one item of the turn's list, in order.
//!
//! What is refused by its content or for want of a login is settled here, since nothing in the turn can change it;
//! what is new goes into the batch; everything else is listed as it is. Left out: answering (`turn.rs`).

use std::ops::Range;

use super::budget::ANSWER;
use super::native::{self, Question};
use super::service::{ConnectionId, Service};
use crate::bank::auth::credential::Party;
use crate::engine::{Admission, Fatal};
use crate::model::command::Command;
use crate::model::entry::{AccountOpen, Action, Requests, TellerAdd};
use crate::model::names::is_new_name;
use crate::model::secret::{MAX_SECRET, Secret};
use crate::model::types::{Lsn, Owner, RequestNumber, SessionId, is_valid_name};
use crate::server::turn::{Item, Logged};
use crate::wal::Full;
use crate::wire::frame;
use crate::wire::message::{self, Ask, MAX_RUN, MAX_TEXT, Operation, Refusal};

/// The shortest PIN or token, in bytes.
const MIN_SECRET: usize = 4;

/// Whether the batch took what was asked, or the turn is over for this connection.
pub(super) enum Taken {
    Yes,
    /// It does not fit the batch any more: all bytes wait for the next turn.
    NextTurn,
    /// The connection has had its share, or there is no room for an answer of so many bytes: its bytes wait.
    Later(usize),
}

impl Service {
    /// Decodes and judges whole questions at the front of `bytes`; returns how many bytes they took.
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
                let length = self.arrive_following(id, owner, session, rest, most);
                consumed += length;
                // What is not new, or does not fit, is judged by itself, and is likely to go on for a while.
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
                        Question::Run { first, acked_below, commands } => self.arrive_run(id, first, acked_below, commands),
                        Question::Ask(ask) => self.arrive(id, ask)?,
                    };
                    match taken {
                        Taken::Yes => consumed += length,
                        Taken::NextTurn => self.is_full = true,
                        Taken::Later(needs) => {
                            self.pause(slot, needs);
                            break;
                        }
                    }
                }
                Err(refusal) => {
                    self.refuse(id, refusal);
                    self.hang_up(id);
                    consumed = bytes.len();
                }
            }
        }
        Ok(consumed)
    }

    /// Judges one question.
    ///
    /// # Errors
    /// [`Fatal`], as `Engine::new_tag`.
    pub(super) fn arrive(&mut self, id: ConnectionId, ask: Ask) -> Result<Taken, Fatal> {
        let Some(connection) = self.connection(id) else { return Ok(Taken::Yes) };
        let (owner, session, greeted) = (connection.owner, connection.session, connection.greeted);
        if greeted == matches!(ask, Ask::Hello { .. }) {
            return Ok(self.hello_first(id));
        }
        // The hot path first.
        if let Ask::Request { number, acked_below, command } = ask {
            return Ok(self.request(id, owner, session, number, acked_below, command));
        }
        if let Some(price) = self.price(&ask, owner)
            && let Taken::Later(needs) = self.pay(id, price)
        {
            return Ok(Taken::Later(needs));
        }
        match ask {
            Ask::Hello { version } => self.hello(id, version),
            Ask::Lower { ref text } if text.len() > MAX_TEXT => self.refuse(id, Refusal::TextTooLong),
            Ask::Prime { .. } | Ask::Lower { .. } | Ask::Palindrome { .. } | Ask::Ping => self.list_ask(id, ask),
            Ask::Login { role, name, secret } => return Ok(self.login(id, owner, role, &name, &secret)),
            ask => match owner {
                None => self.refuse(id, Refusal::NotLoggedIn),
                Some(owner @ Owner::Operator(_)) => return self.operate(id, owner, ask),
                Some(owner) => return self.of_owner(id, owner, session, ask),
            },
        }
        Ok(Taken::Yes)
    }

    /// Judges the new requests at the front of `bytes` that follow each other, up to the first that is not simply put into
    /// the batch, and at most `most`; returns how many bytes they took.
    fn arrive_following(&mut self, id: ConnectionId, owner: Owner, session: Lsn, bytes: &[u8], most: usize) -> usize {
        let Some(first) = self.engine.next_number(owner, session) else { return 0 };
        self.following.clear();
        let acked_below = native::requests(bytes, first, most, &mut self.following).filter(|acked| check_numbers(first, *acked).is_ok());
        let Some(acked_below) = acked_below else { return 0 };
        let sound = self.following.iter().take_while(|command| check_command(command, owner).is_ok()).count();
        let commands = self.following.get(..sound).unwrap_or_default();
        let count = self.engine.submit_requests(Requests { owner, session, first, acked_below }, commands);
        if count > 0 {
            self.list_many(id, Item::Requests { id, first, count }, count);
        }
        frame::length_of(bytes, count)
    }

    fn hello_first(&mut self, id: ConnectionId) -> Taken {
        self.refuse(id, Refusal::HelloFirst);
        self.hang_up(id);
        Taken::Yes
    }

    fn hello(&mut self, id: ConnectionId, version: u32) {
        if version == message::VERSION {
            if let Some(connection) = self.connection(id) {
                connection.greeted = true;
            }
            self.list_ask(id, Ask::Hello { version });
        } else {
            self.refuse(id, Refusal::UnsupportedVersion { supported: message::VERSION });
            self.hang_up(id);
        }
    }

    fn request(
        &mut self,
        id: ConnectionId,
        owner: Option<Owner>,
        session: Option<Lsn>,
        number: RequestNumber,
        acked_below: RequestNumber,
        command: Command,
    ) -> Taken {
        let (owner, session) = match (owner, session) {
            (Some(owner), Some(session)) => (owner, session),
            (None, _) => return self.refused(id, Refusal::NotLoggedIn),
            (Some(Owner::Operator(_)), None) => return self.refused(id, Refusal::NotPermitted),
            (_, None) => return self.refused(id, Refusal::NoSession),
        };
        if let Err(refusal) = check_numbers(number, acked_below).and_then(|()| check_command(&command, owner)) {
            return self.refused(id, refusal);
        }
        let admission = self.engine.submit_request(owner, session, number, acked_below, command);
        self.take(id, admission, Logged::Numbered(number), || Ask::Request { number, acked_below, command })
    }

    /// What a customer or teller may ask besides single requests.
    ///
    /// # Errors
    /// [`Fatal::Broken`] for what is handled before.
    fn of_owner(&mut self, id: ConnectionId, owner: Owner, session: Option<Lsn>, ask: Ask) -> Result<Taken, Fatal> {
        Ok(match (ask, session) {
            (Ask::OpenSession, _) => self.open_session(id, owner),
            (ask @ Ask::ResumeSession { .. }, _) => {
                self.block(id);
                self.list_ask(id, ask);
                Taken::Yes
            }
            (Ask::CloseSession { session }, _) => self.close_session(id, owner, session),
            (ask @ (Ask::ListSessions | Ask::ListSessionsAfter { .. } | Ask::Balance { .. } | Ask::FindAccount { .. }), _) => {
                self.list_ask(id, ask);
                Taken::Yes
            }
            (Ask::Operate(_), _) => self.refused(id, Refusal::NotPermitted),
            (_, None) => self.refused(id, Refusal::NoSession),
            (Ask::Cancel { number, acked_below }, Some(session)) => {
                if let Err(refusal) = check_numbers(number, acked_below) {
                    return Ok(self.refused(id, refusal));
                }
                let admission = self.engine.submit_cancel(owner, session, number, acked_below);
                self.take(id, admission, Logged::Numbered(number), || Ask::Cancel { number, acked_below })
            }
            (Ask::Ack { acked_below }, Some(session)) => {
                let admission = self.engine.submit_ack(owner, session, acked_below);
                self.take(id, admission, Logged::Ack, || Ask::Ack { acked_below })
            }
            _ => return Err(Fatal::Broken("a question that is handled before is asked of an owner")),
        })
    }

    fn login(&mut self, id: ConnectionId, owner: Option<Owner>, role: message::Role, name: &str, secret: &Secret) -> Taken {
        if owner.is_some() {
            return self.refused(id, Refusal::AlreadyLoggedIn);
        }
        if !is_valid_name(name) || secret.bytes().len() > MAX_SECRET {
            return self.refused(id, Refusal::BadLogin);
        }
        let party = match role {
            message::Role::Customer => Party::Customer,
            message::Role::Teller => Party::Teller,
        };
        let submitted = self.engine.submit_login(party, name, secret);
        self.block_and_take(id, submitted.map(|owner| (Admission::Logged, Logged::Login(owner))))
    }

    fn open_session(&mut self, id: ConnectionId, owner: Owner) -> Taken {
        let ends_with_connection = self.connection(id).is_some_and(|connection| connection.front_end.is_lab());
        let live = &self.live;
        match self.engine.submit_open(owner, &|session| live.contains_key(&session)) {
            Ok(Admission::Listed) => self.refused(id, Refusal::TooManySessions),
            submitted => self.block_and_take(id, submitted.map(|admission| (admission, Logged::Open { ends_with_connection }))),
        }
    }

    fn close_session(&mut self, id: ConnectionId, owner: Owner, session: SessionId) -> Taken {
        if !self.engine.bank().has_place(session) {
            return self.refused(id, Refusal::StoreRolledBack);
        }
        let admission = self.engine.submit_close(owner, session.lsn);
        self.take(id, admission, Logged::Close(session.lsn), || Ask::CloseSession { session })
    }

    /// Judges a run whose commands are the last in `run_commands`.
    fn arrive_run(&mut self, id: ConnectionId, first: RequestNumber, acked_below: RequestNumber, commands: Range<usize>) -> Taken {
        let Some(connection) = self.connection(id) else { return Taken::Yes };
        if !connection.greeted {
            return self.hello_first(id);
        }
        let start = commands.start;
        if let Taken::Later(needs) = self.pay_run(id, commands.len()) {
            self.run_commands.truncate(start);
            return Taken::Later(needs);
        }
        let refusal = match self.admit_run(id, first, acked_below, commands.clone()) {
            Ok(Some(admitted)) => {
                self.list(id, Item::Run { id, first, commands, admitted });
                return Taken::Yes;
            }
            Ok(None) => None,
            Err(refusal) => Some(refusal),
        };
        self.run_commands.truncate(start);
        refusal.map_or(Taken::NextTurn, |refusal| self.refused(id, refusal))
    }

    /// Puts into the batch what is new of a run: gives which of its commands those are, or none where they do not fit
    /// any more.
    fn admit_run(
        &mut self,
        id: ConnectionId,
        first: RequestNumber,
        acked_below: RequestNumber,
        commands: Range<usize>,
    ) -> Result<Option<Range<usize>>, Refusal> {
        let who = self.connection(id).map(|connection| (connection.owner, connection.session));
        let (owner, session) = match who {
            Some((Some(Owner::Operator(_)), _)) => return Err(Refusal::NotPermitted),
            Some((Some(owner), Some(session))) => (owner, session),
            Some((Some(_), None)) => return Err(Refusal::NoSession),
            Some((None, _)) | None => return Err(Refusal::NotLoggedIn),
        };
        let commands = self.run_commands.get(commands).unwrap_or_default();
        let length = u64::try_from(commands.len()).unwrap_or(u64::MAX);
        if commands.is_empty() || commands.len() > MAX_RUN || first.0.checked_add(length).is_none() {
            return Err(Refusal::BadNumbers);
        }
        check_numbers(first, acked_below)?;
        if self.engine.pending() > 0 && !self.engine.has_batch_room(commands.len()) {
            return Ok(None);
        }
        // Numbers are consecutive, so what is new is, too: behind the duplicates, before the first that is not put there.
        let next = self.engine.next_number(owner, session).and_then(|next| next.0.checked_sub(first.0));
        let start = next.and_then(|next| usize::try_from(next).ok()).filter(|start| *start < commands.len()).unwrap_or(commands.len());
        let new = commands.get(start..).unwrap_or_default();
        let sound = new.iter().take_while(|command| check_command(command, owner).is_ok()).count();
        let requests = Requests { owner, session, first, acked_below }.after(start).ok_or(Refusal::BadNumbers)?;
        let count = self.engine.submit_requests(requests, new.get(..sound).unwrap_or_default());
        Ok(Some(start..start + count))
    }

    fn operate(&mut self, id: ConnectionId, owner: Owner, ask: Ask) -> Result<Taken, Fatal> {
        let Ask::Operate(operation) = ask else { return Ok(self.refused(id, Refusal::NotPermitted)) };
        let action = match self.action_of(operation)? {
            Ok(Operate::Log(action)) => action,
            Ok(Operate::List(operation)) => {
                self.list_ask(id, Ask::Operate(operation));
                return Ok(Taken::Yes);
            }
            Ok(Operate::Close(session)) => return Ok(self.close_session(id, owner, session)),
            Err(refusal) => return Ok(self.refused(id, refusal)),
        };
        let submitted = self.engine.submit(owner, action).map(|_| Admission::Logged);
        Ok(self.take(id, submitted, Logged::Operation, || Ask::Ping))
    }

    fn action_of(&self, operation: Operation) -> Result<Result<Operate, Refusal>, Fatal> {
        let bank = self.engine.bank();
        let account = |name: &str| bank.find_account(name).ok_or(Refusal::NoSuchAccount);
        let log = |found: Result<Action, Refusal>| Ok(found.map(Operate::Log));
        match operation {
            Operation::OpenAccount { name, pin, balance } => {
                if !is_new_name(&name) || !is_valid_secret(&pin) {
                    return Ok(Err(Refusal::BadName));
                }
                let pin = self.engine.new_tag(Party::Customer, &name, &pin)?;
                log(Ok(Action::AccountOpen(Box::new(AccountOpen { name: name.into(), pin, balance }))))
            }
            Operation::AddTeller { name, token } => {
                if !is_new_name(&name) || !is_valid_secret(&token) {
                    return Ok(Err(Refusal::BadName));
                }
                let token = self.engine.new_tag(Party::Teller, &name, &token)?;
                log(Ok(Action::TellerAdd(Box::new(TellerAdd { name: name.into(), token }))))
            }
            Operation::SetPin { name, pin } => {
                if !is_valid_secret(&pin) {
                    return Ok(Err(Refusal::BadName));
                }
                let tag = self.engine.new_tag(Party::Customer, &name, &pin)?;
                log(account(&name).map(|id| Action::AccountPin(id, Box::new(tag))))
            }
            Operation::CloseAccount { name } => log(account(&name).map(Action::AccountClose)),
            Operation::LockAccount { name } => log(account(&name).map(Action::AccountLock)),
            Operation::UnlockAccount { name } => log(account(&name).map(Action::AccountUnlock)),
            Operation::RevokeTeller { name } => log(bank.find_teller(&name).ok_or(Refusal::NoSuchTeller).map(Action::TellerRevoke)),
            Operation::CloseSession { session } => Ok(Ok(Operate::Close(session))),
            list @ Operation::ListAccounts { .. } => Ok(Ok(Operate::List(list))),
        }
    }

    /// Turns what the engine said into an item.
    pub(super) fn take(
        &mut self,
        id: ConnectionId,
        admission: Result<Admission, Full>,
        logged: Logged,
        ask: impl FnOnce() -> Ask,
    ) -> Taken {
        match admission {
            Ok(Admission::Logged) => {
                if logged.ends_the_reading() {
                    self.block(id);
                }
                self.list(id, Item::Logged { id, logged });
            }
            Ok(Admission::Listed) => self.list_ask(id, ask()),
            Err(Full::Batch) => return Taken::NextTurn,
            Err(Full::NoSpace) => self.refuse(id, Refusal::NoSpace),
        }
        Taken::Yes
    }

    fn block_and_take(&mut self, id: ConnectionId, submitted: Result<(Admission, Logged), Full>) -> Taken {
        match submitted {
            Ok((_, logged)) => self.take(id, Ok(Admission::Logged), logged, || Ask::Ping),
            Err(full) => self.take(id, Err(full), Logged::Ack, || Ask::Ping),
        }
    }

    fn list_ask(&mut self, id: ConnectionId, ask: Ask) {
        self.list(id, Item::Ask { id, ask });
    }

    fn refuse(&mut self, id: ConnectionId, refusal: Refusal) {
        self.list(id, Item::Refused { id, refusal });
    }

    pub(super) fn refused(&mut self, id: ConnectionId, refusal: Refusal) -> Taken {
        self.refuse(id, refusal);
        Taken::Yes
    }

    fn block(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connection(id) {
            connection.is_blocked = true;
        }
    }

    fn hang_up(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connection(id) {
            connection.is_closing = true;
        }
    }
}

/// What an operation asks for.
enum Operate {
    Log(Action),
    List(Operation),
    Close(SessionId),
}

pub(super) fn check_command(command: &Command, owner: Owner) -> Result<(), Refusal> {
    command.check().map_err(Refusal::Malformed)?;
    if command.is_permitted_to(owner) { Ok(()) } else { Err(Refusal::NotPermitted) }
}

fn check_numbers(number: RequestNumber, acked_below: RequestNumber) -> Result<(), Refusal> {
    if number.0 == 0 || acked_below > number { Err(Refusal::BadNumbers) } else { Ok(()) }
}

fn is_valid_secret(secret: &Secret) -> bool {
    (MIN_SECRET..=MAX_SECRET).contains(&secret.bytes().len())
}
