//! Block arithmetic of the log, and tests for zeros.
//!
//! Left out: fields (`model/bytes.rs`), what they mean (`batch.rs`, `segment.rs`, `manifest.rs`).

/// The block size in bytes. Every structure of the log starts at a multiple of it.
pub(in crate::wal) const BLOCK: u64 = 4096;
/// [`BLOCK`] as a `usize`.
pub(in crate::wal) const BLOCK_LEN: usize = 4096;
/// The sector size in bytes: the unit that a disk writes atomically.
pub(in crate::wal) const SECTOR: usize = 512;

/// A sector that was never written.
static ZERO_SECTOR: [u8; SECTOR] = [0; SECTOR];

/// Whether every byte is zero. Compares whole sectors, so that memory bandwidth is the limit.
pub(in crate::wal) fn is_zero(bytes: &[u8]) -> bool {
    let mut sectors = bytes.chunks_exact(SECTOR);
    sectors.all(|sector| sector == ZERO_SECTOR) && sectors.remainder().iter().all(|byte| *byte == 0)
}

/// `length` rounded up to whole blocks. Lengths in the log are far below 2^63, so it never saturates.
pub(in crate::wal) const fn round_up(length: usize) -> usize {
    length.div_ceil(BLOCK_LEN).saturating_mul(BLOCK_LEN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bit_anywhere_is_not_zero() {
        let mut bytes = vec![0; 2 * SECTOR + 3];
        assert!(is_zero(&bytes) && is_zero(&[]));
        for at in 0..bytes.len() {
            bytes[at] = 1;
            assert!(!is_zero(&bytes), "byte {at}");
            bytes[at] = 0;
        }
    }
}
