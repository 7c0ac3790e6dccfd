//! Logins: admission of an attempt, and its effect on the connection.
//!
//! Left out: secrets and counting failures (`bank/auth/`), the turn's list (`turn.rs`).

use crate::bank::Login;
use crate::bank::auth::credential::Party;
use crate::model::secret::{MAX_SECRET, Secret};
use crate::model::types::{Owner, is_valid_name};
use crate::server::service::{ConnectionId, Service};
use crate::server::turn::{Admitted, Logged};
use crate::wire::message::{Refusal, Reply, Role};

impl Service {
    /// Admits a login attempt, which becomes an entry whether it succeeds or not.
    pub(in crate::server) fn admit_login(
        &mut self,
        id: ConnectionId,
        owner: Option<Owner>,
        role: Role,
        name: &str,
        secret: &Secret,
    ) -> Admitted {
        if owner.is_some() {
            return self.refused(id, Refusal::AlreadyLoggedIn);
        }
        if !is_valid_name(name) || secret.bytes().len() > MAX_SECRET {
            return self.refused(id, Refusal::BadLogin);
        }
        let party = match role {
            Role::Customer => Party::Customer,
            Role::Teller => Party::Teller,
        };
        match self.engine.submit_login(party, name, secret) {
            Ok(owner) => self.list_logged(id, Logged::Login(owner)),
            Err(full) => self.full(id, full),
        }
    }

    /// The reply to a login attempt. An accepted attempt sets the connection's owner.
    pub(in crate::server) fn answer_login(&mut self, id: ConnectionId, owner: Owner, login: Login) -> Reply {
        let accepted = login == Login::Accepted;
        if let Some(connection) = self.connection(id) {
            connection.owner = accepted.then_some(owner);
        }
        match login {
            Login::Accepted => Reply::LoggedIn { owner },
            Login::Wrong => Reply::Refused(Refusal::BadLogin),
            Login::Locked => Reply::Refused(Refusal::LoginLocked),
        }
    }
}
