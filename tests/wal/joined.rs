//! Records of several entries: what they look like on the disk, that they grow and shrink whole, and their limits.

use bankd::env::sim::{Operation, SimDisk};
use bankd::model::types::{BankTime, Lsn};
use bankd::wal::recover;
use bankd::wal::{BATCH_VERSION, FORMAT_VERSION, Full, Log, MAX_RECORD, Preparer, WalError};
use sha2::{Digest, Sha256};

use crate::support::{BLOCK, STORE, dir, empty_disk, is_damage, new_store, put, segment, shared};

const SIZES: bankd::wal::SegmentSizes = bankd::wal::SegmentSizes { first: 64 << 10, max: 64 << 10 };

fn join(log: &mut Log, bytes: &[u8]) -> Result<Lsn, Full> {
    log.join(1, |out| out.extend_from_slice(bytes))
}

/// The first LSN, count and bytes of a record.
type Seen = (u64, u32, Vec<u8>);

/// Every record, and each batch's version.
fn read(disk: &SimDisk) -> Result<(Vec<Seen>, Vec<u16>), WalError> {
    let (mut records, mut versions) = (Vec::new(), Vec::new());
    recover(disk, dir(), &mut |batch| {
        versions.push(batch.header.format_version);
        records.extend(batch.records().map(|record| (record.first.0, record.count, record.bytes.to_vec())));
        Ok(())
    })?;
    Ok((records, versions))
}

/// A batch with a record of three entries between two of one, and a batch without.
fn write() -> SimDisk {
    let disk = empty_disk();
    let mut log = Log::create(shared(&disk), dir(), STORE, SIZES, 0x1111, Preparer::Inline).unwrap();
    put(&mut log, b"genesis").unwrap();
    put(&mut log, b"requests: one").unwrap();
    assert_eq!(log.join(2, |out| out.extend_from_slice(b", two, three")), Ok(Lsn(3)));
    assert_eq!(put(&mut log, b"another"), Ok(Lsn(5)));
    log.commit(BankTime(1_700_000_000_000_000), 0).unwrap();
    put(&mut log, b"last").unwrap();
    log.commit(BankTime(1_700_000_000_100_000), 0xABCD).unwrap();
    log.publish().unwrap();
    disk
}

#[test]
fn golden() {
    let disk = write();
    let made = disk.peek(&segment(1)).unwrap()[BLOCK..2 * BLOCK].to_vec();
    let golden = include_bytes!("../golden/joined.bin").as_slice();
    let difference = made.iter().zip(golden).position(|(made, golden)| made != golden);
    assert!(made.len() == golden.len() && difference.is_none(), "it differs from its golden bytes at {difference:?}");
    disk.poke(&segment(1), BLOCK as u64, golden);
    let (records, versions) = read(&disk).unwrap();
    let expected = [(1, 1, "genesis"), (2, 3, "requests: one, two, three"), (5, 1, "another"), (6, 1, "last")];
    assert_eq!(records, expected.map(|(lsn, count, text)| (lsn, count, text.as_bytes().to_vec())));
    assert_eq!(versions, [BATCH_VERSION, FORMAT_VERSION], "the oldest version that says it");
}

/// Changes the batch at block 1, with all its sums made to hold, and says whether it is still read.
fn is_read(disk: &SimDisk, change: impl FnOnce(&mut [u8])) -> bool {
    let copy = disk.snapshot();
    let mut block = copy.peek(&segment(1)).unwrap()[BLOCK..2 * BLOCK].to_vec();
    change(&mut block);
    let length = u32::from_le_bytes(block[200..204].try_into().unwrap()) as usize;
    let chain = Sha256::digest(&block[204..256 + length]);
    block[64..96].copy_from_slice(&chain);
    let crc = crc32fast::hash(&block[12..256]);
    block[8..12].copy_from_slice(&crc.to_le_bytes());
    copy.poke(&segment(1), BLOCK as u64, &block);
    // The batch behind it goes on from the old head.
    copy.poke(&segment(1), 2 * BLOCK as u64, &[0; BLOCK]);
    let result = read(&copy);
    assert!(result.is_ok() || is_damage(&result), "{:?}", result.err());
    result.is_ok()
}

#[test]
fn counts_are_held_against_the_version_and_the_batch() {
    let disk = write();
    assert!(is_read(&disk, |_| {}));
    assert!(!is_read(&disk, |block| block[12] = 1), "version 1 knows no such record");
    // The record of three stands behind the genesis: 256 + 8 + 7 bytes, then its length.
    for (what, further) in [("too few", 1), ("too many", 3)] {
        assert!(!is_read(&disk, |block| block[273] = further), "{what}");
    }
    assert!(is_read(&disk, |block| (block[273], block[244]) = (3, 6)), "the log knows bytes, not banks");
}

#[test]
fn a_record_has_its_limits() {
    let (disk, mut log) = new_store();
    put(&mut log, &[1; 504]).unwrap();
    for _ in 0..(MAX_RECORD - 504) / 8 {
        join(&mut log, &[2; 8]).unwrap();
    }
    log.commit(BankTime(1), 0).unwrap();
    let (records, _) = read(&disk).unwrap();
    assert_eq!((records[1].1, records[1].2.len()), (450, MAX_RECORD));
    for wrong in 0..5 {
        let (disk, mut log) = new_store();
        let before = disk.count(Operation::Write);
        put(&mut log, b"first").unwrap();
        let refused = match wrong {
            0 => join(&mut log, b""),
            1 => join(&mut log, &[1; MAX_RECORD]),
            2 => log.join(0, |out| out.push(1)),
            3 => log.join(5, |out| out.extend_from_slice(&[1; 4])),
            // A batch begins with a record of its own.
            _ => {
                log = new_store().1;
                join(&mut log, b"more")
            }
        };
        assert_eq!(refused, Err(Full::Batch));
        assert!(log.commit(BankTime(1), 0).is_err());
        assert_eq!(disk.count(Operation::Write), before);
    }
}

/// What no longer fits a batch leaves the record before it as it was.
#[test]
fn a_full_batch_keeps_its_last_record() {
    let (disk, mut log) = new_store();
    let mut sizes = Vec::new();
    'full: loop {
        if put(&mut log, &[1; 100]).is_err() {
            break;
        }
        sizes.push((1, 100));
        for _ in 0..9 {
            if join(&mut log, &[2; 300]).is_err() {
                break 'full;
            }
            let last = sizes.last_mut().unwrap();
            *last = (last.0 + 1, last.1 + 300);
        }
    }
    assert_eq!(log.pending() as u32, sizes.iter().map(|(count, _)| count).sum::<u32>());
    log.commit(BankTime(1), 0).unwrap();
    put(&mut log, b"next").unwrap();
    join(&mut log, b", and more").unwrap();
    log.commit(BankTime(1), 0).unwrap();
    drop(log);
    let (records, _) = read(&disk).unwrap();
    let read_sizes: Vec<(u32, usize)> = records.iter().map(|(_, count, bytes)| (*count, bytes.len())).collect();
    assert_eq!(read_sizes[1..read_sizes.len() - 1], sizes);
    assert_eq!(read_sizes.last(), Some(&(2, 14)));
}

#[test]
fn a_record_with_a_sector_of_zeros_does_not_reach_the_disk() {
    let (disk, mut log) = new_store();
    let before = disk.count(Operation::Write);
    put(&mut log, b"first").unwrap();
    for _ in 0..3 {
        join(&mut log, &[0; 500]).unwrap();
    }
    assert!(log.commit(BankTime(1), 0).is_err());
    assert_eq!(disk.count(Operation::Write), before);
}
