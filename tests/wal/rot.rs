//! Rot, without exception: every bit of a log of 128 KiB flipped, every sector zeroed, exchanged with every other one,
//! or put back to what it once was. One at a time; none is misread.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use bankd::env::sim::{Random, SimDisk};
use bankd::model::types::BankTime;
use bankd::wal::{Log, Preparer, SegmentSizes, WalError, recover};

use crate::support::{BLOCK, STORE, dir, empty_disk, file, put, read, segment, shared};

const SECTOR: usize = 512;
const SIZE: usize = 64 << 10;
/// Blocks at the end of the second segment that were never written.
const FREE: usize = 2;

/// Two segments of 64 KiB of one life, sealed, and the disk as it was after each batch.
fn log() -> (SimDisk, Vec<SimDisk>) {
    let disk = empty_disk();
    let sizes = SegmentSizes { first: SIZE as u64, max: SIZE as u64 };
    let mut log = Log::create(shared(&disk), dir(), STORE, sizes, 0x5EED, Preparer::Inline).unwrap();
    put(&mut log, b"genesis").unwrap();
    log.commit(BankTime(1), 0).unwrap();
    log.publish().unwrap();
    let (mut random, mut before) = (Random::new(11), vec![disk.snapshot()]);
    // Fifteen blocks in the first segment, and all but a few in the second. One is written; the last holds the seal.
    for blocks in [1, 2, 3, 1, 4, 1, 2, 3, 1, 4, 2, 2] {
        while log.pending() * 108 + 256 + 108 < blocks * BLOCK {
            let bytes: Vec<u8> = (0..100).map(|_| random.next_u64() as u8).collect();
            put(&mut log, &bytes).unwrap();
        }
        log.commit(BankTime(before.len() as u64), 7).unwrap();
        before.push(disk.snapshot());
    }
    log.commit(BankTime(99), 7).unwrap();
    let first = disk.peek(&segment(1)).unwrap();
    let second = disk.peek(&segment(2)).unwrap();
    assert_eq!(first.len() + second.len(), 128 << 10);
    assert!(first.chunks(BLOCK).all(|block| block[0] != 0), "no block of the first segment is free");
    let free = second.chunks(BLOCK).filter(|block| block.iter().all(|byte| *byte == 0)).count();
    assert_eq!(free, FREE);
    (disk, before)
}

/// What became of one change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Refused,
    /// Every entry is there, and something half-written behind them is reported.
    Torn,
    /// Every entry is there, and one damaged slot of the manifest is reported.
    Slot,
    /// Every entry is there, and nothing is reported.
    Unnoticed,
}

fn verdict(disk: &SimDisk, whole: &[Vec<u8>]) -> Verdict {
    // Compared while it is read: a copy of each entry would take a third of the time of these tests.
    let mut same = 0;
    let found = recover(disk, dir(), &mut |batch| {
        for record in batch.records() {
            assert_eq!((record.first.0, record.count), (same as u64 + 1, 1), "LSNs are contiguous");
            assert!(whole.get(same).is_some_and(|entry| entry == record.bytes), "entry {} is misread", same + 1);
            same += 1;
        }
        Ok(())
    });
    match found {
        Err(WalError::Damaged { .. } | WalError::Unsupported { .. }) => Verdict::Refused,
        Err(other) => panic!("{other}"),
        Ok(recovered) => {
            assert_eq!(same, whole.len(), "entries are missing");
            match (recovered.torn.is_some(), recovered.has_damaged_slot) {
                (true, _) => Verdict::Torn,
                (false, true) => Verdict::Slot,
                (false, false) => Verdict::Unnoticed,
            }
        }
    }
}

/// Runs `check` for every number below `count`, on all processors, each with a disk of its own.
fn in_parallel(disk: &SimDisk, count: usize, check: impl Fn(&SimDisk, usize) + Sync) {
    let next = AtomicUsize::new(0);
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let own = disk.snapshot();
                loop {
                    let from = next.fetch_add(64, Ordering::Relaxed);
                    if from >= count {
                        return;
                    }
                    (from..count.min(from + 64)).for_each(|number| check(&own, number));
                }
            });
        }
    });
}

#[test]
fn every_flipped_bit_of_a_log_is_noticed() {
    let (disk, _) = log();
    let (whole, _) = read(&disk).unwrap();
    let since = Instant::now();
    let in_free = AtomicUsize::new(0);
    for sequence in [1, 2] {
        let path = segment(sequence);
        let bytes = disk.peek(&path).unwrap();
        in_parallel(&disk, bytes.len(), |disk, at| {
            for bit in 0..8 {
                disk.poke(&path, at as u64, &[bytes[at] ^ 1 << bit]);
                let found = verdict(disk, &whole);
                let is_free = sequence == 2 && at >= SIZE - FREE * BLOCK;
                let expected = if is_free { Verdict::Torn } else { Verdict::Refused };
                assert_eq!(found, expected, "segment {sequence}, byte {at}, bit {bit}");
                in_free.fetch_add(usize::from(is_free), Ordering::Relaxed);
            }
            disk.poke(&path, at as u64, &[bytes[at]]);
        });
    }
    assert_eq!(in_free.load(Ordering::Relaxed), FREE * BLOCK * 8);
    println!("1,048,576 bits in {:?}", since.elapsed());
}

