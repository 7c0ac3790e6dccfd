//! A repair under power cuts: after one at any of its disk operations the store is either damaged as before, and can be
//! repaired again, or repaired; never anything between, and never without the copy of what was dropped.

use std::path::Path;

use bankd::engine::{self, StoreError};
use bankd::env::Disk;
use bankd::env::sim::{Fault, SimDisk};
use bankd::model::types::AccountId;

use super::support::{BLOCK, Bank, OPENING, deposit, dir, env, fresh_disk, open, segment};

/// A store whose last batch, a deposit of 7 behind one of 5, is corrupt.
fn corrupt() -> SimDisk {
    let disk = fresh_disk();
    let mut bank = Bank::serve(&disk, 1).unwrap();
    bank.request(0, 1, deposit(0, 5));
    bank.request(0, 2, deposit(0, 7));
    drop(bank);
    disk.kill();
    let sequence = (1..)
        .take_while(|sequence| disk.peek(&segment(*sequence)).is_some())
        .filter(|sequence| disk.peek(&segment(*sequence)).unwrap()[BLOCK] != 0);
    let path = segment(sequence.last().unwrap());
    let bytes = disk.peek(&path).unwrap();
    let last = (1..bytes.len() / BLOCK).rev().map(|block| block * BLOCK).find(|at| bytes[*at] != 0).unwrap();
    assert!(disk.poke(&path, (last + 300) as u64, &[bytes[last + 300] ^ 1]));
    assert!(matches!(open(&disk, 2).err(), Some(StoreError::Damaged(_))));
    disk.kill();
    disk
}

fn repair(disk: &SimDisk, seed: u64) -> Result<(), StoreError> {
    match engine::find_remedy(&env(disk, seed), dir())? {
        engine::Remedy::DropTail(repair) => repair.apply("").map(drop),
        engine::Remedy::Mend(mend) => mend.apply().map(drop),
        engine::Remedy::Sound(_) => Ok(()),
        engine::Remedy::Restore(why) => panic!("no repair: {why}"),
    }
}

fn check_repaired(disk: &SimDisk, what: &str) {
    let engine = open(disk, 9).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(engine.bank().account(AccountId(0)).unwrap().balance.get(), OPENING + 5, "{what}");
    assert_eq!(engine.bank().session_count(), 0, "{what}: a new lineage has no sessions");
}

#[test]
fn a_repair_is_done_or_not_wherever_the_power_fails() {
    let corrupt = corrupt();
    let disk = corrupt.snapshot();
    let before = disk.operations();
    repair(&disk, 3).unwrap();
    let operations = disk.operations() - before;
    disk.kill();
    check_repaired(&disk, "undisturbed");

    let (mut done, mut undone) = (0, 0);
    for at in 1..=operations {
        for seed in 0..12 {
            let what = format!("cut at operation {at} of {operations}, seed {seed}");
            let disk = corrupt.snapshot();
            disk.fail(Fault { at: disk.operations() + at, only: None, is_sticky: true, errno: 5 });
            assert!(repair(&disk, seed).is_err(), "{what}: a repair that failed says that it is done");
            disk.heal();
            disk.crash(seed);
            match open(&disk, seed) {
                Ok(engine) => {
                    drop(engine);
                    done += 1;
                    assert!(disk.exists(Path::new("/bank/store.repair-1")).unwrap(), "{what}: nothing was kept of what was dropped");
                }
                Err(StoreError::Damaged(_)) => {
                    undone += 1;
                    disk.kill();
                    repair(&disk, seed).unwrap_or_else(|error| panic!("{what}, again: {error}"));
                }
                Err(other) => panic!("{what}: {other}"),
            }
            disk.kill();
            check_repaired(&disk, &what);
        }
    }
    assert!(done > 0 && undone > 0, "{done} done, {undone} not");
}
