//! The walk: once the batch is with the disk, the turn's list is gone through in order; each logged entry is applied and
//! each other question answered in its place. So `DEPOSIT; BALANCE` in one read shows the deposit.
//!
//! Nothing is sent here: the answers leave once the batch is durable (`service.rs`).
//! Left out: judging what arrives (`arrival.rs`).

use std::ops::Range;
use std::time::Duration;

use crate::bank::{Applied, Login, Lookup, Refused};
use crate::engine::Fatal;
use crate::model::command::{Body, Command};
use crate::model::entry::Setting;
use crate::model::types::{AccountId, Lsn, Owner, RequestNumber, SessionId};
use crate::model::utilities;
use crate::server::arrival::check_command;
use crate::server::connection::FrontEnd;
use crate::server::native;
use crate::server::service::{ConnectionId, Service};
use crate::wire::fixed::{self, RunAnswer};
use crate::wire::frame::MAX_PAYLOAD;
use crate::wire::message::{
    self, AccountInfo, Ask, Limits, MAX_PAGE, MAX_RUN, MAX_SESSIONS, Operation, Receipt, Refusal, Reply, SESSIONS_PAGE, SessionInfo,
    Welcome,
};

/// One question of the turn.
pub(super) enum Item {
    /// It is the batch's next entry.
    Logged { id: ConnectionId, logged: Logged },
    /// So many questions are the batch's next entries: requests of consecutive numbers.
    Requests { id: ConnectionId, first: RequestNumber, count: usize },
    /// Some of its commands, which stand there in the list of the turn's, are the batch's next entries.
    Run { id: ConnectionId, first: RequestNumber, commands: Range<usize>, admitted: Range<usize> },
    /// It is to be decided against applied state.
    Ask { id: ConnectionId, ask: Ask },
    /// It was refused when it arrived.
    Refused { id: ConnectionId, refusal: Refusal },
}

/// What kind of entry a question became.
#[derive(Clone, Copy)]
pub(super) enum Logged {
    /// A request or a cancellation under this number.
    Numbered(RequestNumber),
    /// A login as this owner.
    Login(Owner),
    /// Opening a session, which may not outlive the connection.
    Open { ends_with_connection: bool },
    /// Closing this session.
    Close(Lsn),
    /// Acknowledging replies.
    Ack,
    /// An operator's command.
    Operation,
}

impl Logged {
    /// Whether its connection is read no further in this turn: what comes behind it is judged by what it did.
    pub(super) const fn ends_the_reading(self) -> bool {
        matches!(self, Self::Login(_) | Self::Open { .. } | Self::Close(_) | Self::Operation)
    }
}

/// Why a question got no reply of its own.
enum Undone {
    Refused(Refusal),
    /// The question cannot have come here: a bug.
    Broken(&'static str),
}

impl From<Refusal> for Undone {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

const NOT_A_REQUESTS_RESULT: Result<(), Fatal> = Err(Fatal::Broken("a request has a result that no request can have"));

impl Service {
    pub(super) fn walk(&mut self, now: Duration) -> Result<(), Fatal> {
        let receipt = self.engine.receipt();
        let mut turn = std::mem::take(&mut self.turn);
        let mut run_commands = std::mem::take(&mut self.run_commands);
        for item in turn.drain(..) {
            match item {
                Item::Logged { id, logged } => {
                    let (lsn, applied) = self.engine.apply_next()?;
                    if logged.ends_the_reading()
                        && let Some(connection) = self.connection(id)
                    {
                        connection.is_blocked = false;
                    }
                    let reply = self.outcome_of(id, logged, lsn, applied, receipt)?;
                    self.reply(id, &reply, now)?;
                }
                Item::Requests { id, first, count } => self.answer_requests(id, first, count, &receipt, now)?,
                Item::Run { id, first, commands, admitted } => {
                    let commands = run_commands.get(commands).unwrap_or_default();
                    self.answer_run(id, first, commands, &admitted, &receipt, now)?;
                }
                Item::Ask { id, ask } => {
                    let reply = match self.decide(id, ask, receipt) {
                        Ok(reply) => reply,
                        Err(Undone::Refused(refusal)) => Reply::Refused(refusal),
                        Err(Undone::Broken(rule)) => return Err(Fatal::Broken(rule)),
                    };
                    self.reply(id, &reply, now)?;
                }
                Item::Refused { id, refusal } => self.reply(id, &Reply::Refused(refusal), now)?,
            }
        }
        self.turn = turn;
        run_commands.clear();
        self.run_commands = run_commands;
        Ok(())
    }

