//! The client of a sweep: runs one transaction after the other, resends each at once until it is answered, and times it.
//!
//! It has no backoff: it measures the cost of an error itself, as in the lab. Left out: the errors (`prove/`), series and
//! points (`sweep/mod.rs`).

use std::time::Duration;

use crate::bench::BenchError;
use crate::bench::bank::teller;
use crate::client::{ClientError, Deadline, Link};
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

/// A link, its session, and its account.
pub(in crate::bench) struct Clerk<'a> {
    env: &'a Env,
    link: Link,
    session: Option<SessionId>,
    number: u64,
    account: AccountId,
}

impl<'a> Clerk<'a> {
    pub(in crate::bench) fn new(env: &'a Env, server: &str, account: AccountId) -> Self {
        Self { env, link: Link::new(env, server), session: None, number: 0, account }
    }

    /// Runs transactions.
    pub(in crate::bench) fn work(&mut self, kind: Kind, transactions: u64) -> Result<Taken, BenchError> {
        let mut taken = Taken { transactions, ..Taken::default() };
        for _ in 0..transactions {
            self.number += 1;
            self.prepare(kind)?;
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
        self.prepare(Kind::Money)?;
        let deadline = self.deadline();
        match self.link.ask(&Ask::Balance { account: self.account }, self.session, &deadline).map_err(|error| bank(&error))? {
            Reply::Balance { balance, .. } => Ok(balance.get()),
            other => Err(unexpected(&other)),
        }
    }

    /// One attempt. Returns whether it was answered; if not, the connection is ready for the next.
    fn once(&mut self, kind: Kind, ask: &Ask) -> Result<bool, BenchError> {
        match self.link.once(ask, self.session, &self.deadline()) {
            Ok(Reply::Answer { number, body, .. }) if number.0 == self.number && body.outcome == Outcome::Done => Ok(true),
            Ok(Reply::Text(_)) if kind == Kind::Utility => Ok(true),
            Ok(Reply::Refused(Refusal::Busy)) => Ok(false),
            Ok(other) => Err(unexpected(&other)),
            Err(_) => self.prepare(kind).map(|()| false),
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

    /// Connects, and for deposits logs in and takes up the session, which is opened the first time.
    fn prepare(&mut self, kind: Kind) -> Result<(), BenchError> {
        let deadline = self.deadline();
        if kind == Kind::Money && self.session.is_none() {
            self.link.set_login(teller());
            match self.link.once(&Ask::OpenSession, None, &deadline).map_err(|fault| bank(&self.link.failure(fault)))? {
                Reply::Session(info) => self.session = Some(info.session),
                other => return Err(unexpected(&other)),
            }
        }
        self.link.ready(self.session, &deadline).map_err(|fault| bank(&self.link.failure(fault)))
    }

    fn deadline(&self) -> Deadline {
        Deadline::after(&self.env.clock, PATIENCE)
    }
}

fn bank(error: &ClientError) -> BenchError {
    BenchError::Bank(error.to_string())
}

fn unexpected(reply: &Reply) -> BenchError {
    BenchError::Bank(format!("an answer that makes no sense here: {reply:?}"))
}
