//! Calls that fail: no entry is acknowledged, nothing is tried again, and the next start finds what was acknowledged.

use std::time::{Duration, Instant};

use bankd::env::sim::{Fault, Operation, SimDisk};
use bankd::model::types::BankTime;
use bankd::wal::{Full, Log, Preparer, WalError};

use crate::support::{BLOCK, SMALL, STORE, commit, dir, empty_disk, new_store, put, read, reopen, shared, start};

/// A life that uses everything: recovery, start, batches over several segments, a seal. Returns what was acknowledged
/// and what was in flight when it failed.
fn life(disk: &SimDisk) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let (mut acked, mut in_flight) = (Vec::new(), Vec::new());
    let Ok((_, recovered)) = read(disk) else { return (acked, in_flight) };
    let Ok(mut log) = start(disk, recovered, 5) else { return (acked, in_flight) };
    for turn in 0..8_u8 {
        for number in 0..40 {
            let bytes = [turn, number, 1, 2, 3].repeat(100);
            match put(&mut log, &bytes) {
                Ok(_) => in_flight.push(bytes),
                Err(_) => break,
            }
        }
        if log.commit(BankTime(u64::from(turn)), 0).is_err() {
            assert!(matches!(log.commit(BankTime(99), 0), Err(WalError::Latched(_))), "it stays stopped");
            assert_eq!(put(&mut log, b"more"), Err(Full::Batch), "it stays stopped");
            assert!(log.has_room() && log.poll().is_err() && log.publish().is_err());
            return (acked, in_flight);
        }
        acked.append(&mut in_flight);
    }
    let _ = log.commit(BankTime(9), 0);
    (acked, in_flight)
}

#[test]
fn every_call_failing_once_or_for_good_loses_nothing_that_was_acknowledged() {
    let (whole, log) = new_store();
    drop(log);
    let begin = whole.operations();
    let template = whole.snapshot();
    let (all, _) = life(&whole);
    assert!(all.len() == 320 && whole.operations() - begin > 60);
    let mut stopped = 0;
    for at in begin + 1..=whole.operations() {
        for (is_sticky, errno) in [(false, 5), (true, 5), (false, 28), (true, 122), (true, 30), (false, 24), (true, 24)] {
            for seed in 0..3 {
                let disk = template.snapshot();
                disk.fail(Fault { at, only: None, is_sticky, errno });
                let (acked, in_flight) = life(&disk);
                stopped += u32::from(acked.len() < all.len());
                disk.heal();
                if seed == 0 {
                    disk.kill()
                } else {
                    disk.crash(seed)
                }
                let (entries, _) = read(&disk).unwrap_or_else(|error| panic!("operation {at}, error {errno}: {error}"));
                let longest = [acked.clone(), in_flight].concat();
                assert!(entries[1..] == acked || entries[1..] == longest, "operation {at}, error {errno}");
                commit(&mut reopen(&disk), &[b"goes on"]);
                assert_eq!(read(&disk).unwrap().0.len(), entries.len() + 1);
            }
        }
    }
    assert!(stopped > 500, "{stopped}");
}

#[test]
fn a_failed_sync_is_not_believed_by_the_next_life() {
    let (disk, mut log) = new_store();
    disk.fail(Fault { at: 0, only: Some(Operation::Sync), is_sticky: false, errno: 5 });
    put(&mut log, b"not durable").unwrap();
    let error = log.commit(BankTime(2), 0).unwrap_err();
    assert_eq!(error.to_string(), "the log failed to sync 0000000001.seg: Input/output error (os error 5)");
    drop(log);
    disk.kill();
    assert_eq!(read(&disk).unwrap().0, [b"genesis"], "the page cache has it, the device does not");
}

/// Commits single-block batches until there is no space for the next segment.
fn fill(log: &mut Log) -> u64 {
    for count in 0.. {
        match put(log, b"x") {
            Ok(_) => log.commit(BankTime(1), 0).unwrap(),
            Err(full) => {
                assert_eq!(full, Full::NoSpace);
                return count;
            }
        }
    }
    0
}

#[test]
fn without_space_for_a_segment_the_log_waits_and_then_goes_on() {
    let (disk, mut log) = new_store();
    disk.set_capacity(Some(100 << 10));
    assert_eq!(fill(&mut log), 14, "a segment of 64 KiB holds 15 blocks");
    assert!(!log.has_room() && !log.needs_seal() && log.pending() == 0, "no seal is due while there is no room for it");
    log.commit(BankTime(1), 0).unwrap();

    drop(log);
    disk.crash(1);
    // A start finds no space either, and is there all the same.
    let mut log = reopen(&disk);
    assert!(!log.has_room());
    assert_eq!(put(&mut log, b"y"), Err(Full::NoSpace));
    disk.set_capacity(None);
    assert!(!log.has_room(), "a question makes nothing");
    log.poll().unwrap();
    assert!(log.has_room());
    commit(&mut log, &[b"y"]);
    drop(log);
    assert_eq!(read(&disk).unwrap().0.len(), 16);
}