#[test]
fn every_flipped_bit_of_the_manifest_is_noticed() {
    let (disk, _) = log();
    let (whole, _) = read(&disk).unwrap();
    let path = file("MANIFEST");
    let bytes = disk.peek(&path).unwrap();
    in_parallel(&disk, bytes.len(), |disk, at| {
        for bit in 0..8 {
            disk.poke(&path, at as u64, &[bytes[at] ^ 1 << bit]);
            assert_eq!(verdict(disk, &whole), Verdict::Slot, "byte {at}, bit {bit}");
        }
        disk.poke(&path, at as u64, &[bytes[at]]);
    });
}

/// Where a sector stands, and what is in it.
fn sectors(disk: &SimDisk) -> Vec<(u64, usize, Vec<u8>)> {
    let of = |sequence| {
        let bytes = disk.peek(&segment(sequence)).unwrap();
        bytes.chunks(SECTOR).enumerate().map(|(number, sector)| (sequence, number * SECTOR, sector.to_vec())).collect::<Vec<_>>()
    };
    [of(1), of(2)].concat()
}

/// The seal holds nothing, so if it falls to a sector of zeros, it is dropped as torn, and nothing with it.
fn is_in_seal(sequence: u64, offset: usize) -> bool {
    let seal = SIZE - (FREE + 1) * BLOCK;
    sequence == 2 && (seal..seal + BLOCK).contains(&offset)
}

#[test]
fn every_zeroed_sector_is_noticed() {
    let (disk, _) = log();
    let (whole, _) = read(&disk).unwrap();
    for (sequence, offset, bytes) in sectors(&disk) {
        disk.poke(&segment(sequence), offset as u64, &[0; SECTOR]);
        let expected = match bytes.iter().all(|byte| *byte == 0) {
            true => Verdict::Unnoticed,
            false if is_in_seal(sequence, offset) => Verdict::Torn,
            false => Verdict::Refused,
        };
        assert_eq!(verdict(&disk, &whole), expected, "segment {sequence}, offset {offset}");
        disk.poke(&segment(sequence), offset as u64, &bytes);
    }
}

#[test]
fn every_pair_of_sectors_exchanged_is_noticed() {
    let (disk, _) = log();
    let (whole, _) = read(&disk).unwrap();
    let all = sectors(&disk);
    let alike = AtomicUsize::new(0);
    in_parallel(&disk, all.len(), |disk, one| {
        for other in one + 1..all.len() {
            let (a, b) = (&all[one], &all[other]);
            if a.2 == b.2 {
                alike.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            disk.poke(&segment(a.0), a.1 as u64, &b.2);
            disk.poke(&segment(b.0), b.1 as u64, &a.2);
            let found = verdict(disk, &whole);
            let is_seal = is_in_seal(a.0, a.1) || is_in_seal(b.0, b.1);
            let is_told = found == Verdict::Refused || (is_seal && found == Verdict::Torn);
            assert!(is_told, "{found:?}: segment {} offset {} with segment {} offset {}", a.0, a.1, b.0, b.1);
            disk.poke(&segment(a.0), a.1 as u64, &a.2);
            disk.poke(&segment(b.0), b.1 as u64, &b.2);
        }
    });
    assert!(alike.load(Ordering::Relaxed) < all.len() * all.len() / 10, "padding and free space are alike, most is not");
}

#[test]
fn every_sector_put_back_to_what_it_was_is_noticed() {
    let (disk, before) = log();
    let (whole, _) = read(&disk).unwrap();
    let (mut stale, mut harmless) = (0, 0_usize);
    for older in &before {
        for path in [file("MANIFEST"), segment(1), segment(2)] {
            let (now, then) = (disk.peek(&path).unwrap(), older.peek(&path).unwrap_or_default());
            for (number, (is, was)) in now.chunks(SECTOR).zip(then.chunks(SECTOR)).enumerate() {
                if is == was {
                    continue;
                }
                let offset = number * SECTOR;
                disk.poke(&path, offset as u64, was);
                let found = verdict(&disk, &whole);
                if path == file("MANIFEST") {
                    // An older slot is a whole one, as a crash between the two writes of a change leaves it; the other
                    // slot still names every segment, so that the log that is read is the same (`verdict` compares).
                    assert!(matches!(found, Verdict::Refused | Verdict::Slot | Verdict::Unnoticed));
                    harmless += usize::from(found == Verdict::Unnoticed);
                } else {
                    let is_seal = path == segment(2) && is_in_seal(2, offset);
                    assert_eq!(found, if is_seal { Verdict::Torn } else { Verdict::Refused }, "{} offset {offset}", path.display());
                }
                stale += 1;
                disk.poke(&path, offset as u64, is);
            }
        }
    }
    assert!(stale > 500, "{stale}");
    assert!(harmless <= 2 * before.len(), "{harmless} slots of the manifest were put back unnoticed");
}
