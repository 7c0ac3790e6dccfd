//! The client: logs in, numbers its money requests, writes each to the journal before sending it, and acknowledges answers.
//!
//! Invariants of [`Client`]: a money request is sent only after its intent is synced; an answer is acknowledged only after it
//! is synced; a number is used for one command only; an outcome is never guessed.
//! Left out: retrying until there is an answer (`request.rs`, `pipeline.rs`), connections (`link.rs`), the journal file
//! (`journal/mod.rs`), messages for people (`cli/`).

use std::path::Path;
use std::time::Duration;

use crate::client::error::ClientError;
use crate::client::journal::Journal;
use crate::client::journal::index::{End, Request};
use crate::client::journal::record::Intent;
use crate::client::link::{Link, Login};
use crate::client::pipeline::{Pipeline, Stopped, Tell};
use crate::client::refusals::{Asking, History};
use crate::client::request::{Answer, Pursuit};
use crate::client::retry::Deadline;
use crate::client::statement::StatementPage;
use crate::env::Env;
use crate::model::amount::Amount;
use crate::model::command::Command;
use crate::model::types::{AccountId, Lsn, Owner, RequestId, RequestNumber, SessionId};
use crate::wire::message::{Ask, MAX_SESSIONS, Refusal, Reply, SessionInfo, Statement, Welcome};

/// Time limit of the last acknowledgement, which is optional.
const FAREWELL: Duration = Duration::from_secs(2);

/// One customer or teller at one bank, with a journal.
pub struct Client {
    env: Env,
    link: Link,
    journal: Journal,
    timeout: Duration,
    own: Option<Own>,
    /// The latest request that was sent or resolved.
    latest: Option<RequestId>,
}

/// The session of this client, opened when first needed.
#[derive(Clone, Copy)]
struct Own {
    session: SessionId,
    next: RequestNumber,
    /// Replies to numbers below are in the journal.
    journaled_below: RequestNumber,
    /// Replies to numbers below were acknowledged to the bank.
    acked_below: RequestNumber,
}

impl Client {
    /// A client of the bank at `address` with the journal at `journal`; `timeout` limits every operation.
    #[must_use]
    pub fn new(env: &Env, address: &str, journal: &Path, timeout: Duration) -> Self {
        let (link, journal) = (Link::new(env, address), Journal::new(env, journal));
        Self { env: env.clone(), link, journal, timeout, own: None, latest: None }
    }

    /// Connects. Fails at once if the bank is not running.
    ///
    /// # Errors
    /// [`ClientError::Unreachable`], [`ClientError::Refused`].
    pub fn connect(&mut self) -> Result<Welcome, ClientError> {
        let deadline = self.deadline();
        self.link.connect(&deadline)
    }

    /// Logs in. The session of an earlier login is not used any more.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with the bank's reason.
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

    /// The journal, for inspection, and for requests of other logins.
    pub fn journal(&mut self) -> &mut Journal {
        &mut self.journal
    }

    /// The deadline of an operation that begins now.
    #[must_use]
    pub fn deadline(&self) -> Deadline {
        Deadline::after(&self.env.clock, self.timeout)
    }

    /// Returns an account's id by its name.
    ///
    /// # Errors
    /// [`ClientError::Refused`] if there is no such account.
    pub fn find_account(&mut self, name: &str) -> Result<AccountId, ClientError> {
        match self.ask(&Ask::FindAccount { name: name.to_owned() }, None)? {
            Reply::Account { account } => Ok(account),
            other => Err(self.link.nonsense(&other)),
        }
    }

    /// Returns an account's balance, and the last log entry that it reflects.
    ///
    /// # Errors
    /// [`ClientError::Refused`] if this login may not see it.
    pub fn balance(&mut self, account: AccountId) -> Result<(Amount, Lsn), ClientError> {
        match self.ask(&Ask::Balance { account }, None)? {
            Reply::Balance { balance, lsn } => Ok((balance, lsn)),
            other => Err(self.link.nonsense(&other)),
        }
    }

    /// Returns one page of an account's movements, the newest first. For the next page, set `before` to the LSN of the last line.
    ///
    /// # Errors
    /// As [`Client::balance`]; [`Refusal::NoStatement`] if the bank still makes the index at the deadline.
    pub fn statement(&mut self, page: StatementPage) -> Result<Statement, ClientError> {
        match self.ask(&page.ask(), None)? {
            Reply::Statement(statement) => Ok(statement),
            other => Err(self.link.nonsense(&other)),
        }
    }

    /// Returns all sessions of the login, oldest first; asks page by page if one message does not hold them.
    ///
    /// # Errors
    /// As [`Client::balance`].
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

    /// Closes a session of this login permanently.
    ///
    /// # Errors
    /// [`ClientError::Refused`] if there is no such session.
    pub fn close_session(&mut self, session: SessionId) -> Result<(), ClientError> {
        match self.ask(&Ask::CloseSession { session }, None)? {
            Reply::Closed => Ok(()),
            other => Err(self.link.nonsense(&other)),
        }
    }

