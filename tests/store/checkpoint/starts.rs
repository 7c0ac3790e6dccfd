//! What a start makes of the checkpoints that it finds.

use std::path::Path;

use bankd::engine::{self, Engine, StoreError};
use bankd::env::Disk;
use bankd::env::sim::{Operation, SimDisk};

use super::support::{Load, bank, bank_without, checkpoints, dir, file, new_store, open, segment, try_open, two_checkpoints};
use crate::support::sim::KEY;

/// How many bytes are read when the store is opened; no more than one life deep.
fn reads(disk: &SimDisk) -> u64 {
    let copy = disk.snapshot();
    let before = copy.count(Operation::Read);
    drop(open(&copy));
    copy.count(Operation::Read) - before
}

fn refused(disk: &SimDisk) -> String {
    match try_open(&disk.snapshot(), 1) {
        Err(StoreError::Damaged(what)) => what,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it should have been refused"),
    }
}

#[test]
fn with_and_without_checkpoints_it_is_the_same_bank() {
    for seed in 0..30 {
        let disk = two_checkpoints(seed);
        assert!(bank(&disk) == bank_without(&disk), "seed {seed}");
        // And it goes on from there, through further lives and checkpoints.
        for life in 0..3 {
            let mut engine = open(&disk);
            let mut load = Load::begin(&mut engine, seed);
            load.turns(&mut engine, 10 + 10 * life);
            assert_eq!(engine.checkpoint_now().unwrap().is_some(), life < 3);
            load.turns(&mut engine, 3);
            let now = engine.bank().clone();
            drop(engine);
            assert!(bank(&disk) == now && bank_without(&disk) == now, "seed {seed}, life {life}");
        }
        assert_eq!(checkpoints(&disk).len(), 2);
    }
}

/// What a start reads depends on what came after the checkpoint, not on the history: a fixed number of looks a segment.
#[test]
fn history_is_not_read_again() {
    let disk = new_store(1);
    let mut engine = open(&disk);
    let mut load = Load::begin(&mut engine, 1);
    load.turns(&mut engine, 15 * 40);
    engine.checkpoint_now().unwrap().unwrap();
    drop(engine);
    let whole = disk.snapshot();
    whole.remove(&file(&checkpoints(&disk)[0])).unwrap();
    let (with, without) = (reads(&disk), reads(&whole));
    assert!(with + 30 < without, "{with} reads with a checkpoint, {without} without");
    // Damage in old history is for the verification of the whole log to find, not for a start.
    let bytes = disk.peek(&segment(3)).unwrap();
    disk.poke(&segment(3), 4096 + 300, &[bytes[4096 + 300] ^ 1]);
    drop(open(&disk.snapshot()));
    assert!(
        refused(&{
            disk.remove(&file(&checkpoints(&disk)[0])).unwrap();
            disk.snapshot()
        })
        .contains("0000000003.seg")
    );
}

#[test]
fn a_damaged_newest_falls_back_and_both_damaged_to_the_whole_log() {
    let disk = two_checkpoints(2);
    let expected = bank(&disk);
    let [older, newer] = checkpoints(&disk).try_into().unwrap();
    let length = disk.peek(&file(&newer)).unwrap().len();
    for at in (0..length).step_by(97).chain([0, 8, 12, 14, 16, 32, 184, 4095, 4096, length - 1]) {
        let copy = disk.snapshot();
        for name in [&newer, &older] {
            let byte = copy.peek(&file(name)).unwrap().get(at).copied().unwrap_or(0);
            copy.poke(&file(name), at as u64, &[byte ^ 0x40]);
            assert!(bank(&copy) == expected, "byte {at} of {name}");
        }
    }
    // Cut, grown, empty, gone, renamed.
    for change in 0..5 {
        let copy = disk.snapshot();
        let handle = copy.open(&file(&newer)).unwrap();
        match change {
            0 => handle.set_len(length as u64 - 1).unwrap(),
            1 => handle.set_len(length as u64 + 1).unwrap(),
            2 => handle.set_len(0).unwrap(),
            3 => copy.remove(&file(&newer)).unwrap(),
            _ => copy.rename(&file(&newer), &file("00000000000000000001.ckpt")).unwrap(),
        }
        handle.sync().unwrap();
        copy.sync_dir(dir()).unwrap();
        assert!(bank(&copy) == expected, "change {change}");
    }
}

