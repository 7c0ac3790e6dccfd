//! The requests by kind: for each, when it is admitted and what it is answered stand in one file.

mod login;
mod money;
mod operator;
mod query;
mod session;

pub(super) use operator::refusal_of;
