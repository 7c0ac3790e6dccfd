//! Epochs: the start of the store that each part of its history belongs to. They make session ids unique across histories.
//!
//! Left out: generating the random bits and logging them (`engine/`).

use crate::model::types::{Epoch, Lineage, Lsn, SessionId};

/// The epochs of the current lineage.
///
/// Invariant: `starts` ascends by LSN.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Epochs {
    lineage: Lineage,
    /// The starts since the lineage began that logged an entry: the LSN of the first one, and the random bits. 16 bytes a start.
    starts: Vec<(Lsn, Epoch)>,
}

impl Epochs {
    /// The current lineage; 0 before the first one.
    #[must_use]
    pub const fn lineage(&self) -> Lineage {
        self.lineage
    }

    /// The current epoch.
    #[must_use]
    pub fn last(&self) -> Epoch {
        self.starts.last().map_or(self.lineage.into(), |(_, epoch)| *epoch)
    }

    /// The epoch of an entry. `lsn` is at most the LSN of the next entry.
    #[must_use]
    pub fn at(&self, lsn: Lsn) -> Epoch {
        let before = self.starts.partition_point(|(first, _)| *first <= lsn);
        self.starts.get(..before).and_then(<[_]>::last).map_or(self.lineage.into(), |(_, epoch)| *epoch)
    }

    /// Whether the epoch belongs to this lineage.
    #[must_use]
    pub fn contains(&self, epoch: Epoch) -> bool {
        epoch == self.lineage.into() || self.starts.iter().any(|(_, known)| *known == epoch)
    }

    /// The full id of the session that the entry `lsn` opened.
    #[must_use]
    pub fn session(&self, lsn: Lsn) -> SessionId {
        SessionId { epoch: self.at(lsn), lsn }
    }

    /// Begins a new lineage, and clears the epochs of the old one.
    pub fn draw(&mut self, lineage: Lineage) {
        self.lineage = lineage;
        self.starts.clear();
    }

    /// Adds a start whose first entry is `lsn`. Returns false, without effect, if an earlier start is not before it.
    pub fn start(&mut self, lsn: Lsn, epoch: Epoch) -> bool {
        let is_next = self.starts.last().is_none_or(|(before, _)| *before < lsn);
        if is_next {
            self.starts.push((lsn, epoch));
        }
        is_next
    }

    /// The starts, oldest first.
    pub(in crate::bank) fn starts(&self) -> &[(Lsn, Epoch)] {
        &self.starts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_entry_has_the_epoch_of_the_start_before_it() {
        let mut epochs = Epochs::default();
        epochs.draw(Lineage(7));
        assert_eq!((epochs.at(Lsn(5)), epochs.last()), (Epoch(7), Epoch(7)));
        assert!(epochs.start(Lsn(5), Epoch(8)) && epochs.start(Lsn(9), Epoch(9)) && !epochs.start(Lsn(9), Epoch(10)));
        let at: Vec<u64> = (3..=10).map(|lsn| epochs.at(Lsn(lsn)).0).collect();
        assert_eq!(at, [7, 7, 8, 8, 8, 8, 9, 9]);
        assert_eq!(epochs.session(Lsn(6)), SessionId { epoch: Epoch(8), lsn: Lsn(6) });
        assert!([7, 8, 9].into_iter().all(|epoch| epochs.contains(Epoch(epoch))) && !epochs.contains(Epoch(10)));
        epochs.draw(Lineage(11));
        assert_eq!((epochs.at(Lsn(6)), epochs.contains(Epoch(8)), epochs.lineage()), (Epoch(11), false, Lineage(11)));
    }
}
