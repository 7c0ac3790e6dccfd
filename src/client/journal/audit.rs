//! Reads the answers in a journal, with the bank's receipts, for an audit. The journal is neither changed nor locked.
//!
//! Left out: comparing them with a log (`engine/`).

use std::collections::BTreeMap;
use std::path::Path;

use crate::client::journal::JournalError;
use crate::client::journal::format;
use crate::client::journal::record::{Record, Settled};
use crate::env::{Disk, ReadOnly};
use crate::model::types::{RequestId, StoreId};

/// The largest journal, in bytes: some five million requests of a load generator.
pub(in crate::client) const MAX_BYTES: u64 = 1 << 30;

/// An answer in a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// The bank's store.
    pub store: StoreId,
    /// The answered request.
    pub request: RequestId,
    /// The answer, with the receipt.
    pub settled: Settled,
}

/// Reads every answer of a journal, oldest first. Takes no lock and writes nothing.
///
/// # Errors
/// [`JournalError::Damaged`] for a file that is damaged or no journal; [`JournalError::Io`] if it cannot be read.
pub fn told(disk: &dyn Disk, path: &Path) -> Result<Vec<Told>, JournalError> {
    let io = |error: std::io::Error| JournalError::Io { path: path.to_owned(), what: "read", why: error.to_string() };
    let damaged = |why: String| JournalError::Damaged { path: path.to_owned(), why };
    let file = ReadOnly(disk).open_read(path).map_err(io)?;
    let length = file.len().map_err(io)?;
    let size = usize::try_from(length).ok().filter(|_| length <= MAX_BYTES);
    let size = size.ok_or_else(|| damaged(format!("it has {length} bytes, more than any journal")))?;
    // A new journal, not written yet.
    if size == 0 {
        return Ok(Vec::new());
    }
    let mut bytes = vec![0; size];
    file.read_exact_at(&mut bytes, 0).map_err(io)?;
    let scan = format::scan(&bytes).map_err(|error| damaged(error.to_string()))?;
    let mut stores = BTreeMap::new();
    let mut told = Vec::new();
    for record in scan.frames.into_iter().flat_map(|frame| frame.records) {
        match record {
            Record::Intent(intent) => {
                stores.insert(intent.id, intent.store);
            }
            Record::Reply(request, settled) => {
                let store = stores.get(&request).ok_or_else(|| damaged(format!("it holds an answer to {request}, but not the request")))?;
                told.push(Told { store: *store, request, settled });
            }
            Record::Closed(..) => {}
        }
    }
    Ok(told)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::journal::record::samples::{id, intent, settled};
    use crate::env::sim::SimDisk;

    fn journal(records: &[Record], tail: &[u8]) -> SimDisk {
        let mut bytes = format::header(1).to_vec();
        records.iter().for_each(|record| assert_eq!(format::put(std::slice::from_ref(record), false, &mut bytes), 1));
        bytes.extend_from_slice(tail);
        let disk = SimDisk::new();
        disk.create(Path::new("/journal")).unwrap().write_all_at(&bytes, 0).unwrap();
        disk
    }

    #[test]
    fn every_answer_is_listed_with_its_bank_and_the_file_stays() {
        let records = [Record::Intent(intent(1)), Record::Intent(intent(2)), Record::Reply(id(1), settled())];
        let disk = journal(&records, &[87, 0, 168]);
        let before = disk.peek(Path::new("/journal"));
        let expected = Told { store: intent(1).store, request: id(1), settled: settled() };
        assert_eq!(told(&disk, Path::new("/journal")).unwrap(), [expected]);
        assert_eq!(disk.peek(Path::new("/journal")), before, "the torn tail is for its owner to cut");
    }

    #[test]
    fn what_is_no_sound_journal_proves_nothing() {
        let unasked = journal(&[Record::Reply(id(1), settled())], &[]);
        assert!(matches!(told(&unasked, Path::new("/journal")), Err(JournalError::Damaged { .. })));
        let rotten = journal(&[Record::Intent(intent(1))], &[1; 600]);
        assert!(matches!(told(&rotten, Path::new("/journal")), Err(JournalError::Damaged { .. })));
        assert!(matches!(told(&rotten, Path::new("/absent")), Err(JournalError::Io { .. })));
    }
}
