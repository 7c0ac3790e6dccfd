//! Draws a new lineage: one entry, durable and sealed before any answer is sent. The sessions of the old lineage end
//! with it.
//!
//! Left out: when a new one is drawn (`repair/mod.rs`, `open.rs`).

use crate::bank::{self, Bank};
use crate::engine::clock::BankClock;
use crate::engine::error::StoreError;
use crate::model::entry::{Action, Entry, LineageCause, Origin};
use crate::model::types::{Lineage, Lsn, Owner};
use crate::wal::Log;

/// Logs and applies the entry; returns its LSN. `lineage` is random.
///
/// # Errors
/// [`StoreError::NoRoom`] without space for a segment; otherwise the log's error, which is final.
pub(super) fn draw(log: &mut Log, bank: &mut Bank, clock: &BankClock, lineage: Lineage, cause: LineageCause) -> Result<Lsn, StoreError> {
    let entry = Entry { owner: Owner::Nobody, origin: Origin::None, action: Action::Lineage { lineage, cause } };
    let lsn = log.append(|out| entry.encode_into(out)).map_err(|_| StoreError::NoRoom)?;
    let time = clock.now();
    log.commit(time, bank.outcome_digest())?;
    // Only a bug makes the bank refuse an entry that is the first of its incarnation.
    bank::apply(bank, lsn, &entry, time).map_err(|error| StoreError::Damaged(error.to_string()))?;
    log.commit(clock.now(), bank.outcome_digest())?;
    Ok(lsn)
}
