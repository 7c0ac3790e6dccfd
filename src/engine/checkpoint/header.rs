//! The first block of a checkpoint: its store, its position in the log, and length and hash of its image.
//!
//! ```text
//! 0   8  magic "BKDCHKPT"            12  2 format version      14 2 logic version
//! 8   4  CRC-32 of bytes 12..4096    16 16 store id
//! 32  8  LSN                         40  8 batch number        48 32 chain head
//! 80  8  segment of the last batch   88  8 its offset          96  8 offset of the first byte after it
//! 104 8  incarnation counter         112 8 incarnation random  120 8 bank time of the last batch
//! 128 8  outcome digest              136 8 lineage
//! 144 8  image length                152 32 SHA-256 of the image
//! 184 .. 0xFF to 4096; the image follows
//! ```
//! Left out: the image (`bank/image/`), and whether the log agrees (`wal/`).

use super::Unusable;
use crate::bank::ImageDigest;
use crate::model::bytes::Take;
use crate::model::types::{BankTime, Chain, Lineage, Lsn, StoreId};
use crate::wal::{Anchor, Incarnation, LOGIC_VERSION, LogEnd, Position};

/// The length of the header; the image follows.
pub(super) const LENGTH: usize = 4096;
/// The version of the layout.
const FORMAT_VERSION: u16 = 1;
const MAGIC: &[u8; 8] = b"BKDCHKPT";

/// The contents of the header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// The store.
    pub(super) store: StoreId,
    /// The position in the log at which the image was taken.
    pub(super) anchor: Anchor,
    /// The running outcome digest there.
    pub(super) outcome_digest: u64,
    /// The lineage there.
    pub(super) lineage: Lineage,
    /// The image behind the header.
    pub(super) image: ImageDigest,
}

impl Header {
    /// The last entry in the image.
    pub(super) fn lsn(&self) -> Lsn {
        Lsn(self.anchor.end.next_lsn.0.saturating_sub(1))
    }

    /// The header's bytes.
    pub(super) fn encode(&self) -> Vec<u8> {
        let Anchor { last_batch, end } = &self.anchor;
        let mut block = Vec::with_capacity(LENGTH);
        let mut put = |bytes: &[u8]| block.extend_from_slice(bytes);
        put(MAGIC);
        put(&[0; 4]);
        put(&FORMAT_VERSION.to_le_bytes());
        put(&LOGIC_VERSION.to_le_bytes());
        put(&self.store.0);
        put(&self.lsn().0.to_le_bytes());
        put(&end.batch_number.to_le_bytes());
        put(&end.chain.0);
        for field in [
            last_batch.segment,
            last_batch.offset,
            end.position.offset,
            end.incarnation.counter,
            end.incarnation.random,
            end.bank_time.0,
            self.outcome_digest,
            self.lineage.0,
            self.image.length,
        ] {
            put(&field.to_le_bytes());
        }
        put(&self.image.sha256);
        block.resize(LENGTH, 0xFF);
        let crc = block.get(12..).map_or(0, crc32fast::hash);
        if let Some(slot) = block.get_mut(8..12) {
            slot.copy_from_slice(&crc.to_le_bytes());
        }
        block
    }

    /// Decodes a header.
    ///
    /// # Errors
    /// [`Unusable`] for any bytes that [`Header::encode`] does not write.
    pub(super) fn decode(block: &[u8]) -> Result<Self, Unusable> {
        let mut take = Take(block);
        let (magic, crc) = (take.array::<8>(), take.u32());
        if magic.as_ref() != Some(MAGIC) || crc != Some(crc32fast::hash(take.0)) {
            return Err(Unusable::Damaged("its header is not whole"));
        }
        match (take.u16(), take.u16()) {
            (Some(FORMAT_VERSION), Some(LOGIC_VERSION)) => {}
            (Some(FORMAT_VERSION), Some(logic)) => return Err(Unusable::Version(format!("logic version {logic}"))),
            (Some(format), _) => return Err(Unusable::Version(format!("format version {format}"))),
            (None, _) => return Err(Unusable::Damaged("its header is not whole")),
        }
        Self::fields(take).ok_or(Unusable::Damaged("its header says what no checkpoint says"))
    }

