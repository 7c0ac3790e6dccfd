//! Finished segments, packed and dropped: what is left is a store like any other.

use std::path::Path;

use bankd::engine::{self, Engine, Keeping, StoreEnv, StoreError};
use bankd::env::Disk;
use bankd::env::sim::{Fault, SimDisk};
use bankd::model::types::Lsn;
use bankd::wal::{Preparer, compressed_name};

use super::support::{Load, bank, bank_without, checkpoints, dir, env, file, new_store, open, two_checkpoints};
use crate::support::sim::KEY;

fn dropping(disk: &SimDisk, seed: u64) -> StoreEnv {
    StoreEnv { keeping: Keeping { compresses: true, drops: true }, ..env(disk, seed, Preparer::Inline) }
}

fn open_dropping(disk: &SimDisk) -> Engine {
    engine::open(&dropping(disk, disk.operations()), dir(), Path::new(KEY)).unwrap_or_else(|error| panic!("refused: {error}"))
}

fn segments(disk: &SimDisk) -> Vec<String> {
    disk.list(dir()).unwrap().into_iter().filter(|name| name.contains(".seg")).collect()
}

#[test]
fn what_is_finished_is_packed_and_the_rest_is_not() {
    let disk = new_store(1);
    let mut engine = open(&disk);
    assert_eq!(engine.pack_now().unwrap(), 0, "nothing is finished");
    let mut load = Load::begin(&mut engine, 1);
    load.turns(&mut engine, 40);
    let packed = engine.pack_now().unwrap();
    assert!(packed >= 3, "{packed}");
    assert_eq!(engine.pack_now().unwrap(), 0, "it is done");
    let names = segments(&disk);
    let split = names.iter().position(|name| name.ends_with(".seg")).unwrap();
    assert!(split as u64 == packed && names[split..].iter().all(|name| name.ends_with(".seg")), "{names:?}");
    // A checkpoint is made of packed segments as well, and the log goes on.
    engine.checkpoint_now().unwrap().unwrap();
    load.turns(&mut engine, 30);
    engine.checkpoint_now().unwrap().unwrap();
    engine.pack_now().unwrap();
    load.turns(&mut engine, 3);
    let now = engine.bank().clone();
    drop(engine);
    assert!(bank(&disk) == now && bank_without(&disk) == now);
    let verified = engine::verify(&env(&disk, 2, Preparer::Inline), dir(), &[]).unwrap();
    assert_eq!(Lsn(verified.entries), now.applied());
    assert!(verified.history.log.segments[0].compressed.is_some_and(|bytes| bytes < verified.history.log.segments[0].size / 4));
}

#[test]
fn packing_is_off_where_that_is_asked_for() {
    let disk = new_store(2);
    let keeping = Keeping { compresses: false, drops: false };
    let env = StoreEnv { keeping, ..env(&disk, 3, Preparer::Inline) };
    let mut engine = engine::open(&env, dir(), Path::new(KEY)).unwrap();
    Load::begin(&mut engine, 2).turns(&mut engine, 40);
    assert_eq!(engine.pack_now().unwrap(), 0);
    assert!(segments(&disk).iter().all(|name| name.ends_with(".seg")));
}

/// What lies wholly below the older checkpoint goes with the next commit; the rest is a store whose audit trail begins
/// there.
#[test]
fn what_no_checkpoint_needs_is_dropped() {
    let disk = new_store(3);
    let mut engine = open_dropping(&disk);
    let mut load = Load::begin(&mut engine, 3);
    let mut firsts = Vec::new();
    for _ in 0..5 {
        load.turns(&mut engine, 40);
        engine.checkpoint_now().unwrap().unwrap();
        engine.pack_now().unwrap();
        load.turns(&mut engine, 1);
        firsts.push(segments(&disk)[0].clone());
    }
    assert_eq!(firsts[0], compressed_name(1), "one checkpoint alone drops nothing");
    assert!(firsts.windows(2).all(|pair| pair[0] < pair[1]), "{firsts:?}");
    engine.seal().unwrap();
    let now = engine.bank().clone();
    drop(engine);
    assert!(bank(&disk) == now);
    // The tools begin where the older checkpoint stands.
    let tools = dropping(&disk, 4);
    let verified = engine::verify(&tools, dir(), &[]).unwrap();
    let older: u64 = checkpoints(&disk)[0].trim_end_matches(".ckpt").parse().unwrap();
    assert_eq!((verified.history.from, verified.entries), (Lsn(older), now.applied().0));
    let mut seen = Vec::new();
    engine::look(&tools, dir(), &mut |bank, batch| {
        assert_eq!(bank.applied(), Lsn(older));
        seen.extend(batch.batch.records().flat_map(|record| record.first.0..record.first.0 + u64::from(record.count)));
        Ok(())
    })
    .unwrap();
    assert_eq!(seen, (older + 1..=now.applied().0).collect::<Vec<_>>());
    // The newest may be damaged, but not both.
    let [first, second] = checkpoints(&disk).try_into().unwrap();
    disk.poke(&file(&second), 4200, &[0xEE; 8]);
    assert!(bank(&disk) == now);
    assert_eq!(engine::verify(&tools, dir(), &[]).unwrap().entries, now.applied().0);
    disk.poke(&file(&first), 4200, &[0xEE; 8]);
    let refused = engine::open(&tools, dir(), Path::new(KEY)).err().unwrap();
    assert!(matches!(&refused, StoreError::Damaged(what) if what.contains("dropped")), "{refused}");
    assert!(matches!(engine::verify(&tools, dir(), &[]), Err(StoreError::Damaged(_))));
}

