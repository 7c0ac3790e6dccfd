//! Bytes that no crash can have left: refused, with file, offset and the last good batch; never misread.

use bankd::env::sim::{Random, SimDisk};
use bankd::model::types::BankTime;
use bankd::wal::{Log, Recovered, WalError};

use crate::support::{BLOCK, commit, essence, is_damage, new_store, put, read, reopen, segment};

/// A store whose last batch with entries takes `blocks` blocks, at the returned offset of segment 1.
fn with_last_batch(blocks: usize) -> (SimDisk, Log, usize) {
    let (disk, mut log) = new_store();
    commit(&mut log, &[b"one", b"two"]);
    let offset = 3 * BLOCK;
    let mut length = 256;
    while length + 308 < blocks * BLOCK {
        put(&mut log, &[0; 300]).unwrap();
        length += 308;
    }
    log.commit(BankTime(100), 7).unwrap();
    (disk, log, offset)
}

/// Zeroes a range of segment 1 in a copy, and reads that.
fn read_zeroed(disk: &SimDisk, from: usize, to: usize) -> Result<(Vec<Vec<u8>>, Recovered), WalError> {
    let copy = disk.snapshot();
    copy.poke(&segment(1), from as u64, &vec![0; to - from]);
    read(&copy)
}

#[test]
fn a_log_zeroed_from_any_byte_of_its_last_batch_is_as_before_it_or_refused() {
    for blocks in [1, 3] {
        let (disk, log, offset) = with_last_batch(blocks);
        drop(log);
        let end = offset + blocks * BLOCK;
        let bytes = disk.peek(&segment(1)).unwrap();
        assert!(bytes[end - 1] == 0xFF && bytes[end] == 0, "the batch ends where it should");
        for cut in offset..end {
            let result = read_zeroed(&disk, cut, end);
            let is_unwritten = |sector: &usize| bytes[*sector..cut.clamp(*sector, sector + 512)].iter().all(|byte| *byte == 0);
            let has_zero_sector = (offset..end).step_by(512).any(|sector| is_unwritten(&sector));
            match result {
                Ok((entries, recovered)) => {
                    assert!(has_zero_sector, "cut at {cut}");
                    assert_eq!((entries.len(), recovered.end.batch_number), (3, 2), "cut at {cut}");
                    let torn = recovered.torn.map(|torn| (torn.position.offset, torn.batch_number));
                    assert_eq!(torn, (cut > offset).then_some((offset as u64, 3)), "cut at {cut}");
                }
                Err(WalError::Damaged { file, offset: at, last_good, .. }) => {
                    assert!(!has_zero_sector, "cut at {cut}");
                    assert_eq!((file.as_str(), at, last_good), ("0000000001.seg", offset as u64, Some(2)));
                }
                Err(other) => panic!("cut at {cut}: {other}"),
            }
        }
    }
}

#[test]
fn behind_a_seal_no_zeroing_is_torn() {
    let (disk, mut log, offset) = with_last_batch(2);
    commit(&mut log, &[]);
    drop(log);
    for cut in offset..offset + 2 * BLOCK {
        let result = read_zeroed(&disk, cut, offset + 2 * BLOCK);
        assert!(is_damage(&result), "cut at {cut}");
    }
}

#[test]
fn every_changed_byte_of_the_last_batch_is_refused() {
    for is_sealed in [false, true] {
        let (disk, mut log, offset) = with_last_batch(2);
        if is_sealed {
            commit(&mut log, &[]);
        }
        drop(log);
        let bytes = disk.peek(&segment(1)).unwrap();
        for (at, byte) in bytes.iter().enumerate().skip(offset).take((2 + usize::from(is_sealed)) * BLOCK) {
            disk.poke(&segment(1), at as u64, &[byte ^ 1 << (at % 8)]);
            assert!(is_damage(&read(&disk)), "byte {at}");
            disk.poke(&segment(1), at as u64, &[*byte]);
        }
        assert!(read(&disk).is_ok());
    }
}

/// A log over three segments and two incarnations, with batches of one to five blocks.
fn long_log() -> SimDisk {
    let (disk, mut log) = new_store();
    for life in 0..2 {
        for turn in 0..14_u64 {
            for number in 0..(turn % 5) * 10 {
                put(&mut log, &[(turn + number) as u8; 300]).unwrap();
            }
            log.commit(BankTime(turn + 100 * life), 7).unwrap();
        }
        drop(log);
        log = reopen(&disk);
    }
    commit(&mut log, &[b"last"]);
    disk
}

