//! Compares the clients' observations and journals with the log, and relies neither on the bank's code nor on its state.
//!
//! It checks:
//! - an answered request is in the log exactly once, with the same answer; any other request at most once;
//! - every request in the log was made by a client;
//! - no number has two commands;
//! - every reported balance is the log's at that LSN;
//! - the log's order agrees with real time, so that every account's history is linearizable.
//!
//! Left out: rules that concern the log alone (`model.rs`), real time (`real_time.rs`), reading the log
//! (`log_reader.rs`).

use std::collections::BTreeMap;
use std::time::Duration;

use crate::client::{ClosedReason, End, Request, Settled};
use crate::model::amount::Amount;
use crate::model::command::{Body, Command, Outcome};
use crate::model::types::RequestId;
use crate::prove::check::history::{Answered, Event, Write};
use crate::prove::check::log_reader::LogImage;
use crate::prove::check::model::{Decision, Model};
use crate::prove::check::real_time;
use crate::prove::check::real_time::Moment;
use crate::prove::check::verdict;
use crate::prove::check::verdict::{Checked, Violation};
use crate::wire::message::Receipt;

/// The evidence of the clients' side.
#[derive(Debug, Default)]
pub struct Testimony {
    /// The observations, in any order.
    pub events: Vec<Event>,
    /// The requests in the journals.
    pub journaled: Vec<Request>,
    /// How many journals were read.
    pub journals: u64,
    /// The sum of all balances before the first request.
    pub opening: u128,
    /// Every account's balance as the bank reports it at the end; empty if unavailable.
    pub closing: Vec<Amount>,
}

/// One request, combined from all observations and journals.
#[derive(Default)]
struct Asked {
    /// The command; none if only a cancellation was sent under the number.
    command: Option<Command>,
    sent: Option<Duration>,
    /// The earliest answer, and when it arrived if that is known.
    answer: Option<(Body, Option<Duration>)>,
    is_journaled: bool,
    end: Option<End>,
}

impl Asked {
    /// Whether the clients' side does not know if it was executed.
    fn is_open(&self) -> bool {
        use ClosedReason::{Acknowledged, StoreRolledBack, UnknownSession};
        self.answer.is_none() && matches!(self.end, None | Some(End::Closed(UnknownSession | StoreRolledBack | Acknowledged)))
    }
}

/// Runs all checks. The violations are sorted by rule.
#[must_use]
pub fn check(log: &LogImage, testimony: &Testimony) -> (Vec<Violation>, Checked) {
    let model = Model::replay(&log.entries);
    let mut check = Check {
        log,
        model: &model,
        asked: BTreeMap::new(),
        moments: Vec::new(),
        violations: model.violations.clone(),
        checked: Checked {
            journals: testimony.journals,
            entries: u64::try_from(log.entries.len()).unwrap_or(u64::MAX),
            batches: log.batches,
            incarnations: log.incarnations,
            torn_tails: log.torn,
            ..Checked::default()
        },
    };
    for event in &testimony.events {
        check.event(event);
    }
    for request in &testimony.journaled {
        check.journaled(request);
    }
    check.requests();
    check.nothing_unasked();
    check.cash(testimony);
    check.checked.ordered = real_time::check(&check.moments, &mut check.violations);
    verdict::sort(&mut check.violations);
    (check.violations, check.checked)
}

struct Check<'a> {
    log: &'a LogImage,
    model: &'a Model,
    asked: BTreeMap<RequestId, Asked>,
    moments: Vec<Moment>,
    violations: Vec<Violation>,
    checked: Checked,
}

