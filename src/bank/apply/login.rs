//! What login attempts and the opening of sessions do.
//!
//! Left out: counting failures (`logins.rs`), the table (`sessions/mod.rs`), and drawing a tag from a PIN (`credential.rs`).

use crate::bank::Bank;
use crate::bank::apply::{Applied, Refused, Step};
use crate::bank::auth::logins::Login;
use crate::model::entry::Setting;
use crate::model::types::{Lsn, Owner};

/// Judges somebody's attempt to log in as `owner` with a secret of the tag `tried`.
///
/// Admission names an owner that exists; a closing or revocation before this entry makes it a wrong one.
pub(in crate::bank) fn attempt(bank: &mut Bank, owner: Owner, tried: &[u8; 32]) -> Step {
    let kept = match (owner, standing(bank, owner)?) {
        (Owner::Customer(account), None) => bank.accounts.tag(account),
        (Owner::Teller(teller), None) => bank.tellers.get(teller).map(|teller| &teller.tag),
        _ => None,
    };
    let limit = bank.settings.get(Setting::LoginFailures);
    Ok(Applied::Login(match kept {
        Some(kept) => bank.logins.attempt(owner, &kept.tag, tried, limit),
        None => Login::Wrong,
    }))
}

/// Opens a session for `owner`, who logged in before, in the place of the one that admission evicts.
///
/// The victim may have been closed since admission chose it; then there is nothing to evict. The caps are admission's.
pub(in crate::bank) fn open_session(bank: &mut Bank, lsn: Lsn, owner: Owner, evicted: Option<Lsn>) -> Step {
    if owner == Owner::Nobody {
        return Err("a session of nobody's");
    }
    if let Some(refused) = standing(bank, owner)? {
        return Ok(Applied::Refused(refused));
    }
    let victim = evicted.filter(|&victim| bank.sessions.find(victim).is_some());
    if let Some((_, session)) = victim.and_then(|victim| bank.sessions.find(victim))
        && !session.is_idle()
    {
        return Err("it evicts a session with something unacknowledged");
    }
    if !bank.sessions.has_place() {
        return Err("more sessions than places");
    }
    if let Some(victim) = victim {
        bank.sessions.remove(victim);
    }
    bank.sessions.open(lsn, owner);
    Ok(Applied::SessionOpened)
}

/// Whether `owner` still may log in and open sessions, or why not any more.
fn standing(bank: &Bank, owner: Owner) -> Result<Option<Refused>, &'static str> {
    match owner {
        Owner::Nobody => Ok(None),
        Owner::Customer(account) => match bank.accounts.get(account) {
            None => Err("no account has its owner's id"),
            Some(money) => Ok(money.closed.then_some(Refused::AccountClosed)),
        },
        Owner::Teller(teller) => match bank.tellers.get(teller) {
            None => Err("no teller has its owner's id"),
            Some(teller) => Ok(teller.revoked.then_some(Refused::NoSuchTeller)),
        },
        Owner::Operator(_) => Err("the operator has no login and no sessions"),
    }
}