/// Two checkpoints, and a commit away from dropping.
fn about_to_drop(template: &SimDisk) -> (SimDisk, Engine, Load) {
    let disk = template.snapshot();
    let mut engine = open_dropping(&disk);
    let mut load = Load::begin(&mut engine, 9);
    load.turns(&mut engine, 40);
    engine.checkpoint_now().unwrap().unwrap();
    (disk, engine, load)
}

/// The power fails at every step of dropping, with whatever survives: a start has all that was acknowledged, and what is
/// left over of what was dropped goes.
#[test]
fn a_power_cut_while_segments_are_dropped_loses_nothing() {
    let template = two_checkpoints(5);
    let (disk, mut engine, mut load) = about_to_drop(&template);
    let (begin, before) = (disk.operations(), segments(&disk)[0].clone());
    load.turns(&mut engine, 1);
    let all = disk.operations() - begin;
    let after = segments(&disk)[0].clone();
    assert!(after > before && all > 8, "{before} {after} {all}");
    drop(engine);
    let (mut kept, mut dropped, mut leftovers) = (0, 0, 0);
    for at in 1..=all + 1 {
        for seed in 0..40 {
            let (disk, mut engine, mut load) = about_to_drop(&template);
            let durable = engine.bank().clone();
            disk.fail(Fault { at: disk.operations() + at, only: None, is_sticky: true, errno: 5 });
            let answered = load.turn(&mut engine).is_some();
            let expected = if answered { engine.bank().clone() } else { durable };
            drop(engine);
            disk.heal();
            disk.crash(seed);
            let first = segments(&disk)[0].clone();
            let mut engine = open_dropping(&disk);
            // What was written and not answered may count.
            assert!(engine.bank().applied() >= expected.applied(), "operation {at}, seed {seed}");
            if engine.bank().applied() == expected.applied() {
                assert!(*engine.bank() == expected, "operation {at}, seed {seed}");
            }
            let now = segments(&disk)[0].clone();
            kept += u32::from(now == before);
            dropped += u32::from(now == after);
            leftovers += u32::from(now != first);
            Load::begin(&mut engine, seed).turns(&mut engine, 3);
            let live = engine.bank().clone();
            drop(engine);
            assert!(bank(&disk) == live, "operation {at}, seed {seed}");
        }
    }
    assert!(kept > 0 && dropped > 0 && leftovers > 0, "{kept} {dropped} {leftovers}");
}

/// A reader beside a daemon opens everything first: what the daemon packs and drops meanwhile stays readable.
#[test]
fn what_is_held_stays_readable_when_it_is_dropped() {
    let disk = new_store(9);
    let mut engine = open_dropping(&disk);
    let mut load = Load::begin(&mut engine, 9);
    load.turns(&mut engine, 40);
    engine.checkpoint_now().unwrap().unwrap();
    load.turns(&mut engine, 5);
    engine.seal().unwrap();
    let held_to = engine.bank().applied();
    let hold = bankd::wal::Hold::new(std::sync::Arc::new(disk.clone()), dir()).unwrap();
    for _ in 0..4 {
        load.turns(&mut engine, 40);
        engine.checkpoint_now().unwrap().unwrap();
        engine.pack_now().unwrap();
    }
    load.turns(&mut engine, 1);
    assert!(!segments(&disk).iter().any(|name| name.starts_with("0000000001")), "{:?}", segments(&disk));
    let mut entries = 0;
    let read = bankd::wal::inspect(&hold, dir(), bankd::wal::Writer::Running, None, &[], &mut |seen| {
        entries += u64::from(seen.batch.header.count);
        Ok(())
    });
    let read = read.unwrap();
    assert!(entries >= held_to.0 && read.good_end.next_lsn.0 > held_to.0, "{entries} of {held_to}");
}
