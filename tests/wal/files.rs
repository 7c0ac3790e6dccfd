//! Files that are missing, too many, too short, too long, another store's or stale: refused.

use std::path::Path;

use bankd::env::Disk;
use bankd::env::sim::SimDisk;
use bankd::wal::WalError;

use crate::support::{BLOCK, commit, file, is_damage, new_store, put, read, reopen, segment};

/// Two full segments, a third in use, no spare.
fn store() -> SimDisk {
    let (disk, mut log) = new_store();
    for _ in 0..4 {
        for _ in 0..90 {
            put(&mut log, &[7; 496]).unwrap();
        }
        commit(&mut log, &[]);
        commit(&mut log, &[b"x"]);
    }
    drop(log);
    assert_eq!(read(&disk).unwrap().1.end.position.segment, 3);
    disk
}

fn copy(disk: &SimDisk, from: &Path, to: &Path) {
    let bytes = disk.peek(from).unwrap();
    if disk.exists(to).unwrap() {
        disk.remove(to).unwrap();
    }
    disk.create(to).unwrap().write_all_at(&bytes, 0).unwrap();
}

#[test]
fn segments_of_another_length_are_refused() {
    for sequence in 1..=3 {
        let path = segment(sequence);
        let length = store().peek(&path).unwrap().len() as u64;
        for other in [0, 1, 4096, 8191, length / 2, length - 1, length + 1, length + 4096] {
            let disk = store();
            disk.open(&path).unwrap().set_len(other).unwrap();
            assert!(is_damage(&read(&disk)), "segment {sequence} of {other} bytes");
        }
    }
}

#[test]
fn a_missing_segment_is_refused_wherever_it_was() {
    for sequence in 1..=3 {
        let disk = store();
        disk.remove(&segment(sequence)).unwrap();
        let error = read(&disk).err().unwrap().to_string();
        assert!(error.contains(&format!("{sequence:010}.seg")) && error.contains("missing"), "{error}");
    }
}

#[test]
fn copies_and_exchanged_segments_are_refused() {
    for (from, to) in [(1, 2), (2, 1), (2, 3), (1, 4), (3, 4), (3, 9)] {
        let disk = store();
        copy(&disk, &segment(from), &segment(to));
        assert!(is_damage(&read(&disk)), "segment {from} as segment {to}");
    }
    let disk = store();
    copy(&disk, &segment(1), &file("0000000001.seg.bak"));
    assert!(read(&disk).is_ok(), "a name that is no segment's is nobody's business");
}

#[test]
fn segments_of_another_store_are_refused() {
    let disk = store();
    let other = crate::support::empty_disk();
    let id = bankd::model::types::StoreId([1; 16]);
    let mut log = bankd::wal::Log::create(
        crate::support::shared(&other),
        crate::support::dir(),
        id,
        crate::support::SMALL,
        1,
        bankd::wal::Preparer::Inline,
    )
    .unwrap();
    commit(&mut log, &[b"genesis"]);
    disk.poke(&segment(1), 0, &other.peek(&segment(1)).unwrap());
    assert!(read(&disk).err().unwrap().to_string().contains("another store"));
}

#[test]
fn every_byte_of_a_segment_header_counts() {
    let disk = store();
    let bytes = disk.peek(&segment(2)).unwrap();
    for (at, byte) in bytes.iter().enumerate().take(BLOCK) {
        disk.poke(&segment(2), at as u64, &[byte ^ 4]);
        assert!(is_damage(&read(&disk)), "byte {at}");
        disk.poke(&segment(2), at as u64, &[*byte]);
    }
}

