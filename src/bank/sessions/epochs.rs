//! Epochs: which start of the store each part of its history belongs to, so that a session's id names one history only.
//!
//! Left out: drawing the random bits, and logging them (`engine/`).

use crate::model::types::{Epoch, Lineage, Lsn, SessionId};

/// The epochs of the present lineage.
///
/// Invariant: `starts` ascends by LSN.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Epochs {
    lineage: Lineage,
    /// Each start since the lineage was drawn that logged an entry: the LSN of its first one, and its random bits. 16 bytes a
    /// start.
    starts: Vec<(Lsn, Epoch)>,
}

impl Epochs {
    /// The present lineage; 0 before the first was drawn.
    #[must_use]
    pub const fn lineage(&self) -> Lineage {
        self.lineage
    }

    /// The present epoch.
    #[must_use]
    pub fn last(&self) -> Epoch {
        self.starts.last().map_or(self.lineage.into(), |(_, epoch)| *epoch)
    }

    /// The epoch of the entry with this LSN, which is past or the next one.
    #[must_use]
    pub fn at(&self, lsn: Lsn) -> Epoch {
        let before = self.starts.partition_point(|(first, _)| *first <= lsn);
        self.starts.get(..before).and_then(<[_]>::last).map_or(self.lineage.into(), |(_, epoch)| *epoch)
    }

    /// Whether the epoch is one of these.
    #[must_use]
    pub fn contains(&self, epoch: Epoch) -> bool {
        epoch == self.lineage.into() || self.starts.iter().any(|(_, known)| *known == epoch)
    }

    /// The full id of a session that the entry with this LSN opened.
    #[must_use]
    pub fn session(&self, lsn: Lsn) -> SessionId {
        SessionId { epoch: self.at(lsn), lsn }
    }

    /// A new lineage: the epochs of the old one are forgotten.
    pub fn draw(&mut self, lineage: Lineage) {
        self.lineage = lineage;
        self.starts.clear();
    }

    /// A start whose first entry has this LSN. `false`, without effect, if another one is not before it.
    pub fn start(&mut self, lsn: Lsn, epoch: Epoch) -> bool {
        let is_next = self.starts.last().is_none_or(|(before, _)| *before < lsn);
        if is_next {
            self.starts.push((lsn, epoch));
        }
        is_next
    }

    /// Each start, oldest first.
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
