//! The client: logs in, numbers its money requests, has each in the journal before it is sent, and acknowledges.
//!
//! Invariants of [`Client`]: nothing that moves money is sent before its intent is synced; nothing is acknowledged
//! before its reply is; a number is used for one command only; an outcome is never guessed.
//! Left out: trying until there is an answer (`request.rs`, `pipeline.rs`), connections (`link.rs`), the file (`journal/mod.rs`), words for people (`cli/`).

use std::path::Path;
use std::time::Duration;

use crate::client::error::ClientError;
use crate::client::journal::Journal;
use crate::client::journal::index::{End, Request};
use crate::client::journal::record::Intent;
use crate::client::link::{Link, Login};
use crate::client::pipeline::{Pipeline, Stopped, Tell};
use crate::client::request::{Answer, Asking, History, Pursuit};
use crate::client::retry::Deadline;
use crate::env::Env;
use crate::model::amount::Amount;
use crate::model::command::Command;
use crate::model::types::{AccountId, Lsn, Owner, RequestId, RequestNumber, SessionId};
use crate::wire::message::{Ask, MAX_SESSIONS, Refusal, Reply, SessionInfo, Welcome};

/// Telling the bank at the end that its replies are on disk may take this long; it is a courtesy.
const FAREWELL: Duration = Duration::from_secs(2);

/// One customer or teller at one bank, with a journal.
pub struct Client {
    env: Env,
    link: Link,
    journal: Journal,
    timeout: Duration,
    own: Option<Own>,
    /// The request that was last tried to bring to an end.
    latest: Option<RequestId>,
}

/// The session of this process run, opened when first needed.
#[derive(Clone, Copy)]
struct Own {
    session: SessionId,
    next: RequestNumber,
    /// Replies below are in the journal.
    journaled_below: RequestNumber,
    /// Replies below are known to the bank to be.
    acked_below: RequestNumber,
}

impl Client {
    /// A client of the bank at `address` with the journal at `journal`; every operation may take `timeout`.
    #[must_use]
    pub fn new(env: &Env, address: &str, journal: &Path, timeout: Duration) -> Self {
        let (link, journal) = (Link::new(env, address), Journal::new(env, journal));
        Self { env: env.clone(), link, journal, timeout, own: None, latest: None }
    }

    /// Connects. Does not wait for a bank that is not there.
    ///
    /// # Errors
    /// [`ClientError::Unreachable`], [`ClientError::Refused`].
    pub fn connect(&mut self) -> Result<Welcome, ClientError> {
        let deadline = self.deadline();
        self.link.connect(&deadline)
    }

    /// Logs in; another login ends the session of the one before.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with what the bank says of it.
    pub fn log_in(&mut self, login: Login) -> Result<Owner, ClientError> {
        self.finish();
        self.own = None;
        let deadline = self.deadline();
        self.link.log_in(login, &deadline)
    }

    /// The server's address.
    #[must_use]
    pub fn address(&self) -> &str {
        self.link.address()
    }

    /// The journal; for looking, and for what other logins have in doubt.
    pub fn journal(&mut self) -> &mut Journal {
        &mut self.journal
    }

    /// The moment at which an operation that begins now gives up.
    #[must_use]
    pub fn deadline(&self) -> Deadline {
        Deadline::after(&self.env.clock, self.timeout)
    }

    /// An account's id by its name.
    ///
    /// # Errors
    /// [`ClientError::Refused`] where there is none.
    pub fn find_account(&mut self, name: &str) -> Result<AccountId, ClientError> {
        match self.ask(&Ask::FindAccount { name: name.to_owned() }, None)? {
            Reply::Account { account } => Ok(account),
            other => Err(self.link.nonsense(&other)),
        }
    }

    /// An account's balance, and the last log entry that it reflects.
    ///
    /// # Errors
    /// [`ClientError::Refused`] where it is not this login's to see.
    pub fn balance(&mut self, account: AccountId) -> Result<(Amount, Lsn), ClientError> {
        match self.ask(&Ask::Balance { account }, None)? {
            Reply::Balance { balance, lsn } => Ok((balance, lsn)),
            other => Err(self.link.nonsense(&other)),
        }
    }

