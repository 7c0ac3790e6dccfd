//! The end of a log: the state that the next batch must continue.
//!
//! Left out: finding it (`read/recover.rs`).

use crate::model::types::{BankTime, Chain, Lsn};
use crate::wal::Position;
use crate::wal::format::batch::Incarnation;

/// The end of a log: the state that the next batch must continue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogEnd {
    /// The first byte after the last batch.
    pub position: Position,
    /// The last batch's number; 0 before the first.
    pub batch_number: u64,
    /// The chain head after it.
    pub chain: Chain,
    /// The LSN of the next entry.
    pub next_lsn: Lsn,
    /// The bank time of the last batch.
    pub bank_time: BankTime,
    /// The incarnation that wrote the last batch.
    pub incarnation: Incarnation,
}

impl Default for LogEnd {
    /// The end of an empty log.
    fn default() -> Self {
        Self {
            position: Position::default(),
            batch_number: 0,
            chain: Chain::default(),
            next_lsn: Lsn(1),
            bank_time: BankTime::default(),
            incarnation: Incarnation::default(),
        }
    }
}