#[test]
fn one_slot_of_the_manifest_may_be_damaged_and_not_both() {
    let (_, whole) = read(&store()).unwrap();
    assert!(!whole.has_damaged_slot);
    for slot in 0..2_u64 {
        let disk = store();
        disk.poke(&file("MANIFEST"), slot * 4096 + 40, &[9]);
        let (_, recovered) = read(&disk).unwrap();
        assert!(recovered.has_damaged_slot, "slot {slot}");
        disk.poke(&file("MANIFEST"), (1 - slot) * 4096 + 40, &[9]);
        assert!(read(&disk).err().unwrap().to_string().contains("neither of its two slots"));
    }
}

#[test]
fn the_log_goes_on_from_a_damaged_slot_and_heals_it() {
    let disk = store();
    disk.poke(&file("MANIFEST"), 4096 + 100, &[9]);
    let mut log = reopen(&disk);
    commit(&mut log, &[b"more"]);
    drop(log);
    assert!(!read(&disk).unwrap().1.has_damaged_slot, "the start made a segment, and wrote over the damaged slot");
}

#[test]
fn a_missing_short_or_stale_manifest_is_refused() {
    let disk = store();
    disk.remove(&file("MANIFEST")).unwrap();
    assert!(read(&disk).err().unwrap().to_string().contains("it is missing, but there are segments"));
    let disk = store();
    disk.open(&file("MANIFEST")).unwrap().set_len(4096).unwrap();
    assert!(is_damage(&read(&disk)));
    let (fresh, log) = new_store();
    drop(log);
    let disk = store();
    copy(&disk, &segment(1), &file("unused"));
    disk.poke(&file("MANIFEST"), 0, &fresh.peek(&file("MANIFEST")).unwrap());
    assert!(read(&disk).err().unwrap().to_string().contains("the manifest names only the segments 1 to 1"));
}

#[test]
fn a_spare_that_the_manifest_does_not_name_is_ignored_and_made_afresh() {
    let (disk, log) = new_store();
    drop(log);
    let older = disk.peek(&file("MANIFEST")).unwrap();
    // A start makes segment 2; the crash takes back the manifest's word of it.
    drop(reopen(&disk));
    disk.poke(&file("MANIFEST"), 0, &older);
    let mut log = reopen(&disk);
    commit(&mut log, &[b"more"]);
    drop(log);
    assert_eq!(read(&disk).unwrap().0.len(), 2);
}

#[test]
fn emptied_segments_are_noticed_as_far_as_the_manifest_shows_it() {
    let disk = store();
    drop(reopen(&disk));
    for sequence in [2, 3] {
        let length = disk.peek(&segment(sequence)).unwrap().len();
        disk.poke(&segment(sequence), 4096, &vec![0; length - BLOCK]);
    }
    let error = read(&disk).err().unwrap().to_string();
    assert!(error.contains("0000000002.seg") && error.contains("empty"), "{error}");
}

#[test]
fn a_store_without_any_batch_is_refused() {
    let (disk, log) = new_store();
    drop(log);
    disk.poke(&segment(1), 4096, &[0; BLOCK]);
    assert!(read(&disk).err().unwrap().to_string().contains("there is no batch"));
    disk.poke(&segment(1), 4096, &[1; 100]);
    assert!(is_damage(&read(&disk)), "nor is a torn one a store");
}

#[test]
fn other_versions_are_named_not_called_damage() {
    let reseal = |block: &mut [u8]| {
        let crc = crc32fast::hash(&block[12..]);
        block[8..12].copy_from_slice(&crc.to_le_bytes());
    };
    for (path, offset, length, field) in
        [(file("MANIFEST"), 0, BLOCK, 12), (segment(1), 0, BLOCK, 12), (segment(1), BLOCK, 256, 12), (segment(1), BLOCK, 256, 14)]
    {
        let disk = store();
        let mut block = disk.peek(&path).unwrap()[offset..offset + length].to_vec();
        block[field] = 4;
        reseal(&mut block);
        disk.poke(&path, offset as u64, &block);
        assert!(matches!(read(&disk), Err(WalError::Unsupported { .. })), "{} at {offset}", path.display());
    }
}