    /// The login's sessions, oldest first: all of them, page by page where one message does not hold them.
    ///
    /// # Errors
    /// As the bank says.
    pub fn sessions(&mut self) -> Result<Vec<SessionInfo>, ClientError> {
        let mut sessions = self.sessions_page(&Ask::ListSessions)?;
        let mut is_full = sessions.len() >= MAX_SESSIONS;
        while let Some(last) = sessions.last().filter(|_| is_full) {
            let page = self.sessions_page(&Ask::ListSessionsAfter { after: last.session.lsn })?;
            is_full = !page.is_empty();
            sessions.extend(page);
        }
        Ok(sessions)
    }

    fn sessions_page(&mut self, ask: &Ask) -> Result<Vec<SessionInfo>, ClientError> {
        match self.ask(ask, None)? {
            Reply::Sessions(sessions) => Ok(sessions),
            other => Err(self.link.nonsense(&other)),
        }
    }

    /// Closes a session of this login for good.
    ///
    /// # Errors
    /// [`ClientError::Refused`] where there is none.
    pub fn close_session(&mut self, session: SessionId) -> Result<(), ClientError> {
        match self.ask(&Ask::CloseSession { session }, None)? {
            Reply::Closed => Ok(()),
            other => Err(self.link.nonsense(&other)),
        }
    }

    /// Moves money, once, under the next number of this run's session.
    ///
    /// # Errors
    /// [`ClientError`]; only [`ClientError::OutcomeUnknown`] and [`ClientError::AskTheBank`] leave open whether it moved.
    pub fn execute(&mut self, command: Command) -> Result<Answer, ClientError> {
        command.check().map_err(|malformed| ClientError::Refused(Refusal::Malformed(malformed)))?;
        let deadline = self.deadline();
        match self.execute_once(command, &deadline) {
            // The session was closed behind this run, and no copy is adrift: a new session, and a new number.
            Err(ClientError::Refused(Refusal::UnknownSession)) => self.execute_once(command, &deadline),
            ended => ended,
        }
    }

    fn execute_once(&mut self, command: Command, deadline: &Deadline) -> Result<Answer, ClientError> {
        let mut own = self.own_session(deadline)?;
        let id = RequestId { session: own.session, number: own.next };
        self.latest = Some(id);
        let intent = self.intent(id, command)?;
        let mut journal = self.journal.open(deadline)?;
        journal.intend(intent)?;
        // Whatever goes wrong from here on: the number is spoken for, so the next request gets a session of its own.
        self.own = None;
        let pursuit = Pursuit { id, ask: Asking::Request(command), history: History::Fresh, must_end: false, known: None };
        let ended = pursuit.run(&mut self.link, &self.env, &mut journal, deadline);
        drop(journal);
        let answer = match ended {
            Ok(answer) => answer,
            Err(error) => {
                self.leave(own, &error);
                return Err(error);
            }
        };
        own.acked_below = id.number;
        if answer.journal_failure.is_none() {
            own.journaled_below = id.number.next().unwrap_or(id.number);
        }
        if let Some(next) = id.number.next() {
            self.own = Some(Own { next, ..own });
        }
        Ok(answer)
    }

    /// Acknowledges what the journal holds of a session that this run uses no more, so that it does not count as busy.
    fn leave(&mut self, own: Own, error: &ClientError) {
        if matches!(error, ClientError::Refused(refusal) if !refusal.ends_resending()) {
            self.own = Some(own);
            self.finish();
            self.own = None;
        }
    }

