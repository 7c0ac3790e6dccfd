//! Accounts, and the execution of money commands: checked arithmetic, and atomic transfers.
//!
//! Left out: permissions (`command.rs`, `apply/mod.rs`), wrong PINs (`logins.rs`), names (`names.rs`).

pub(super) mod names;

use super::index;
use crate::bank::accounts::names::Names;
use crate::model::amount::Amount;
use crate::model::command::{Command, Outcome};
use crate::model::entry::{AccountOpen, Tag};
use crate::model::types::AccountId;

/// All accounts by id, and the cash total.
///
/// Invariants: `money`, `tags` and `names` have the same length; `total` is the sum of all balances, because only
/// [`Accounts::set_balance`] and [`Accounts::add`] change one; `cash` equals `total` after every command; a closed
/// account's balance is zero.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Accounts {
    /// The data that every money command uses: 16 bytes an account, stored densely.
    money: Vec<Money>,
    /// The data that only logins use.
    tags: Vec<Tag>,
    names: Names,
    /// The running sum of the balances, updated with every balance.
    total: u128,
    /// Cash deposited minus cash withdrawn, updated by the commands: the counterpart of `total`.
    cash: u128,
}

/// The frequently used part of an account.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Money {
    /// The balance.
    pub(super) balance: Amount,
    /// Closed permanently.
    pub(super) closed: bool,
    /// Locked by the operator.
    pub(super) locked: bool,
}

const _: () = assert!(size_of::<Money>() == 16, "four accounts in a cache line");

impl Accounts {
    /// The id of the next account; `None` if there are no ids left.
    pub(super) fn next_id(&self) -> Option<AccountId> {
        self.names.next_id().map(AccountId)
    }

    /// The frequently used part of an account.
    pub(super) fn get(&self, id: AccountId) -> Option<&Money> {
        self.money.get(index(id.0))
    }

    /// The credential tag of an account's PIN.
    pub(super) fn tag(&self, id: AccountId) -> Option<&Tag> {
        self.tags.get(index(id.0))
    }

    /// The name of an account.
    pub(super) fn name(&self, id: AccountId) -> Option<&str> {
        self.names.name(id.0)
    }

    /// The account of that name, closed or not.
    pub(super) fn find(&self, name: &str) -> Option<AccountId> {
        self.names.find(name).map(AccountId)
    }

    /// Cash deposited minus cash withdrawn.
    pub(super) fn cash(&self) -> u128 {
        self.cash
    }

    /// The running sum of the balances.
    pub(super) fn total(&self) -> u128 {
        self.total
    }

    /// The recomputed sum of the balances. O(accounts).
    pub(super) fn recount(&self) -> u128 {
        self.money.iter().map(|money| u128::from(money.balance.get())).sum()
    }

    /// Corrupts the sums, for tests of the checks.
    #[cfg(test)]
    pub(super) fn spoil(&mut self, cash: u128, total: u128) {
        self.cash += cash;
        self.total += total;
    }

    /// Opens an account under the next id. Its opening balance counts as a deposit. The caller has checked that the name is free.
    pub(super) fn open(&mut self, id: AccountId, open: &AccountOpen) {
        self.add(id, &open.name, open.pin, Money { balance: open.balance, closed: false, locked: false });
    }

    /// Adds an account in any state under the next id, and its balance to both sums. The caller has checked that the name is
    /// free.
    pub(super) fn add(&mut self, id: AccountId, name: &str, pin: Tag, money: Money) {
        self.names.add(id.0, name);
        self.tags.push(pin);
        self.money.push(money);
        self.total += u128::from(money.balance.get());
        self.cash += u128::from(money.balance.get());
    }

    /// Reserves memory for `count` more accounts.
    pub(super) fn reserve(&mut self, count: usize) {
        self.money.reserve_exact(count);
        self.tags.reserve_exact(count);
        self.names.reserve(count);
    }

    /// Closes an account permanently. The caller has checked that its balance is zero.
    pub(super) fn close(&mut self, id: AccountId) {
        if let Some(money) = self.money.get_mut(index(id.0)) {
            assert!(money.balance == Amount::ZERO, "a closed account holds nothing");
            money.closed = true;
        }
    }

    /// Locks or unlocks an account.
    pub(super) fn set_locked(&mut self, id: AccountId, locked: bool) {
        if let Some(money) = self.money.get_mut(index(id.0)) {
            money.locked = locked;
        }
    }

    /// Replaces the credential tag of an account's PIN.
    pub(super) fn set_tag(&mut self, id: AccountId, tag: Tag) {
        if let Some(kept) = self.tags.get_mut(index(id.0)) {
            *kept = tag;
        }
    }

