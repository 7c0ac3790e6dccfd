//! A log on a simulated disk, and what is known about it: which entries were acknowledged, in order.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bankd::env::Disk;
use bankd::env::sim::SimDisk;
use bankd::model::types::{BankTime, Chain, Lsn, StoreId};
use bankd::wal::recover;
use bankd::wal::{Full, Log, Preparer, Recovered, SegmentSizes, WalError};

pub const STORE: StoreId = StoreId([0xB5; 16]);
pub const SMALL: SegmentSizes = SegmentSizes { first: 64 << 10, max: 128 << 10 };
pub const BLOCK: usize = 4096;

/// The data directory on the simulated disk.
pub fn dir() -> &'static Path {
    Path::new("/store")
}

pub fn file(name: &str) -> PathBuf {
    dir().join(name)
}

pub fn segment(sequence: u64) -> PathBuf {
    file(&bankd::wal::file_name(sequence))
}

/// The disk as the log takes it.
pub fn shared(disk: &SimDisk) -> Arc<dyn Disk> {
    Arc::new(disk.clone())
}

/// A disk with the empty data directory on it.
pub fn empty_disk() -> SimDisk {
    let disk = SimDisk::new();
    disk.create_dir(dir()).unwrap();
    disk.sync_dir(Path::new("/")).unwrap();
    disk
}

/// A published store with one batch of one entry.
pub fn new_store() -> (SimDisk, Log) {
    let disk = empty_disk();
    let mut log = Log::create(shared(&disk), dir(), STORE, SMALL, 1, Preparer::Inline).unwrap();
    put(&mut log, b"genesis").unwrap();
    log.commit(BankTime(1), 0).unwrap();
    log.publish().unwrap();
    (disk, log)
}

pub fn put(log: &mut Log, bytes: &[u8]) -> Result<Lsn, Full> {
    log.append(|out| out.extend_from_slice(bytes))
}

/// One batch of these entries, at the time of its number.
pub fn commit(log: &mut Log, entries: &[&[u8]]) {
    for entry in entries {
        put(log, entry).unwrap();
    }
    log.commit(BankTime(100), 7).unwrap();
}

/// All entries that the log on this disk has, in order, and what recovery said.
pub fn read(disk: &dyn Disk) -> Result<(Vec<Vec<u8>>, Recovered), WalError> {
    let mut entries: Vec<Vec<u8>> = Vec::new();
    let recovered = recover(disk, dir(), &mut |batch| {
        for record in batch.records() {
            assert_eq!((record.first.0, record.count), (entries.len() as u64 + 1, 1), "LSNs are contiguous");
            entries.push(record.bytes.to_vec());
        }
        Ok(())
    })?;
    assert_eq!(recovered.entries, entries.len() as u64);
    assert_eq!(recovered.end.next_lsn.0, entries.len() as u64 + 1);
    Ok((entries, recovered))
}

/// Starts the next incarnation of what recovery found.
pub fn start(disk: &SimDisk, recovered: Recovered, random: u64) -> Result<Log, WalError> {
    Log::start(shared(disk), dir(), recovered, SMALL, random, Preparer::Inline)
}

/// Reads and starts.
pub fn reopen(disk: &SimDisk) -> Log {
    let (_, recovered) = read(disk).unwrap();
    start(disk, recovered, disk.operations()).unwrap()
}

/// What must stay the same when a log is read again.
pub fn essence(recovered: &Recovered) -> (u64, Chain, Lsn, BankTime) {
    let end = recovered.end;
    (end.batch_number, end.chain, end.next_lsn, end.bank_time)
}

pub fn is_damage<T>(result: &Result<T, WalError>) -> bool {
    matches!(result, Err(WalError::Damaged { .. }))
}
