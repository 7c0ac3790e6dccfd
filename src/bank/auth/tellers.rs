//! Tellers: names, credential tags of tokens, and revocation.
//!
//! Left out: wrong tokens (`logins.rs`), and the sessions of a revoked teller (`apply/operate.rs`).

use crate::bank::accounts::names::Names;
use crate::bank::index;
use crate::model::entry::Tag;
use crate::model::types::TellerId;

/// All tellers by id. Invariant: there are as many tellers as names. A revoked teller keeps its id and its name.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::bank) struct Tellers {
    names: Names,
    tellers: Vec<Teller>,
}

/// One teller.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::bank) struct Teller {
    /// The credential tag of its token.
    pub(in crate::bank) tag: Tag,
    /// Whether it is revoked.
    pub(in crate::bank) revoked: bool,
}

impl Tellers {
    /// The id of the next teller; `None` if there are no ids left.
    pub(in crate::bank) fn next_id(&self) -> Option<TellerId> {
        self.names.next_id().map(TellerId)
    }

    /// The teller with an id.
    pub(in crate::bank) fn get(&self, id: TellerId) -> Option<&Teller> {
        self.tellers.get(index(id.0))
    }

    /// The name of a teller.
    pub(in crate::bank) fn name(&self, id: TellerId) -> Option<&str> {
        self.names.name(id.0)
    }

    /// The teller of that name, revoked or not.
    pub(in crate::bank) fn find(&self, name: &str) -> Option<TellerId> {
        self.names.find(name).map(TellerId)
    }

    /// Adds a teller under the next id. The caller has checked that the name is free.
    pub(in crate::bank) fn add(&mut self, id: TellerId, name: &str, tag: Tag) {
        self.names.add(id.0, name);
        self.tellers.push(Teller { tag, revoked: false });
    }

    /// Revokes a teller permanently.
    pub(in crate::bank) fn revoke(&mut self, id: TellerId) {
        if let Some(teller) = self.tellers.get_mut(index(id.0)) {
            teller.revoked = true;
        }
    }
}
