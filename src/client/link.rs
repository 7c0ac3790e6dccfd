//! A connection that reconnects when it breaks: greeted, logged in, and in the requested session.
//!
//! Every retry here is harmless: greeting, login, resuming a session, reading. A money request goes through [`Link::once`],
//! and the caller decides whether to retry.
//! Left out: money requests (`client.rs`).

use std::time::Duration;

use super::connection::{AskError, ConnectError, Connection};
use super::error::ClientError;
use super::retry::{Backoff, Deadline};
use crate::env::Env;
use crate::model::secret::Secret;
use crate::model::types::{Owner, SessionId};
use crate::wire::message::{Ask, Refusal, Reply, Role, Welcome};

/// A connection that was silent longer than this is pinged before it is used.
const QUIET: Duration = Duration::from_secs(5);

/// The login, kept in memory only, to log in again after a lost connection.
#[derive(Clone)]
pub struct Login {
    /// The role.
    pub role: Role,
    /// The name.
    pub name: String,
    /// The PIN or token.
    pub secret: Secret,
}

/// A connection to one bank, which reconnects as needed.
///
/// Invariant: all its connections are to the same store; if another store answers at the address, it is refused.
pub struct Link {
    env: Env,
    address: String,
    login: Option<Login>,
    /// The owner that the bank assigned to the login, the first time.
    owner: Option<Owner>,
    welcome: Option<Welcome>,
    live: Option<Live>,
    /// Whether the last attempt to connect was accepted and then closed before any reply.
    is_cut: bool,
}

struct Live {
    connection: Connection,
    logged_in: bool,
    session: Option<SessionId>,
    /// Time of the last reply, on the monotonic clock.
    heard: Duration,
}

/// Why one attempt returned no reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The message was not sent.
    NotSent(String),
    /// It was sent, and whether the bank acted on it is unknown.
    Lost(String),
    /// It was sent, and this copy was refused because the connection is not in the state that the message needs. The connection
    /// is dropped.
    TurnedAway(Refusal),
    /// It was not sent, because the bank refused the greeting, the login or the session.
    Refused(Refusal),
    /// It was not sent, because another bank answers there.
    OtherStore(Welcome),
}

impl Link {
    /// A link to `address` (`HOST:PORT`), not connected yet.
    #[must_use]
    pub fn new(env: &Env, address: &str) -> Self {
        Self { env: env.clone(), address: address.to_owned(), login: None, owner: None, welcome: None, live: None, is_cut: false }
    }

    /// The server's address, as passed to [`Link::new`].
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Connects, unless connected. Fails at once if nothing listens; retries if the bank is busy or closes the connection.
    ///
    /// # Errors
    /// [`ClientError::Unreachable`], [`ClientError::Refused`], [`ClientError::OtherStore`].
    pub fn connect(&mut self, deadline: &Deadline) -> Result<Welcome, ClientError> {
        let mut backoff = Backoff::new(&self.env.entropy);
        loop {
            match self.greeted(deadline).map(|live| *live.connection.welcome()) {
                Ok(welcome) => return Ok(welcome),
                Err(Fault::Refused(refusal)) if refusal.is_retryable() && backoff.wait(deadline) => {}
                Err(Fault::NotSent(_)) if self.is_cut && backoff.wait(deadline) => {}
                Err(fault) => return Err(self.failure(fault)),
            }
        }
    }

    /// Logs in, and remembers the login for later connections.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with the bank's reason; [`ClientError::Unreachable`] at the deadline.
    pub fn log_in(&mut self, login: Login, deadline: &Deadline) -> Result<Owner, ClientError> {
        self.set_login(login);
        let owner = self.until(deadline, |link| {
            link.ready(None, deadline)?;
            link.owner.ok_or(Fault::Refused(Refusal::NotLoggedIn))
        });
        if owner.is_err() {
            self.login = None;
        }
        owner
    }

    /// Sets the login of later connections, without connecting: the next message logs in first.
    pub fn set_login(&mut self, login: Login) {
        if self.live.as_ref().is_some_and(|live| live.logged_in) {
            // The protocol allows one login per connection.
            self.hang_up();
        }
        (self.login, self.owner) = (Some(login), None);
    }

    /// The login, and the owner that the bank assigned to it. `None` before the first successful login.
    #[must_use]
    pub fn login(&self) -> Option<(&Login, Owner)> {
        self.login.as_ref().zip(self.owner)
    }

