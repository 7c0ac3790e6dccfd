//! What a repair makes of damaged checkpoint files: each is named, and put aside where the store is sound without it.

use std::path::Path;

use bankd::engine::{self, Keeping, Remedy, StoreEnv, StoreError};
use bankd::env::Disk;
use bankd::env::sim::{Fault, SimDisk};
use bankd::wal::Preparer;

use super::support::{Load, bank, bank_without, checkpoints, dir, env, file, new_store, try_open, two_checkpoints};
use crate::support::sim::KEY;

fn remedy(disk: &SimDisk, seed: u64) -> Result<Remedy, StoreError> {
    engine::find_remedy(&env(disk, seed, Preparer::Inline), dir())
}

/// Damages a checkpoint in its header or in its image.
fn spoil(disk: &SimDisk, name: &str, at: u64) {
    let byte = disk.peek(&file(name)).unwrap()[at as usize];
    assert!(disk.poke(&file(name), at, &[byte ^ 1]));
}

/// A store with two checkpoints whose log begins behind its first segments.
fn cut_log() -> SimDisk {
    let disk = new_store(8);
    let keeping = Keeping { compresses: true, drops: true };
    let env = StoreEnv { keeping, ..env(&disk, 8, Preparer::Inline) };
    let mut engine = engine::open(&env, dir(), Path::new(KEY)).unwrap();
    let mut load = Load::begin(&mut engine, 8);
    for _ in 0..4 {
        load.turns(&mut engine, 40);
        engine.checkpoint_now().unwrap().unwrap();
        engine.pack_now().unwrap();
    }
    load.turns(&mut engine, 5);
    engine.seal().unwrap();
    drop(engine);
    disk.kill();
    assert_eq!(checkpoints(&disk).len(), 2);
    assert!(!disk.list(dir()).unwrap().iter().any(|name| name.starts_with("0000000001.seg")));
    disk
}

#[test]
fn each_damaged_file_is_named_and_put_aside_and_keeps_its_bytes() {
    let sound = two_checkpoints(21);
    let (names, expected) = (checkpoints(&sound), bank(&sound));
    for at in [20, 5000] {
        for damaged in [&names[..1], &names[1..], &names[..]] {
            let disk = sound.snapshot();
            damaged.iter().for_each(|name| spoil(&disk, name, at));
            // A name that is taken stays another file's.
            let taken = file(&format!("{}.damaged-1", damaged[0]));
            disk.create(&taken).unwrap().write_all_at(b"before", 0).unwrap();
            let Ok(Remedy::Mend(mend)) = remedy(&disk, 1) else { panic!("nothing to mend") };
            assert!(!mend.is_refused(), "a start takes the store");
            let steps = mend.steps();
            assert_eq!(steps.len(), damaged.len(), "{steps:?}");
            assert!(damaged.iter().all(|name| mend.why().contains(name) && steps.iter().any(|step| step.starts_with(name))));
            assert_eq!(mend.apply().unwrap(), None, "nothing is changed that was to be copied");
            disk.crash_with(&mut |_| false);
            for (index, name) in damaged.iter().enumerate() {
                let aside = file(&format!("{name}.damaged-{}", if index == 0 { 2 } else { 1 }));
                let mut bytes = sound.peek(&file(name)).unwrap();
                bytes[at as usize] ^= 1;
                assert!(disk.peek(&aside) == Some(bytes) && disk.peek(&file(name)).is_none(), "{name}");
            }
            assert!(matches!(remedy(&disk, 2), Ok(Remedy::Sound(_))));
            disk.kill();
            assert!(bank(&disk) == expected && bank_without(&disk) == expected);
        }
    }
}

#[test]
fn a_foreign_checkpoint_and_one_of_another_version_stay() {
    let disk = two_checkpoints(22);
    let other = two_checkpoints(23);
    let foreign = file("00000000000000999999.ckpt");
    let handle = disk.create(&foreign).unwrap();
    handle.write_all_at(&other.peek(&file(&checkpoints(&other)[0])).unwrap(), 0).unwrap();
    let name = &checkpoints(&disk)[0];
    let mut header = disk.peek(&file(name)).unwrap()[..4096].to_vec();
    header[12] = 9;
    let crc = crc32fast::hash(&header[12..]);
    header[8..12].copy_from_slice(&crc.to_le_bytes());
    assert!(disk.poke(&file(name), 0, &header));
    assert!(matches!(remedy(&disk, 1), Ok(Remedy::Sound(_))));
}

#[test]
fn on_a_cut_log_one_is_put_aside_and_without_any_it_says_what_to_restore() {
    let sound = cut_log();
    let (names, expected) = (checkpoints(&sound), bank(&sound));
    for name in &names {
        let disk = sound.snapshot();
        spoil(&disk, name, 5000);
        let Ok(Remedy::Mend(mend)) = remedy(&disk, 1) else { panic!("nothing to mend") };
        mend.apply().unwrap();
        disk.kill();
        assert!(bank(&disk) == expected && checkpoints(&disk).len() == 1);
    }
    let disk = sound.snapshot();
    names.iter().for_each(|name| spoil(&disk, name, 5000));
    assert!(matches!(try_open(&disk.snapshot(), 1).err(), Some(StoreError::Damaged(_))));
    let Ok(Remedy::Restore(why)) = remedy(&disk, 1) else { panic!("there is nothing to go on from") };
    assert!(names.iter().all(|name| why.contains(name)), "{why}");
    assert!(why.contains("a start needs a checkpoint: put one back") && why.contains("snapshot or backup"), "{why}");
    assert_eq!(checkpoints(&disk), names, "nothing is put aside where the store is not sound without it");
    // What it says helps.
    disk.kill();
    assert!(disk.poke(&file(&names[0]), 0, &sound.peek(&file(&names[0])).unwrap()));
    let Ok(Remedy::Mend(mend)) = remedy(&disk, 3) else { panic!("the other one is damaged") };
    mend.apply().unwrap();
    disk.kill();
    assert!(bank(&disk) == expected);
}

#[test]
fn wherever_the_power_or_a_call_fails_no_file_is_lost() {
    let damaged = cut_log();
    let names = checkpoints(&damaged);
    let expected = bank(&damaged);
    spoil(&damaged, &names[1], 5000);
    let disk = damaged.snapshot();
    let before = disk.operations();
    let repair = |disk: &SimDisk, seed| match remedy(disk, seed)? {
        Remedy::Mend(mend) => mend.apply().map(|_| true),
        Remedy::Sound(_) => Ok(false),
        _ => panic!("another remedy"),
    };
    assert!(repair(&disk, 1).unwrap());
    let operations = disk.operations() - before;
    let (mut done, mut undone) = (0, 0);
    for at in 1..=operations {
        for seed in 0..3 {
            let disk = damaged.snapshot();
            disk.fail(Fault { at: disk.operations() + at, only: None, is_sticky: seed > 0, errno: 5 });
            assert!(repair(&disk, seed).is_err() || seed == 0, "operation {at}");
            disk.heal();
            if seed == 0 {
                disk.kill()
            } else {
                disk.crash(seed)
            }
            if repair(&disk, seed).unwrap() {
                undone += 1
            } else {
                done += 1
            }
            disk.kill();
            assert!(bank(&disk) == expected && checkpoints(&disk) == names[..1], "operation {at}, seed {seed}");
            let aside = file(&format!("{}.damaged-1", names[1]));
            assert!(disk.peek(&aside) == damaged.peek(&file(&names[1])), "operation {at}, seed {seed}");
        }
    }
    assert!(done > 0 && undone > 0, "{done} done, {undone} not");
}
