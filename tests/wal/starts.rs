//! Starts: what one that logs nothing leaves, what one that crashes leaves, and what a voucher makes void.

use std::collections::BTreeMap;

use bankd::env::Disk;
use bankd::env::sim::{Fault, Operation, Random, SimDisk};
use bankd::model::types::BankTime;
use bankd::wal::Log;

use crate::support::{BLOCK, commit, dir, file, is_damage, new_store, put, read, reopen, segment};

/// Every file and its bytes.
fn files(disk: &SimDisk) -> BTreeMap<String, Vec<u8>> {
    disk.list(dir()).unwrap().into_iter().map(|name| (name.clone(), disk.peek(&file(&name)).unwrap())).collect()
}

/// A batch that is on the disk only in part when the process is gone.
fn tear(disk: &SimDisk, mut log: Log, skipped: u64) {
    disk.fail(Fault { at: 0, only: Some(Operation::Sync), is_sticky: false, errno: 5 });
    put(&mut log, b"torn").unwrap();
    assert!(log.commit(BankTime(200), 7).is_err());
    drop(log);
    let mut sector = 0;
    disk.crash_with(&mut |_| {
        sector += 1;
        sector - 1 != skipped
    });
}

#[test]
fn a_thousand_starts_that_log_nothing_leave_one_spare() {
    for is_torn in [false, true] {
        let (disk, mut log) = new_store();
        commit(&mut log, &[b"one"]);
        if is_torn {
            tear(&disk, log, 3)
        } else {
            drop(log)
        }
        drop(reopen(&disk));
        let first = files(&disk);
        assert_eq!(first.keys().map(String::as_str).collect::<Vec<_>>(), ["0000000001.seg", "0000000002.seg", "MANIFEST"]);
        for _ in 0..1000 {
            drop(reopen(&disk));
        }
        assert_eq!(files(&disk), first);
        let (entries, recovered) = read(&disk).unwrap();
        assert_eq!((entries.len(), recovered.torn.is_some()), (2, is_torn));
    }
}

#[test]
fn temporaries_go_once_the_verdict_is_in_and_never_before() {
    let (disk, log) = new_store();
    drop(log);
    disk.create(&file("0000000009.seg.tmp")).unwrap();
    let bytes = disk.peek(&segment(1)).unwrap();
    disk.poke(&segment(1), 4096 + 300, &[1]);
    assert!(is_damage(&read(&disk)));
    assert!(disk.exists(&file("0000000009.seg.tmp")).unwrap());
    disk.poke(&segment(1), 0, &bytes);
    drop(reopen(&disk));
    assert!(!disk.exists(&file("0000000009.seg.tmp")).unwrap());
}

#[test]
fn starts_that_crash_in_their_first_batch_never_happened() {
    let (disk, mut log) = new_store();
    commit(&mut log, &[b"one"]);
    tear(&disk, log, 0);
    for number in 1..6_usize {
        let (entries, recovered) = read(&disk).unwrap();
        assert_eq!(entries.len(), 2);
        let torn = recovered.torn.clone().unwrap();
        assert_eq!((torn.position.segment, torn.batch_number, torn.more), (1, 3, number - 1));
        assert!(torn.to_string().starts_with("torn tail dropped: a crash left batch 3 half-written (0000000001.seg, offset 12288"));
        tear(&disk, reopen(&disk), number as u64 % 8);
    }
    let mut log = reopen(&disk);
    commit(&mut log, &[b"two"]);
    drop(log);
    let (entries, recovered) = read(&disk).unwrap();
    assert_eq!((entries.len(), recovered.torn, recovered.end.position.segment), (3, None, 7));
    assert_eq!(recovered.end.incarnation.counter, 2, "a start that never happened has no number");
}

#[test]
fn what_a_voucher_made_void_stays_so_whatever_stands_there() {
    let (disk, mut log) = new_store();
    commit(&mut log, &[b"one"]);
    // The same batch, whole: as a disk might bring it back later.
    let whole = disk.snapshot();
    tear(&disk, log, 2);
    let mut other = reopen(&whole);
    commit(&mut other, &[b"late"]);
    let mut log = reopen(&disk);
    commit(&mut log, &[b"two"]);
    drop(log);
    let before = read(&disk).unwrap().0;
    assert_eq!(before, [b"genesis".to_vec(), b"one".to_vec(), b"two".to_vec()]);
    let mut random = Random::new(3);
    for _ in 0..200 {
        let at = 3 * BLOCK + random.index(13 * BLOCK);
        disk.poke(&segment(1), at as u64, &[random.next_u64() as u8]);
        assert_eq!(read(&disk).unwrap().0, before);
    }
    let resurrected = &whole.peek(&segment(2)).unwrap()[BLOCK..2 * BLOCK];
    disk.poke(&segment(1), 3 * BLOCK as u64, resurrected);
    assert_eq!(read(&disk).unwrap().0, before);
}

#[test]
fn a_batch_that_comes_back_whole_before_its_voucher_is_void() {
    let (disk, mut log) = new_store();
    commit(&mut log, &[b"one"]);
    let whole = disk.snapshot();
    let mut twin = {
        // The same incarnation goes on in the copy: byte for byte what was in flight.
        let copy = whole.snapshot();
        disk.fail(Fault { at: 0, only: Some(Operation::Sync), is_sticky: false, errno: 5 });
        put(&mut log, b"torn").unwrap();
        assert!(log.commit(BankTime(200), 7).is_err());
        drop(log);
        copy.poke(&segment(1), 0, &disk.peek(&segment(1)).unwrap());
        copy.peek(&segment(1)).unwrap()
    };
    let mut sector = 0;
    disk.crash_with(&mut |_| {
        sector += 1;
        sector != 4
    });
    let mut log = reopen(&disk);
    commit(&mut log, &[b"two"]);
    drop(log);
    let before = read(&disk).unwrap().0;
    disk.poke(&segment(1), 0, &std::mem::take(&mut twin));
    assert_eq!(read(&disk).unwrap().0, before, "the start that answered without it stands");
    // Without that start's word, it would count.
    disk.poke(&segment(2), 4096, &[0; BLOCK]);
    assert_eq!(read(&disk).unwrap().0.last().unwrap(), b"torn");
}

#[test]
fn a_start_that_is_damaged_is_not_one_that_never_happened() {
    let (disk, mut log) = new_store();
    commit(&mut log, &[b"one"]);
    tear(&disk, log, 1);
    let mut log = reopen(&disk);
    commit(&mut log, &[b"two"]);
    let unsealed = disk.snapshot();
    commit(&mut log, &[b"three"]);
    drop(log);
    for at in 0..BLOCK as u64 {
        let copy = unsealed.snapshot();
        let byte = copy.peek(&segment(2)).unwrap()[BLOCK + at as usize];
        copy.poke(&segment(2), BLOCK as u64 + at, &[byte ^ 0x20]);
        assert!(is_damage(&read(&copy)), "byte {at} of the only batch");
    }
    for sector in 0..8 {
        let copy = disk.snapshot();
        copy.poke(&segment(2), BLOCK as u64 + sector * 512, &[0; 512]);
        assert!(is_damage(&read(&copy)), "sector {sector} of the first of two batches");
    }
}
