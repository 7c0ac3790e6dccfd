//! The operator's requests: admission, and the effect on connections once one is applied.
//!
//! Left out: the Unix socket (`sockets.rs`), the turn's list (`turn.rs`).

use crate::bank::Refused;
use crate::bank::auth::credential::Party;
use crate::engine::Fatal;
use crate::model::entry::{AccountOpen, Action, TellerAdd};
use crate::model::names::is_new_name;
use crate::model::secret::{MAX_SECRET, Secret};
use crate::model::types::{AccountId, Lsn, Owner, SessionId};
use crate::server::service::{ConnectionId, Service};
use crate::server::turn::{Admitted, Logged};
use crate::wire::message::{AccountInfo, Ask, MAX_PAGE, Operation, Refusal, Reply};

/// The shortest PIN or token, in bytes.
const MIN_SECRET: usize = 4;

impl Service {
    /// Admits an operator's request.
    ///
    /// # Errors
    /// [`Fatal`], as `Engine::new_tag`.
    pub(in crate::server) fn admit_operation(&mut self, id: ConnectionId, owner: Owner, operation: Operation) -> Result<Admitted, Fatal> {
        let action = match self.action_of(operation)? {
            Ok(Operate::Log(action)) => action,
            Ok(Operate::List(operation)) => return Ok(self.admit_query(id, Ask::Operate(operation))),
            Ok(Operate::Close(session)) => return Ok(self.admit_close(id, owner, session)),
            Err(refusal) => return Ok(self.refused(id, refusal)),
        };
        Ok(match self.engine.submit(owner, action) {
            Ok(_) => self.list_logged(id, Logged::Operation),
            Err(full) => self.full(id, full),
        })
    }

    /// The reply to an operation that was executed. The connections of a revoked teller are closed.
    pub(in crate::server) fn answer_operation(&mut self, lsn: Lsn) -> Reply {
        self.close_revoked();
        Reply::Operated { lsn }
    }

    pub(in crate::server) fn accounts(&self, from: AccountId) -> Vec<AccountInfo> {
        let bank = self.engine.bank();
        let info = |id: u32| {
            let account = AccountId(id);
            let view = bank.account(account)?;
            Some(AccountInfo {
                account,
                name: bank.account_name(account)?.to_owned(),
                balance: view.balance,
                closed: view.closed,
                locked: view.locked,
                login_locked: view.login_locked,
            })
        };
        (from.0..bank.account_count()).take(MAX_PAGE).filter_map(info).collect()
    }

    fn action_of(&self, operation: Operation) -> Result<Result<Operate, Refusal>, Fatal> {
        let bank = self.engine.bank();
        let account = |name: &str| bank.find_account(name).ok_or(Refusal::NoSuchAccount);
        let log = |found: Result<Action, Refusal>| Ok(found.map(Operate::Log));
        match operation {
            Operation::OpenAccount { name, pin, balance } => {
                if !is_new_name(&name) || !is_valid_secret(&pin) {
                    return Ok(Err(Refusal::BadName));
                }
                let pin = self.engine.new_tag(Party::Customer, &name, &pin)?;
                log(Ok(Action::AccountOpen(Box::new(AccountOpen { name: name.into(), pin, balance }))))
            }
            Operation::AddTeller { name, token } => {
                if !is_new_name(&name) || !is_valid_secret(&token) {
                    return Ok(Err(Refusal::BadName));
                }
                let token = self.engine.new_tag(Party::Teller, &name, &token)?;
                log(Ok(Action::TellerAdd(Box::new(TellerAdd { name: name.into(), token }))))
            }
            Operation::SetPin { name, pin } => {
                if !is_valid_secret(&pin) {
                    return Ok(Err(Refusal::BadName));
                }
                let tag = self.engine.new_tag(Party::Customer, &name, &pin)?;
                log(account(&name).map(|id| Action::AccountPin(id, Box::new(tag))))
            }
            Operation::CloseAccount { name } => log(account(&name).map(Action::AccountClose)),
            Operation::LockAccount { name } => log(account(&name).map(Action::AccountLock)),
            Operation::UnlockAccount { name } => log(account(&name).map(Action::AccountUnlock)),
            Operation::RevokeTeller { name } => log(bank.find_teller(&name).ok_or(Refusal::NoSuchTeller).map(Action::TellerRevoke)),
            Operation::CloseSession { session } => Ok(Ok(Operate::Close(session))),
            list @ Operation::ListAccounts { .. } => Ok(Ok(Operate::List(list))),
        }
    }

    /// Closes the connections of revoked tellers.
    fn close_revoked(&mut self) {
        let bank = self.engine.bank();
        let revoked = |owner: Option<Owner>| matches!(owner, Some(Owner::Teller(teller)) if bank.teller_revoked(teller) == Some(true));
        let slots: Vec<usize> = self.connections.iter().filter(|(_, connection)| revoked(connection.owner)).map(|(slot, _)| slot).collect();
        for slot in slots {
            if let Some(connection) = self.connections.get_mut(slot) {
                connection.is_closing = true;
            }
            self.mark_dirty(slot);
        }
    }
}

/// What an operation asks for.
enum Operate {
    Log(Action),
    List(Operation),
    Close(SessionId),
}

/// The refusal of an operation that changed nothing.
pub(in crate::server) const fn refusal_of(refused: Refused) -> Refusal {
    match refused {
        Refused::NameTaken => Refusal::NameTaken,
        Refused::NoSuchAccount => Refusal::NoSuchAccount,
        Refused::NoSuchTeller => Refusal::NoSuchTeller,
        Refused::AccountClosed => Refusal::AccountClosed,
        Refused::BalanceNotZero => Refusal::BalanceNotZero,
    }
}

fn is_valid_secret(secret: &Secret) -> bool {
    (MIN_SECRET..=MAX_SECRET).contains(&secret.bytes().len())
}