    fn reply(&mut self, id: ConnectionId, reply: &Reply, now: Duration) -> Result<(), Fatal> {
        // A connection that is gone hears nothing; what it asked was executed all the same.
        let Some(connection) = self.connection(id) else { return Ok(()) };
        connection.begin_replies(1, now);
        match connection.front_end {
            FrontEnd::Native => native::put(reply, connection.output())?,
            FrontEnd::Lab(_) => self.say(id, reply)?,
        }
        self.mark_dirty(id.slot);
        Ok(())
    }

    /// The reply to what apply has just done.
    ///
    /// # Errors
    /// [`Fatal::Broken`] where the entry's kind cannot have that result.
    fn outcome_of(&mut self, id: ConnectionId, logged: Logged, lsn: Lsn, applied: Applied, receipt: Receipt) -> Result<Reply, Fatal> {
        Ok(match (logged, applied) {
            (Logged::Numbered(number), Applied::Answer { body, replayed }) => Reply::Answer { number, body, replayed, receipt },
            (Logged::Login(owner), Applied::Login(login)) => self.logged_in(id, owner, login),
            (Logged::Open { ends_with_connection }, Applied::SessionOpened) => {
                if ends_with_connection && self.connection(id).is_none() {
                    self.abandon_opened(id, lsn);
                }
                let session = SessionInfo {
                    session: self.engine.bank().epochs().session(lsn),
                    last: RequestNumber(0),
                    acked_below: RequestNumber(1),
                };
                self.take_over(id, lsn);
                Reply::Session(session)
            }
            (Logged::Close(session), Applied::Closed) => {
                self.forget_session(session);
                Reply::Closed
            }
            (Logged::Ack, Applied::Acked { acked_below }) => Reply::Acked { acked_below },
            (Logged::Operation | Logged::Open { .. }, Applied::Refused(refused)) => Reply::Refused(refusal_of(refused)),
            (Logged::Operation, Applied::Done | Applied::Opened(_) | Applied::TellerAdded(_)) => {
                self.close_revoked();
                Reply::Operated { lsn }
            }
            // The session ended earlier in the same batch.
            (Logged::Numbered(_) | Logged::Close(_) | Logged::Ack, Applied::UnknownSession) => Reply::Refused(Refusal::UnknownSession),
            _ => return Err(Fatal::Broken("an entry has a result that its kind cannot have")),
        })
    }