    /// The bank's first greeting.
    #[must_use]
    pub fn welcome(&self) -> Option<&Welcome> {
        self.welcome.as_ref()
    }

    /// Sends an idempotent message, in `session` if one is named, and retries until the deadline.
    ///
    /// # Errors
    /// [`ClientError::Refused`] for a refusal, the last one if it is retryable; otherwise the last error.
    pub fn ask(&mut self, ask: &Ask, session: Option<SessionId>, deadline: &Deadline) -> Result<Reply, ClientError> {
        self.until(deadline, |link| match link.once(ask, session, deadline)? {
            Reply::Refused(refusal) => Err(Fault::Refused(refusal)),
            reply => Ok(reply),
        })
    }

    /// Connects, logs in and resumes the session as needed, and retries until the deadline.
    ///
    /// # Errors
    /// As [`Link::ask`].
    pub(super) fn attend(&mut self, session: SessionId, deadline: &Deadline) -> Result<(), ClientError> {
        self.until(deadline, |link| link.ready(Some(session), deadline))
    }

    /// Retries `attempt` until it succeeds, fails for good, or the deadline passes.
    fn until<T>(&mut self, deadline: &Deadline, mut attempt: impl FnMut(&mut Self) -> Result<T, Fault>) -> Result<T, ClientError> {
        let mut backoff = Backoff::new(&self.env.entropy);
        loop {
            let fault = match attempt(self) {
                Ok(value) => return Ok(value),
                Err(fault) => fault,
            };
            let is_final = match &fault {
                Fault::Refused(refusal) => !refusal.is_retryable(),
                Fault::OtherStore(_) => true,
                Fault::NotSent(_) | Fault::Lost(_) | Fault::TurnedAway(_) => false,
            };
            if is_final || !backoff.wait(deadline) {
                return Err(self.failure(fault));
            }
        }
    }

    /// One attempt: connects, logs in and resumes the session as needed, then sends the message once.
    ///
    /// # Errors
    /// [`Fault`].
    pub fn once(&mut self, ask: &Ask, session: Option<SessionId>, deadline: &Deadline) -> Result<Reply, Fault> {
        self.ready(session, deadline)?;
        match self.converse(ask, deadline) {
            // The connection is not in the expected state; `converse` has dropped it.
            Ok(Reply::Refused(refusal)) if self.is_out_of_step(refusal) => Err(Fault::TurnedAway(refusal)),
            Ok(reply) => {
                if let (Reply::Session(info), Some(live)) = (&reply, &mut self.live) {
                    live.session = Some(info.session);
                }
                Ok(reply)
            }
            Err(AskError::NotSent(why)) => Err(Fault::NotSent(why)),
            Err(AskError::Lost(why)) => Err(Fault::Lost(why)),
        }
    }

    /// Sends messages on the present connection without waiting for replies, which come in the same order.
    pub(super) fn send(&mut self, asks: &[Ask], deadline: &Deadline) -> Result<(), AskError> {
        let Some(live) = &mut self.live else { return Err(AskError::NotSent("the connection is closed".to_owned())) };
        let sent = live.connection.send(asks, deadline);
        if sent.is_err() {
            self.hang_up();
        }
        sent
    }

    /// Waits for the next reply. A refusal with [`Link::is_out_of_step`] does not drop the connection: replies to other messages
    /// may follow it.
    pub(super) fn receive(&mut self, deadline: &Deadline) -> Result<Reply, AskError> {
        let reply = match &mut self.live {
            Some(live) => live.connection.receive(deadline),
            None => Err(AskError::Lost("the connection is closed".to_owned())),
        };
        match reply {
            Ok(reply) => {
                self.note_reply();
                Ok(reply)
            }
            Err(error) => self.heard(Err(error)),
        }
    }

    /// Whether the next reply was read already.
    pub(super) fn has_reply(&self) -> bool {
        self.live.as_ref().is_some_and(|live| live.connection.has_reply())
    }

    /// Takes the connection out, for callers with their own event loop. `None` if there is none.
    #[must_use]
    pub fn into_connection(self) -> Option<Connection> {
        self.live.map(|live| live.connection)
    }

    /// Drops the connection; the next message opens another.
    pub(super) fn hang_up(&mut self) {
        self.live = None;
    }

