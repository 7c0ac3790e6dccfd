//! Packed segments: the same log in fewer bytes, whatever fails, crashes or rots on the way.

use std::sync::atomic::AtomicBool;

use bankd::env::Disk;
use bankd::env::sim::{Fault, Random, SimDisk};
use bankd::model::types::BankTime;
use bankd::wal::{Shrunk, WalError, compress, compressed_name, open_decompressed, uncompressed};

use crate::support::{STORE, commit, dir, essence, file, is_damage, new_store, put, read, reopen, segment, start};

static GO: AtomicBool = AtomicBool::new(false);

fn packed(sequence: u64) -> std::path::PathBuf {
    file(&compressed_name(sequence))
}

fn pack_one(disk: &SimDisk, sequence: u64) -> Result<Option<Shrunk>, WalError> {
    compress(disk, dir(), STORE, sequence, &GO)
}

/// A log over several segments: the last one is in use.
fn several(seed: u64) -> SimDisk {
    let (disk, mut log) = new_store();
    let mut random = Random::new(seed);
    for life in 0..3 {
        for _ in 0..25 {
            let count = 1 + random.below(30);
            let entries: Vec<Vec<u8>> =
                (0..count).map(|_| (0..=random.below(200)).map(|_| random.next_u64() as u8 | 1).collect()).collect();
            commit(&mut log, &entries.iter().map(Vec::as_slice).collect::<Vec<_>>());
        }
        log.commit(BankTime(100), 7).unwrap();
        drop(log);
        disk.kill();
        if life < 2 {
            log = reopen(&disk);
        } else {
            break;
        }
    }
    disk
}

/// The highest segment with a batch in it: the log has moved on from all before.
fn in_use(disk: &SimDisk) -> u64 {
    let mut last = uncompressed(disk, dir(), u64::MAX).unwrap().into_iter().rev();
    last.find(|sequence| disk.peek(&segment(*sequence)).unwrap()[4096] != 0).unwrap()
}

fn pack_all(disk: &SimDisk) -> u64 {
    let last = in_use(disk);
    for sequence in 1..last {
        pack_one(disk, sequence).unwrap().unwrap();
    }
    last
}

#[test]
fn a_packed_log_is_the_same_log() {
    let disk = several(1);
    let (entries, recovered) = read(&disk).unwrap();
    let before: Vec<Vec<u8>> = (1..in_use(&disk)).map(|sequence| disk.peek(&segment(sequence)).unwrap()).collect();
    let last = pack_all(&disk);
    assert!(last > 3, "{last}");
    for (sequence, bytes) in (1..).zip(&before) {
        assert!(disk.peek(&segment(sequence)).is_none());
        let file = open_decompressed(&disk, dir(), sequence).unwrap();
        assert_eq!(file.len().unwrap(), bytes.len() as u64);
        let mut random = Random::new(sequence);
        for _ in 0..200 {
            let from = random.index(bytes.len());
            let mut part = vec![0; random.index(bytes.len() - from + 1)];
            file.read_exact_at(&mut part, from as u64).unwrap();
            assert!(part == bytes[from..from + part.len()], "from {from}");
        }
        assert!(file.read_exact_at(&mut [0; 2], bytes.len() as u64 - 1).is_err(), "past the end");
        assert!(file.write_all_at(&[1], 0).is_err() && file.set_len(1).is_err());
    }
    let (again, found) = read(&disk).unwrap();
    assert!(again == entries && essence(&found) == essence(&recovered));
    // It is done once, and the log goes on behind it.
    assert_eq!(pack_one(&disk, 1).unwrap(), None);
    let mut log = start(&disk, found, 77).unwrap();
    put(&mut log, b"one more").unwrap();
    log.commit(BankTime(200), 7).unwrap();
    assert_eq!(read(&disk).unwrap().0.len(), entries.len() + 1);
}

/// With the standard tool: `zstd -d` unpacks a segment.
#[test]
fn zstd_unpacks_a_compressed_segment() {
    let disk = several(2);
    let bytes = disk.peek(&segment(1)).unwrap();
    let shrunk = pack_one(&disk, 1).unwrap().unwrap();
    let packed = disk.peek(&packed(1)).unwrap();
    assert_eq!((shrunk.from, shrunk.to), (bytes.len() as u64, packed.len() as u64));
    assert!(zstd::stream::decode_all(packed.as_slice()).unwrap() == bytes);
}

