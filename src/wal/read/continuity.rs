//! Whether a batch continues the log before it, and the errors for one that does not.
//!
//! Left out: reading batches (`recover.rs`), and what stands behind the last good one (`tail_check.rs`).

use crate::model::types::StoreId;
use crate::wal::format::batch::{BadHeader, BatchHeader};
use crate::wal::{LogEnd, Position, WalError};

/// How a batch continues the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::wal) enum Continuation {
    /// Next in order, in the same incarnation.
    Next,
    /// First in a segment, as the first of a later incarnation whose voucher names the end before it.
    Start,
}

/// How a header contradicts the log before it; `None` if it does not.
pub(in crate::wal) fn misfit(header: &BatchHeader, store: StoreId, end: &LogEnd, continuation: Continuation) -> Option<String> {
    if header.store != store {
        return Some(format!("a batch of another store, {}", header.store));
    }
    if header.number != end.batch_number.saturating_add(1) {
        return Some(format!("batch {} stands where batch {} belongs", header.number, end.batch_number.saturating_add(1)));
    }
    if header.first_lsn != end.next_lsn {
        return Some(format!("batch {} begins with LSN {} instead of {}", header.number, header.first_lsn, end.next_lsn));
    }
    if header.chain_before != end.chain || (header.count == 0 && header.chain_after != end.chain) {
        return Some(format!("batch {} does not chain to the one before it", header.number));
    }
    if header.bank_time < end.bank_time {
        return Some(format!("the bank time of batch {} goes back", header.number));
    }
    let is_incarnation_right = match (continuation, end.batch_number) {
        (Continuation::Next, 0) => header.incarnation.counter == 1,
        (Continuation::Next, _) => header.incarnation == end.incarnation,
        (Continuation::Start, _) => header.incarnation.counter > end.incarnation.counter,
    };
    if !is_incarnation_right {
        return Some(format!("batch {} is of an incarnation that does not belong there", header.number));
    }
    let is_voucher_right = match (continuation, header.voucher) {
        (Continuation::Next, voucher) => voucher.is_none(),
        (Continuation::Start, Some(voucher)) => {
            voucher.end == end.position && voucher.batch_number == end.batch_number && voucher.chain == end.chain
        }
        (Continuation::Start, None) => false,
    };
    (!is_voucher_right).then(|| format!("the voucher of batch {} does not fit", header.number))
}

/// Describes an unusable header.
pub(in crate::wal) fn describe(bad: BadHeader) -> String {
    match bad {
        BadHeader::Unreadable => "a batch whose header is not whole".to_owned(),
        BadHeader::Malformed(what) => what.to_owned(),
        BadHeader::FormatVersion(version) => format!("a batch of format version {version}"),
        BadHeader::LogicVersion(version) => format!("a batch of logic version {version}"),
    }
}

/// Damage behind the good batches.
pub(in crate::wal) fn damaged(at: Position, end: &LogEnd, what: String) -> WalError {
    let last_good = Some(end.batch_number).filter(|number| *number > 0);
    WalError::Damaged { file: at.file(), offset: at.offset, last_good, what }
}

/// Whether an unusable header is intact nevertheless, which proves that it was written.
pub(in crate::wal) const fn is_whole(bad: BadHeader) -> bool {
    !matches!(bad, BadHeader::Unreadable)
}

/// The error for a header of an unsupported version; `None` for other headers.
pub(in crate::wal) fn unsupported(at: Position, bad: BadHeader) -> Option<WalError> {
    let what = match bad {
        BadHeader::FormatVersion(version) => format!("format version {version}"),
        BadHeader::LogicVersion(version) => format!("logic version {version}"),
        BadHeader::Unreadable | BadHeader::Malformed(_) => return None,
    };
    Some(WalError::Unsupported { file: at.file(), what })
}
