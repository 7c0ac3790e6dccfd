//! Money commands and their outcomes, as shared by wire, log and bank.
//!
//! A command has the same bytes on the wire and in the log: those of the codec. They are encoded and decoded by hand, because
//! every request passes through this code three times.
//! Variant numbers are part of both formats: never renumber, only append. Numbers 3 to 9 are reserved for holds (reserve,
//! settle, release).
//!
//! Left out: execution (`bank/`), and everything but money commands (`entry/mod.rs`, `wire/message.rs`).

use serde::{Deserialize, Serialize};

use crate::model::amount::Amount;
use crate::model::codec::{take_u32, take_u64};
use crate::model::types::{AccountId, Lsn, Owner};

/// A money command: the content of a numbered request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Pays cash into an account.
    Deposit {
        /// The account.
        account: AccountId,
        /// The amount; not zero.
        amount: Amount,
    },
    /// Pays cash out of an account.
    Withdraw {
        /// The account.
        account: AccountId,
        /// The amount; not zero.
        amount: Amount,
    },
    /// Moves money between accounts, atomically.
    Transfer {
        /// The paying account.
        from: AccountId,
        /// The paid account; must differ from `from`.
        to: AccountId,
        /// The amount; not zero.
        amount: Amount,
    },
}

impl Command {
    /// The longest encoded command in bytes.
    pub const MAX_BYTES: usize = 20;

    /// The amount to move.
    #[must_use]
    pub const fn amount(&self) -> Amount {
        match self {
            Self::Deposit { amount, .. } | Self::Withdraw { amount, .. } | Self::Transfer { amount, .. } => *amount,
        }
    }

    /// The account whose balance the answer contains: the account of a deposit or withdrawal, the paying account of a transfer.
    #[must_use]
    pub const fn account(&self) -> AccountId {
        match self {
            Self::Deposit { account, .. } | Self::Withdraw { account, .. } | Self::Transfer { from: account, .. } => *account,
        }
    }

    /// The paid account of a transfer.
    #[must_use]
    pub const fn other_account(&self) -> Option<AccountId> {
        match self {
            Self::Transfer { to, .. } => Some(*to),
            Self::Deposit { .. } | Self::Withdraw { .. } => None,
        }
    }

    /// Appends the encoded command to `out`: the variant, the accounts, the amount.
    #[inline]
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        match *self {
            Self::Deposit { account, amount } => out.extend_from_slice(&pack(0, account, amount)),
            Self::Withdraw { account, amount } => out.extend_from_slice(&pack(1, account, amount)),
            Self::Transfer { from, to, amount } => {
                out.extend_from_slice(&2_u32.to_le_bytes());
                out.extend_from_slice(&pack(from.0, to, amount));
            }
        }
    }

    /// Takes a command from the front of `bytes`. Returns `None` if there is none; the position of `bytes` is then unspecified.
    #[must_use]
    #[inline]
    pub fn take(bytes: &mut &[u8]) -> Option<Self> {
        let variant = take_u32(bytes)?;
        let account = AccountId(take_u32(bytes)?);
        match variant {
            0 => Some(Self::Deposit { account, amount: take_amount(bytes)? }),
            1 => Some(Self::Withdraw { account, amount: take_amount(bytes)? }),
            2 => Some(Self::Transfer { from: account, to: AccountId(take_u32(bytes)?), amount: take_amount(bytes)? }),
            _ => None,
        }
    }

    /// Rejects commands that must never be logged. The result depends only on the command, not on the bank's state.
    ///
    /// # Errors
    /// [`Malformed`] with the first problem found.
    pub fn check(&self) -> Result<(), Malformed> {
        if self.amount() == Amount::ZERO {
            return Err(Malformed::ZeroAmount);
        }
        match self {
            Self::Transfer { from, to, .. } if from == to => Err(Malformed::SameAccount),
            _ => Ok(()),
        }
    }

    /// Whether `owner` may use this command: a customer for its own account, a teller for any account.
    #[must_use]
    pub fn is_permitted_to(&self, owner: Owner) -> bool {
        match owner {
            Owner::Customer(own) => self.account() == own,
            Owner::Teller(_) => true,
            Owner::Nobody | Owner::Operator(_) => false,
        }
    }
}

/// Encodes 32 bits, an account and an amount.
fn pack(first: u32, account: AccountId, amount: Amount) -> [u8; 16] {
    (u128::from(first) | u128::from(account.0) << 32 | u128::from(amount.get()) << 64).to_le_bytes()
}