impl Check<'_> {
    fn complain(&mut self, rule: &'static str, request: Option<RequestId>, what: String) {
        self.violations.push(Violation::new(rule, request, what));
    }

    fn event(&mut self, event: &Event) {
        match event {
            Event::Breach { rule, request, what } => self.complain(rule, *request, what.clone()),
            Event::Write(write) => self.write(write),
            Event::Read(read) => {
                self.checked.reads += 1;
                match self.model.balance(read.account, read.lsn) {
                    Some(balance) if self.ends_at_or_behind(read.lsn) && balance == read.balance.get() => {}
                    in_log => {
                        let in_log = in_log.map_or("no such account".to_owned(), |balance| balance.to_string());
                        let what = format!(
                            "the bank answered that account {} holds {} at LSN {}; by the log, which ends at LSN {}, it is {in_log}",
                            read.account.0,
                            read.balance.get(),
                            read.lsn,
                            self.log.entries.len()
                        );
                        self.complain("balance", None, what);
                    }
                }
                let moment = Moment { sent: Some(read.sent), at: Some(read.at), lsn: read.lsn, request: None, is_read: true };
                self.moments.push(moment);
            }
        }
    }

    fn write(&mut self, write: &Write) {
        let asked = self.asked.entry(write.id).or_default();
        asked.sent = match (asked.sent, write.sent) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        if let (Some(known), Some(command)) = (asked.command, write.command)
            && known != command
            && write.answered.is_none()
        {
            // A test of another command under a used number, which was refused: no evidence about the first command.
            return;
        }
        let asked_before = asked.command;
        asked.command = asked.command.or(write.command);
        if let Some(answered) = write.answered {
            if asked.answer.is_none_or(|(_, at)| at.is_none_or(|at| at > answered.at)) {
                asked.answer = Some((answered.body, Some(answered.at)));
            }
            self.answer(write.id, write.command, answered.body, answered.receipt);
            if let (Some(before), Some(now)) = (asked_before, write.command)
                && before != now
                && answered.body.outcome != Outcome::Cancelled
            {
                self.complain("once", Some(write.id), format!("the bank answered two commands under it: {before:?} and {now:?}"));
            }
            self.note_answer(&answered);
        }
    }

    fn note_answer(&mut self, answered: &Answered) {
        self.checked.duplicates_absorbed += u64::from(answered.replayed);
    }

    fn journaled(&mut self, request: &Request) {
        let id = request.intent.id;
        if request.intent.store != self.log.store {
            self.complain("asked", Some(id), format!("its journal says that it was for another store, {}", request.intent.store));
        }
        let asked = self.asked.entry(id).or_default();
        asked.is_journaled = true;
        asked.end = request.end;
        asked.command = asked.command.or(Some(request.intent.command));
        if let Some(End::Answered(Settled { body, receipt, .. })) = request.end {
            if asked.answer.is_none() {
                asked.answer = Some((body, None));
            }
            self.answer(id, Some(request.intent.command), body, Some(receipt));
        }
    }

    /// Checks a received answer: it must be the request's outcome by the log.
    fn answer(&mut self, id: RequestId, command: Option<Command>, body: Body, receipt: Option<Receipt>) {
        match self.model.decisions.get(&id) {
            None => {
                let what =
                    format!("it was answered ({}), but it is not in the log, which ends at LSN {}", told(&body), self.log.entries.len());
                self.complain("answer", Some(id), what);
            }
            Some(decision) if decision.body != body => {
                let what = format!("it was answered ({}), but by the log the answer is ({})", told(&body), told(&decision.body));
                self.complain("answer", Some(id), what);
            }
            Some(Decision { command: Some(executed), .. }) if command.is_some_and(|asked| asked != *executed) => {
                let what = format!("{command:?} was asked and answered, but {executed:?} was executed");
                self.complain("once", Some(id), what);
            }
            Some(_) => {}
        }
        if let Some(receipt) = receipt {
            self.checked.receipts += 1;
            if receipt.lsn < body.lsn {
                let what = format!("it was answered at LSN {}, with a receipt that ends at LSN {} before it", body.lsn, receipt.lsn);
                self.complain("receipt", Some(id), what);
            } else if self.log.chains.get(&receipt.lsn) != Some(&receipt.chain) {
                let what = format!("its receipt says that at LSN {} the chain was {}; in the log it never was", receipt.lsn, receipt.chain);
                self.complain("receipt", Some(id), what);
            }
        }
    }

    /// Checks every request, after all events and journals were added.
    fn requests(&mut self) {
        let asked = std::mem::take(&mut self.asked);
        for (id, asked) in &asked {
            self.checked.requests += 1;
            let decision = self.model.decisions.get(id);
            if let Some((body, at)) = asked.answer {
                self.checked.answered += 1;
                self.checked.cancelled += u64::from(body.outcome == Outcome::Cancelled);
                self.checked.declined += u64::from(!matches!(body.outcome, Outcome::Done | Outcome::Cancelled));
                self.moments.push(Moment { sent: asked.sent, at, lsn: body.lsn, request: Some(*id), is_read: false });
            }
            if asked.answer.is_none() {
                self.checked.never_executed += u64::from(decision.is_none());
                self.checked.left_to_the_log += u64::from(decision.is_some());
            }
            if let (Some(executed), Some(command)) = (decision.and_then(|decision| decision.command), asked.command)
                && executed != command
            {
                self.complain("once", Some(*id), format!("{command:?} was asked, but {executed:?} was executed under it"));
            }
            match asked.end {
                _ if !asked.is_journaled => {}
                None => self.complain("doubt", Some(*id), "it is still in doubt, though there was time enough to resolve it".to_owned()),
                Some(End::Closed(ClosedReason::NeverSent | ClosedReason::Refused)) if decision.is_some() => {
                    self.complain("asked", Some(*id), "its journal says that it was not executed, but it was".to_owned());
                }
                Some(End::Closed(_) | End::Answered(_)) => {}
            }
        }
        self.asked = asked;
    }

    fn nothing_unasked(&mut self) {
        let model = self.model;
        for (id, decision) in &model.decisions {
            if !self.asked.contains_key(id) {
                self.complain("asked", Some(*id), format!("{decision:?} is in the log, but no client asked for it"));
            }
        }
    }

    /// Checks by the answers alone, without the log, that deposits less withdrawals are what the accounts hold.
    fn cash(&mut self, testimony: &Testimony) {
        if testimony.closing.is_empty() || self.asked.values().any(Asked::is_open) {
            return;
        }
        let (mut paid_in, mut paid_out) = (testimony.opening, 0_u128);
        for asked in self.asked.values() {
            let Some((Body { outcome: Outcome::Done, .. }, _)) = asked.answer else { continue };
            match asked.command {
                Some(Command::Deposit { amount, .. }) => paid_in += u128::from(amount.get()),
                Some(Command::Withdraw { amount, .. }) => paid_out += u128::from(amount.get()),
                _ => {}
            }
        }
        let held: u128 = testimony.closing.iter().map(|balance| u128::from(balance.get())).sum();
        if paid_in.checked_sub(paid_out) != Some(held) {
            let what = format!("by their answers clients paid in {paid_in} and took out {paid_out}, but the accounts hold {held}");
            self.complain("cash", None, what);
        }
    }

    fn ends_at_or_behind(&self, lsn: crate::model::types::Lsn) -> bool {
        self.log.entries.last().is_some_and(|(last, _)| *last >= lsn)
    }
}

fn told(body: &Body) -> String {
    format!("{}, balance {}, LSN {}", body.outcome.name(), body.balance.get(), body.lsn)
}