#[test]
fn another_stores_checkpoint_is_passed_over_and_kept() {
    let (disk, other) = (two_checkpoints(3), two_checkpoints(4));
    let expected = bank(&disk);
    let foreign = "00000000000000999999.ckpt";
    for name in checkpoints(&other) {
        let copy = disk.snapshot();
        let handle = copy.create(&file(foreign)).unwrap();
        handle.write_all_at(&other.peek(&file(&name)).unwrap(), 0).unwrap();
        handle.sync().unwrap();
        copy.sync_dir(dir()).unwrap();
        assert!(bank(&copy) == expected);
        let mut engine = open(&copy);
        let mut load = Load::begin(&mut engine, 5);
        load.turns(&mut engine, 20);
        engine.checkpoint_now().unwrap().unwrap();
        assert!(checkpoints(&copy).contains(&foreign.to_owned()), "it is not this store's to remove");
        assert_eq!(checkpoints(&copy).len(), 3);
    }
}

/// A log that ends before a checkpoint has lost something, however clean its end looks.
#[test]
fn a_checkpoint_beyond_the_logs_end_is_refused() {
    let disk = two_checkpoints(6);
    let mut engine = open(&disk);
    let mut load = Load::begin(&mut engine, 6);
    engine.checkpoint_now().unwrap();
    while engine.checkpoint_now().unwrap().is_none() {
        load.turns(&mut engine, 1);
    }
    drop(engine);
    let newest = checkpoints(&disk).pop().unwrap();
    let header = disk.peek(&file(&newest)).unwrap();
    let field = |at: usize| u64::from_le_bytes(header[at..at + 8].try_into().unwrap());
    let (last_segment, last_offset, end) = (field(80), field(88), field(96));
    let zero_from = |disk: &SimDisk, sequence: u64, from: u64| {
        let length = disk.peek(&segment(sequence)).unwrap().len() as u64;
        disk.poke(&segment(sequence), from, &vec![0; (length - from) as usize]);
    };
    // The log's end looks clean, or would without the checkpoint.
    let copy = disk.snapshot();
    zero_from(&copy, last_segment, last_offset);
    for later in last_segment + 1.. {
        if copy.peek(&segment(later)).is_none() {
            break;
        }
        zero_from(&copy, later, 4096);
    }
    let what = refused(&copy);
    assert!(what.contains("a checkpoint says that batch") && what.contains(&bankd::wal::file_name(last_segment)), "{what}");
    // Its image damaged, too: the header still proves that more existed.
    copy.poke(&file(&newest), 5000, &[header[5000] ^ 1]);
    let what = refused(&copy);
    assert!(what.contains("a checkpoint says that the log went on to batch"), "{what}");
    // Not even the last batch may differ.
    for at in (last_offset..end).step_by(61) {
        let copy = disk.snapshot();
        let byte = copy.peek(&segment(last_segment)).unwrap()[at as usize];
        copy.poke(&segment(last_segment), at, &[byte ^ 4]);
        refused(&copy);
    }
    // A checkpoint in a segment that there is not.
    let copy = disk.snapshot();
    let mut beyond = header.clone();
    beyond[80..88].copy_from_slice(&99_u64.to_le_bytes());
    let crc = crc32fast::hash(&beyond[12..4096]);
    beyond[8..12].copy_from_slice(&crc.to_le_bytes());
    copy.poke(&file(&newest), 0, &beyond);
    assert!(refused(&copy).contains("the manifest does not name the segment"));
    // One that says something else about a batch that is there.
    let copy = disk.snapshot();
    let mut other = header;
    other[48] ^= 1;
    let crc = crc32fast::hash(&other[12..4096]);
    other[8..12].copy_from_slice(&crc.to_le_bytes());
    copy.poke(&file(&newest), 0, &other);
    assert!(refused(&copy).contains("there is another one"));
    copy.poke(&file(&newest), 5000, &[0x5A; 3]);
    assert!(refused(&copy).contains("another batch"));
}