    /// Moves money many times, each once, under the next numbers of this run's session, with up to `window` requests under
    /// way at once (at least 1, at most the bank's own limit). The journal is this client's until the end. An answer that
    /// is waited for longer than the timeout ends it. Once `tell` returns false, no further command is sent.
    ///
    /// # Errors
    /// [`Stopped`]. Nothing was sent if one of the commands is refused by its content or not this login's to ask for.
    pub fn execute_all(&mut self, commands: &[Command], window: usize, tell: &mut Tell<'_>) -> Result<(), Stopped> {
        let Some((_, owner)) = self.link.login() else { return Err(ClientError::Refused(Refusal::NotLoggedIn).into()) };
        for command in commands {
            command.check().map_err(|malformed| ClientError::Refused(Refusal::Malformed(malformed)))?;
            if !command.is_permitted_to(owner) {
                return Err(ClientError::Refused(Refusal::NotPermitted).into());
            }
        }
        let Some(any) = commands.first() else { return Ok(()) };
        let deadline = self.deadline();
        // What is not in the journal cannot be acknowledged, and would take room in the bank's window.
        self.own = self.own.filter(|own| own.journaled_below == own.next);
        let own = self.own_session(&deadline)?;
        let model = self.intent(RequestId { session: own.session, number: own.next }, *any)?;
        let most = self.link.welcome().map_or(1, |welcome| usize::try_from(welcome.limits.window).unwrap_or(1));
        let journal = self.journal.open(&deadline).map_err(ClientError::from)?;
        self.own = None;
        let window = window.min(most).max(1);
        let mut pipeline = Pipeline::new(&mut self.link, journal, &self.env, self.timeout, model, window);
        pipeline.run(commands, tell)?;
        let next = pipeline.next;
        self.own = Some(Own { next, journaled_below: next, ..own });
        Ok(())
    }

    /// Notes in the journal that the end of the request that was dealt with last has been shown to whom it concerns.
    /// If it cannot be noted, it is told once more.
    pub fn mark_told(&mut self) {
        if let Some(id) = self.latest {
            self.mark_all_told(&[id]);
        }
    }

    /// The same for these requests, as far as they have ended.
    pub fn mark_all_told(&mut self, ids: &[RequestId]) {
        let deadline = Deadline::after(&self.env.clock, FAREWELL.min(self.timeout));
        let _ = self.journal.open(&deadline).and_then(|mut journal| journal.tell(ids));
    }

    /// Sends that very request again, or for the first time: the same session, number and command.
    ///
    /// # Errors
    /// As [`Client::execute`]; [`ClientError::NotThisRequest`] if the journal knows the number in doubt with another
    /// command or as somebody else's.
    pub fn request_again(&mut self, id: RequestId, command: Command) -> Result<Answer, ClientError> {
        self.again(id, command, false)
    }

    /// Ends a doubt of the journal by sending the request again, so that it happens if it has not. If its number is not the
    /// session's next, it cannot happen: its session is closed, so that no copy that is adrift can be executed later.
    ///
    /// # Errors
    /// As [`Client::request_again`].
    pub fn resend(&mut self, id: RequestId, command: Command) -> Result<Answer, ClientError> {
        self.again(id, command, true)
    }

    fn again(&mut self, id: RequestId, command: Command, must_end: bool) -> Result<Answer, ClientError> {
        command.check().map_err(|malformed| ClientError::Refused(Refusal::Malformed(malformed)))?;
        let deadline = self.deadline();
        self.latest = Some(id);
        let intent = self.intent(id, command)?;
        let mut journal = self.journal.open(&deadline)?;
        let mut pursuit = Pursuit { id, ask: Asking::Request(command), history: History::Named, must_end, known: None };
        match journal.find(id).cloned() {
            None => journal.intend(intent)?,
            Some(request) => {
                check_owner(&self.link, &request)?;
                if request.has_none_adrift() && journal.has_refused_behind(id) {
                    return Err(not_this(id, "as not executed, with later numbers behind it; send it as a new request"));
                }
                pursuit.history = if request.has_none_adrift() { History::Named } else { History::Earlier };
                match (request.intent.command == command, request.end) {
                    (true, Some(End::Answered(settled))) => pursuit.known = Some(settled),
                    (true, _) => journal.intend(intent)?,
                    // Its number is used up, so the bank can only say that this is a conflict.
                    (false, Some(End::Answered(_))) => pursuit.ask = Asking::Conflict(command),
                    (false, None) => return Err(not_this(id, "with another command, whose outcome is unknown")),
                    (false, Some(End::Closed(_))) => return Err(not_this(id, "with another command")),
                }
            }
        }
        pursuit.run(&mut self.link, &self.env, &mut journal, &deadline)
    }