/// Where both are there, the removal of the segment was not yet durable: it counts, and is packed again.
#[test]
fn a_segment_and_its_packed_copy_go_together() {
    let disk = several(3);
    let bytes = disk.peek(&segment(1)).unwrap();
    pack_one(&disk, 1).unwrap().unwrap();
    let again = disk.create(&segment(1)).unwrap();
    again.write_all_at(&bytes, 0).unwrap();
    // Whatever the other says.
    disk.poke(&packed(1), 0, &[0xEE; 100]);
    let (_, recovered) = read(&disk).unwrap();
    pack_one(&disk, 1).unwrap().unwrap();
    assert!(disk.peek(&segment(1)).is_none());
    assert_eq!(essence(&read(&disk).unwrap().1), essence(&recovered));
}

#[test]
fn what_is_no_segment_is_not_packed() {
    let disk = several(4);
    let bytes = disk.peek(&segment(2)).unwrap();
    for (at, byte) in [(0, b'b'), (16, 0), (32, 9), (40, 1)] {
        disk.poke(&segment(2), at, &[byte]);
        assert!(is_damage(&pack_one(&disk, 2)), "byte {at}");
        disk.poke(&segment(2), at, &bytes[at as usize..=at as usize]);
    }
    let cancelled = AtomicBool::new(true);
    assert_eq!(compress(&disk, dir(), STORE, 2, &cancelled).unwrap(), None);
    assert!(disk.peek(&segment(2)).unwrap() == bytes);
    assert!(disk.list(dir()).unwrap().iter().all(|name| !name.contains("zst")), "nothing is left behind");
}

/// Every operation fails, once or for good: the log is the same, and the next try packs it.
#[test]
fn every_call_may_fail() {
    let template = several(5);
    let (entries, recovered) = read(&template).unwrap();
    let counted = template.snapshot();
    let begin = counted.operations();
    pack_one(&counted, 1).unwrap().unwrap();
    let all = counted.operations() - begin;
    assert!(all > 10, "{all}");
    let mut failed = 0;
    for at in 1..=all {
        for (is_sticky, errno) in [(false, 5), (true, 5), (true, 28)] {
            let disk = template.snapshot();
            disk.fail(Fault { at: disk.operations() + at, only: None, is_sticky, errno });
            failed += u64::from(pack_one(&disk, 1).is_err());
            disk.heal();
            let (again, found) = read(&disk).unwrap();
            assert!(again == entries && essence(&found) == essence(&recovered), "operation {at}");
            pack_one(&disk, 1).unwrap();
            assert!(disk.peek(&segment(1)).is_none() && disk.peek(&packed(1)).is_some(), "operation {at}");
            assert!(read(&disk).unwrap().0 == entries);
            assert!(disk.list(dir()).unwrap().iter().all(|name| !name.ends_with(".tmp")), "operation {at}");
        }
    }
    assert!(failed > 2 * all, "{failed} of {all}");
}

/// The power fails at every step, with whatever survives: never is neither there.
#[test]
fn a_power_cut_at_every_step_loses_nothing() {
    let template = several(6);
    let (entries, recovered) = read(&template).unwrap();
    let counted = template.snapshot();
    let begin = counted.operations();
    pack_one(&counted, 2).unwrap().unwrap();
    let all = counted.operations() - begin;
    let (mut plain, mut both, mut gone) = (0, 0, 0);
    for at in 1..=all + 1 {
        for seed in 0..60 {
            let disk = template.snapshot();
            disk.fail(Fault { at: disk.operations() + at, only: None, is_sticky: true, errno: 5 });
            let _ = pack_one(&disk, 2);
            disk.heal();
            disk.crash(seed);
            match (disk.peek(&segment(2)).is_some(), disk.peek(&packed(2)).is_some()) {
                (true, false) => plain += 1,
                (true, true) => both += 1,
                (false, true) => gone += 1,
                (false, false) => panic!("operation {at}, seed {seed}: neither is there"),
            }
            let (again, found) = read(&disk).unwrap_or_else(|error| panic!("operation {at}, seed {seed}: {error}"));
            assert!(again == entries && essence(&found) == essence(&recovered), "operation {at}, seed {seed}");
            drop(start(&disk, found, seed).unwrap());
            pack_one(&disk, 2).unwrap();
            assert!(read(&disk).unwrap().0 == entries, "operation {at}, seed {seed}");
        }
    }
    assert!(plain > 0 && both > 0 && gone > 0, "{plain} {both} {gone}");
}

