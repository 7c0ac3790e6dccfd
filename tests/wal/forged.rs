//! Batches whose checksums and chain hold, in a place where they do not belong: every field is checked by itself.

use bankd::env::sim::SimDisk;
use bankd::model::types::BankTime;
use sha2::{Digest, Sha256};

use crate::support::{BLOCK, commit, is_damage, new_store, put, read, reopen, segment};

/// The end of the records of the one-block batch that is forged: one entry of five bytes.
const END: usize = 256 + 8 + 5;

/// Reads a copy whose batch at block `number` of a segment was changed, with its chain and checksum made to hold.
fn read_forged(disk: &SimDisk, sequence: u64, number: usize, change: impl FnOnce(&mut [u8])) -> bool {
    let copy = disk.snapshot();
    let mut block = copy.peek(&segment(sequence)).unwrap()[number * BLOCK..(number + 1) * BLOCK].to_vec();
    let records_crc = block[260..264].to_vec();
    change(&mut block);
    if block[260..264] == records_crc {
        let crc = crc32fast::hash(&block[264..END]);
        block[260..264].copy_from_slice(&crc.to_le_bytes());
    }
    let chain = Sha256::digest(&block[204..END]);
    block[64..96].copy_from_slice(&chain);
    let crc = crc32fast::hash(&block[12..256]);
    block[8..12].copy_from_slice(&crc.to_le_bytes());
    copy.poke(&segment(sequence), (number * BLOCK) as u64, &block);
    let result = read(&copy);
    assert!(result.is_ok() || is_damage(&result), "{:?}", result.err());
    result.is_ok()
}

/// Two batches in segment 1, and a start's first in segment 2.
fn store() -> SimDisk {
    let (disk, mut log) = new_store();
    put(&mut log, b"entry").unwrap();
    log.commit(BankTime(100), 7).unwrap();
    drop(log);
    disk
}

#[test]
fn a_batch_with_any_field_of_another_is_refused() {
    let disk = store();
    assert!(read_forged(&disk, 1, 2, |_| {}), "what is forged alike is the same");
    assert!(read_forged(&disk, 1, 2, |block| block[264..269].copy_from_slice(b"ENTRY")), "the log knows bytes, not banks");
    let fields: [(&str, usize, u8); 17] = [
        ("store", 16, 1),
        ("incarnation counter", 32, 2),
        ("incarnation random", 40, 9),
        ("number, the one before", 48, 1),
        ("number, one too far", 48, 3),
        ("voucher kind", 96, 1),
        ("voucher zero", 97, 1),
        ("voucher without kind", 120, 1),
        ("reserved", 160, 1),
        ("payload length", 200, 12),
        ("payload length, more", 200, 14),
        ("chain before", 204, 1),
        ("first LSN", 236, 3),
        ("count", 244, 2),
        ("bank time", 248, 0),
        ("record length", 256, 4),
        ("record checksum", 260, 1),
    ];
    for (name, at, value) in fields {
        assert!(!read_forged(&disk, 1, 2, |block| block[at] = value), "{name}");
    }
    assert!(!read_forged(&disk, 1, 2, |block| block[200..204].copy_from_slice(&u32::MAX.to_le_bytes())), "a giant");
    assert!(!read_forged(&disk, 1, 2, |block| block[256..260].copy_from_slice(&u32::MAX.to_le_bytes())), "a giant record");
}

#[test]
fn a_chain_head_that_is_not_the_hash_is_refused() {
    let disk = store();
    let copy = disk.snapshot();
    let mut header = copy.peek(&segment(1)).unwrap()[2 * BLOCK..2 * BLOCK + 256].to_vec();
    header[70] ^= 1;
    let crc = crc32fast::hash(&header[12..]);
    header[8..12].copy_from_slice(&crc.to_le_bytes());
    copy.poke(&segment(1), 2 * BLOCK as u64, &header);
    assert!(read(&copy).err().unwrap().to_string().contains("the chain of batch 2 does not hold"));
}

#[test]
fn a_voucher_counts_only_if_it_names_the_very_end() {
    let disk = store();
    let mut log = reopen(&disk);
    put(&mut log, b"start").unwrap();
    log.commit(BankTime(100), 7).unwrap();
    drop(log);
    assert!(read_forged(&disk, 2, 1, |_| {}));
    for (name, at, value) in [
        ("counter not higher", 32, 1),
        ("kind none", 96, 0),
        ("kind unknown", 96, 3),
        ("segment", 104, 2),
        ("offset", 113, 0x20),
        ("batch number", 120, 1),
        ("chain", 128, 1),
    ] {
        let is_read = |disk| read_forged(disk, 2, 1, |block| block[at] = if block[at] == value { value ^ 0x40 } else { value });
        assert!(!is_read(&disk), "{name}");
    }
    assert!(read_forged(&disk, 2, 1, |block| block[96] = 2), "a repair vouches as well");
}

