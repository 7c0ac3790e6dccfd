//! Golden bytes: what format version 1 looks like on the disk. `docs/log-format.md` walks through these very files.

use bankd::types::{BankTime, Lsn};
use bankd::wal::{Log, Preparer};

use crate::support::{BLOCK, STORE, dir, empty_disk, file, put, read, segment};

const SIZES: bankd::wal::SegmentSizes = bankd::wal::SegmentSizes { first: 64 << 10, max: 64 << 10 };

/// A log of three batches in two incarnations: two entries, a seal, and a start's first.
fn write() -> bankd::env::sim::SimDisk {
    let disk = empty_disk();
    let mut log = Log::create(crate::support::shared(&disk), dir(), STORE, SIZES, 0x1111, Preparer::Inline).unwrap();
    put(&mut log, b"first entry").unwrap();
    put(&mut log, b"second").unwrap();
    log.commit(BankTime(1_700_000_000_000_000), 0).unwrap();
    log.commit(BankTime(1_700_000_000_100_000), 0xABCD).unwrap();
    log.publish().unwrap();
    drop(log);
    let (_, recovered) = read(&disk).unwrap();
    let mut log = Log::start(crate::support::shared(&disk), dir(), recovered, SIZES, 0x2222, Preparer::Inline).unwrap();
    assert_eq!(put(&mut log, b"third"), Ok(Lsn(3)));
    log.commit(BankTime(1_700_000_060_000_000), 0xABCD).unwrap();
    disk
}

#[test]
fn the_format_is_what_it_always_was() {
    let disk = write();
    let one = disk.peek(&segment(1)).unwrap();
    let two = disk.peek(&segment(2)).unwrap();
    let block = |bytes: &[u8], number: usize| bytes[number * BLOCK..(number + 1) * BLOCK].to_vec();
    for (name, made, golden) in [
        ("segment-header", block(&one, 0), include_bytes!("../golden/segment-header.bin").as_slice()),
        ("batch", block(&one, 1), include_bytes!("../golden/batch.bin").as_slice()),
        ("seal", block(&one, 2), include_bytes!("../golden/seal.bin").as_slice()),
        ("start", block(&two, 1), include_bytes!("../golden/start.bin").as_slice()),
        ("manifest", disk.peek(&file("MANIFEST")).unwrap(), include_bytes!("../golden/manifest.bin").as_slice()),
    ] {
        let difference = made.iter().zip(golden).position(|(made, golden)| made != golden);
        assert!(made.len() == golden.len() && difference.is_none(), "{name} differs from its golden bytes at {difference:?}");
    }
}

#[test]
fn golden_bytes_read_back() {
    let disk = write();
    disk.poke(&segment(1), 0, include_bytes!("../golden/segment-header.bin"));
    disk.poke(&segment(1), 4096, include_bytes!("../golden/batch.bin"));
    disk.poke(&segment(1), 8192, include_bytes!("../golden/seal.bin"));
    disk.poke(&segment(2), 4096, include_bytes!("../golden/start.bin"));
    disk.poke(&file("MANIFEST"), 0, include_bytes!("../golden/manifest.bin"));
    let (entries, recovered) = read(&disk).unwrap();
    assert_eq!(entries, [b"first entry".as_slice(), b"second", b"third"]);
    assert_eq!((recovered.store, recovered.end.batch_number, recovered.end.incarnation.counter), (STORE, 3, 2));
}
