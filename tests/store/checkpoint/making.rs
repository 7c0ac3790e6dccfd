//! Making a checkpoint: what fails, what is interrupted, what is found.

use bankd::engine::CheckpointError;
use bankd::env::Disk;
use bankd::env::sim::{Fault, Operation, Random, SimDisk};

use super::support::{Load, bank, bank_without, checkpoints, dir, file, new_store, open, segment, try_open, two_checkpoints};

/// A store whose next checkpoint is about to be made: a running engine over it.
fn about_to(disk: &SimDisk, seed: u64) -> bankd::engine::Engine {
    let mut engine = open(disk);
    let mut load = Load::begin(&mut engine, seed);
    load.turns(&mut engine, 40);
    engine
}

#[test]
fn nothing_finished_and_nothing_new_make_no_checkpoint() {
    let disk = new_store(1);
    let mut engine = open(&disk);
    assert_eq!(engine.checkpoint_now().unwrap(), None, "nothing was written in this life");
    let mut load = Load::begin(&mut engine, 1);
    let made = engine.checkpoint_now().unwrap().expect("what the life before wrote is finished now");
    assert_eq!(made.lsn.0 + 2, load.session.0, "the entry of this start stands between");
    assert_eq!(engine.checkpoint_now().unwrap(), None);
    load.turns(&mut engine, 14);
    let before = engine.bank().applied();
    load.turns(&mut engine, 1);
    assert_eq!(engine.checkpoint_now().unwrap().unwrap().lsn, before, "the segment in use is left alone");
}

#[test]
fn two_are_kept_and_each_is_built_on_the_one_before() {
    let disk = new_store(2);
    let mut engine = open(&disk);
    let mut load = Load::begin(&mut engine, 2);
    let mut last = engine.checkpoint_now().unwrap().unwrap().lsn;
    for _ in 0..6 {
        load.turns(&mut engine, 20);
        let made = engine.checkpoint_now().unwrap().unwrap();
        assert_eq!(made.entries, made.lsn.0 - last.0, "only what is new is replayed");
        let names = [last, made.lsn].map(|lsn| format!("{:020}.ckpt", lsn.0));
        assert_eq!(checkpoints(&disk), names);
        last = made.lsn;
    }
}

/// Every operation of making one fails, once or for good: the log goes on, what was there is there, and the next try
/// succeeds.
#[test]
fn every_call_may_fail_and_the_next_try_succeeds() {
    let template = two_checkpoints(3);
    let counted = template.snapshot();
    let engine = about_to(&counted, 4);
    let begin = counted.operations();
    engine.checkpoint_now().unwrap().unwrap();
    let all = counted.operations() - begin;
    assert!(all > 30, "{all}");
    drop(engine);
    let mut failed = 0;
    for at in 1..=all {
        for (is_sticky, errno) in [(false, 5), (true, 5), (true, 28), (false, 24), (true, 24)] {
            let disk = template.snapshot();
            let mut engine = about_to(&disk, 4);
            let was = checkpoints(&disk);
            disk.fail(Fault { at: disk.operations() + at, only: None, is_sticky, errno });
            let made = engine.checkpoint_now();
            disk.heal();
            if let Err(error) = &made {
                failed += 1;
                assert!(!matches!(error, CheckpointError::Damaged(_)), "operation {at}: {error}");
                let newest = was.last().unwrap();
                assert!(checkpoints(&disk).contains(newest), "operation {at}: the newest sound one is still there");
            }
            // It goes on, and tries again.
            Load::begin(&mut engine, at).turns(&mut engine, 20);
            engine.checkpoint_now().unwrap().unwrap();
            assert!(disk.list(dir()).unwrap().iter().all(|name| !name.ends_with(".tmp")), "operation {at}");
            assert_eq!(checkpoints(&disk).len(), 2, "operation {at}");
            let now = engine.bank().clone();
            drop(engine);
            assert!(bank(&disk) == now && bank_without(&disk) == now, "operation {at}");
        }
    }
    assert!(failed > all, "{failed} of {all}");
}

