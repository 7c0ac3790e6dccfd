//! Tellers: their names, the tags of their tokens, and whether they are revoked.
//!
//! Left out: wrong tokens (`logins.rs`) and what becomes of a revoked teller's sessions (`apply/mod.rs`).

use crate::bank::accounts::names::Names;
use crate::bank::index;
use crate::model::entry::Tag;
use crate::model::types::TellerId;

/// All tellers, by id. Invariant: as many as there are names. A revoked teller keeps its id and its name.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::bank) struct Tellers {
    names: Names,
    tellers: Vec<Teller>,
}

/// One teller.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::bank) struct Teller {
    /// The tag of its token.
    pub(in crate::bank) tag: Tag,
    /// Whether it may no longer do anything.
    pub(in crate::bank) revoked: bool,
}

impl Tellers {
    /// The id that the next teller gets; none if ids have run out.
    pub(in crate::bank) fn next_id(&self) -> Option<TellerId> {
        self.names.next_id().map(TellerId)
    }

    /// The teller of that id.
    pub(in crate::bank) fn get(&self, id: TellerId) -> Option<&Teller> {
        self.tellers.get(index(id.0))
    }

    /// The name of that teller.
    pub(in crate::bank) fn name(&self, id: TellerId) -> Option<&str> {
        self.names.name(id.0)
    }

    /// The teller of that name, revoked or not.
    pub(in crate::bank) fn find(&self, name: &str) -> Option<TellerId> {
        self.names.find(name).map(TellerId)
    }

    /// Adds a teller under the next id. The caller has seen that the name is free.
    pub(in crate::bank) fn add(&mut self, id: TellerId, name: &str, tag: Tag) {
        self.names.add(id.0, name);
        self.tellers.push(Teller { tag, revoked: false });
    }

    /// Revokes a teller for good.
    pub(in crate::bank) fn revoke(&mut self, id: TellerId) {
        if let Some(teller) = self.tellers.get_mut(index(id.0)) {
            teller.revoked = true;
        }
    }
}
