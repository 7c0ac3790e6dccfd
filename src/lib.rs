//! bankd: a persistent transactional bank. A withdrawal or deposit is durable in a write-ahead log before it is answered,
//! takes effect exactly once, and every retry gets the same answer.
//!
//! This library is the client for programs that move money, and everything that the `bankd` program is made of.
//!
//! # The client
//!
//! [`Client`] is one blocking connection and a journal file. [`Client::execute`] numbers the request, syncs it to the
//! journal, sends it, resends it under the same number until the bank answers or the timeout passes, and records the answer.
//!
//! ```no_run
//! use std::path::Path;
//! use std::time::Duration;
//!
//! use bankd::{Amount, Client, ClientError, Command, Env, Login, Outcome, Owner, Role, Secret};
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let mut client = Client::new(&Env::os(), "127.0.0.1:7070", Path::new("journal"), Duration::from_secs(10));
//!     let decimals = client.connect()?.decimals;
//!     let login = Login { role: Role::Customer, name: "Sami".to_owned(), secret: Secret::new("1234".to_owned()) };
//!     let Owner::Customer(account) = client.log_in(login)? else { return Err("not a customer".into()) };
//!
//!     let command = Command::Withdraw { account, amount: Amount::parse("20", decimals)? };
//!     let answer = match client.execute(command) {
//!         // The money may have moved. Resending the same request finds out, and moves it once at most.
//!         Err(ClientError::OutcomeUnknown { request, .. }) => client.resend(request, command)?,
//!         answer => answer?,
//!     };
//!     match answer.body.outcome {
//!         Outcome::Done => println!("balance {}", answer.body.balance.display(decimals)),
//!         declined => println!("declined: {}", declined.name()),
//!     }
//!     Ok(())
//! }
//! ```
//!
//! What a caller concludes:
//!
//! - [`Answer`]: recorded by the bank for good. [`Outcome::Done`] moved the money; any other [`Outcome`] moved none.
//! - [`ClientError::OutcomeUnknown`]: sent, and no answer within the timeout. The journal keeps the request:
//!   [`Client::resend`] or [`Client::cancel`] settles it, in this process or a later one.
//! - [`ClientError::AskTheBank`]: the money may have moved, and the bank no longer keeps the answer.
//!   `bankd explain` finds the request in the bank's log.
//! - Any other [`ClientError`] of [`Client::execute`]: no money moved.
//!
//! `examples/withdraw.rs` is a whole program that may be killed and run again; `examples/batch.rs` keeps many requests in
//! flight with [`Client::execute_all`].
//!
//! # The layers
//!
//! Each module imports only from the layers below its own, except that `prove` and `bench` use `client`, and `bench` uses
//! `prove` (`tests/tidy.rs` checks this). `ARCHITECTURE.md` is the tour.
//!
//! 1. [`model`]: amounts, commands, log entries; [`env`](mod@env): disk, clocks and random numbers, real or simulated.
//! 2. [`wire`]: frames and messages; [`bank`]: the pure state machine; [`wal`]: the write-ahead log.
//! 3. [`engine`]: joins log and bank; checkpoints, snapshots, verification, repair.
//! 4. [`server`]: the event loop; [`client`]; [`prove`]: tests exactly-once under faults; [`bench`](mod@bench): load and figures.
//!
//! The program adds the command line (`src/cli/`) on top.
//!
//! # Limits
//!
//! - Unix only, 64 bits only. One process, one event loop, one store; no replication.
//! - No cargo features. No async: [`Client`] blocks, and one [`Client`] belongs to one thread at a time.
//! - Processes may share a journal. Each operation locks it, and returns [`JournalError::InUse`](client::JournalError::InUse)
//!   after the timeout.
//! - An [`Amount`] is a whole number of minor units, at most 2^63 - 1. There are no currencies.
//! - Nothing is encrypted on the wire: the daemon listens on 127.0.0.1 unless a flag overrides that.

#![cfg_attr(
    test,
    allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_possible_wrap,
        clippy::cast_precision_loss,
        clippy::float_arithmetic
    )
)]

// Lengths and offsets go between u64 and usize without loss.
const _: () = assert!(usize::BITS == 64, "bankd needs a machine of 64 bits");

pub mod env;
pub mod model;

pub mod bank;
pub mod wal;
pub mod wire;

pub mod engine;

pub mod bench;
pub mod client;
pub mod prove;
pub mod server;

#[doc(inline)]
pub use client::{Answer, Client, ClientError, Fate, Login, Stopped};
#[doc(inline)]
pub use env::Env;
#[doc(inline)]
pub use model::amount::Amount;
#[doc(inline)]
pub use model::command::{Body, Command, Outcome};
#[doc(inline)]
pub use model::secret::Secret;
#[doc(inline)]
pub use model::types::{AccountId, Owner, RequestId};
#[doc(inline)]
pub use wire::message::{Refusal, Role, Welcome};
