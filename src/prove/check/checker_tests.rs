//! Tests of the checker: a valid history passes, and each kind of invalid one is reported.

use std::time::Duration;

use crate::client::{ClosedReason, End, Intent, Request, Settled};
use crate::model::amount::Amount;
use crate::model::command::{Body, Command, Outcome};
use crate::model::entry::{AccountOpen, Action, Entry, LineageCause, Origin, Tag};
use crate::model::types::{AccountId, Chain, Lineage, Lsn, Owner, RequestId, RequestNumber, SessionId, StoreId};
use crate::prove::check::checker::{Testimony, check};
use crate::prove::check::history::{Answered, Event, Read, Write};
use crate::prove::check::log_reader::LogImage;
use crate::prove::check::verdict::Violation;
use crate::wire::message::{Receipt, Role};

const LINEAGE: Lineage = Lineage(0xabc);
const A: Owner = Owner::Customer(AccountId(0));
const B: Owner = Owner::Customer(AccountId(1));
/// The sessions of A and B: entries 5 and 6.
const OF_A: Lsn = Lsn(5);
const OF_B: Lsn = Lsn(6);

fn amount(units: u64) -> Amount {
    Amount::new(units).unwrap()
}

fn id(session: Lsn, number: u64) -> RequestId {
    RequestId { session: SessionId { epoch: LINEAGE.into(), lsn: session }, number: RequestNumber(number) }
}

fn deposit(account: u32, units: u64) -> Command {
    Command::Deposit { account: AccountId(account), amount: amount(units) }
}

fn withdraw(account: u32, units: u64) -> Command {
    Command::Withdraw { account: AccountId(account), amount: amount(units) }
}

fn body(outcome: Outcome, balance: u64, lsn: u64) -> Body {
    Body { outcome, balance: amount(balance), lsn: Lsn(lsn) }
}

/// A log and the clients' evidence.
struct Case {
    log: LogImage,
    testimony: Testimony,
    clock: u64,
}

impl Case {
    /// Two accounts of 100 and a session for each owner, without requests. The log ends at LSN 6.
    fn new() -> Self {
        let tag = Tag { key_id: 0, salt: [0; 16], tag: [0; 32] };
        let mut case = Self { log: LogImage::default(), testimony: Testimony { opening: 200, ..Testimony::default() }, clock: 0 };
        let open = |name: &str| Action::AccountOpen(Box::new(AccountOpen { name: name.into(), pin: tag, balance: amount(100) }));
        let genesis = Action::Genesis { decimals: 0, key_check: [0; 32] };
        let lineage = Action::Lineage { lineage: LINEAGE, cause: LineageCause::Created };
        for action in [genesis, lineage, open("a"), open("b")] {
            case.entry(Owner::Nobody, Origin::None, action);
        }
        for owner in [A, B] {
            case.entry(owner, Origin::None, Action::OpenSession { evicted: None });
        }
        case
    }

    fn entry(&mut self, owner: Owner, origin: Origin, action: Action) -> u64 {
        let lsn = self.log.entries.len() as u64 + 1;
        self.log.entries.push((Lsn(lsn), Entry { owner, origin, action }));
        self.log.chains.insert(Lsn(lsn), Chain([lsn as u8; 32]));
        lsn
    }

    /// Adds an entry of a session; a cancellation if there is no command.
    fn logged(&mut self, owner: Owner, session: Lsn, number: u64, command: Option<Command>) -> u64 {
        let origin = Origin::Session { session, number: RequestNumber(number), acked_below: RequestNumber(1) };
        self.entry(owner, origin, command.map_or(Action::Cancel, Action::Request))
    }

    /// Adds an observation; each begins after the one before has ended.
    fn saw(&mut self, id: RequestId, command: Option<Command>, body: Option<Body>) {
        let (sent, at) = (self.tick(), self.tick());
        let receipt = body.map(|body| Receipt { chain: Chain([body.lsn.0 as u8; 32]), lsn: body.lsn });
        let answered = body.map(|body| Answered { at, body, replayed: false, receipt });
        self.testimony.events.push(Event::Write(Write { id, command, sent: Some(sent), answered }));
    }

    fn read(&mut self, account: u32, balance: u64, lsn: u64) {
        let (sent, at) = (self.tick(), self.tick());
        let read = Read { account: AccountId(account), sent, at, balance: amount(balance), lsn: Lsn(lsn) };
        self.testimony.events.push(Event::Read(read));
    }

    fn journaled(&mut self, id: RequestId, command: Command, end: Option<End>) {
        let intent =
            Intent { store: StoreId::default(), id, at: 0, role: Role::Customer, name: "a".to_owned(), address: String::new(), command };
        self.testimony.journaled.push(Request { intent, end, is_told: false });
    }

    fn tick(&mut self) -> Duration {
        self.clock += 1;
        Duration::from_millis(self.clock)
    }

