//! The bank as a pure state machine: accounts, sessions with their recorded replies, logins, cash.
//!
//! [`apply`] changes it, one log entry after another, and nothing else does; the methods of [`Bank`] only look.
//! Left out: the log (`wal/`), what may get into it and when it is answered (`engine/`), and the wire.
//!
//! # Example
//!
//! ```
//! use bankd::bank::{Applied, Bank, apply};
//! use bankd::model::command::Command;
//! use bankd::model::entry::{AccountOpen, Action, Entry, LineageCause, Origin, Tag};
//! use bankd::model::types::{AccountId, BankTime, Lineage, Lsn, Owner, RequestNumber};
//! use bankd::Amount;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (sami, time) = (AccountId(0), BankTime(1));
//! let operator = |action| Entry { owner: Owner::Operator(0), origin: Origin::None, action };
//! let pin = Tag { key_id: 0, salt: [0; 16], tag: [0; 32] };
//!
//! let mut bank = Bank::new();
//! apply(&mut bank, Lsn(1), &operator(Action::Genesis { decimals: 0, key_check: [0; 32] }), time)?;
//! apply(&mut bank, Lsn(2), &operator(Action::Lineage { lineage: Lineage(7), cause: LineageCause::Created }), time)?;
//! let open = AccountOpen { name: "Sami".into(), pin, balance: Amount::try_from(100)? };
//! assert_eq!(apply(&mut bank, Lsn(3), &operator(Action::AccountOpen(Box::new(open))), time)?, Applied::Opened(sami));
//!
//! // A session is named by the LSN of the entry that opens it.
//! let owner = Owner::Customer(sami);
//! apply(&mut bank, Lsn(4), &Entry { owner, origin: Origin::None, action: Action::OpenSession { evicted: None } }, time)?;
//! let origin = Origin::Session { session: Lsn(4), number: RequestNumber(1), acked_below: RequestNumber(1) };
//! let withdraw = Command::Withdraw { account: sami, amount: Amount::try_from(30)? };
//! let applied = apply(&mut bank, Lsn(5), &Entry { owner, origin, action: Action::Request(withdraw) }, time)?;
//!
//! assert!(matches!(applied, Applied::Answer { body, .. } if body.balance.get() == 70));
//! assert_eq!(bank.account(sami).map(|account| account.balance.get()), Some(70));
//! assert_eq!(bank.cash(), 70);
//! # Ok(())
//! # }
//! ```

mod accounts;
mod apply;
pub mod auth;
mod digest;
mod image;
mod sessions;
mod settings;

pub use apply::{Applied, LogicError, Refused, apply, apply_requests};
pub use auth::logins::Login;
pub use image::{IMAGE_VERSION, ImageDigest, ImageError};
pub use sessions::Room;
pub use sessions::epochs::Epochs;
pub use sessions::session::{Lookup, Recorded, SessionView};

use accounts::Accounts;
use auth::logins::Logins;
use auth::tellers::Tellers;
use digest::Digest;
use sessions::Sessions;
use settings::Settings;

use crate::model::amount::Amount;
use crate::model::command::Command;
use crate::model::entry::{Setting, Tag};
use crate::model::types::{AccountId, BankTime, Lineage, Lsn, Owner, RequestNumber, SessionId, TellerId};

/// The whole state that the log's entries up to one of them make.
///
/// Invariants, each kept by the part that it is about:
/// - the sum of all balances equals cash, and each balance is 0 to 2^63 - 1 (`accounts/mod.rs`);
/// - names are unique among accounts and among tellers, and ids dense (`names.rs`);
/// - a session holds the replies from its `acked_below` on, and its last one (`session.rs`);
/// - a session's owner exists, and is no revoked teller (`login.rs`, `operate.rs`);
/// - nothing but the genesis comes first, and it comes once (`apply/mod.rs`).
///
/// Equality is of what the entries made: the same entries give equal banks, in whatever order hash tables keep them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bank {
    genesis: Option<Genesis>,
    epochs: Epochs,
    settings: Settings,
    applied: Lsn,
    time: BankTime,
    digest: Digest,
    accounts: Accounts,
    tellers: Tellers,
    sessions: Sessions,
    logins: Logins,
}

/// What the first entry said.
#[derive(Clone, Debug, PartialEq)]
struct Genesis {
    decimals: u8,
    key_check: [u8; 32],
}

/// An account as others see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountView {
    /// What it holds.
    pub balance: Amount,
    /// Closed for good.
    pub closed: bool,
    /// Locked by the operator: no money moves.
    pub locked: bool,
    /// Too many wrong PINs: nobody logs in, but money moves.
    pub login_locked: bool,
}

