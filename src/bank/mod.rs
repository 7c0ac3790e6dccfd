//! The bank as a pure state machine: accounts, sessions with recorded replies, logins, cash.
//!
//! Only [`apply`] and [`apply_requests`] change it, one log entry after another; the methods of [`Bank`] leave it unchanged.
//! Left out: the log (`wal/`), admission of entries and the time of answers (`engine/`), and the wire.
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

/// The state after applying a prefix of the log.
///
/// Invariants, each with the file that maintains it:
/// - the sum of all balances equals cash, and each balance is 0 to 2^63 - 1 (`accounts/mod.rs`);
/// - names are unique among accounts and among tellers, and ids are dense (`names.rs`);
/// - a session holds the replies from its `acked_below` on, and always its last one (`session.rs`);
/// - a session's owner exists, and is not a revoked teller (`login.rs`, `operate.rs`);
/// - the genesis is the first entry, and there is only one (`apply/mod.rs`).
///
/// Equality compares the logical state: the same entries produce equal banks, regardless of the order in hash tables.
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

/// The contents of the first entry.
#[derive(Clone, Debug, PartialEq)]
struct Genesis {
    decimals: u8,
    key_check: [u8; 32],
}

/// The public view of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountView {
    /// The balance.
    pub balance: Amount,
    /// Closed permanently.
    pub closed: bool,
    /// Locked by the operator: money commands are refused.
    pub locked: bool,
    /// Login locked after too many wrong PINs. Open sessions continue to work.
    pub login_locked: bool,
}

/// The store.
impl Bank {
    /// Creates a bank without entries.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The decimals of every amount; 0 before the genesis.
    #[must_use]
    pub fn decimals(&self) -> u8 {
        self.genesis.as_ref().map_or(0, |genesis| genesis.decimals)
    }

    /// The check value of the store's key (see [`crate::bank::auth::credential::Key::check_value`]); `None` before the genesis.
    #[must_use]
    pub fn key_check(&self) -> Option<&[u8; 32]> {
        self.genesis.as_ref().map(|genesis| &genesis.key_check)
    }

    /// The current lineage; 0 before the first one.
    #[must_use]
    pub fn lineage(&self) -> Lineage {
        self.epochs.lineage()
    }

    /// The epochs of the current lineage.
    #[must_use]
    pub const fn epochs(&self) -> &Epochs {
        &self.epochs
    }

    /// Whether this history has an entry with the id's LSN and epoch. Otherwise the id belongs to another history: one of an
    /// earlier lineage, or one that was lost when a copy of the store was restored.
    #[must_use]
    pub fn has_place(&self, session: SessionId) -> bool {
        (1..=self.applied.0).contains(&session.lsn.0) && self.epochs.at(session.lsn) == session.epoch
    }

    /// The current value of a setting.
    #[must_use]
    pub fn setting(&self, setting: Setting) -> u64 {
        self.settings.get(setting)
    }

    /// The LSN of the last applied entry; 0 before the first.
    #[must_use]
    pub fn applied(&self) -> Lsn {
        self.applied
    }

    /// The bank time of the last applied entry.
    #[must_use]
    pub fn time(&self) -> BankTime {
        self.time
    }

    /// The running digest over the outcomes of all applied entries, defined in `digest.rs`.
    #[must_use]
    pub fn outcome_digest(&self) -> u64 {
        self.digest.get()
    }

    /// Cash deposited minus cash withdrawn, in minor units.
    #[must_use]
    pub fn cash(&self) -> u128 {
        self.accounts.cash()
    }

    /// Checks that cash equals the running sum of the balances. O(1), for every batch.
    ///
    /// # Errors
    /// [`LogicError`] with the LSN of the last applied entry.
    pub fn check_totals(&self) -> Result<(), LogicError> {
        let agree = self.accounts.cash() == self.accounts.total();
        if agree { Ok(()) } else { Err(self.error("cash and the sum of the balances differ")) }
    }

    /// Checks that cash equals the recomputed sum of the balances. O(accounts).
    ///
    /// # Errors
    /// [`LogicError`] with the LSN of the last applied entry.
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