    /// A's deposit of 10, executed and answered.
    fn with_deposit() -> Self {
        let mut case = Self::new();
        let lsn = case.logged(A, OF_A, 1, Some(deposit(0, 10)));
        case.saw(id(OF_A, 1), Some(deposit(0, 10)), Some(body(Outcome::Done, 110, lsn)));
        case
    }

    fn violations(&self) -> Vec<Violation> {
        check(&self.log, &self.testimony).0
    }

    #[track_caller]
    fn refused(&self, rule: &str, words: &str) {
        let violations = self.violations();
        assert!(violations.iter().any(|found| found.rule == rule && found.what.contains(words)), "{violations:#?}");
    }

    #[track_caller]
    fn accepted(&self) {
        assert_eq!(self.violations(), []);
    }
}

#[test]
fn a_sound_history_is_accepted_and_counted() {
    let mut case = Case::with_deposit();
    let lsn = case.logged(B, OF_B, 1, Some(withdraw(1, 500)));
    case.saw(id(OF_B, 1), Some(withdraw(1, 500)), Some(body(Outcome::InsufficientBalance, 100, lsn)));
    // The same again, as a duplicate.
    case.saw(id(OF_B, 1), Some(withdraw(1, 500)), Some(body(Outcome::InsufficientBalance, 100, lsn)));
    case.read(0, 110, lsn);
    let lsn = case.logged(A, OF_A, 2, None);
    case.saw(id(OF_A, 2), None, Some(body(Outcome::Cancelled, 0, lsn)));
    case.saw(id(OF_A, 2), Some(deposit(0, 5)), Some(body(Outcome::Cancelled, 0, lsn)));
    // Sent, never answered, executed.
    case.logged(B, OF_B, 2, Some(deposit(1, 1)));
    case.saw(id(OF_B, 2), Some(deposit(1, 1)), None);
    // Sent, never answered, never executed.
    case.saw(id(OF_B, 3), Some(deposit(1, 1)), None);
    let settled = Settled { body: body(Outcome::Done, 110, 7), replayed: false, receipt: Receipt { chain: Chain([8; 32]), lsn: Lsn(8) } };
    case.journaled(id(OF_A, 1), deposit(0, 10), Some(End::Answered(settled)));
    case.accepted();
    let checked = check(&case.log, &case.testimony).1;
    assert_eq!((checked.requests, checked.answered, checked.declined, checked.cancelled), (5, 3, 1, 1));
    assert_eq!((checked.never_executed, checked.left_to_the_log, checked.reads), (1, 1, 1));
}

#[test]
fn an_answer_must_be_in_the_log_as_it_was_given() {
    let mut case = Case::new();
    case.saw(id(OF_A, 1), Some(deposit(0, 10)), Some(body(Outcome::Done, 110, 7)));
    case.refused("answer", "not in the log");
    for wrong in [body(Outcome::Done, 111, 7), body(Outcome::InsufficientBalance, 110, 7), body(Outcome::Done, 110, 6)] {
        let mut case = Case::with_deposit();
        case.saw(id(OF_A, 1), Some(deposit(0, 10)), Some(wrong));
        case.refused("answer", "by the log the answer is");
    }
    let mut case = Case::with_deposit();
    let settled = Settled { body: body(Outcome::Done, 99, 7), replayed: false, receipt: Receipt { chain: Chain([7; 32]), lsn: Lsn(7) } };
    case.journaled(id(OF_A, 1), deposit(0, 10), Some(End::Answered(settled)));
    case.refused("answer", "by the log the answer is");
}

#[test]
fn a_number_is_executed_once_and_with_one_command() {
    let mut case = Case::with_deposit();
    case.logged(A, OF_A, 1, Some(deposit(0, 10)));
    case.refused("once", "twice, with the same command");
    let mut case = Case::with_deposit();
    case.logged(A, OF_A, 1, Some(withdraw(0, 10)));
    case.refused("once", "twice, with two commands");
    let mut case = Case::new();
    let lsn = case.logged(A, OF_A, 1, None);
    case.saw(id(OF_A, 1), None, Some(body(Outcome::Cancelled, 0, lsn)));
    case.logged(A, OF_A, 1, Some(deposit(0, 10)));
    case.refused("once", "cancelled at LSN 7");
    let mut case = Case::with_deposit();
    case.saw(id(OF_A, 1), Some(withdraw(0, 1)), Some(body(Outcome::Done, 110, 7)));
    case.refused("once", "two commands under it");
    // Not answered, and executed with another command.
    let mut case = Case::new();
    case.saw(id(OF_A, 1), Some(deposit(0, 11)), None);
    case.logged(A, OF_A, 1, Some(deposit(0, 10)));
    case.refused("once", "was executed under it");
}