/// Whichever call on the way to a segment finds the table of open descriptors full: it is like a full disk.
#[test]
fn without_a_descriptor_the_log_waits_and_then_goes_on() {
    for errno in [24, 23] {
        for only in [Operation::Exists, Operation::Create, Operation::Rename, Operation::SyncDir] {
            let (disk, mut log) = new_store();
            disk.fail(Fault { at: 0, only: Some(only), is_sticky: true, errno });
            let acked = fill(&mut log);
            assert!(acked > 10 && !log.has_room() && !log.needs_seal(), "{only:?}");
            for _ in 0..3 {
                log.poll().unwrap_or_else(|error| panic!("{only:?}, error {errno}: {error}"));
            }
            disk.heal();
            log.poll().unwrap();
            assert!(log.has_room() && log.needs_seal(), "{only:?}");
            commit(&mut log, &[b"y"]);
            drop(log);
            disk.crash(acked);
            assert_eq!(read(&disk).unwrap().0.len() as u64, acked + 2, "{only:?}");
        }
    }
}

/// Nothing that a commit calls takes a descriptor: the segment is open, and so is the next.
#[test]
fn a_commit_takes_no_descriptor() {
    let (disk, mut log) = new_store();
    let before = disk.operations();
    let count = |disk: &SimDisk| [Operation::Create, Operation::Open, Operation::List, Operation::SyncDir].map(|kind| disk.count(kind));
    let opened = count(&disk);
    commit(&mut log, &[b"x"]);
    assert_eq!(count(&disk), opened);
    assert_eq!(disk.operations(), before + 2, "one write, one sync");
}

#[test]
fn the_thread_resumes_within_a_second_of_space_coming_back() {
    let disk = empty_disk();
    let mut log = Log::create(shared(&disk), dir(), STORE, SMALL, 1, Preparer::Background).unwrap();
    disk.set_capacity(Some(100 << 10));
    commit(&mut log, &[b"genesis"]);
    log.publish().unwrap();
    assert_eq!(fill(&mut log), 14);
    assert!(!log.has_room());
    disk.set_capacity(None);
    let since = Instant::now();
    while !log.has_room() {
        assert!(since.elapsed() < Duration::from_secs(20), "service resumes by itself");
        std::thread::sleep(Duration::from_millis(5));
        log.poll().unwrap();
    }
    commit(&mut log, &[b"again"]);
    drop(log);
    assert_eq!(read(&disk).unwrap().0.len(), 16);
}

#[test]
fn an_error_of_the_thread_ends_the_log() {
    let disk = empty_disk();
    let mut log = Log::create(shared(&disk), dir(), STORE, SMALL, 1, Preparer::Background).unwrap();
    disk.fail(Fault { at: 0, only: Some(Operation::Rename), is_sticky: true, errno: 5 });
    // The first batch of a segment asks for the next one.
    put(&mut log, b"genesis").unwrap();
    log.commit(BankTime(1), 0).unwrap();
    let since = Instant::now();
    let error = loop {
        assert!(since.elapsed() < Duration::from_secs(20), "the error must come back");
        if let Err(error) = log.poll() {
            break error;
        }
    };
    assert_eq!(error.to_string(), "the log failed to rename 0000000002.seg.tmp: Input/output error (os error 5)");
    assert!(matches!(log.commit(BankTime(1), 0), Err(WalError::Latched(_))));
}

#[test]
fn impossible_entries_stop_the_log_instead_of_reaching_the_disk() {
    for bytes in [vec![], vec![0; bankd::wal::MAX_ENTRY + 1]] {
        let (disk, mut log) = new_store();
        let before = disk.count(Operation::Write);
        assert_eq!(put(&mut log, &bytes), Err(Full::Batch));
        assert!(log.commit(BankTime(1), 0).is_err());
        assert_eq!(disk.count(Operation::Write), before);
    }
}

#[test]
fn a_full_batch_is_committed_first_and_takes_what_an_empty_segment_holds() {
    let (disk, mut log) = new_store();
    let mut count = 0;
    // The spare-to-be has 128 KiB: 31 blocks for batches.
    while put(&mut log, &[1; 496]).is_ok() {
        count += 1;
    }
    assert_eq!(count, (31 * BLOCK - 256) / 504);
    assert_eq!(log.pending(), count);
    log.commit(BankTime(1), 0).unwrap();
    put(&mut log, &[1; 496]).unwrap();
    log.commit(BankTime(1), 0).unwrap();
    drop(log);
    let (entries, recovered) = read(&disk).unwrap();
    assert_eq!((entries.len(), recovered.end.position.segment), (count + 2, 3));
}

#[test]
fn a_bank_time_that_goes_back_does_not_reach_the_disk() {
    let (disk, mut log) = new_store();
    put(&mut log, b"later").unwrap();
    log.commit(BankTime(50), 0).unwrap();
    put(&mut log, b"earlier").unwrap();
    log.commit(BankTime(40), 0).unwrap();
    drop(log);
    assert_eq!(read(&disk).unwrap().1.end.bank_time, BankTime(50));
}