    /// The error to return for a fault of an idempotent message.
    #[must_use]
    pub fn failure(&self, fault: Fault) -> ClientError {
        let address = self.address.clone();
        match fault {
            Fault::NotSent(why) | Fault::Lost(why) => ClientError::Unreachable { address, why },
            Fault::TurnedAway(refusal) => ClientError::Unreachable { address, why: refusal.to_string() },
            Fault::Refused(refusal) => ClientError::Refused(refusal),
            Fault::OtherStore(found) => {
                let expected = self.welcome.map(|welcome| welcome.store).unwrap_or_default();
                ClientError::OtherStore { address, expected, found: found.store }
            }
        }
    }

    pub(super) fn nonsense(&self, reply: &Reply) -> ClientError {
        let debug = format!("{reply:?}");
        let kind = debug.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
        ClientError::Nonsense { address: self.address.clone(), what: format!("a reply of kind {kind}") }
    }

    /// One attempt to be connected, logged in, and in the session.
    ///
    /// # Errors
    /// [`Fault`].
    pub fn ready(&mut self, session: Option<SessionId>, deadline: &Deadline) -> Result<(), Fault> {
        // On any error here the caller's message was not sent.
        let unsent = |error: AskError| match error {
            AskError::NotSent(why) | AskError::Lost(why) => Fault::NotSent(why),
        };
        let now = self.env.clock.monotonic();
        if self.live.as_ref().is_some_and(|live| now.saturating_sub(live.heard) > QUIET) && self.converse(&Ask::Ping, deadline).is_err() {
            self.hang_up();
        }
        self.greeted(deadline)?;
        if let Some(Login { role, name, secret }) = self.login.clone()
            && !self.live.as_ref().is_some_and(|live| live.logged_in)
        {
            match self.converse(&Ask::Login { role, name, secret }, deadline).map_err(unsent)? {
                Reply::LoggedIn { owner } if *self.owner.get_or_insert(owner) == owner => {
                    if let Some(live) = &mut self.live {
                        live.logged_in = true;
                    }
                }
                Reply::Refused(refusal) => return Err(Fault::Refused(refusal)),
                other => {
                    // A connection with another login is useless.
                    self.hang_up();
                    return Err(match other {
                        Reply::LoggedIn { .. } => Fault::NotSent("the bank assigns the login to another owner than before".to_owned()),
                        other => Fault::NotSent(self.nonsense(&other).to_string()),
                    });
                }
            }
        }
        match session {
            Some(session) if self.live.as_ref().is_some_and(|live| live.session != Some(session)) => {
                match self.converse(&Ask::ResumeSession { session }, deadline).map_err(unsent)? {
                    Reply::Session(info) if info.session == session => {
                        if let Some(live) = &mut self.live {
                            live.session = Some(session);
                        }
                        Ok(())
                    }
                    Reply::Refused(refusal) => Err(Fault::Refused(refusal)),
                    _ => Err(Fault::NotSent("the bank took up another session".to_owned())),
                }
            }
            _ => Ok(()),
        }
    }

    fn greeted(&mut self, deadline: &Deadline) -> Result<&mut Live, Fault> {
        if self.live.is_none() {
            let connected = Connection::tcp(&self.address, deadline);
            self.is_cut = matches!(connected, Err(ConnectError::HungUp(_)));
            let connection = connected.map_err(|error| match error {
                ConnectError::Unreachable(why) | ConnectError::HungUp(why) => Fault::NotSent(why),
                ConnectError::Refused(refusal) => Fault::Refused(refusal),
            })?;
            let found = *connection.welcome();
            if self.welcome.is_some_and(|known| known.store != found.store) {
                return Err(Fault::OtherStore(found));
            }
            self.welcome.get_or_insert(found);
            self.live = Some(Live { connection, logged_in: false, session: None, heard: self.env.clock.monotonic() });
        }
        self.live.as_mut().ok_or_else(|| Fault::NotSent("the connection is closed".to_owned()))
    }

    /// Sends one message on the present connection and waits for the reply; drops the connection on an error.
    fn converse(&mut self, ask: &Ask, deadline: &Deadline) -> Result<Reply, AskError> {
        let Some(live) = &mut self.live else { return Err(AskError::NotSent("the connection is closed".to_owned())) };
        let reply = live.connection.ask(ask, deadline);
        self.heard(reply)
    }

    /// Records the time of a reply, and drops the connection if it is not usable any more.
    fn heard(&mut self, reply: Result<Reply, AskError>) -> Result<Reply, AskError> {
        self.note_reply();
        let useless = match &reply {
            Ok(Reply::Refused(refusal)) => self.is_out_of_step(*refusal),
            Ok(_) => false,
            Err(_) => true,
        };
        if useless {
            self.hang_up();
        }
        reply
    }