#[test]
fn a_repair_overrules_a_start_that_vouches_for_the_same_end() {
    let disk = store();
    let mut log = reopen(&disk);
    put(&mut log, b"start").unwrap();
    log.commit(BankTime(100), 7).unwrap();
    drop(log);
    let first = disk.peek(&segment(2)).unwrap()[BLOCK..2 * BLOCK].to_vec();
    // The next start makes segment 3; there the same end is vouched for once more, by a repair.
    drop(reopen(&disk));
    assert!(read(&disk).is_ok());
    for (kind, is_sound) in [(1, false), (2, true)] {
        let copy = disk.snapshot();
        copy.poke(&segment(3), BLOCK as u64, &first);
        let repaired = |block: &mut [u8]| {
            block[96] = kind;
            block[32] = 3;
            block[264..269].copy_from_slice(b"other");
        };
        assert_eq!(read_forged(&copy, 3, 1, repaired), is_sound, "kind {kind}");
    }
}

#[test]
fn fragments_beyond_one_batch_are_refused() {
    let (disk, mut log) = new_store();
    commit(&mut log, &[b"one"]);
    let before = disk.snapshot();
    put(&mut log, b"entry").unwrap();
    log.commit(BankTime(100), 7).unwrap();
    drop(log);
    let torn = |disk: &SimDisk| disk.poke(&segment(1), (3 * BLOCK + 1024) as u64, &[0; 512]);
    torn(&disk);
    assert!(read(&disk).unwrap().1.torn.is_some());
    // Its header says one block; something stands in the next.
    disk.poke(&segment(1), (4 * BLOCK + 700) as u64, &[1]);
    assert!(is_damage(&read(&disk)));
    // Without a header, what was written must still fit one batch and leave a sector unwritten.
    before.poke(&segment(1), (3 * BLOCK + 700) as u64, &[1]);
    assert_eq!(read(&before).unwrap().1.torn.unwrap().bytes, BLOCK as u64);
    before.poke(&segment(1), (9 * BLOCK + 700) as u64, &[1]);
    assert_eq!(read(&before).unwrap().1.torn.unwrap().bytes, 7 * BLOCK as u64);
    before.poke(&segment(1), (3 * BLOCK) as u64, &[1; 13 * BLOCK]);
    assert!(is_damage(&read(&before)));
}

#[test]
fn something_written_after_an_untouched_segment_is_refused() {
    let (disk, mut log) = new_store();
    for _ in 0..3 {
        for _ in 0..90 {
            put(&mut log, &[7; 496]).unwrap();
        }
        log.commit(BankTime(1), 0).unwrap();
    }
    drop(log);
    drop(reopen(&disk));
    let (_, recovered) = read(&disk).unwrap();
    assert_eq!(recovered.end.position.segment, 2);
    // Segments 2 and 3 as if never used, and then a fragment in 3.
    disk.poke(&segment(2), BLOCK as u64, &[0; 31 * BLOCK]);
    assert!(read(&disk).is_ok(), "which nothing on this disk can tell from a log that ends here");
    disk.poke(&segment(3), BLOCK as u64 + 700, &[1]);
    assert!(read(&disk).err().unwrap().to_string().contains("nothing to segment 2 before it"));
}

#[test]
fn a_torn_start_must_vouch_for_the_very_end_too() {
    let disk = store();
    let mut log = reopen(&disk);
    put(&mut log, b"start").unwrap();
    log.commit(BankTime(100), 7).unwrap();
    drop(log);
    disk.poke(&segment(2), (BLOCK + 1024) as u64, &[0; 512]);
    assert!(read_forged(&disk, 2, 1, |_| {}), "torn, with a whole header");
    for (name, at) in [("segment", 104), ("offset", 113), ("batch number", 120), ("chain", 128)] {
        assert!(!read_forged(&disk, 2, 1, |block| block[at] ^= 0x40), "{name}");
    }
}

#[test]
fn fragments_further_apart_than_the_largest_batch_are_refused() {
    let disk = crate::support::empty_disk();
    let sizes = bankd::wal::SegmentSizes { first: 4 << 20, max: 4 << 20 };
    let shared = crate::support::shared(&disk);
    let mut log =
        bankd::wal::Log::create(shared, crate::support::dir(), crate::support::STORE, sizes, 1, bankd::wal::Preparer::Inline).unwrap();
    commit(&mut log, &[b"genesis"]);
    log.publish().unwrap();
    drop(log);
    let end = 2 * BLOCK as u64;
    disk.poke(&segment(1), end, &[1]);
    disk.poke(&segment(1), end + (1 << 20) - 1, &[1]);
    assert_eq!(read(&disk).unwrap().1.torn.unwrap().bytes, 1 << 20);
    disk.poke(&segment(1), end + (1 << 20), &[1]);
    assert!(is_damage(&read(&disk)));
}
