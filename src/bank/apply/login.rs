//! The effects of login attempts and of opening sessions.
//!
//! Left out: counting failures (`logins.rs`), the session table (`sessions/mod.rs`), and computing tags (`credential.rs`).

use crate::bank::Bank;
use crate::bank::apply::{Applied, Refused, Step};
use crate::bank::auth::logins::Login;
use crate::model::entry::Setting;
use crate::model::types::{Lsn, Owner};

/// Judges an attempt to log in as `owner` with a secret whose tag is `tried`.
///
/// Admission only names existing owners. If the account was closed or the teller revoked since, the login is wrong.
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

/// Opens a session for `owner`, who is logged in, and evicts the session that admission chose, if any.
///
/// The victim may have been closed since; then there is nothing to evict. Admission checks the caps.
pub(in crate::bank) fn open_session(bank: &mut Bank, lsn: Lsn, owner: Owner, evicted: Option<Lsn>) -> Step {
    if owner == Owner::Nobody {
        return Err("a session without an owner");
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

/// Checks that `owner` may still log in and open sessions. Returns the reason if it may not.
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