/// The store.
impl Bank {
    /// A bank before its first entry.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Decimals of every amount; 0 before the genesis.
    #[must_use]
    pub fn decimals(&self) -> u8 {
        self.genesis.as_ref().map_or(0, |genesis| genesis.decimals)
    }

    /// What proves that a key file is this store's (see [`crate::bank::auth::credential::Key::check_value`]); none before the genesis.
    #[must_use]
    pub fn key_check(&self) -> Option<&[u8; 32]> {
        self.genesis.as_ref().map(|genesis| &genesis.key_check)
    }

    /// The present lineage; 0 before the first was drawn.
    #[must_use]
    pub fn lineage(&self) -> Lineage {
        self.epochs.lineage()
    }

    /// The epochs that sessions of the present lineage were opened in.
    #[must_use]
    pub const fn epochs(&self) -> &Epochs {
        &self.epochs
    }

    /// Whether this history has an entry that the id can name: of its epoch, with its LSN. An id that fails this belongs to
    /// another history: one before a new lineage, or one that a copy put back has lost.
    #[must_use]
    pub fn has_place(&self, session: SessionId) -> bool {
        (1..=self.applied.0).contains(&session.lsn.0) && self.epochs.at(session.lsn) == session.epoch
    }

    /// The value of a setting that holds now.
    #[must_use]
    pub fn setting(&self, setting: Setting) -> u64 {
        self.settings.get(setting)
    }

    /// The last entry applied; 0 before the first.
    #[must_use]
    pub fn applied(&self) -> Lsn {
        self.applied
    }

    /// The bank time of the last entry applied.
    #[must_use]
    pub fn time(&self) -> BankTime {
        self.time
    }

    /// The running digest over the outcome of every entry applied; its rule stands in `digest.rs`.
    #[must_use]
    pub fn outcome_digest(&self) -> u64 {
        self.digest.get()
    }

    /// What came in over the counter and has not gone out, in minor units.
    #[must_use]
    pub fn cash(&self) -> u128 {
        self.accounts.cash()
    }

    /// Whether cash equals the sum of the balances as it was kept: O(1), for every batch.
    ///
    /// # Errors
    /// [`LogicError`] naming the last entry.
    pub fn check_totals(&self) -> Result<(), LogicError> {
        let agree = self.accounts.cash() == self.accounts.total();
        if agree { Ok(()) } else { Err(self.error("cash and the sum of the balances differ")) }
    }

    /// Whether cash equals the sum of the balances, counted afresh: O(accounts).
    ///
    /// # Errors
    /// [`LogicError`] naming the last entry.
    pub fn check_conservation(&self) -> Result<(), LogicError> {
        self.check_totals()?;
        let agree = self.accounts.cash() == self.accounts.recount();
        if agree { Ok(()) } else { Err(self.error("cash and the recounted sum of the balances differ")) }
    }

    fn error(&self, what: &'static str) -> LogicError {
        LogicError { lsn: self.applied, what }
    }
}

/// Accounts and tellers.
impl Bank {
    /// An account.
    #[must_use]
    pub fn account(&self, id: AccountId) -> Option<AccountView> {
        let money = self.accounts.get(id)?;
        let login_locked = self.logins.is_locked(Owner::Customer(id));
        Some(AccountView { balance: money.balance, closed: money.closed, locked: money.locked, login_locked })
    }

    /// Fetches the accounts that commands will change from memory, ahead of [`apply_requests`]. One after the other, each
    /// would be waited for; where all accounts fit the processor's caches, nothing is gained, and nothing done.
    pub fn touch(&self, commands: &[Command]) {
        if index(self.account_count()) <= IN_CACHE {
            return;
        }
        self.accounts.touch(commands.iter().flat_map(|command| [Some(command.account()), command.other_account()]).flatten());
    }

    /// The name of an account.
    #[must_use]
    pub fn account_name(&self, id: AccountId) -> Option<&str> {
        self.accounts.name(id)
    }

    /// The tag of an account's PIN.
    #[must_use]
    pub fn account_tag(&self, id: AccountId) -> Option<&Tag> {
        self.accounts.tag(id)
    }

    /// The account of that name, closed or not. Upper and lower case differ.
    #[must_use]
    pub fn find_account(&self, name: &str) -> Option<AccountId> {
        self.accounts.find(name)
    }

    /// How many accounts there are, closed ones included: ids are the numbers below.
    #[must_use]
    pub fn account_count(&self) -> u32 {
        self.accounts.next_id().map_or(u32::MAX, |next| next.0)
    }