    /// Prefetches the accounts of `commands` into the processor's caches, so that [`apply_requests`] does not wait for each in
    /// turn. Does nothing if all accounts fit into the caches.
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

    /// The credential tag of an account's PIN.
    #[must_use]
    pub fn account_tag(&self, id: AccountId) -> Option<&Tag> {
        self.accounts.tag(id)
    }

    /// The account of that name, closed or not. Case-sensitive.
    #[must_use]
    pub fn find_account(&self, name: &str) -> Option<AccountId> {
        self.accounts.find(name)
    }

    /// The number of accounts, including closed ones. Ids are the numbers below it.
    #[must_use]
    pub fn account_count(&self) -> u32 {
        self.accounts.next_id().map_or(u32::MAX, |next| next.0)
    }

    /// Reserves memory for `count` more accounts.
    pub fn reserve_accounts(&mut self, count: u32) {
        self.accounts.reserve(index(count));
    }

    /// The name of a teller.
    #[must_use]
    pub fn teller_name(&self, id: TellerId) -> Option<&str> {
        self.tellers.name(id)
    }

    /// The credential tag of a teller's token.
    #[must_use]
    pub fn teller_tag(&self, id: TellerId) -> Option<&Tag> {
        self.tellers.get(id).map(|teller| &teller.tag)
    }

    /// Whether a teller is revoked.
    #[must_use]
    pub fn teller_revoked(&self, id: TellerId) -> Option<bool> {
        self.tellers.get(id).map(|teller| teller.revoked)
    }

    /// The teller of that name, revoked or not. Case-sensitive.
    #[must_use]
    pub fn find_teller(&self, name: &str) -> Option<TellerId> {
        self.tellers.find(name)
    }

    /// The number of tellers, including revoked ones. Ids are the numbers below it.
    #[must_use]
    pub fn teller_count(&self) -> u32 {
        self.tellers.next_id().map_or(u32::MAX, |next| next.0)
    }

    /// Whether the login of a customer or teller is locked after too many failures.
    #[must_use]
    pub fn login_locked(&self, owner: Owner) -> bool {
        self.logins.is_locked(owner)
    }
}

/// Sessions, each identified by the LSN of the entry that opened it.
impl Bank {
    /// A session.
    #[must_use]
    pub fn session(&self, session: Lsn) -> Option<SessionView> {
        self.sessions.find(session).map(|(_, session)| session.view())
    }

    /// The state of a request number in a session.
    #[must_use]
    pub fn lookup(&self, session: Lsn, number: RequestNumber) -> Lookup {
        self.sessions.find(session).map_or(Lookup::NoSession, |(_, session)| session.lookup(number))
    }

    /// The sessions of an owner, oldest first.
    #[must_use]
    pub fn sessions_of(&self, owner: Owner) -> Vec<Lsn> {
        self.sessions.of(owner)
    }

    /// The number of sessions of an owner.
    #[must_use]
    pub fn session_count_of(&self, owner: Owner) -> u32 {
        self.sessions.count_of(owner)
    }

    /// The number of sessions.
    #[must_use]
    pub fn session_count(&self) -> usize {
        self.sessions.len()
    }

    /// Whether `owner` may open one more session, and which session to evict for it if a cap is reached: the least recently
    /// used one with nothing unacknowledged and not `in_use`; one of the same owner if the owner's cap is reached, else any.
    ///
    /// `in_use` returns whether a session has a live connection or an entry in the unapplied batch. It is called in the order of
    /// last use until it returns false.
    pub fn room_for_session(&self, owner: Owner, in_use: &mut dyn FnMut(Lsn) -> bool) -> Room {
        let cap = match owner {
            Owner::Customer(_) => self.setting(Setting::SessionsPerCustomer),
            Owner::Teller(_) => self.setting(Setting::SessionsPerTeller),
            Owner::Nobody | Owner::Operator(_) => return Room::None,
        };
        self.sessions.room(owner, cap, self.setting(Setting::SessionsInAll), in_use)
    }
}

/// This number of accounts, at 16 bytes each, fits into the processor's caches: half a MiB.
const IN_CACHE: usize = 32_768;

/// A dense id as a vector index.
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
    /// `touch` changes nothing, also beyond the cache size and for unknown accounts.
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
