//! The requests by kind: one file for each has both its admission and its answer.

mod login;
mod money;
mod operator;
mod query;
mod session;
pub(super) mod statement;

pub(super) use operator::refusal_of;