    fn note_reply(&mut self) {
        if let Some(live) = &mut self.live {
            live.heard = self.env.clock.monotonic();
        }
    }

    /// Whether a refusal means that the connection is not in the state that this client expects.
    pub(super) fn is_out_of_step(&self, refusal: Refusal) -> bool {
        match refusal {
            Refusal::BadMessage | Refusal::HelloFirst | Refusal::AlreadyLoggedIn | Refusal::NoSession => true,
            Refusal::NotLoggedIn => self.login.is_some(),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::scripted::{Step, scripted};
    use super::*;
    use crate::model::types::{AccountId, Epoch, Lsn, RequestNumber};
    use crate::wire::message::SessionInfo;

    fn soon() -> Deadline {
        Deadline::after(&Env::os().clock, Duration::from_secs(10))
    }

    fn login() -> Login {
        Login { role: Role::Customer, name: "Sami".to_owned(), secret: Secret::new("1234".to_owned()) }
    }

    const SESSION: SessionId = SessionId { epoch: Epoch(0xabc), lsn: Lsn(77) };
    const OWNER: Owner = Owner::Customer(AccountId(1));

    fn resumed() -> Reply {
        Reply::Session(SessionInfo { session: SESSION, last: RequestNumber(0), acked_below: RequestNumber(1) })
    }

    #[test]
    fn after_a_lost_connection_it_is_where_it_was() {
        let peer = scripted(vec![
            vec![Step::Reply(Reply::LoggedIn { owner: OWNER }), Step::Reply(resumed()), Step::Drop],
            vec![Step::Reply(Reply::LoggedIn { owner: OWNER }), Step::Reply(resumed()), Step::Reply(Reply::Pong)],
        ]);
        let mut link = Link::new(&Env::os(), &peer.address);
        link.connect(&soon()).unwrap();
        assert_eq!(link.log_in(login(), &soon()), Ok(OWNER));
        assert_eq!(link.ask(&Ask::Ping, Some(SESSION), &soon()), Ok(Reply::Pong));
        let resume = Ask::ResumeSession { session: SESSION };
        let Login { role, name, secret } = login();
        let log_in = Ask::Login { role, name, secret };
        assert_eq!(peer.join(), [log_in.clone(), resume.clone(), Ask::Ping, log_in, resume, Ask::Ping]);
    }

    #[test]
    fn a_greeting_that_is_cut_off_is_said_again() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let peer = std::thread::spawn(move || {
            for _ in 0..3 {
                drop(listener.accept().unwrap());
            }
        });
        // At the end nothing listens there any more, and the client does not wait.
        let error = Link::new(&Env::os(), &address).connect(&soon());
        assert_eq!(error, Err(ClientError::Unreachable { address, why: "no program listens there".to_owned() }));
        peer.join().unwrap();
    }

    #[test]
    fn a_wrong_pin_is_an_error_and_another_may_be_tried() {
        let peer = scripted(vec![vec![Step::Reply(Reply::Refused(Refusal::BadLogin)), Step::Reply(Reply::LoggedIn { owner: OWNER })]]);
        let mut link = Link::new(&Env::os(), &peer.address);
        assert_eq!(link.log_in(login(), &soon()), Err(ClientError::Refused(Refusal::BadLogin)));
        assert_eq!(link.log_in(login(), &soon()), Ok(OWNER));
    }

    #[test]
    fn a_busy_bank_is_asked_again_until_the_deadline() {
        let busy = || Step::Reply(Reply::Refused(Refusal::Busy));
        let peer = scripted(vec![vec![busy(), busy(), Step::Reply(Reply::Pong)]]);
        assert_eq!(Link::new(&Env::os(), &peer.address).ask(&Ask::Ping, None, &soon()), Ok(Reply::Pong));
        let peer = scripted(vec![(0..1000).map(|_| busy()).collect()]);
        let short = Deadline::after(&Env::os().clock, Duration::from_millis(60));
        let error = Link::new(&Env::os(), &peer.address).ask(&Ask::Ping, None, &short);
        // The deadline may pass while the client waits for an answer.
        let is_last = |error: &ClientError| match error {
            ClientError::Refused(Refusal::Busy) => true,
            ClientError::Unreachable { why, .. } => why == "no answer in time",
            _ => false,
        };
        assert!(error.as_ref().is_err_and(is_last), "{error:?}");
    }
}