    /// Executes a money command exactly once, under the next number of this client's session.
    ///
    /// # Errors
    /// [`ClientError`]; only with [`ClientError::OutcomeUnknown`] and [`ClientError::AskTheBank`] it may have been executed.
    pub fn execute(&mut self, command: Command) -> Result<Answer, ClientError> {
        command.check().map_err(|malformed| ClientError::Refused(Refusal::Malformed(malformed)))?;
        let deadline = self.deadline();
        match self.execute_once(command, &deadline) {
            // The session was closed in the meantime, and no copy is adrift: retry in a new session under a new number.
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
        // The number is used from here on. After an error the next request gets a new session.
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

    /// Acknowledges the answers of a session that is abandoned after `error`, so that the bank may evict it.
    fn leave(&mut self, own: Own, error: &ClientError) {
        if matches!(error, ClientError::Refused(refusal) if !refusal.ends_resending()) {
            self.own = Some(own);
            self.finish();
            self.own = None;
        }
    }

    /// Executes many money commands, each exactly once, under the next numbers of this client's session, with up to `window`
    /// requests in flight (at least 1, at most the bank's limit). Holds the journal's lock until the end. Stops if no answer
    /// comes within the timeout. Once `tell` returns false, no further command is sent.
    ///
    /// # Errors
    /// [`Stopped`]. Nothing was sent if a command is invalid or not permitted to this login.
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
        // Answers that are not in the journal cannot be acknowledged, and would occupy the bank's window: use a new session.
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

    /// Marks the latest request as delivered in the journal: its end was shown to its customer. If the mark fails, a later run
    /// shows it once more.
    pub fn mark_delivered(&mut self) {
        if let Some(id) = self.latest {
            self.mark_all_delivered(&[id]);
        }
    }

    /// Marks these requests as delivered, except those whose outcome is unknown.
    pub fn mark_all_delivered(&mut self, ids: &[RequestId]) {
        let deadline = Deadline::after(&self.env.clock, FAREWELL.min(self.timeout));
        let _ = self.journal.open(&deadline).and_then(|mut journal| journal.tell(ids));
    }

    /// Sends a request under a given session and number, which may have been sent before (idempotent retry).
    ///
    /// # Errors
    /// As [`Client::execute`]; [`ClientError::NotThisRequest`] if the journal holds the number with another command whose
    /// outcome is unknown, or as another login's.
    pub fn request_again(&mut self, id: RequestId, command: Command) -> Result<Answer, ClientError> {
        self.again(id, command, false)
    }

    /// Resolves a request of the journal by sending it again: it is executed if it was not. If its number is not the session's
    /// next, it cannot be executed: its session is closed, so that no copy that is adrift can be executed later.
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
                    // The number was executed with another command, so the bank can only answer with a conflict.
                    (false, Some(End::Answered(_))) => pursuit.ask = Asking::Conflict(command),
                    (false, None) => return Err(not_this(id, "with another command, whose outcome is unknown")),
                    (false, Some(End::Closed(_))) => return Err(not_this(id, "with another command")),
                }
            }
        }
        pursuit.run(&mut self.link, &self.env, &mut journal, &deadline)
    }

    /// Resolves a request of the journal by cancelling it: returns its answer if it was executed; otherwise it never will be
    /// executed. If its number is not the session's next, its session is closed.
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

    /// Acknowledges to the bank the replies of an earlier run's session that are in the journal.
    ///
    /// # Errors
    /// As [`Client::balance`].
    pub fn acknowledge(&mut self, session: SessionId, acked_below: RequestNumber) -> Result<(), ClientError> {
        self.ask(&Ask::Ack { acked_below }, Some(session)).map(|_| ())
    }

    /// Ends the run: acknowledges every reply that is in the journal. Optional, so tried once and briefly.
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

    /// This client's session: resumed after a lost connection, opened if there is none.
    fn own_session(&mut self, deadline: &Deadline) -> Result<Own, ClientError> {
        if let Some(own) = self.own {
            match self.link.attend(own.session, deadline) {
                Ok(()) => return Ok(own),
                // Every request in it has a known outcome, so losing the session loses nothing.
                Err(ClientError::Refused(refusal)) if refusal.ends_resending() => self.own = None,
                Err(error) => return Err(error),
            }
        }
        // If the reply is lost, the retry opens another session; the lost one stays empty until the bank evicts it.
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

/// Checks that a request is sent again only to the same bank and by the same login as before.
fn check_owner(link: &Link, request: &Request) -> Result<(), ClientError> {
    let intent = &request.intent;
    match (link.welcome(), link.login()) {
        (Some(welcome), _) if welcome.store != intent.store => {
            Err(ClientError::OtherStore { address: link.address().to_owned(), expected: intent.store, found: welcome.store })
        }
        (_, Some((login, _))) if login.name == intent.name && login.role == intent.role => Ok(()),
        _ => Err(not_this(intent.id, "as another login's")),
    }
}

fn not_this(request: RequestId, why: &str) -> ClientError {
    ClientError::NotThisRequest { request, why: why.to_owned() }
}