#[test]
fn nothing_is_executed_that_nobody_asked_for() {
    let mut case = Case::with_deposit();
    case.logged(A, OF_A, 2, Some(deposit(0, 10)));
    case.refused("asked", "no client asked");
    let mut case = Case::new();
    case.logged(A, OF_A, 1, Some(deposit(0, 10)));
    case.journaled(id(OF_A, 1), deposit(0, 10), Some(End::Closed(ClosedReason::NeverSent)));
    case.refused("asked", "its journal says that it was not executed, but it was");
}

#[test]
fn numbers_follow_one_another() {
    let mut case = Case::new();
    let lsn = case.logged(A, OF_A, 3, Some(deposit(0, 10)));
    case.saw(id(OF_A, 3), Some(deposit(0, 10)), Some(body(Outcome::Done, 110, lsn)));
    case.refused("order", "number 1 comes next");
}

#[test]
fn a_session_is_its_owners() {
    let mut case = Case::new();
    let lsn = case.logged(B, OF_A, 1, Some(deposit(1, 10)));
    case.saw(id(OF_A, 1), Some(deposit(1, 10)), Some(body(Outcome::Done, 110, lsn)));
    case.refused("owner", "its session belongs to Customer(AccountId(0))");
    let mut case = Case::new();
    let lsn = case.logged(A, OF_A, 1, Some(withdraw(1, 10)));
    case.saw(id(OF_A, 1), Some(withdraw(1, 10)), Some(body(Outcome::Done, 90, lsn)));
    case.refused("owner", "may not");
    let mut case = Case::with_deposit();
    let what = "somebody else was told".to_owned();
    case.testimony.events.push(Event::Breach { rule: "owner", request: Some(id(OF_A, 1)), what });
    case.refused("owner", "somebody else was told");
}

#[test]
fn a_session_with_something_unacknowledged_is_not_evicted() {
    let mut case = Case::with_deposit();
    case.entry(A, Origin::None, Action::OpenSession { evicted: Some(OF_A) });
    case.refused("eviction", "were not acknowledged");
    let mut case = Case::with_deposit();
    case.entry(B, Origin::None, Action::OpenSession { evicted: Some(OF_B) });
    case.accepted();
}

#[test]
fn balances_in_replies_are_those_of_the_log() {
    let mut case = Case::with_deposit();
    case.read(0, 100, 7);
    case.refused("balance", "by the log, which ends at LSN 7, it is 110");
    let mut case = Case::with_deposit();
    case.read(0, 110, 8);
    case.refused("balance", "holds 110 at LSN 8");
    let mut case = Case::with_deposit();
    case.read(0, 100, 6);
    case.refused("time", "comes before it in the log");
}

#[test]
fn the_log_agrees_with_real_time() {
    let mut case = Case::new();
    let first = case.logged(A, OF_A, 1, Some(deposit(0, 10)));
    let second = case.logged(B, OF_B, 1, Some(deposit(1, 10)));
    case.saw(id(OF_B, 1), Some(deposit(1, 10)), Some(body(Outcome::Done, 110, second)));
    case.saw(id(OF_A, 1), Some(deposit(0, 10)), Some(body(Outcome::Done, 110, first)));
    case.refused("time", "comes before it in the log");
}

#[test]
fn receipts_are_of_this_history() {
    for (chain, lsn, words) in [(9, 7, "in the log it never was"), (8, 8, "in the log it never was"), (6, 6, "before it")] {
        let mut case = Case::with_deposit();
        let receipt = Receipt { chain: Chain([chain; 32]), lsn: Lsn(lsn) };
        let settled = Settled { body: body(Outcome::Done, 110, 7), replayed: false, receipt };
        case.journaled(id(OF_A, 1), deposit(0, 10), Some(End::Answered(settled)));
        case.refused("receipt", words);
    }
}

#[test]
fn nothing_stays_in_doubt() {
    let mut case = Case::new();
    case.journaled(id(OF_A, 1), deposit(0, 10), None);
    case.refused("doubt", "still in doubt");
}

#[test]
fn the_answers_alone_add_up_to_the_balances() {
    let mut case = Case::with_deposit();
    case.testimony.closing = vec![amount(110), amount(100)];
    case.accepted();
    case.testimony.closing = vec![amount(110), amount(101)];
    case.refused("cash", "the accounts hold 211");
    // With an unknown outcome the answers alone do not determine the sum.
    case.saw(id(OF_B, 1), Some(deposit(1, 1)), None);
    case.accepted();
}

#[test]
fn the_most_telling_violation_comes_first() {
    let mut case = Case::with_deposit();
    case.journaled(id(OF_B, 1), deposit(1, 10), None);
    case.logged(A, OF_A, 1, Some(deposit(0, 10)));
    let rules: Vec<&str> = case.violations().iter().map(|found| found.rule).collect();
    assert_eq!(rules, ["once", "doubt"]);
    assert!(case.violations()[0].to_string().starts_with("[once] request 0000000000000abc-5/1: "));
}