    fn logged_in(&mut self, id: ConnectionId, owner: Owner, login: Login) -> Reply {
        let accepted = login == Login::Accepted;
        if let Some(connection) = self.connection(id) {
            connection.owner = accepted.then_some(owner);
        }
        match login {
            Login::Accepted => Reply::LoggedIn { owner },
            Login::Wrong => Reply::Refused(Refusal::BadLogin),
            Login::Locked => Reply::Refused(Refusal::LoginLocked),
        }
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

    fn forget_session(&mut self, session: Lsn) {
        if let Some(id) = self.live.remove(&session)
            && let Some(connection) = self.connection(id)
        {
            connection.session = None;
        }
    }

    /// Ends the connections of tellers that are tellers no more.
    fn close_revoked(&mut self) {
        let bank = self.engine.bank();
        let revoked = |owner: Option<Owner>| matches!(owner, Some(Owner::Teller(teller)) if bank.teller_revoked(teller) == Some(true));
        let slots: Vec<usize> = self.connections.iter().filter(|(_, connection)| revoked(connection.owner)).map(|(slot, _)| slot).collect();
        for slot in slots {
            if let Some(connection) = self.connections.get_mut(slot) {
                connection.is_closing = true;
            }
            self.mark_dirty(slot);
        }
    }

    fn answer_requests(
        &mut self,
        id: ConnectionId,
        first: RequestNumber,
        count: usize,
        receipt: &Receipt,
        now: Duration,
    ) -> Result<(), Fatal> {
        // As in `reply`: for a connection that is gone it is written to nobody.
        let mut output = match self.connection(id) {
            Some(connection) => {
                connection.begin_replies(count, now);
                std::mem::take(connection.output())
            }
            None => Vec::new(),
        };
        let mut number = first;
        let mut answers = fixed::Answers::begin(receipt, &output);
        let mut broken = Ok(());
        self.engine.apply_requests(count, |applied| {
            match applied {
                Applied::Answer { body, replayed } => answers.put(number, &body, replayed, &mut output),
                Applied::UnknownSession => {
                    answers.end(&mut output);
                    if let Err(fatal) = native::put(&Reply::Refused(Refusal::UnknownSession), &mut output) {
                        broken = Err(fatal);
                    }
                    answers = fixed::Answers::begin(receipt, &output);
                }
                _ => broken = NOT_A_REQUESTS_RESULT,
            }
            // Behind the last number of all none follows.
            number = number.next().unwrap_or(number);
        })?;
        broken?;
        answers.end(&mut output);
        self.give_back(id, output);
        Ok(())
    }

    /// Gives the output back to its connection, if that is still there.
    fn give_back(&mut self, id: ConnectionId, output: Vec<u8>) {
        if let Some(connection) = self.connection(id) {
            *connection.output() = output;
            self.mark_dirty(id.slot);
        }
    }

    fn answer_run(
        &mut self,
        id: ConnectionId,
        first: RequestNumber,
        commands: &[Command],
        admitted: &Range<usize>,
        receipt: &Receipt,
        now: Duration,
    ) -> Result<(), Fatal> {
        // As in `reply`: for a connection that is gone it is written to nobody.
        let (owner, session, mut output) = match self.connection(id) {
            Some(connection) => {
                connection.begin_replies(1, now);
                (connection.owner, connection.session, std::mem::take(connection.output()))
            }
            None => (None, None, Vec::new()),
        };
        let answer = RunAnswer::begin(first, u64::try_from(commands.len()).unwrap_or(u64::MAX), &mut output);
        let mut numbered = (first.0..).map(RequestNumber).zip(commands);
        let before = admitted.start;
        for (number, command) in numbered.by_ref().take(before) {
            answer.item(self.decide_command(owner.zip(session), number, command), &mut output);
        }
        let mut broken = Ok(());
        self.engine.apply_requests(admitted.len(), |applied| match applied {
            Applied::Answer { body, replayed } => answer.item(Ok((body, replayed)), &mut output),
            Applied::UnknownSession => answer.item(Err(Refusal::UnknownSession), &mut output),
            _ => broken = NOT_A_REQUESTS_RESULT,
        })?;
        broken?;
        for (number, command) in numbered.skip(admitted.len()) {
            answer.item(self.decide_command(owner.zip(session), number, command), &mut output);
        }
        answer.end(receipt, &mut output);
        self.give_back(id, output);
        Ok(())
    }

    /// Answers a question against applied state.
    fn decide(&mut self, id: ConnectionId, ask: Ask, receipt: Receipt) -> Result<Reply, Undone> {
        let connection = self.connection(id).ok_or(Refusal::NoSession)?;
        let (owner, session) = (connection.owner, connection.session);
        let owned = owner.ok_or(Refusal::NotLoggedIn);
        let own_session = session.ok_or(Refusal::UnknownSession);
        match ask {
            Ask::Request { number, command, .. } => {
                let (body, replayed) = self.decide_numbered(own_session?, number, Some(&command))?;
                Ok(Reply::Answer { number, body, replayed, receipt })
            }
            Ask::Cancel { number, .. } => {
                let (body, replayed) = self.decide_numbered(own_session?, number, None)?;
                Ok(Reply::Answer { number, body, replayed, receipt })
            }
            Ask::Ack { acked_below } => Ok(self.decide_ack(own_session?, acked_below)?),
            Ask::ResumeSession { session } => {
                let resumed = self.resumable(owned?, session);
                if let Some(connection) = self.connection(id) {
                    connection.is_blocked = false;
                }
                let info = resumed?;
                self.take_over(id, session.lsn);
                Ok(Reply::Session(info))
            }
            Ask::Balance { account } => Ok(self.balance(owned?, account)?),
            Ask::FindAccount { name } => {
                Ok(self.engine.bank().find_account(&name).map(|account| Reply::Account { account }).ok_or(Refusal::NoSuchAccount)?)
            }
            Ask::ListSessions => Ok(Reply::Sessions(self.sessions(owned?, Lsn(0), MAX_SESSIONS))),
            Ask::ListSessionsAfter { after } => Ok(Reply::Sessions(self.sessions(owned?, after, SESSIONS_PAGE))),
            Ask::Hello { .. } => Ok(Reply::Welcome(self.welcome())),
            Ask::Lower { text } => Ok(Reply::Text(utilities::lower(&text))),
            Ask::Prime { number } => Ok(utilities::is_prime(&number).map(Reply::Truth).map_err(|_| Refusal::NotAnInteger)?),
            Ask::Palindrome { number } => Ok(utilities::is_palindrome(&number).map(Reply::Truth).map_err(|_| Refusal::NotAnInteger)?),
            Ask::Ping => Ok(Reply::Pong),
            Ask::Operate(Operation::ListAccounts { from }) => Ok(Reply::Accounts(self.accounts(from))),
            // A session that is gone, or never was this owner's.
            Ask::CloseSession { .. } | Ask::Operate(Operation::CloseSession { .. }) => Err(Undone::Refused(Refusal::UnknownSession)),
            Ask::Login { .. } | Ask::OpenSession | Ask::Run { .. } | Ask::Operate(_) => {
                Err(Undone::Broken("a question that becomes an entry is listed without one"))
            }
        }
    }

    /// What a command of a run gets that is not new.
    fn decide_command(&mut self, who: Option<(Owner, Lsn)>, number: RequestNumber, command: &Command) -> Result<(Body, bool), Refusal> {
        // The connection is gone or lost its session meanwhile: nobody will read this.
        let (owner, session) = who.ok_or(Refusal::NoSession)?;
        check_command(command, owner)?;
        self.decide_numbered(session, number, Some(command))
    }

    /// What a number that is not new gets. `command` is none for a cancellation.
    fn decide_numbered(&mut self, session: Lsn, number: RequestNumber, command: Option<&Command>) -> Result<(Body, bool), Refusal> {
        match self.engine.bank().lookup(session, number) {
            Lookup::Recorded(recorded) => match (recorded.command, command) {
                (Some(executed), Some(asked)) if executed != *asked => Err(Refusal::Conflict),
                // Under a cancelled number every late copy gets this, whatever its command; and a cancellation that
                // came too late gets what the number did.
                _ => Ok((recorded.body, true)),
            },
            Lookup::Acknowledged => Err(Refusal::Acknowledged),
            Lookup::Ahead { expected } => Err(Refusal::Gap { expected }),
            Lookup::NoSession => Err(Refusal::UnknownSession),
            // It is the next, and yet was not admitted: for want of room in the window, the disk or the batch.
            Lookup::Next if !self.engine.has_room() => Err(Refusal::NoSpace),
            Lookup::Next => {
                let bank = self.engine.bank();
                let acked = bank.session(session).map_or(RequestNumber(0), |view| view.acked_below);
                let is_full = number.0.saturating_sub(acked.0) >= bank.setting(Setting::Window);
                Err(if is_full { Refusal::WindowFull } else { Refusal::Busy })
            }
        }
    }

    fn decide_ack(&self, session: Lsn, acked_below: RequestNumber) -> Result<Reply, Refusal> {
        let view = self.engine.bank().session(session).ok_or(Refusal::UnknownSession)?;
        match view.last.next() {
            Some(expected) if acked_below > expected => Err(Refusal::Gap { expected }),
            _ if acked_below > view.acked_below => Err(Refusal::Busy),
            _ => Ok(Reply::Acked { acked_below: view.acked_below }),
        }
    }

    fn resumable(&self, owner: Owner, session: SessionId) -> Result<SessionInfo, Refusal> {
        let bank = self.engine.bank();
        if !bank.has_place(session) {
            return Err(Refusal::StoreRolledBack);
        }
        let view = bank.session(session.lsn).filter(|view| view.owner == owner).ok_or(Refusal::UnknownSession)?;
        Ok(SessionInfo { session, last: view.last, acked_below: view.acked_below })
    }

    /// The owner's sessions that entries after `after` opened, oldest first, `most` at most.
    fn sessions(&self, owner: Owner, after: Lsn, most: usize) -> Vec<SessionInfo> {
        let bank = self.engine.bank();
        let info = |lsn: Lsn| {
            let view = bank.session(lsn)?;
            Some(SessionInfo { session: bank.epochs().session(lsn), last: view.last, acked_below: view.acked_below })
        };
        bank.sessions_of(owner).into_iter().filter(|lsn| *lsn > after).filter_map(info).take(most).collect()
    }

    fn balance(&self, owner: Owner, account: AccountId) -> Result<Reply, Refusal> {
        if !matches!(owner, Owner::Teller(_)) && owner != Owner::Customer(account) {
            return Err(Refusal::NotPermitted);
        }
        let bank = self.engine.bank();
        let view = bank.account(account).ok_or(Refusal::NoSuchAccount)?;
        Ok(Reply::Balance { balance: view.balance, lsn: bank.applied() })
    }

    fn welcome(&self) -> Welcome {
        let bank = self.engine.bank();
        let small = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
        Welcome {
            version: message::VERSION,
            store: self.engine.store(),
            lineage: bank.lineage(),
            decimals: bank.decimals(),
            limits: Limits { payload: small(MAX_PAYLOAD as u64), window: small(bank.setting(Setting::Window)), run: small(MAX_RUN as u64) },
            bank_time: self.engine.now(),
        }
    }

    fn accounts(&self, from: AccountId) -> Vec<AccountInfo> {
        let bank = self.engine.bank();
        let info = |id: u32| {
            let account = AccountId(id);
            let view = bank.account(account)?;
            Some(AccountInfo {
                account,
                name: bank.account_name(account)?.to_owned(),
                balance: view.balance,
                closed: view.closed,
                locked: view.locked,
                login_locked: view.login_locked,
            })
        };
        (from.0..bank.account_count()).take(MAX_PAGE).filter_map(info).collect()
    }
}

const fn refusal_of(refused: Refused) -> Refusal {
    match refused {
        Refused::NameTaken => Refusal::NameTaken,
        Refused::NoSuchAccount => Refusal::NoSuchAccount,
        Refused::NoSuchTeller => Refusal::NoSuchTeller,
        Refused::AccountClosed => Refusal::AccountClosed,
        Refused::BalanceNotZero => Refusal::BalanceNotZero,
    }
}