    fn fields(mut take: Take<'_>) -> Option<Self> {
        let store = StoreId(take.array()?);
        let lsn = take.u64()?;
        let batch_number = take.u64()?;
        let chain = Chain(take.array()?);
        let last_batch = Position { segment: take.u64()?, offset: take.u64()? };
        let position = Position { segment: last_batch.segment, offset: take.u64()? };
        let incarnation = Incarnation { counter: take.u64()?, random: take.u64()? };
        let bank_time = BankTime(take.u64()?);
        let outcome_digest = take.u64()?;
        let lineage = Lineage(take.u64()?);
        let image = ImageDigest { length: take.u64()?, sha256: take.array()? };
        let is_padded = take.0.len() == LENGTH - 184 && take.0.iter().all(|byte| *byte == 0xFF);
        let is_sound = is_padded && lsn > 0 && batch_number > 0 && last_batch.segment > 0 && last_batch < position;
        let end = LogEnd { position, batch_number, chain, next_lsn: Lsn(lsn.checked_add(1)?), bank_time, incarnation };
        is_sound.then_some(Self { store, anchor: Anchor { last_batch, end }, outcome_digest, lineage, image })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Header {
        let end = LogEnd {
            position: Position { segment: 3, offset: 12_288 },
            batch_number: 7,
            chain: Chain([0xC4; 32]),
            next_lsn: Lsn(24),
            bank_time: BankTime(1_700_000_000_000_000),
            incarnation: Incarnation { counter: 2, random: 0x2222 },
        };
        let anchor = Anchor { last_batch: Position { segment: 3, offset: 4096 }, end };
        let image = ImageDigest { length: 858, sha256: [0xD5; 32] };
        Header { store: StoreId([0xB5; 16]), anchor, outcome_digest: 0xABCD, lineage: Lineage(0x1111), image }
    }

    #[test]
    fn golden() {
        let block = example().encode();
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let fields = [
            "01000100",
            &"b5".repeat(16),
            "1700000000000000",
            "0700000000000000",
            &"c4".repeat(32),
            "0300000000000000",
            "0010000000000000",
            "0030000000000000",
            "0200000000000000",
            "2222000000000000",
            "00401e18240a0600",
            "cdab000000000000",
            "1111000000000000",
            "5a03000000000000",
            &"d5".repeat(32),
        ];
        assert_eq!((&block[..8], block.len()), (b"BKDCHKPT".as_slice(), LENGTH));
        assert_eq!(hex(&block[8..12]), "6b4542d8");
        assert_eq!(hex(&block[12..184]), fields.concat());
        assert!(block[184..].iter().all(|byte| *byte == 0xFF));
    }

    #[test]
    fn every_byte_of_the_header_counts() {
        let mut block = example().encode();
        assert_eq!(Header::decode(&block).unwrap(), example());
        for at in 0..block.len() {
            block[at] ^= 0x10;
            assert!(matches!(Header::decode(&block), Err(Unusable::Damaged(_))), "byte {at}");
            block[at] ^= 0x10;
        }
        for cut in 0..LENGTH {
            assert!(Header::decode(&block[..cut]).is_err());
        }
    }

    #[test]
    fn other_versions_are_named() {
        for (at, name) in [(12, "format version 9"), (14, "logic version 9")] {
            let mut block = example().encode();
            block[at] = 9;
            let crc = crc32fast::hash(&block[12..]);
            block[8..12].copy_from_slice(&crc.to_le_bytes());
            assert!(matches!(Header::decode(&block), Err(Unusable::Version(what)) if what == name));
        }
    }
}