/// Every bit of a packed segment, one at a time, and every length short of the whole: found.
#[test]
fn every_bit_counts() {
    let disk = several(7);
    pack_one(&disk, 1).unwrap().unwrap();
    let path = packed(1);
    let bytes = disk.peek(&path).unwrap();
    let mut random = Random::new(7);
    let near = bytes.len().min(600);
    let some: Vec<usize> = (0..3_000).map(|_| random.index(bytes.len())).collect();
    for at in (0..near).chain(some) {
        let bit = 1 << random.index(8);
        disk.poke(&path, at as u64, &[bytes[at] ^ bit]);
        let result = read(&disk);
        assert!(is_damage(&result) || matches!(result, Err(WalError::Unsupported { .. })), "byte {at}: {:?}", result.map(|_| ()));
        if let Err(error) = result {
            assert!(error.to_string().contains("0000000001.seg.zst"), "byte {at}: {error}");
        }
        disk.poke(&path, at as u64, &[bytes[at]]);
    }
    for length in (0..bytes.len()).step_by(97).chain([bytes.len() - 1]) {
        let disk = disk.snapshot();
        disk.open(&path).unwrap().set_len(length as u64).unwrap();
        assert!(is_damage(&read(&disk)), "length {length}");
    }
    disk.poke(&path, bytes.len() as u64, &[0]);
    assert!(is_damage(&read(&disk)), "a byte more");
}

/// Another segment's packed file under this name, or another store's.
#[test]
fn a_packed_segment_in_the_wrong_place_is_refused() {
    let disk = several(8);
    pack_all(&disk);
    let second = disk.peek(&packed(2)).unwrap();
    disk.open(&packed(1)).unwrap().set_len(0).unwrap();
    disk.poke(&packed(1), 0, &second);
    let error = read(&disk).unwrap_err().to_string();
    assert!(error.contains("0000000001.seg.zst") && error.contains("it says that it is segment 2"), "{error}");
    disk.remove(&packed(1)).unwrap();
    let error = read(&disk).unwrap_err().to_string();
    assert!(error.contains("0000000001.seg") && error.contains("missing"), "{error}");
}

/// What `zstd` makes of the same bytes may change with its versions; what was written stays readable.
#[test]
fn a_golden_packed_segment_reads_back() {
    let golden = include_bytes!("../golden/store-v1/0000000001.seg").as_slice();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/packed.seg.zst");
    if std::env::var("GOLDEN").is_ok_and(|what| what == "write") {
        let (disk, _) = new_store();
        let store = bankd::model::types::StoreId(golden[16..32].try_into().unwrap());
        disk.open(&segment(1)).unwrap().set_len(0).unwrap();
        disk.open(&segment(1)).unwrap().write_all_at(golden, 0).unwrap();
        compress(&disk, dir(), store, 1, &GO).unwrap().unwrap();
        std::fs::write(path, disk.peek(&packed(1)).unwrap()).unwrap();
    }
    let bytes = std::fs::read(path).unwrap();
    let disk = crate::support::empty_disk();
    disk.create(&packed(1)).unwrap().write_all_at(&bytes, 0).unwrap();
    let file = open_decompressed(&disk, dir(), 1).unwrap();
    let mut unpacked = vec![0; golden.len()];
    file.read_exact_at(&mut unpacked, 0).unwrap();
    assert!(unpacked == golden && file.len().unwrap() == golden.len() as u64);
    // The fields of docs/log-format.md.
    let field = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    let frames = golden.len().div_ceil(256 << 10);
    assert_eq!((field(0), field(4) as usize, &bytes[8..16]), (0x184D_2A5B, 64 + 8 * frames - 8, b"BKDPACKD".as_slice()));
    assert_eq!(field(16), crc32fast::hash(&bytes[20..64 + 8 * frames]));
    assert_eq!((field(20), &bytes[24..40], field(40), field(48) as usize), (1, &golden[16..32], 1, golden.len()));
    assert_eq!((field(56) as usize, field(60)), (frames, 256 << 10));
    assert_eq!(field(64) as usize + 64 + 8 * frames, bytes.len());
    assert_eq!(field(68), crc32fast::hash(&bytes[64 + 8 * frames..]));
}
