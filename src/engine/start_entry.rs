//! The entry of a start: its epoch, which the ids of the sessions opened after it carry.
//!
//! Left out: what the bank makes of it (`bank/epochs.rs`).

use super::{Engine, Fatal};
use crate::bank;
use crate::engine::batch_entries::Next;
use crate::model::entry::{Action, Entry, Origin};
use crate::model::types::Owner;
use crate::wal::Full;

impl Engine {
    /// Puts the entry of this start before the first other one. A start that logs nothing leaves none.
    pub(super) fn put_start(&mut self) -> Result<(), Full> {
        let Some(epoch) = self.start else { return Ok(()) };
        let entry = Entry { owner: Owner::Nobody, origin: Origin::None, action: Action::Start(epoch) };
        self.log.append_new_kind(|out| entry.encode_into(out))?;
        self.start = None;
        self.batch.push(entry);
        Ok(())
    }

    /// Applies the entry of this start, which no question asked for and no walk meets.
    pub(super) fn apply_start(&mut self) -> Result<(), Fatal> {
        if let Next::Entry(entry) = self.batch.next(1)
            && matches!(entry.action, Action::Start(_))
        {
            let lsn = self.bank.applied().next();
            bank::apply(&mut self.bank, lsn, entry, self.batch_time)?;
            self.applied(1)?;
        }
        Ok(())
    }
}