/// What a damaged copy may say: refusal, or all there was, or all but the last batch, with a loud line.
fn check_rotten(copy: &SimDisk, whole: &[Vec<u8>], what: &str) -> bool {
    match read(copy) {
        Err(WalError::Damaged { .. }) => true,
        Err(other) => panic!("{what}: {other}"),
        Ok((entries, recovered)) => {
            let is_dropped = entries.len() + 1 == whole.len() && recovered.torn.is_some();
            assert!(is_dropped || entries.len() == whole.len(), "{what}: {} of {} entries", entries.len(), whole.len());
            assert_eq!(entries, whole[..entries.len()], "{what}");
            false
        }
    }
}

#[test]
fn any_changed_bit_and_any_zeroed_or_swapped_sector_is_refused_or_harmless() {
    let disk = long_log();
    let (whole, before) = read(&disk).unwrap();
    assert!(before.end.position.segment >= 4 && before.batches > 28);
    let mut random = Random::new(1);
    let mut refused = 0;
    for sequence in 1..=before.end.position.segment {
        let bytes = disk.peek(&segment(sequence)).unwrap();
        let used = bytes.iter().rposition(|byte| *byte != 0).unwrap() / BLOCK * BLOCK + BLOCK;
        for sector in 0..used / 512 {
            let at = sector * 512;
            let copy = disk.snapshot();
            copy.poke(&segment(sequence), at as u64, &[0; 512]);
            refused += u32::from(check_rotten(&copy, &whole, &format!("segment {sequence}, sector {sector} zeroed")));
            let other = random.index(used / 512) * 512;
            let copy = disk.snapshot();
            copy.poke(&segment(sequence), at as u64, &bytes[other..other + 512]);
            copy.poke(&segment(sequence), other as u64, &bytes[at..at + 512]);
            refused += u32::from(check_rotten(&copy, &whole, &format!("segment {sequence}, sectors {at} and {other} swapped")));
            let bit = random.index(512 * 8);
            let copy = disk.snapshot();
            copy.poke(&segment(sequence), (at + bit / 8) as u64, &[bytes[at + bit / 8] ^ 1 << (bit % 8)]);
            assert!(check_rotten(&copy, &whole, "a bit"), "segment {sequence}, bit {bit} of sector {sector}");
            refused += 1;
        }
    }
    assert!(refused > 500, "{refused}");
}

#[test]
fn a_block_of_another_place_is_refused() {
    let disk = long_log();
    let (whole, _) = read(&disk).unwrap();
    let bytes = disk.peek(&segment(1)).unwrap();
    for from in 1..16 {
        for to in 1..16 {
            let (from, to) = (from * BLOCK, to * BLOCK);
            if bytes[from..from + BLOCK] != bytes[to..to + BLOCK] {
                let copy = disk.snapshot();
                copy.poke(&segment(1), to as u64, &bytes[from..from + BLOCK]);
                assert!(check_rotten(&copy, &whole, "a misdirected block"), "{from} over {to}");
            }
        }
    }
}

#[test]
fn what_replay_refuses_is_damage_at_that_batch() {
    let (disk, mut log) = new_store();
    commit(&mut log, &[b"one"]);
    drop(log);
    let refused = bankd::wal::recover(&disk, crate::support::dir(), &mut |batch| {
        if batch.header.number == 2 { Err("another outcome".to_owned()) } else { Ok(()) }
    });
    let error = refused.unwrap_err();
    assert_eq!(error.to_string(), "the log is damaged at 0000000001.seg, offset 8192, after the good batch 1: another outcome");
}

#[test]
fn reading_writes_nothing_and_reads_the_same_twice() {
    use bankd::env::sim::Operation;
    let disk = long_log();
    let writes = |disk: &SimDisk| {
        [Operation::Write, Operation::Create, Operation::Rename, Operation::Remove, Operation::SetLen].map(|kind| disk.count(kind))
    };
    let before = writes(&disk);
    let (entries, recovered) = read(&disk).unwrap();
    let (again, recovered_again) = read(&disk).unwrap();
    assert_eq!((entries, essence(&recovered)), (again, essence(&recovered_again)));
    assert_eq!(writes(&disk), before);
}
