//! How many requests a second the bank answers, by the number of connections with one request in flight each.
//!
//! One thread sends on every connection, then collects every answer, so that the generator takes as little of the
//! machine as it can. Left out: errors (`clerk.rs`).

use std::time::Duration;

use super::bank::{ACCOUNTS, teller};
use super::sweep::BenchError;
use crate::amount::Amount;
use crate::client::{Connection, Deadline, Login, World};
use crate::command::Command;
use crate::types::{AccountId, RequestNumber};
use crate::wire::message::{Ask, Reply};

const PATIENCE: Duration = Duration::from_secs(10);

/// Deposits for so long. Gives the answers a second and the mean time of one, in microseconds.
pub(super) fn measure(world: &World, server: &str, connections: usize, lasting: Duration) -> Result<(f64, f64), BenchError> {
    let bank = |error: &dyn std::fmt::Display| BenchError::Bank(error.to_string());
    let deadline = || Deadline::after(&world.clock, PATIENCE);
    let mut open = Vec::with_capacity(connections);
    for _ in 0..connections {
        let mut connection = Connection::tcp(server, &deadline()).map_err(|error| bank(&error))?;
        let Login { role, name, secret } = teller();
        for ask in [Ask::Login { role, name, secret }, Ask::OpenSession] {
            connection.ask(&ask, &deadline()).map_err(|error| bank(&error))?;
        }
        open.push(connection);
    }
    let (mut number, mut account, mut answered) = (0, 0, 0_u64);
    let began = world.clock.monotonic();
    let mut spent = Duration::ZERO;
    while spent < lasting {
        number += 1;
        let deadline = deadline();
        for connection in &mut open {
            account = (account + 1) % ACCOUNTS;
            let command = Command::Deposit { account: AccountId(account), amount: Amount::new(1).unwrap_or_default() };
            let number = RequestNumber(number);
            connection.send(&[Ask::Request { number, acked_below: number, command }], &deadline).map_err(|error| bank(&error))?;
        }
        for connection in &mut open {
            match connection.receive(&deadline).map_err(|error| bank(&error))? {
                Reply::Answer { number: told, .. } if told.0 == number => answered += 1,
                other => return Err(BenchError::Bank(format!("an answer that makes no sense here: {other:?}"))),
            }
        }
        spent = world.clock.monotonic().saturating_sub(began);
    }
    let rate = answered as f64 / spent.as_secs_f64();
    Ok((rate, connections as f64 / rate * 1e6))
}
