//! Distances in the log in bytes, for the progress display of long reads.
//!
//! Left out: the reads and the display (`engine/`, `cli/`).

use crate::wal::Position;
use crate::wal::read::anchor::Anchor;
use crate::wal::read::segment_scan::{SegmentScan, Stored};

/// The extent of a read: the segments from its start position on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    from: Position,
    /// The bytes from `from` to the end of each segment, beginning with the segment of `from`.
    ends: Vec<u64>,
}

impl SegmentScan {
    /// The extent of a read after `from`, or from the beginning.
    #[must_use]
    pub fn extent(&self, from: Option<&Anchor>) -> Extent {
        let from = from.map_or_else(|| self.origin(), |anchor| anchor.end.position);
        let mut bytes = 0_u64;
        let behind = self.segments().iter().filter(|stored| stored.sequence >= from.segment);
        let ends = behind.map(|Stored { sequence, size, .. }| {
            let skipped = if *sequence == from.segment { from.offset } else { 0 };
            bytes = bytes.saturating_add(size.saturating_sub(skipped));
            bytes
        });
        Extent { ends: ends.collect(), from }
    }
}

impl Extent {
    /// The total in bytes. Includes segments created ahead of need, because they are scanned as well.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.ends.last().map_or(0, |end| *end)
    }

    /// The bytes from the start to `position`.
    #[must_use]
    pub fn up_to(&self, position: Position) -> u64 {
        let Some(index) = position.segment.checked_sub(self.from.segment) else { return 0 };
        let before = index.checked_sub(1).and_then(|before| self.ends.get(usize::try_from(before).ok()?)).copied();
        match before {
            Some(before) => before.saturating_add(position.offset).min(self.total()),
            None if index == 0 => position.offset.saturating_sub(self.from.offset).min(self.total()),
            None => self.total(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_from_where_reading_begins() {
        let at = |segment, offset| Position { segment, offset };
        let extent = Extent { from: at(3, 400), ends: vec![600, 1600, 1800] };
        assert_eq!(extent.total(), 1800);
        let counted = [at(2, 999), at(3, 0), at(3, 400), at(3, 1000), at(4, 0), at(4, 1000), at(5, 50), at(5, 9999), at(6, 0), at(9, 1)];
        assert_eq!(counted.map(|position| extent.up_to(position)), [0, 0, 0, 600, 600, 1600, 1650, 1800, 1800, 1800]);
        assert_eq!((Extent::default().total(), Extent::default().up_to(at(1, 4096))), (0, 0));
    }
}
