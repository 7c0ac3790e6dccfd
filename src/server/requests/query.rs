//! Queries: requests that read applied state, or no state. Each is answered in order; none becomes an entry.
//!
//! Left out: the utilities (`model/utilities.rs`), the turn's list (`turn.rs`).

use crate::model::entry::Setting;
use crate::model::types::{AccountId, Owner};
use crate::server::service::{ConnectionId, Service};
use crate::server::turn::{Admitted, Item};
use crate::wire::frame::MAX_PAYLOAD;
use crate::wire::message::{self, Ask, Limits, MAX_RUN, MAX_TEXT, Refusal, Reply, Welcome};

impl Service {
    /// Admits the greeting, if it asks for the one supported version.
    pub(in crate::server) fn admit_hello(&mut self, id: ConnectionId, version: u32) -> Admitted {
        if version != message::VERSION {
            let refused = self.refused(id, Refusal::UnsupportedVersion { supported: message::VERSION });
            self.hang_up(id);
            return refused;
        }
        if let Some(connection) = self.connection(id) {
            connection.greeted = true;
        }
        self.admit_query(id, Ask::Hello { version })
    }

    /// Refuses a request before the greeting, or a second greeting.
    pub(in crate::server) fn refuse_hello_first(&mut self, id: ConnectionId) -> Admitted {
        let refused = self.refused(id, Refusal::HelloFirst);
        self.hang_up(id);
        refused
    }

    /// Admits a query.
    pub(in crate::server) fn admit_query(&mut self, id: ConnectionId, ask: Ask) -> Admitted {
        match &ask {
            Ask::Lower { text } if text.len() > MAX_TEXT => return self.refused(id, Refusal::TextTooLong),
            _ => self.list(id, Item::Ask { id, ask }),
        }
        Admitted::Yes
    }

    /// The reply to the greeting.
    pub(in crate::server) fn welcome(&self) -> Welcome {
        let bank = self.engine.bank();
        let small = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
        Welcome {
            version: message::VERSION,
            store: self.engine.store(),
            lineage: bank.lineage(),
            decimals: bank.decimals(),
            limits: Limits { payload: small(MAX_PAYLOAD as u64), window: small(bank.setting(Setting::Window)), run: small(MAX_RUN as u64) },
            bank_time: self.engine.now(),
        }
    }

    pub(in crate::server) fn balance(&self, owner: Owner, account: AccountId) -> Result<Reply, Refusal> {
        if !matches!(owner, Owner::Teller(_)) && owner != Owner::Customer(account) {
            return Err(Refusal::NotPermitted);
        }
        let bank = self.engine.bank();
        let view = bank.account(account).ok_or(Refusal::NoSuchAccount)?;
        Ok(Reply::Balance { balance: view.balance, lsn: bank.applied() })
    }

    /// The id of the account with that name.
    pub(in crate::server) fn find_account(&self, name: &str) -> Result<Reply, Refusal> {
        self.engine.bank().find_account(name).map(|account| Reply::Account { account }).ok_or(Refusal::NoSuchAccount)
    }
}
