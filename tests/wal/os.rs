//! The log on the real disk, with segments made ahead of need by a thread.

use std::path::Path;
use std::sync::Arc;

use bankd::env::Disk;
use bankd::env::os::OsDisk;
use bankd::model::types::{BankTime, Lsn, StoreId};
use bankd::wal::recover;
use bankd::wal::{Full, Log, Preparer, Recovered, SegmentSizes, WalError};

const SIZES: SegmentSizes = SegmentSizes { first: 64 << 10, max: 256 << 10 };

/// An entry that contains its own LSN.
fn entry(lsn: Lsn) -> Vec<u8> {
    let mut bytes = lsn.0.to_le_bytes().to_vec();
    bytes.resize(8 + (lsn.0 % 97) as usize, lsn.0 as u8);
    bytes
}

fn append(log: &mut Log) -> Result<Lsn, Full> {
    let bytes = entry(log.next_lsn());
    log.append(|out| out.extend_from_slice(&bytes))
}

/// Reads the log back, holding every entry against what was written.
fn read(dir: &Path) -> Result<Recovered, WalError> {
    let mut next = Lsn(1);
    recover(&OsDisk, dir, &mut |batch| {
        for record in batch.records() {
            let lsn = record.first;
            if lsn != next || record.count != 1 || record.bytes != entry(lsn) {
                return Err(format!("entry {lsn} is not what was written"));
            }
            next = lsn.next();
        }
        Ok(())
    })
}

#[test]
fn several_lives_on_a_real_disk() {
    let tmp = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Disk> = Arc::new(OsDisk);
    let mut log = Log::create(Arc::clone(&disk), tmp.path(), StoreId([7; 16]), SIZES, 1, Preparer::Background).unwrap();
    append(&mut log).unwrap();
    log.commit(BankTime(1), 0).unwrap();
    assert!(matches!(read(tmp.path()), Err(WalError::Damaged { .. })), "segments without a manifest are no store");
    log.publish().unwrap();
    for life in 0..3_u64 {
        for turn in 0..200_u64 {
            for _ in 0..=turn % 50 {
                if append(&mut log) == Err(Full::Batch) {
                    log.commit(BankTime(life * 1000 + turn), turn).unwrap();
                    append(&mut log).unwrap();
                }
            }
            log.commit(BankTime(life * 1000 + turn), turn).unwrap();
        }
        assert!(log.needs_seal());
        if life == 1 {
            log.commit(BankTime(life * 1000 + 999), 0).unwrap();
            assert!(!log.needs_seal());
        }
        let (durable, chain) = (log.end_lsn(), log.chain());
        drop(log);
        let recovered = read(tmp.path()).unwrap();
        assert_eq!((recovered.end.next_lsn, recovered.end.chain), (durable.next(), chain));
        assert_eq!(recovered.end.incarnation.counter, life + 1);
        assert_eq!((recovered.torn.as_ref(), recovered.has_damaged_slot), (None, false));
        log = Log::start(Arc::clone(&disk), tmp.path(), recovered, SIZES, life + 2, Preparer::Background).unwrap();
    }
    drop(log);
    let names = OsDisk.list(tmp.path()).unwrap();
    assert!(names.len() > 5 && names.iter().all(|name| !name.ends_with(".tmp")), "{names:?}");
}

#[test]
fn nothing_there_is_no_store() {
    let tmp = tempfile::tempdir().unwrap();
    assert!(matches!(read(tmp.path()), Err(WalError::NoStore { .. })));
    assert!(matches!(read(&tmp.path().join("absent")), Err(WalError::NoStore { .. })));
}