/// Without its first segments a log can only be gone on with from a checkpoint.
#[test]
fn dropped_history_needs_a_checkpoint() {
    let disk = two_checkpoints(7);
    let expected = bank(&disk);
    let mut manifest = disk.peek(&file("MANIFEST")).unwrap();
    for slot in [0, 4096] {
        manifest[slot + 40..slot + 48].copy_from_slice(&2_u64.to_le_bytes());
        let crc = crc32fast::hash(&manifest[slot + 12..slot + 4096]);
        manifest[slot + 8..slot + 12].copy_from_slice(&crc.to_le_bytes());
    }
    disk.poke(&file("MANIFEST"), 0, &manifest);
    disk.remove(&segment(1)).unwrap();
    assert!(bank(&disk) == expected);
    for name in checkpoints(&disk) {
        disk.poke(&file(&name), 4096, b"no image");
    }
    let what = refused(&disk);
    assert!(what.contains("the log's first segments were dropped"), "{what}");
}

/// Turns the voucher of the first batch in a segment into a repair's: what a repair would have written.
fn make_repair(block: &mut [u8]) {
    assert_eq!(block[96], 1, "a start's voucher");
    block[96] = 2;
    let crc = crc32fast::hash(&block[12..256]);
    block[8..12].copy_from_slice(&crc.to_le_bytes());
}

/// A repair that dropped the end of the log makes the checkpoints of that end void; the next ones count again.
#[test]
fn a_repair_makes_checkpoints_above_it_void() {
    let disk = new_store(8);
    let mut engine = open(&disk);
    let mut load = Load::begin(&mut engine, 8);
    load.turns(&mut engine, 20);
    let before = engine.bank().clone();
    let kept = disk.snapshot();
    load.turns(&mut engine, 40);
    engine.checkpoint_now().unwrap().unwrap();
    load.turns(&mut engine, 5);
    drop(engine);
    // What would have been written by a start right after the part that is kept, put into an unused segment.
    kept.kill();
    let mut repair = open(&kept);
    let _ = Load::begin(&mut repair, 9);
    let repaired = repair.bank().clone();
    drop(repair);
    assert!(repaired.applied() > before.applied());
    let own = (1..).find(|sequence| kept.peek(&segment(*sequence + 1)).is_none()).unwrap();
    let mut block = kept.peek(&segment(own)).unwrap()[4096..8192].to_vec();
    make_repair(&mut block);
    drop(open(&disk));
    let unused = (1..).find(|sequence| disk.peek(&segment(*sequence + 1)).is_none()).unwrap();
    assert!(disk.peek(&segment(unused)).unwrap()[4096..].iter().all(|byte| *byte == 0));
    disk.poke(&segment(unused), 4096, &block);

    let void = checkpoints(&disk);
    assert_eq!(void.len(), 1);
    let void_bytes = disk.peek(&file(&void[0])).unwrap();
    assert!(bank(&disk) == repaired, "the repair counts, and not the checkpoint above it");
    let mut engine = open(&disk);
    let mut load = Load::begin(&mut engine, 10);
    load.turns(&mut engine, 2);
    let made = engine.checkpoint_now().unwrap().unwrap();
    assert_eq!(made.lsn, repaired.applied(), "made from the log, not from the void one");
    assert_eq!(checkpoints(&disk), [format!("{:020}.ckpt", made.lsn.0)]);
    let now = engine.bank().clone();
    drop(engine);
    // The void one comes back, as after a crash before its removal: it has the higher number, and still does not count.
    let handle = disk.create(&file(&void[0])).unwrap();
    handle.write_all_at(&void_bytes, 0).unwrap();
    assert!(bank(&disk) == now && bank_without(&disk) == now);
}

#[test]
fn a_start_writes_nothing_before_it_has_decided() {
    let disk = two_checkpoints(11);
    disk.poke(&file(&checkpoints(&disk)[1]), 32, &[0; 8]);
    let names = disk.list(dir()).unwrap();
    let bytes = disk.peek(&segment(2)).unwrap();
    let lose = disk.snapshot();
    lose.remove(&segment(2)).unwrap();
    assert!(refused(&lose).contains("0000000002.seg"));
    let _: Engine = engine::open(&crate::support::sim::env(&disk, 1), dir(), Path::new(KEY)).unwrap();
    assert!(names.iter().all(|name| disk.list(dir()).unwrap().contains(name)), "starts remove no checkpoint");
    assert_eq!(disk.peek(&segment(2)).unwrap(), bytes);
}
