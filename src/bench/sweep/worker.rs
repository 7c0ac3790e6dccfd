//! The client of a sweep: runs one transaction after the other, resends each at once until it is answered, and times it.
//!
//! It has no backoff: it measures the cost of an error itself, as in the lab. Left out: the errors (`prove/`), series and
//! points (`sweep/mod.rs`).

use std::time::Duration;

use crate::bench::bank::teller;
use crate::bench::sweep::BenchError;
use crate::client::{Connection, Deadline, Login};
use crate::env::Env;
use crate::model::amount::Amount;
use crate::model::command::{Command, Outcome};
use crate::model::types::{AccountId, RequestNumber, SessionId};
use crate::wire::message::{Ask, Refusal, Reply};

/// Timeout of a reply; a bank that takes longer counts as failed.
const PATIENCE: Duration = Duration::from_secs(10);
/// The most attempts of a transaction.
const MOST_ATTEMPTS: u64 = 10_000;

/// The kind of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::bench) enum Kind {
    /// A deposit: numbered, logged, synced, executed once.
    Money,
    /// Text to lower case: idempotent, not logged.
    Utility,
}

/// The cost of a number of transactions.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::bench) struct Taken {
    pub(in crate::bench) transactions: u64,
    pub(in crate::bench) attempts: u64,
    /// The time of answered attempts.
    pub(in crate::bench) answered: Duration,
    /// The time of failed attempts, each until the next could be sent.
    pub(in crate::bench) failed: Duration,
    /// The sum of the answered deposits, in minor units.
    pub(in crate::bench) paid_in: u64,
}

impl Taken {
    /// Adds another part of the same measurement.
    pub(in crate::bench) fn add(&mut self, other: &Self) {
        self.transactions += other.transactions;
        self.attempts += other.attempts;
        self.answered += other.answered;
        self.failed += other.failed;
        self.paid_in += other.paid_in;
    }
}

/// A connection that reconnects as needed, its session, and its account.
pub(in crate::bench) struct Clerk<'a> {
    env: &'a Env,
    server: String,
    connection: Option<Connection>,
    session: Option<SessionId>,
    number: u64,
    account: AccountId,
}

impl<'a> Clerk<'a> {
    pub(in crate::bench) const fn new(env: &'a Env, server: String, account: AccountId) -> Self {
        Self { env, server, connection: None, session: None, number: 0, account }
    }

    /// Runs transactions.
    pub(in crate::bench) fn work(&mut self, kind: Kind, transactions: u64) -> Result<Taken, BenchError> {
        let mut taken = Taken { transactions, ..Taken::default() };
        for _ in 0..transactions {
            self.number += 1;
            self.connect(kind)?;
            let ask = self.ask_of(kind);
            let mut attempts = 0;
            loop {
                attempts += 1;
                if attempts > MOST_ATTEMPTS {
                    return Err(BenchError::Bank("a transaction was never answered".to_owned()));
                }
                let sent = self.env.clock.monotonic();
                let is_answered = self.once(kind, &ask)?;
                let spent = self.env.clock.monotonic().saturating_sub(sent);
                if is_answered {
                    taken.answered += spent;
                    break;
                }
                taken.failed += spent;
            }
            taken.attempts += attempts;
            taken.paid_in += u64::from(kind == Kind::Money);
        }
        Ok(taken)
    }

    /// The account's balance, read through the same proxy.
    pub(in crate::bench) fn balance(&mut self) -> Result<u64, BenchError> {
        loop {
            self.connect(Kind::Money)?;
            let deadline = self.deadline();
            let Some(connection) = &mut self.connection else { continue };
            match connection.ask(&Ask::Balance { account: self.account }, &deadline) {
                Ok(Reply::Balance { balance, .. }) => return Ok(balance.get()),
                Ok(Reply::Refused(Refusal::Busy)) => {}
                Ok(other) => return Err(unexpected(&other)),
                Err(_) => self.connection = None,
            }
        }
    }

    /// One attempt. Returns whether it was answered; if not, the connection is ready for the next.
    fn once(&mut self, kind: Kind, ask: &Ask) -> Result<bool, BenchError> {
        let deadline = self.deadline();
        let Some(connection) = &mut self.connection else { return Ok(false) };
        match connection.ask(ask, &deadline) {
            Ok(Reply::Answer { number, body, .. }) if number.0 == self.number && body.outcome == Outcome::Done => Ok(true),
            Ok(Reply::Text(_)) if kind == Kind::Utility => Ok(true),
            Ok(Reply::Refused(Refusal::Busy)) => Ok(false),
            Ok(other) => Err(unexpected(&other)),
            Err(_) => {
                self.connection = None;
                self.connect(kind)?;
                Ok(false)
            }
        }
    }

    fn ask_of(&self, kind: Kind) -> Ask {
        let number = RequestNumber(self.number);
        match kind {
            Kind::Money => {
                let command = Command::Deposit { account: self.account, amount: Amount::new(1).unwrap_or_default() };
                Ask::Request { number, acked_below: number, command }
            }
            Kind::Utility => Ask::Lower { text: "HELLOW".to_owned() },
        }
    }

    fn connect(&mut self, kind: Kind) -> Result<(), BenchError> {
        if self.connection.is_some() {
            return Ok(());
        }
        let deadline = self.deadline();
        let bank = |error: &dyn std::fmt::Display| BenchError::Bank(error.to_string());
        let mut connection = Connection::tcp(&self.server, &deadline).map_err(|error| bank(&error))?;
        if kind == Kind::Money {
            let Login { role, name, secret } = teller();
            connection.ask(&Ask::Login { role, name, secret }, &deadline).map_err(|error| bank(&error))?;
            let join = self.session.map_or(Ask::OpenSession, |session| Ask::ResumeSession { session });
            match connection.ask(&join, &deadline).map_err(|error| bank(&error))? {
                Reply::Session(info) => self.session = Some(info.session),
                other => return Err(unexpected(&other)),
            }
        }
        self.connection = Some(connection);
        Ok(())
    }

    fn deadline(&self) -> Deadline {
        Deadline::after(&self.env.clock, PATIENCE)
    }
}

fn unexpected(reply: &Reply) -> BenchError {
    BenchError::Bank(format!("an answer that makes no sense here: {reply:?}"))
}
