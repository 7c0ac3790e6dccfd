//! Statements: who may see an account's movements, and the answer, which a thread finds once the turn's batch is durable.
//!
//! The connection is read no further until then, since its answers come in order; every other connection goes on.
//! Left out: finding the movements (`engine/statements/`).

use std::time::Duration;

use crate::engine::{Fatal, Movement, MovementKind, Movements, Query, Unavailable};
use crate::model::types::{AccountId, Lsn, Owner, RequestId};
use crate::server::service::{ConnectionId, Service};
use crate::server::turn::{Admitted, Item};
use crate::wire::message::{LineKind, MAX_STATEMENT, Refusal, Reply, Statement, StatementLine};

impl Service {
    /// Admits a question for a statement: a customer's for its own account, a teller's or the operator's for any.
    pub(in crate::server) fn admit_statement(&mut self, id: ConnectionId, owner: Owner, query: Query) -> Admitted {
        let refusal = match owner {
            Owner::Customer(own) if own != query.account => Some(Refusal::NotPermitted),
            Owner::Nobody => Some(Refusal::NotPermitted),
            _ if !(1..=usize::from(MAX_STATEMENT)).contains(&query.limit) => Some(Refusal::BadNumbers),
            _ if self.engine.bank().account(query.account).is_none() => Some(Refusal::NoSuchAccount),
            _ => None,
        };
        match refusal {
            Some(refusal) => self.refused(id, refusal),
            None => {
                self.block(id);
                self.list(id, Item::Statement { id, query });
                Admitted::Yes
            }
        }
    }

    /// Asks the thread what this turn was asked. Called when the turn's batch is durable: nothing else is ever shown.
    pub(in crate::server) fn ask_for_statements(&mut self) {
        for (id, query) in self.statement_asks.drain(..) {
            if !self.engine.ask_for_statement(asker(id), query) {
                self.unanswered_statements.push(id);
            }
        }
    }

    /// Answers what the thread has found.
    ///
    /// # Errors
    /// [`Fatal`], as for any reply.
    pub fn answer_statements(&mut self, now: Duration) -> Result<(), Fatal> {
        let now = self.deadlines.ready_time(now);
        while let Some(id) = self.unanswered_statements.pop() {
            self.answer_statement(id, &Reply::Refused(Refusal::NoStatement), now)?;
        }
        while let Some((asker, found)) = self.engine.take_statement() {
            let reply = match found {
                Ok(movements) => Reply::Statement(self.statement(&movements)),
                Err(Unavailable::NotReady) => Reply::Refused(Refusal::NoStatement),
            };
            self.answer_statement(connection(asker), &reply, now)?;
        }
        Ok(())
    }

    /// Whether [`Service::answer_statements`] has answers that come from no thread.
    #[must_use]
    pub const fn has_statements(&self) -> bool {
        !self.unanswered_statements.is_empty()
    }

    fn answer_statement(&mut self, id: ConnectionId, reply: &Reply, now: Duration) -> Result<(), Fatal> {
        self.reply(id, reply, now)?;
        if let Some(connection) = self.connection(id) {
            connection.is_blocked = false;
            if connection.has_more() {
                self.wait(id.slot);
            }
        }
        Ok(())
    }

    fn statement(&self, found: &Movements) -> Statement {
        let lines = found.movements.iter().map(|movement| self.line(movement)).collect();
        Statement { lines, has_more: found.has_more, is_cut: found.is_cut }
    }

    fn line(&self, movement: &Movement) -> StatementLine {
        let Movement { lsn, time, kind, amount, balance, outcome, request } = *movement;
        let bank = self.engine.bank();
        let name = |account: AccountId| bank.account_name(account).unwrap_or_default().to_owned();
        let kind = match kind {
            MovementKind::Opening => LineKind::Opening,
            MovementKind::Deposit => LineKind::Deposit,
            MovementKind::Withdrawal => LineKind::Withdrawal,
            MovementKind::TransferTo(account) => LineKind::TransferTo { account, name: name(account) },
            MovementKind::TransferFrom(account) => LineKind::TransferFrom { account, name: name(account) },
        };
        let request = request.map(|(session, number): (Lsn, _)| RequestId { session: bank.epochs().session(session), number });
        StatementLine { lsn, time, kind, amount, balance, outcome, request }
    }
}

/// A connection as the thread's asker: its slot, of at most 32 bits, below its generation.
fn asker(id: ConnectionId) -> u64 {
    u64::from(id.generation) << 32 | crate::model::invariant::to_u64(id.slot) & u64::from(u32::MAX)
}

fn connection(asker: u64) -> ConnectionId {
    let slot = crate::model::invariant::to_len(asker & u64::from(u32::MAX));
    ConnectionId { slot, generation: u32::try_from(asker >> 32).unwrap_or_default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_asker_is_its_connection() {
        for (slot, generation) in [(0, 0), (7, 1), (65_535, u32::MAX)] {
            let id = ConnectionId { slot, generation };
            assert_eq!(connection(asker(id)), id);
        }
    }
}