    /// Reads these accounts in one loop, so that the processor fetches them from memory in parallel.
    pub(super) fn touch(&self, accounts: impl Iterator<Item = AccountId>) {
        let seen = accounts.filter_map(|id| self.get(id)).fold(0, |seen, money| seen ^ money.balance.get());
        std::hint::black_box(seen);
    }

    /// Executes or refuses a command. Returns the outcome and the balance of [`Command::account`] after it; zero if there is no
    /// such account.
    ///
    /// The order of the checks determines the outcome and so is fixed: the accounts exist, are not closed, are not locked; the
    /// paying account has sufficient funds; the paid account does not overflow.
    pub(super) fn execute(&mut self, command: &Command) -> (Outcome, Amount) {
        let own = command.account();
        let Some(money) = self.get(own).copied() else {
            return (Outcome::NoSuchAccount, Amount::ZERO);
        };
        match self.movement(command, &money) {
            Ok(after) => {
                if let Command::Transfer { to, .. } = command {
                    self.set_balance(*to, after.other);
                }
                self.set_balance(own, after.own);
                match command {
                    Command::Deposit { amount, .. } => self.cash += u128::from(amount.get()),
                    Command::Withdraw { amount, .. } => self.cash -= u128::from(amount.get()),
                    Command::Transfer { .. } => {}
                }
                (Outcome::Done, after.own)
            }
            Err(refusal) => (refusal, money.balance),
        }
    }

    /// The balances after a command, or the reason for refusing it. Changes nothing.
    fn movement(&self, command: &Command, own: &Money) -> Result<After, Outcome> {
        let other = match command {
            Command::Transfer { to, .. } => Some(*self.get(*to).ok_or(Outcome::NoSuchAccount)?),
            Command::Deposit { .. } | Command::Withdraw { .. } => None,
        };
        if own.closed || other.is_some_and(|other| other.closed) {
            return Err(Outcome::AccountClosed);
        }
        if own.locked || other.is_some_and(|other| other.locked) {
            return Err(Outcome::AccountLocked);
        }
        let amount = command.amount();
        let paid = |balance: Amount| balance.checked_add(amount).ok_or(Outcome::BalanceOverflow);
        if matches!(command, Command::Deposit { .. }) {
            return Ok(After { own: paid(own.balance)?, other: Amount::ZERO });
        }
        let rest = own.balance.checked_sub(amount).ok_or(Outcome::InsufficientBalance)?;
        let other = other.map_or(Ok(Amount::ZERO), |other| paid(other.balance))?;
        Ok(After { own: rest, other })
    }

    /// Changes a balance together with `total`. No other code changes the balance of an existing account.
    fn set_balance(&mut self, id: AccountId, balance: Amount) {
        if let Some(money) = self.money.get_mut(index(id.0)) {
            self.total = self.total - u128::from(money.balance.get()) + u128::from(balance.get());
            money.balance = balance;
        }
    }
}

/// Balances after a command: of [`Command::account`], and of the account that a transfer pays (else zero).
struct After {
    own: Amount,
    other: Amount,
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOP: u64 = i64::MAX as u64;
    const A: AccountId = AccountId(0);
    const B: AccountId = AccountId(1);
    const NONE: AccountId = AccountId(2);

    fn amount(units: u64) -> Amount {
        Amount::new(units).unwrap()
    }

    fn bank(balances: [u64; 2]) -> Accounts {
        let mut accounts = Accounts::default();
        for (name, balance) in ["a", "b"].into_iter().zip(balances) {
            let pin = Tag { key_id: 0, salt: [0; 16], tag: [0; 32] };
            let id = accounts.next_id().unwrap();
            accounts.open(id, &AccountOpen { name: name.into(), pin, balance: amount(balance) });
        }
        accounts
    }

    fn deposit(account: AccountId, units: u64) -> Command {
        Command::Deposit { account, amount: amount(units) }
    }

    fn withdraw(account: AccountId, units: u64) -> Command {
        Command::Withdraw { account, amount: amount(units) }
    }

    fn transfer(from: AccountId, to: AccountId, units: u64) -> Command {
        Command::Transfer { from, to, amount: amount(units) }
    }

    /// Runs one command on two balances. Returns the outcome and the balances after it. Checks that the sums agree.
    #[track_caller]
    fn check(before: [u64; 2], command: Command, outcome: Outcome, reported: u64, after: [u64; 2]) {
        let mut accounts = bank(before);
        assert_eq!(accounts.execute(&command), (outcome, amount(reported)));
        assert_eq!([A, B].map(|id| accounts.get(id).unwrap().balance.get()), after);
        assert_eq!((accounts.cash(), accounts.total()), (accounts.recount(), accounts.recount()));
    }