fn take_amount(bytes: &mut &[u8]) -> Option<Amount> {
    Amount::new(take_u64(bytes)?)
}

/// Why a command is invalid, regardless of the bank's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Malformed {
    /// The amount is zero.
    #[error("the amount must be more than zero")]
    ZeroAmount,
    /// A transfer names the same account twice.
    #[error("a transfer needs two different accounts")]
    SameAccount,
}

/// The outcome of a numbered request. It is recorded and final: every copy of the request receives the same outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The money moved.
    Done,
    /// The paying account's balance is less than the amount; nothing moved.
    InsufficientBalance,
    /// One of the accounts does not exist; nothing moved.
    NoSuchAccount,
    /// One of the accounts is closed; nothing moved.
    AccountClosed,
    /// One of the accounts is locked by the operator; nothing moved.
    AccountLocked,
    /// The paid account's balance would exceed 2^63 - 1; nothing moved.
    BalanceOverflow,
    /// The number was cancelled before its command arrived; nothing moved, and no command can be executed under it.
    Cancelled,
}

impl Outcome {
    /// The machine-readable name, as in `--json`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::InsufficientBalance => "insufficient_balance",
            Self::NoSuchAccount => "no_such_account",
            Self::AccountClosed => "account_closed",
            Self::AccountLocked => "account_locked",
            Self::BalanceOverflow => "balance_overflow",
            Self::Cancelled => "cancelled",
        }
    }

    /// A stable code for digests: the variant's index.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::InsufficientBalance => 1,
            Self::NoSuchAccount => 2,
            Self::AccountClosed => 3,
            Self::AccountLocked => 4,
            Self::BalanceOverflow => 5,
            Self::Cancelled => 6,
        }
    }
}

/// The recorded body of an answer, as decided by `apply`. It has the same bytes in every copy of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Body {
    /// The outcome.
    pub outcome: Outcome,
    /// The balance of [`Command::account`] directly after it; zero if there is no such account or the number was cancelled.
    pub balance: Amount,
    /// The LSN of the entry that decided it.
    pub lsn: Lsn,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::types::TellerId;

    #[test]
    fn refused_by_content() {
        let one = Amount::new(1).unwrap();
        let (a, b) = (AccountId(0), AccountId(1));
        assert_eq!(Command::Deposit { account: a, amount: Amount::ZERO }.check(), Err(Malformed::ZeroAmount));
        assert_eq!(Command::Transfer { from: a, to: a, amount: one }.check(), Err(Malformed::SameAccount));
        assert_eq!(Command::Transfer { from: a, to: b, amount: one }.check(), Ok(()));
    }

    /// For every command with each byte changed, the result equals the codec's.
    #[test]
    fn bytes_are_the_codecs() {
        let (a, b) = (AccountId(7), AccountId(u32::MAX));
        for amount in [Amount::ZERO, Amount::new(0x0102_0304).unwrap(), Amount::MAX] {
            for command in [
                Command::Deposit { account: a, amount },
                Command::Withdraw { account: b, amount },
                Command::Transfer { from: a, to: b, amount },
            ] {
                let (mut by_hand, mut by_codec) = (vec![9], vec![9]);
                command.encode_into(&mut by_hand);
                crate::model::codec::encode_into(&command, &mut by_codec).unwrap();
                assert_eq!(by_hand, by_codec);
                for (at, change) in (1..by_hand.len()).flat_map(|at| [0, 1, 2, 0x80, 0xFF].map(|change| (at, change))) {
                    let mut bytes = by_hand[1..].to_vec();
                    bytes[at - 1] ^= change;
                    let mut rest = bytes.as_slice();
                    let taken = Command::take(&mut rest).filter(|_| rest.is_empty());
                    assert_eq!(taken, crate::model::codec::decode(&bytes).ok(), "{bytes:?}");
                    assert_eq!(Command::take(&mut &bytes[..at - 1]).filter(|_| change == 0), None, "cut");
                }
            }
        }
    }

    #[test]
    fn a_customer_moves_only_its_own_money() {
        let one = Amount::new(1).unwrap();
        let theirs = Command::Withdraw { account: AccountId(1), amount: one };
        assert!(!theirs.is_permitted_to(Owner::Customer(AccountId(0))));
        assert!(theirs.is_permitted_to(Owner::Customer(AccountId(1))));
        assert!(theirs.is_permitted_to(Owner::Teller(TellerId(0))));
        assert!(!theirs.is_permitted_to(Owner::Nobody) && !theirs.is_permitted_to(Owner::Operator(0)));
    }
}
