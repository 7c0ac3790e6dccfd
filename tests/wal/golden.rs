//! Golden bytes: what format version 1 looks like on the disk. `docs/log-format.md` walks through these very files.

use bankd::model::types::{BankTime, Lsn};
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
    log.close().unwrap();
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
        ("manifest", disk.peek(&file("MANIFEST")).unwrap(), include_bytes!("../golden/manifest-v2.bin").as_slice()),
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
    let manifests: [&[u8]; 2] = [include_bytes!("../golden/manifest.bin"), include_bytes!("../golden/manifest-v2.bin")];
    for manifest in manifests {
        disk.poke(&file("MANIFEST"), 0, manifest);
        let (entries, recovered) = read(&disk).unwrap();
        assert_eq!(entries, [b"first entry".as_slice(), b"second", b"third"]);
        assert_eq!((recovered.store, recovered.end.batch_number, recovered.end.incarnation.counter), (STORE, 3, 2));
    }
}

/// The manifest of version 1 says nothing of the log's end; the one that a start writes over it does.
#[test]
fn a_manifest_of_version_1_goes_up() {
    let disk = write();
    disk.poke(&file("MANIFEST"), 0, include_bytes!("../golden/manifest.bin"));
    let version = |disk: &bankd::env::sim::SimDisk| {
        let bytes = disk.peek(&file("MANIFEST")).unwrap();
        [bytes[12], bytes[BLOCK + 12]]
    };
    assert_eq!(version(&disk), [1, 1]);
    let (_, recovered) = read(&disk).unwrap();
    let mut log = Log::start(crate::support::shared(&disk), dir(), recovered, SIZES, 0x3333, Preparer::Inline).unwrap();
    put(&mut log, b"fourth").unwrap();
    log.commit(BankTime(1_700_000_070_000_000), 0xABCD).unwrap();
    log.close().unwrap();
    assert_eq!(version(&disk), [2, 2]);
    let (entries, recovered) = read(&disk).unwrap();
    assert_eq!((entries.len(), recovered.end.batch_number), (4, 4));
}

/// A log that was closed knows where: what it has lost since is noticed, though what is left looks like a log.
#[test]
fn a_closed_log_cannot_lose_its_end() {
    let disk = write();
    disk.poke(&segment(2), BLOCK as u64, &[0; BLOCK]);
    let what = read(&disk).unwrap_err().to_string();
    assert!(what.contains("the manifest says that the log went on to batch 3"), "{what}");
}

/// Half a sector behind a closed end looks torn, but no crash has left it.
#[test]
fn what_stands_behind_a_closed_end_is_damage() {
    let disk = write();
    assert!(read(&disk).is_ok());
    disk.poke(&segment(2), 2 * BLOCK as u64, &[7; 700]);
    let what = read(&disk).unwrap_err().to_string();
    assert!(what.contains("the log was closed here"), "{what}");
}
