//! The generator's journal: each command before it is sent, and each answer, for `bankd wal verify --against`.
//!
//! Left out: the file and its format (`client/`).

use std::path::Path;

use crate::bench::BenchError;
use crate::client::{Intent, JournalError, JournalStream, Login, Record, Settled};
use crate::env::Env;
use crate::model::amount::Amount;
use crate::model::command::Command;
use crate::model::types::{AccountId, Lsn, RequestId, RequestNumber, SessionId, StoreId};
use crate::wire::fixed::received::Answers;

/// An append-only journal.
pub(super) struct Audit {
    stream: JournalStream,
    /// The intent that is written for each command, reused so that its strings are not allocated again.
    intent: Record,
}

impl Audit {
    pub(super) fn create(env: &Env, path: &Path, store: StoreId, login: &Login, address: &str) -> Result<Self, JournalError> {
        let stream = JournalStream::create(env, path)?;
        let at = u64::try_from(env.clock.wall().as_micros()).unwrap_or(u64::MAX);
        let id = request(SessionId { epoch: Default::default(), lsn: Lsn(0) }, 0);
        let command = Command::Deposit { account: AccountId(0), amount: Amount::ZERO };
        let (role, name, address) = (login.role, login.name.clone(), address.to_owned());
        Ok(Self { stream, intent: Record::Intent(Intent { store, id, at, role, name, address, command }) })
    }

    /// Writes commands with consecutive numbers, before they are sent.
    pub(super) fn intend(&mut self, session: SessionId, first: u64, commands: &[Command]) -> Result<(), BenchError> {
        for (number, command) in (first..).zip(commands) {
            if let Record::Intent(intent) = &mut self.intent {
                (intent.id, intent.command) = (request(session, number), *command);
            }
            self.stream.put(&self.intent)?;
        }
        Ok(())
    }

    /// Writes the answers of a frame.
    pub(super) fn settle(&mut self, session: SessionId, answers: &Answers<'_>) -> Result<(), BenchError> {
        let invalid = |what: &str| BenchError::Bank(format!("it returns an invalid {what}"));
        let receipt = answers.receipt().ok_or_else(|| invalid("receipt"))?;
        for (number, item) in (answers.first..).zip(answers.items()) {
            let Some(item) = item else { continue };
            let body = item.body().ok_or_else(|| invalid("answer"))?;
            self.stream.put(&Record::Reply(request(session, number), Settled { body, replayed: item.replayed, receipt }))?;
        }
        Ok(())
    }

    /// Syncs the file.
    pub(super) fn sync(&mut self) -> Result<(), BenchError> {
        Ok(self.stream.sync()?)
    }
}

const fn request(session: SessionId, number: u64) -> RequestId {
    RequestId { session, number: RequestNumber(number) }
}
