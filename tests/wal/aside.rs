//! A large batch, which a thread writes while its owner goes on: begun is not durable, ended is.

use bankd::env::sim::{Fault, Operation, SimDisk};
use bankd::model::types::BankTime;
use bankd::wal::{Full, Log, Preparer, SegmentSizes, WalError};

use crate::support::{STORE, dir, empty_disk, put, read, shared};

const LARGE: SegmentSizes = SegmentSizes { first: 1 << 20, max: 1 << 20 };
/// More entries than are written on the spot.
const MANY: u32 = 600;

fn store() -> (SimDisk, Log) {
    let disk = empty_disk();
    let mut log = Log::create(shared(&disk), dir(), STORE, LARGE, 1, Preparer::Background).unwrap();
    put(&mut log, b"genesis").unwrap();
    log.commit(BankTime(1), 0).unwrap();
    log.publish().unwrap();
    (disk, log)
}

fn put_many(log: &mut Log) {
    for number in 0..MANY {
        put(log, &number.to_le_bytes()).unwrap();
    }
}

#[test]
fn what_was_ended_survives_and_the_next_batch_grows_meanwhile() {
    let (disk, mut log) = store();
    put_many(&mut log);
    let commit = log.begin_commit(BankTime(2), 0).unwrap();
    put(&mut log, b"next").unwrap();
    assert!(!commit.is_durable() && log.pending() == 1);
    log.finish_commit(commit).unwrap();
    log.commit(BankTime(3), 0).unwrap();
    put(&mut log, b"never committed").unwrap();
    drop(log);
    disk.crash_with(&mut |_| false);
    assert_eq!(read(&disk).unwrap().0.len(), 2 + MANY as usize);
}

#[test]
fn a_second_batch_waits_for_the_first() {
    let (_, mut log) = store();
    put_many(&mut log);
    let _in_flight = log.begin_commit(BankTime(2), 0).unwrap();
    put(&mut log, b"next").unwrap();
    assert!(matches!(log.begin_commit(BankTime(2), 0), Err(WalError::Misuse(_))));
}

#[test]
fn batches_on_the_spot_and_aside_follow_one_another() {
    let (disk, mut log) = store();
    let mut count = 1;
    for round in 0..20 {
        if round % 3 == 0 {
            put(&mut log, b"small").unwrap();
            count += 1;
        } else {
            put_many(&mut log);
            count += MANY as usize;
        }
        let commit = log.begin_commit(BankTime(round), 0).unwrap();
        let (chain, lsn) = (log.chain(), log.end_lsn());
        log.finish_commit(commit).unwrap();
        assert_eq!((log.chain(), log.end_lsn()), (chain, lsn), "known as soon as it was begun");
    }
    drop(log);
    disk.crash_with(&mut |_| false);
    assert_eq!(read(&disk).unwrap().0.len(), count);
}

#[test]
fn a_failure_is_returned_at_the_end_and_from_then_on() {
    for only in [Operation::Write, Operation::Sync] {
        let (disk, mut log) = store();
        put_many(&mut log);
        disk.fail(Fault { at: 0, only: Some(only), is_sticky: true, errno: 5 });
        // The thread that makes segments may meet it first, and then the beginning of the commit returns it.
        let error = log.begin_commit(BankTime(2), 0).and_then(|commit| log.finish_commit(commit)).unwrap_err();
        assert!(matches!(&error, WalError::Io { .. }), "{error}");
        assert!(matches!(log.commit(BankTime(2), 0), Err(WalError::Latched(_))));
        assert_eq!(put(&mut log, b"x"), Err(Full::Batch));
    }
}

#[test]
fn a_log_that_goes_away_ends_what_it_was_writing() {
    let (disk, mut log) = store();
    put_many(&mut log);
    let _in_flight = log.begin_commit(BankTime(2), 0).unwrap();
    drop(log);
    // No thread writes any more, and all of it is there.
    disk.crash_with(&mut |_| false);
    assert_eq!(read(&disk).unwrap().0.len(), 1 + MANY as usize);
}
