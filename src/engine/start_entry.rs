//! The entry of a start: its epoch, which becomes a part of the ids of sessions opened after it.
//!
//! Left out: its effect on the bank (`bank/sessions/epochs.rs`).

use super::{Engine, Fatal, OrderedLog};
use crate::bank;
use crate::engine::batch_entries::Next;
use crate::model::entry::{Action, Entry, Origin};
use crate::model::types::Owner;
use crate::wal::Full;

impl<L: OrderedLog> Engine<L> {
    /// Puts the entry of this start before its first other entry. A start that logs nothing has none.
    pub(super) fn put_start(&mut self) -> Result<(), Full> {
        let Some(epoch) = self.start else { return Ok(()) };
        let entry = Entry { owner: Owner::Nobody, origin: Origin::None, action: Action::Start(epoch) };
        self.log.local_mut().append_new_kind(|out| entry.encode_into(out))?;
        self.start = None;
        self.batch.push(entry);
        Ok(())
    }

    /// Applies the entry of this start, which has no item in the turn's list.
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
