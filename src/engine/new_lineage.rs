//! Draws a new lineage: one entry, durable and sealed before anybody is answered. The sessions of the old one end with it.
//!
//! Left out: when that is due (`repair/mod.rs`, `open.rs`).

use crate::bank::{self, Bank};
use crate::engine::clock::BankClock;
use crate::engine::error::StoreError;
use crate::model::entry::{Action, Entry, LineageCause, Origin};
use crate::model::types::{Lineage, Lsn, Owner};
use crate::wal::Log;

/// Logs and applies it, and gives the entry's number. `lineage` is random.
///
/// # Errors
/// [`StoreError::NoRoom`] without space for a segment; otherwise what the log says, which is final.
pub(super) fn draw(log: &mut Log, bank: &mut Bank, clock: &BankClock, lineage: Lineage, cause: LineageCause) -> Result<Lsn, StoreError> {
    let entry = Entry { owner: Owner::Nobody, origin: Origin::None, action: Action::Lineage { lineage, cause } };
    let lsn = log.append(|out| entry.encode_into(out)).map_err(|_| StoreError::NoRoom)?;
    let time = clock.now();
    log.commit(time, bank.outcome_digest())?;
    // Nothing but a bug refuses an entry that stands first in its incarnation.
    bank::apply(bank, lsn, &entry, time).map_err(|error| StoreError::Damaged(error.to_string()))?;
    log.commit(clock.now(), bank.outcome_digest())?;
    Ok(lsn)
}
