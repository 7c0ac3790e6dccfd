//! Estimated cost of queries and logins: processor time and length of the answer, beyond those of a usual request.
//!
//! Left out: the budget of a turn (`budget.rs`).

use super::service::{ConnectionId, Service};
use super::turn::Admitted;
use crate::model::types::{MAX_NAME, Owner};
use crate::model::utilities::MAX_DIGITS;
use crate::wire::frame::MAX_PAYLOAD;
use crate::wire::message::{Ask, MAX_PAGE, Operation};

/// Bytes of a frame around a list or a text, at most.
const AROUND: usize = 64;
/// Bytes of a command's answer in a run.
const RUN_ITEM: usize = 25;
/// Bytes of a session in a list.
const SESSION: usize = 32;
/// Bytes of an account in a list, at most.
const ACCOUNT: usize = 32 + MAX_NAME;

/// Bytes of a line of a statement, at most.
const STATEMENT_LINE: usize = 96 + MAX_NAME;

/// The cost of a long query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Price {
    /// Nanoseconds, estimated.
    nanos: u64,
    /// Bytes of its answer, at most.
    answer: usize,
}

impl Service {
    /// The cost of a request, if it is a long one.
    pub(super) fn price(&self, ask: &Ask, owner: Option<Owner>) -> Option<Price> {
        let (units, nanos, answer) = match ask {
            // A prime of 100 digits takes a millisecond.
            Ask::Prime { number } => (number.len().min(MAX_DIGITS).pow(2).saturating_add(number.len() / 8), 100, AROUND),
            Ask::Palindrome { number } => (number.len(), 8, AROUND),
            Ask::Lower { text } => (text.len(), 8, (text.len() / 2).saturating_mul(3).saturating_add(AROUND)),
            // A secret is hashed.
            Ask::Login { .. } => (1, 4_000, AROUND),
            Ask::ListSessions | Ask::ListSessionsAfter { .. } => {
                let count = usize::try_from(self.engine.bank().session_count_of(owner?)).unwrap_or(usize::MAX);
                (count, 150, count.saturating_mul(SESSION).min(MAX_PAYLOAD).saturating_add(AROUND))
            }
            Ask::Statement { limit, .. } => (1, 5_000, usize::from(*limit).saturating_mul(STATEMENT_LINE).saturating_add(AROUND)),
            Ask::Operate(Operation::ListAccounts { .. }) => (MAX_PAGE, 150, MAX_PAGE * ACCOUNT + AROUND),
            _ => return None,
        };
        Some(Price { nanos: u64::try_from(units).unwrap_or(u64::MAX).saturating_mul(nanos), answer })
    }

    /// Charges a long query to the turn; returns `Later` if it does not fit.
    pub(super) fn pay(&mut self, id: ConnectionId, price: Price) -> Admitted {
        let Some(connection) = self.connections.get_mut(id.slot) else { return Admitted::Yes };
        if !self.budget.has_long(connection, price.nanos) || !self.budget.fits(connection, price.answer) {
            return Admitted::Later(price.answer);
        }
        self.budget.charge_long(connection, price.nanos);
        self.budget.charge_answers(connection, price.answer);
        Admitted::Yes
    }

    /// Charges a run of `commands` commands to the turn; returns `Later` if it does not fit.
    pub(super) fn pay_run(&mut self, id: ConnectionId, commands: usize) -> Admitted {
        let Some(connection) = self.connections.get_mut(id.slot) else { return Admitted::Yes };
        let answer = commands.saturating_mul(RUN_ITEM).min(MAX_PAYLOAD).saturating_add(AROUND);
        if !self.budget.has_run(connection, commands) || !self.budget.fits(connection, answer) {
            return Admitted::Later(answer);
        }
        self.budget.charge_requests(connection, commands);
        self.budget.charge_answers(connection, answer);
        Admitted::Yes
    }
}