    /// Takes memory for so many more accounts at once. Nothing else changes.
    pub fn reserve_accounts(&mut self, count: u32) {
        self.accounts.reserve(index(count));
    }

    /// The name of a teller.
    #[must_use]
    pub fn teller_name(&self, id: TellerId) -> Option<&str> {
        self.tellers.name(id)
    }

    /// The tag of a teller's token.
    #[must_use]
    pub fn teller_tag(&self, id: TellerId) -> Option<&Tag> {
        self.tellers.get(id).map(|teller| &teller.tag)
    }

    /// Whether a teller is revoked.
    #[must_use]
    pub fn teller_revoked(&self, id: TellerId) -> Option<bool> {
        self.tellers.get(id).map(|teller| teller.revoked)
    }

    /// The teller of that name, revoked or not. Upper and lower case differ.
    #[must_use]
    pub fn find_teller(&self, name: &str) -> Option<TellerId> {
        self.tellers.find(name)
    }

    /// How many tellers there are, revoked ones included: ids are the numbers below.
    #[must_use]
    pub fn teller_count(&self) -> u32 {
        self.tellers.next_id().map_or(u32::MAX, |next| next.0)
    }

    /// Whether too many failures locked the login of a customer or teller.
    #[must_use]
    pub fn login_locked(&self, owner: Owner) -> bool {
        self.logins.is_locked(owner)
    }
}

/// Sessions, each named by the LSN of the entry that opened it.
impl Bank {
    /// A session.
    #[must_use]
    pub fn session(&self, session: Lsn) -> Option<SessionView> {
        self.sessions.find(session).map(|(_, session)| session.view())
    }

    /// What is known of a number in a session.
    #[must_use]
    pub fn lookup(&self, session: Lsn, number: RequestNumber) -> Lookup {
        self.sessions.find(session).map_or(Lookup::NoSession, |(_, session)| session.lookup(number))
    }

    /// The sessions of an owner, oldest first.
    #[must_use]
    pub fn sessions_of(&self, owner: Owner) -> Vec<Lsn> {
        self.sessions.of(owner)
    }

    /// How many sessions an owner has.
    #[must_use]
    pub fn session_count_of(&self, owner: Owner) -> u32 {
        self.sessions.count_of(owner)
    }

    /// How many sessions there are.
    #[must_use]
    pub fn session_count(&self) -> usize {
        self.sessions.len()
    }

    /// Whether one more session of `owner` has room, and whom to evict for it where a cap is reached: the least recently
    /// used with nothing unacknowledged and not `in_use`; of that owner where its own cap is reached, else of anyone.
    ///
    /// `in_use` says whether a session has a live connection, or something in the batch that is not applied yet. It is
    /// asked in the order of last use, until it says no.
    pub fn room_for_session(&self, owner: Owner, in_use: &mut dyn FnMut(Lsn) -> bool) -> Room {
        let cap = match owner {
            Owner::Customer(_) => self.setting(Setting::SessionsPerCustomer),
            Owner::Teller(_) => self.setting(Setting::SessionsPerTeller),
            Owner::Nobody | Owner::Operator(_) => return Room::None,
        };
        self.sessions.room(owner, cap, self.setting(Setting::SessionsInAll), in_use)
    }
}

/// So many accounts, at 16 bytes each, are always near the processor: half a MiB.
const IN_CACHE: usize = 32_768;

/// A dense id as a place in a vector.
const fn index(id: u32) -> usize {
    id as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::entry::AccountOpen;

    #[test]
    fn sums_that_do_not_agree_are_noticed() {
        for (cash, total, by_totals, by_recount) in [(0, 0, true, true), (1, 0, false, false), (0, 1, false, false), (1, 1, true, false)] {
            let mut bank = Bank::new();
            bank.accounts.spoil(cash, total);
            assert_eq!((bank.check_totals().is_ok(), bank.check_conservation().is_ok()), (by_totals, by_recount));
        }
    }
    /// Beyond the caches too, and whatever the commands name.
    #[test]
    fn touching_changes_nothing() {
        let mut bank = Bank::new();
        let pin = Tag { key_id: 0, salt: [0; 16], tag: [0; 32] };
        for id in 0..=u32::try_from(IN_CACHE).unwrap() {
            bank.accounts.open(AccountId(id), &AccountOpen { name: id.to_string().into(), pin, balance: Amount::ZERO });
        }
        let before = bank.clone();
        let (from, to, amount) = (AccountId(1), AccountId(u32::MAX), Amount::new(1).unwrap());
        bank.touch(&[Command::Transfer { from, to, amount }, Command::Deposit { account: to, amount }]);
        assert!(bank == before);
    }
}
