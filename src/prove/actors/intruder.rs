//! The intruder: a customer that knows session ids and request numbers of other owners, and tries to use them.
//!
//! The bank must refuse with "no such session". Left out: rules about numbers (`prober.rs`).

use std::thread;
use std::time::Duration;

use crate::env::sim::Random;
use crate::model::amount::Amount;
use crate::model::command::Command;
use crate::model::types::{AccountId, Owner, RequestId};
use crate::prove::actors::arena::{ACCOUNTS, Arena, Posted, customer};
use crate::prove::actors::caller::Caller;
use crate::prove::check::history::{Event, Read};
use crate::wire::message::{Ask, Refusal, Reply};

/// Pause between two tries.
const PAUSE: Duration = Duration::from_millis(10);

/// Tries until the run is over.
pub(in crate::prove) fn run(arena: &Arena, number: u32, seed: u64) {
    let mut random = Random::new(seed);
    let own = AccountId(number % ACCOUNTS);
    let mut caller = Caller::new(arena, customer(number));
    while !arena.is_over() {
        thread::sleep(PAUSE);
        if random.one_in(4) {
            balances(arena, &mut caller, own, &mut random);
        } else if let Some(posted) = arena.posted(&mut random).filter(|posted| posted.owner != Owner::Customer(own)) {
            intrude(arena, &mut caller, own, posted);
        }
    }
}

/// Tries to resume another owner's session, then to read its replies and to send a request in it.
fn intrude(arena: &Arena, caller: &mut Caller<'_>, own: AccountId, posted: Posted) {
    let Posted { id, command, owner } = posted;
    let breach = |request: RequestId, what: String| arena.history.note(Event::Breach { rule: "owner", request: Some(request), what });
    // One try is enough: a lost message is no violation.
    let Some((Reply::Session(info), _)) = caller.once(&Ask::ResumeSession { session: id.session }, None) else { return };
    breach(id, format!("its session belongs to {owner:?}, and {:?} was let into it", Owner::Customer(own)));
    let acked_below = crate::model::types::RequestNumber(1);
    let mine = Command::Deposit { account: own, amount: Amount::new(1).unwrap_or_default() };
    let next = info.last.next().unwrap_or(info.last);
    for (number, command) in [(id.number, command), (next, mine)] {
        let request = RequestId { number, ..id };
        if let Some((Reply::Answer { body, .. }, _)) = caller.once(&Ask::Request { number, acked_below, command }, Some(id.session)) {
            breach(request, format!("{:?} was answered {body:?} in a session of {owner:?}", Owner::Customer(own)));
        }
    }
}

/// Asks for a balance: its own must be answered, any other refused.
fn balances(arena: &Arena, caller: &mut Caller<'_>, own: AccountId, random: &mut Random) {
    let account = AccountId(u32::try_from(random.below(u64::from(ACCOUNTS))).unwrap_or(0));
    let sent = arena.now();
    match caller.once(&Ask::Balance { account }, None) {
        Some((Reply::Balance { balance, lsn }, _)) if account == own => {
            arena.history.note(Event::Read(Read { account, sent, at: arena.now(), balance, lsn }));
        }
        None | Some((Reply::Refused(Refusal::Busy | Refusal::NotPermitted), _)) => {}
        Some((reply, _)) => {
            let what = format!("{:?} asked for the balance of account {} and got {reply:?}", Owner::Customer(own), account.0);
            arena.history.note(Event::Breach { rule: "owner", request: None, what });
        }
    }
}