    #[test]
    fn boundaries() {
        use Outcome::{BalanceOverflow, Done, InsufficientBalance, NoSuchAccount};
        check([0, 0], deposit(A, 1), Done, 1, [1, 0]);
        check([0, 0], deposit(A, TOP), Done, TOP, [TOP, 0]);
        check([1, 0], deposit(A, TOP), BalanceOverflow, 1, [1, 0]);
        check([TOP, 0], deposit(A, 1), BalanceOverflow, TOP, [TOP, 0]);
        check([TOP - 1, 0], deposit(A, 1), Done, TOP, [TOP, 0]);
        check([0, TOP], withdraw(A, 1), InsufficientBalance, 0, [0, TOP]);
        check([1, 0], withdraw(A, 1), Done, 0, [0, 0]);
        check([TOP, 0], withdraw(A, TOP), Done, 0, [0, 0]);
        check([TOP - 1, 0], withdraw(A, TOP), InsufficientBalance, TOP - 1, [TOP - 1, 0]);
        check([TOP, 0], transfer(A, B, TOP), Done, 0, [0, TOP]);
        check([TOP, 1], transfer(A, B, TOP), BalanceOverflow, TOP, [TOP, 1]);
        check([1, TOP], transfer(A, B, 1), BalanceOverflow, 1, [1, TOP]);
        check([TOP, TOP], transfer(B, A, 1), BalanceOverflow, TOP, [TOP, TOP]);
        check([5, 7], transfer(B, A, 7), Done, 0, [12, 0]);
        check([5, 7], transfer(A, B, 6), InsufficientBalance, 5, [5, 7]);
        check([5, 7], deposit(NONE, 1), NoSuchAccount, 0, [5, 7]);
        check([5, 7], withdraw(NONE, 1), NoSuchAccount, 0, [5, 7]);
        check([5, 7], transfer(NONE, A, 1), NoSuchAccount, 0, [5, 7]);
        check([5, 7], transfer(A, NONE, 1), NoSuchAccount, 5, [5, 7]);
    }

    #[test]
    fn checks_have_an_order() {
        // Insufficient funds before overflow.
        check([1, TOP], transfer(A, B, 2), Outcome::InsufficientBalance, 1, [1, TOP]);
        // Locked before insufficient funds, closed before locked, nonexistent before closed.
        let mut accounts = bank([0, 0]);
        accounts.set_locked(B, true);
        assert_eq!(accounts.execute(&transfer(A, B, 1)).0, Outcome::AccountLocked);
        assert_eq!(accounts.execute(&transfer(B, A, 1)).0, Outcome::AccountLocked);
        accounts.close(A);
        assert_eq!(accounts.execute(&transfer(A, B, 1)).0, Outcome::AccountClosed);
        assert_eq!(accounts.execute(&transfer(B, A, 1)).0, Outcome::AccountClosed);
        assert_eq!(accounts.execute(&transfer(A, NONE, 1)).0, Outcome::NoSuchAccount);
        assert_eq!(accounts.execute(&transfer(B, NONE, 1)).0, Outcome::NoSuchAccount);
        accounts.set_locked(B, false);
        assert_eq!(accounts.execute(&deposit(B, 1)), (Outcome::Done, amount(1)));
        assert_eq!(accounts.execute(&deposit(A, 1)), (Outcome::AccountClosed, amount(0)));
    }

    /// The sum of all balances may exceed a `u64`.
    #[test]
    fn cash_is_wider_than_a_balance() {
        let accounts = bank([TOP, TOP]);
        assert_eq!(accounts.cash(), 2 * u128::from(TOP));
        assert_eq!(accounts.recount(), accounts.cash());
    }

    #[test]
    fn an_account_takes_little_memory() {
        let mut accounts = Accounts::default();
        let pin = Tag { key_id: 0, salt: [0; 16], tag: [0; 32] };
        let count = 1 << 16;
        for id in 0..count {
            accounts.open(AccountId(id), &AccountOpen { name: format!("customer-{id:07}").into(), pin, balance: Amount::ZERO });
        }
        let bytes = accounts.money.capacity() * size_of::<Money>() + accounts.tags.capacity() * size_of::<Tag>() + accounts.names.bytes();
        assert!(bytes / index(count) <= 150, "{} bytes an account", bytes / index(count));
    }
}
