//! The effects of entries of the operator and of the store itself: genesis, lineage, starts, settings, accounts, tellers.
//!
//! Left out: the check that the owner is the operator (`apply/mod.rs`).

use crate::bank::apply::{Applied, Refused, Step};
use crate::bank::{Bank, Genesis};
use crate::model::amount::{Amount, MAX_DECIMALS};
use crate::model::entry::{AccountOpen, Action, Setting, Tag, TellerAdd};
use crate::model::types::{AccountId, Lineage, Lsn, Owner, TellerId, is_valid_name};

/// Executes the entry.
pub(in crate::bank) fn operate(bank: &mut Bank, lsn: Lsn, action: &Action) -> Step {
    match action {
        Action::Genesis { decimals, key_check } => genesis(bank, *decimals, *key_check),
        Action::Lineage { lineage, .. } => new_lineage(bank, *lineage),
        Action::Start(epoch) if bank.epochs.start(lsn, *epoch) => Ok(Applied::Done),
        Action::Start(_) => Err("a start before the last one"),
        Action::Setting { setting, value } => set(bank, *setting, *value),
        Action::AccountOpen(open) => open_account(bank, open),
        Action::AccountClose(account) => Ok(close_account(bank, *account)),
        Action::AccountLock(account) => Ok(lock_account(bank, *account)),
        Action::AccountUnlock(account) => Ok(unlock_account(bank, *account)),
        Action::AccountPin(account, tag) => Ok(set_pin(bank, *account, tag)),
        Action::TellerAdd(add) => add_teller(bank, add),
        Action::TellerRevoke(teller) => Ok(revoke_teller(bank, *teller)),
        Action::LoginAttempt(_) | Action::OpenSession { .. } => Err("the operator has no login and no sessions"),
        Action::CloseSession | Action::Ack | Action::Cancel | Action::Request(_) => Err("it names no session, but needs one"),
    }
}

/// `in_order` has checked that the genesis is the first entry.
fn genesis(bank: &mut Bank, decimals: u8, key_check: [u8; 32]) -> Step {
    if decimals > MAX_DECIMALS {
        return Err("too many decimals");
    }
    bank.genesis = Some(Genesis { decimals, key_check });
    Ok(Applied::Done)
}

fn new_lineage(bank: &mut Bank, lineage: Lineage) -> Step {
    if lineage == bank.lineage() {
        return Err("a new lineage that is the old one");
    }
    bank.epochs.draw(lineage);
    bank.sessions.clear();
    Ok(Applied::Done)
}

fn set(bank: &mut Bank, setting: Setting, value: u64) -> Step {
    if bank.settings.set(setting, value) { Ok(Applied::Done) } else { Err("a setting out of range") }
}

fn open_account(bank: &mut Bank, open: &AccountOpen) -> Step {
    if !is_valid_name(&open.name) {
        return Err("a name that is none");
    }
    if bank.accounts.find(&open.name).is_some() {
        return Ok(Applied::Refused(Refused::NameTaken));
    }
    let id = bank.accounts.next_id().ok_or("more accounts than ids")?;
    bank.accounts.open(id, open);
    Ok(Applied::Opened(id))
}

fn close_account(bank: &mut Bank, id: AccountId) -> Applied {
    on_open_account(bank, id, |bank, balance| {
        if balance != Amount::ZERO {
            return Applied::Refused(Refused::BalanceNotZero);
        }
        bank.accounts.close(id);
        bank.logins.forget(Owner::Customer(id));
        Applied::Done
    })
}

fn lock_account(bank: &mut Bank, id: AccountId) -> Applied {
    on_open_account(bank, id, |bank, _| {
        bank.accounts.set_locked(id, true);
        Applied::Done
    })
}

fn unlock_account(bank: &mut Bank, id: AccountId) -> Applied {
    on_open_account(bank, id, |bank, _| {
        bank.accounts.set_locked(id, false);
        bank.logins.forget(Owner::Customer(id));
        Applied::Done
    })
}

fn set_pin(bank: &mut Bank, id: AccountId, tag: &Tag) -> Applied {
    on_open_account(bank, id, |bank, _| {
        bank.accounts.set_tag(id, *tag);
        bank.logins.forget(Owner::Customer(id));
        Applied::Done
    })
}

/// Calls `act` with the balance, if the account exists and is not closed.
fn on_open_account(bank: &mut Bank, id: AccountId, act: impl FnOnce(&mut Bank, Amount) -> Applied) -> Applied {
    match bank.accounts.get(id) {
        None => Applied::Refused(Refused::NoSuchAccount),
        Some(money) if money.closed => Applied::Refused(Refused::AccountClosed),
        Some(money) => {
            let balance = money.balance;
            act(bank, balance)
        }
    }
}

fn add_teller(bank: &mut Bank, add: &TellerAdd) -> Step {
    if !is_valid_name(&add.name) {
        return Err("a name that is none");
    }
    if bank.tellers.find(&add.name).is_some() {
        return Ok(Applied::Refused(Refused::NameTaken));
    }
    let id = bank.tellers.next_id().ok_or("more tellers than ids")?;
    bank.tellers.add(id, &add.name, add.token);
    Ok(Applied::TellerAdded(id))
}

/// Removes the teller's sessions with their recorded replies. Unknown outcomes must then be looked up in the bank.
fn revoke_teller(bank: &mut Bank, id: TellerId) -> Applied {
    if bank.tellers.get(id).is_none_or(|teller| teller.revoked) {
        return Applied::Refused(Refused::NoSuchTeller);
    }
    bank.tellers.revoke(id);
    bank.logins.forget(Owner::Teller(id));
    bank.sessions.remove_of(Owner::Teller(id));
    Applied::Done
}