    /// Ends the doubt about a request of the journal: if it was executed, its answer comes; otherwise it never will be. If
    /// its number is not the session's next, its session is closed.
    ///
    /// # Errors
    /// As [`Client::execute`]; [`ClientError::NotThisRequest`] if the journal does not hold it.
    pub fn cancel(&mut self, id: RequestId) -> Result<Answer, ClientError> {
        let deadline = self.deadline();
        self.latest = Some(id);
        let mut journal = self.journal.open(&deadline)?;
        let Some(request) = journal.find(id).cloned() else { return Err(not_this(id, "not at all")) };
        check_owner(&self.link, &request)?;
        let known = match request.end {
            Some(End::Answered(settled)) => Some(settled),
            _ => None,
        };
        let pursuit = Pursuit { id, ask: Asking::Cancel, history: History::Earlier, must_end: true, known };
        pursuit.run(&mut self.link, &self.env, &mut journal, &deadline)
    }

    /// Tells the bank which replies of an earlier run's session are on this disk.
    ///
    /// # Errors
    /// As the bank says.
    pub fn acknowledge(&mut self, session: SessionId, acked_below: RequestNumber) -> Result<(), ClientError> {
        self.ask(&Ask::Ack { acked_below }, Some(session)).map(|_| ())
    }

    /// Ends the run: tells the bank that every reply is on disk. A courtesy, tried once and briefly.
    pub fn finish(&mut self) {
        let Some(own) = self.own.filter(|own| own.journaled_below > own.acked_below) else { return };
        let deadline = Deadline::after(&self.env.clock, FAREWELL.min(self.timeout));
        let ack = Ask::Ack { acked_below: own.journaled_below };
        if matches!(self.link.once(&ack, Some(own.session), &deadline), Ok(Reply::Acked { .. })) {
            self.own = Some(Own { acked_below: own.journaled_below, ..own });
        }
    }

    fn ask(&mut self, ask: &Ask, session: Option<SessionId>) -> Result<Reply, ClientError> {
        let deadline = self.deadline();
        self.link.ask(ask, session, &deadline)
    }

    /// This run's session, taken up again if the connection was lost, opened if there is none (any more).
    fn own_session(&mut self, deadline: &Deadline) -> Result<Own, ClientError> {
        if let Some(own) = self.own {
            match self.link.attend(own.session, deadline) {
                Ok(()) => return Ok(own),
                // Nothing is in doubt in it, so that it is gone is no loss.
                Err(ClientError::Refused(refusal)) if refusal.ends_resending() => self.own = None,
                Err(error) => return Err(error),
            }
        }
        // If the reply is lost, another is opened; the lost one stays empty and is evicted one day.
        match self.link.ask(&Ask::OpenSession, None, deadline)? {
            Reply::Session(info) => {
                let first = RequestNumber(1);
                let own = Own { session: info.session, next: first, journaled_below: first, acked_below: first };
                self.own = Some(own);
                Ok(own)
            }
            other => Err(self.link.nonsense(&other)),
        }
    }

    fn intent(&self, id: RequestId, command: Command) -> Result<Intent, ClientError> {
        let (Some((login, _)), Some(welcome)) = (self.link.login(), self.link.welcome()) else {
            return Err(ClientError::Refused(Refusal::NotLoggedIn));
        };
        let at = u64::try_from(self.env.clock.wall().as_micros()).unwrap_or(u64::MAX);
        let (role, name, address) = (login.role, login.name.clone(), self.link.address().to_owned());
        Ok(Intent { store: welcome.store, id, at, role, name, address, command })
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.finish();
    }
}

/// A request may only be sent again to the bank and as the login that it was first sent to and as.
fn check_owner(link: &Link, request: &Request) -> Result<(), ClientError> {
    let intent = &request.intent;
    match (link.welcome(), link.login()) {
        (Some(welcome), _) if welcome.store != intent.store => {
            Err(ClientError::OtherStore { address: link.address().to_owned(), expected: intent.store, found: welcome.store })
        }
        (_, Some((login, _))) if login.name == intent.name && login.role == intent.role => Ok(()),
        _ => Err(not_this(intent.id, "as somebody else's")),
    }
}

fn not_this(request: RequestId, why: &str) -> ClientError {
    ClientError::NotThisRequest { request, why: why.to_owned() }
}