/// The power fails at every operation of making one, with whatever survives: the next start has the same bank.
#[test]
fn a_power_cut_at_every_step_loses_nothing() {
    let template = two_checkpoints(5);
    let counted = template.snapshot();
    let engine = about_to(&counted, 6);
    let begin = counted.operations();
    engine.checkpoint_now().unwrap().unwrap();
    let all = counted.operations() - begin;
    drop(engine);
    let (mut fewer, mut more, mut runs) = (0, 0, 0);
    for at in 1..=all + 1 {
        for seed in 0..40 {
            let disk = template.snapshot();
            let engine = about_to(&disk, 6);
            let (was, expected) = (checkpoints(&disk), engine.bank().clone());
            disk.fail(Fault { at: disk.operations() + at, only: None, is_sticky: true, errno: 5 });
            let _ = engine.checkpoint_now();
            disk.heal();
            drop(engine);
            disk.crash(seed);
            runs += 1;
            let now = checkpoints(&disk);
            assert!(!now.is_empty());
            fewer += u32::from(now.len() == 2 && now != was);
            more += u32::from(now.len() > 2);
            assert!(bank(&disk) == expected && bank_without(&disk) == expected, "operation {at}, seed {seed}");
            // Two more crashes while it recovers, and then the next checkpoint.
            let mut random = Random::new(seed);
            for _ in 0..2 {
                disk.fail(Fault { at: disk.operations() + 1 + random.below(60), only: None, is_sticky: true, errno: 5 });
                drop(try_open(&disk, seed));
                disk.heal();
                disk.crash(random.next_u64());
            }
            let mut engine = open(&disk);
            let mut load = Load::begin(&mut engine, seed);
            engine.checkpoint_now().unwrap();
            load.turns(&mut engine, 2);
            let after = engine.bank().clone();
            drop(engine);
            assert!(bank(&disk) == after, "operation {at}, seed {seed}");
            assert!(disk.list(dir()).unwrap().iter().all(|name| !name.ends_with(".tmp")));
        }
    }
    assert!(runs > 1_000 && fewer > 0 && more > 0, "{runs} runs, {fewer} {more}");
}

#[test]
fn without_space_there_is_none_and_the_store_goes_on() {
    let disk = two_checkpoints(7);
    let mut engine = about_to(&disk, 8);
    let names = disk.list(dir()).unwrap();
    let used: u64 = names.iter().map(|name| disk.peek(&file(name)).unwrap().len() as u64).sum();
    disk.set_capacity(Some(used + 1_000));
    let error = engine.checkpoint_now().unwrap_err();
    assert!(error.is_no_space(), "{error}");
    assert_eq!(disk.list(dir()).unwrap(), names, "nothing is left behind");
    disk.set_capacity(None);
    engine.checkpoint_now().unwrap().unwrap();
    engine.seal().unwrap();
}

/// A damaged newest checkpoint is passed over here as well, and goes when there is a sound one after it.
#[test]
fn a_damaged_one_is_passed_over_and_replaced() {
    let disk = two_checkpoints(9);
    let [older, newer] = checkpoints(&disk).try_into().unwrap();
    disk.poke(&file(&newer), 4200, &[0xEE; 8]);
    let engine = about_to(&disk, 10);
    let made = engine.checkpoint_now().unwrap().unwrap();
    assert_eq!(checkpoints(&disk), [older, format!("{:020}.ckpt", made.lsn.0)]);
}

/// Whatever was durable must read back: a changed byte in a finished segment since the last checkpoint ends the daemon.
#[test]
fn damage_to_finished_segments_is_found() {
    let template = two_checkpoints(11);
    let mut found = 0;
    let sealed = template.snapshot();
    let engine = about_to(&sealed, 12);
    let newest = checkpoints(&sealed).pop().unwrap();
    let header = sealed.peek(&file(&newest)).unwrap();
    let first = u64::from_le_bytes(header[80..88].try_into().unwrap());
    let from = u64::from_le_bytes(header[96..104].try_into().unwrap());
    engine.checkpoint_now().unwrap().unwrap();
    let made = sealed.peek(&file(&checkpoints(&sealed).pop().unwrap())).unwrap();
    let last = u64::from_le_bytes(made[80..88].try_into().unwrap());
    assert!(last > first);
    drop(engine);
    for sequence in first..=last {
        let begin = if sequence == first { from } else { 4096 };
        for at in (begin..64 << 10).step_by(1_021) {
            let disk = template.snapshot();
            let engine = about_to(&disk, 12);
            let bytes = disk.peek(&segment(sequence)).unwrap();
            disk.poke(&segment(sequence), at, &[bytes[at as usize] ^ 0x20]);
            let made = engine.checkpoint_now();
            match made {
                Err(CheckpointError::Damaged(what)) => {
                    assert!(what.contains(&bankd::wal::file_name(sequence)), "segment {sequence}, byte {at}: {what}");
                    found += 1;
                }
                // A life's unused rest is void from its end on.
                other => assert!(bytes[at as usize..].iter().all(|byte| *byte == 0), "segment {sequence}, byte {at}: {other:?}"),
            }
            assert!(checkpoints(&disk).contains(&newest));
        }
    }
    assert!(found > 50, "{found}");
}

/// The page cache lies about a file whose sync failed: such a file never gets its name.
#[test]
fn a_file_that_did_not_reach_the_device_does_not_count() {
    let template = two_checkpoints(13);
    let mut failed = 0;
    for nth in 0..30 {
        let disk = template.snapshot();
        let engine = about_to(&disk, 14);
        let was = checkpoints(&disk);
        let expected = engine.bank().clone();
        disk.fail(Fault { at: disk.operations() + nth, only: Some(Operation::Sync), is_sticky: false, errno: 5 });
        let made = engine.checkpoint_now();
        failed += u32::from(made.is_err());
        assert!(made.is_ok() || checkpoints(&disk) == was, "{made:?}");
        drop(engine);
        disk.crash_with(&mut |_| false);
        assert!(bank(&disk) == expected);
    }
    assert!(failed > 3, "{failed}");
}
