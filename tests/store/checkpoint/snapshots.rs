//! Snapshots: a copy that is whole or nothing, and a bank of its own once it is started.

use std::path::{Path, PathBuf};

use bankd::bank::Bank;
use bankd::engine::{self, Engine, Snapshot, StoreError};
use bankd::env::Disk;
use bankd::env::sim::{Fault, Random, SimDisk};
use bankd::model::types::AccountId;
use bankd::wal::Preparer;

use super::support::{ACCOUNTS, Load, bank, dir, env, file, open, two_checkpoints};
use crate::support::sim::KEY;

fn target() -> &'static Path {
    Path::new("/bank/copy")
}

fn copied(name: &str) -> PathBuf {
    target().join(name)
}

fn take(disk: &SimDisk) -> Result<Snapshot, StoreError> {
    engine::snapshot(&env(disk, 1, Preparer::Inline), dir(), target())
}

fn try_start(disk: &SimDisk, seed: u64) -> Result<Engine, StoreError> {
    engine::open(&env(disk, seed, Preparer::Inline), target(), Path::new(KEY))
}

fn start(disk: &SimDisk) -> Engine {
    try_start(disk, disk.operations()).unwrap_or_else(|error| panic!("refused: {error}"))
}

/// A store with packed segments and two checkpoints, and its running engine.
fn running(seed: u64) -> (SimDisk, Engine, Load) {
    let disk = two_checkpoints(seed);
    let mut engine = open(&disk);
    let mut load = Load::begin(&mut engine, seed);
    load.turns(&mut engine, 20);
    engine.pack_now().unwrap();
    load.turns(&mut engine, 5);
    engine.seal().unwrap();
    (disk, engine, load)
}

fn balances(bank: &Bank) -> Vec<u64> {
    (0..ACCOUNTS).map(|id| bank.account(AccountId(id)).unwrap().balance.get()).collect()
}

/// A copy that was started: the same money, another lineage, no sessions.
fn assert_is_copy(copy: &Bank, original: &Bank) {
    assert_eq!(balances(copy), balances(original));
    assert_eq!((copy.cash(), copy.account_count()), (original.cash(), original.account_count()));
    assert_ne!(copy.lineage(), original.lineage());
    assert!(original.session_count() > 0 && copy.session_count() == 0);
}

#[test]
fn a_snapshot_of_a_running_daemon_has_everything_that_was_answered() {
    let (disk, mut engine, mut load) = running(1);
    // Nothing seals it: as beside a daemon without space.
    load.turns(&mut engine, 1);
    let answered = engine.bank().clone();
    let before: Vec<_> = disk.list(dir()).unwrap().into_iter().map(|name| (disk.peek(&file(&name)), name)).collect();
    let made = take(&disk).unwrap();
    assert!(made.lsn == answered.applied() && made.checkpoints == 2 && made.store == engine.store(), "{made:?}");
    let after: Vec<_> = disk.list(dir()).unwrap().into_iter().map(|name| (disk.peek(&file(&name)), name)).collect();
    assert!(before == after, "looking changed something");
    assert!(disk.list(target()).unwrap().iter().any(|name| name.ends_with(".zst")), "what is packed stays so");
    // Both go on, each as a bank of its own.
    let mut copy = start(&disk);
    assert_is_copy(copy.bank(), &answered);
    Load::begin(&mut copy, 7).turns(&mut copy, 5);
    load.turns(&mut engine, 3);
    let (here, there) = (engine.bank().clone(), copy.bank().clone());
    drop((engine, copy));
    assert!(bank(&disk) == here && *start(&disk).bank() == there, "only the first start draws a lineage");
    assert!(disk.peek(&copied("SNAPSHOT")).is_none());
}

#[test]
fn a_stopped_store_is_copied_to_its_end() {
    let (disk, mut engine, mut load) = running(2);
    load.turns(&mut engine, 1);
    let all = engine.bank().clone();
    drop(engine);
    assert_eq!(take(&disk).unwrap().lsn, all.applied());
    assert_is_copy(start(&disk).bank(), &all);
    // A snapshot of the copy, which has its own lineage by now.
    let again = Path::new("/bank/again");
    engine::snapshot(&env(&disk, 3, Preparer::Inline), target(), again).unwrap();
    let verified = engine::verify(&env(&disk, 3, Preparer::Inline), again, &[]).unwrap();
    assert_eq!(verified.entries, all.applied().0 + 1);
}

#[test]
fn it_goes_nowhere_else() {
    let (disk, engine, _) = running(3);
    let refused = engine::snapshot(&env(&disk, 1, Preparer::Inline), dir(), dir()).unwrap_err();
    assert!(matches!(refused, StoreError::InUse { .. }), "{refused}");
    drop(engine);
    let refused = engine::snapshot(&env(&disk, 1, Preparer::Inline), dir(), dir()).unwrap_err();
    assert!(matches!(refused, StoreError::NotEmpty { .. }), "{refused}");
    disk.create_dir(target()).unwrap();
    disk.create(&copied("notes")).unwrap();
    assert!(matches!(take(&disk).unwrap_err(), StoreError::NotEmpty { found, .. } if found == "notes"));
    let refused = engine::snapshot(&env(&disk, 1, Preparer::Inline), Path::new("/bank"), target()).unwrap_err();
    assert!(matches!(refused, StoreError::NoStore { .. }), "{refused}");
}

/// Every operation fails: nothing is left that could be taken for a store, and the next try succeeds.
#[test]
fn every_call_may_fail() {
    let (template, engine, _) = running(4);
    drop(engine);
    let counted = template.snapshot();
    let begin = counted.operations();
    let whole = take(&counted).unwrap();
    let all = counted.operations() - begin;
    let original = bank(&template);
    let mut failed = 0;
    for (at, is_sticky) in (1..=all).flat_map(|at| [(at, false), (at, true)]) {
        let disk = template.snapshot();
        disk.fail(Fault { at: disk.operations() + at, only: None, is_sticky, errno: 5 });
        let made = take(&disk);
        disk.heal();
        match made {
            Ok(made) => assert_is_copy(start(&disk).bank(), &{
                assert_eq!(made.lsn, whole.lsn);
                original.clone()
            }),
            Err(_) => {
                failed += 1;
                match try_start(&disk, at) {
                    Err(StoreError::NoStore { .. } | StoreError::Unfinished { .. }) => {}
                    // All of it was there, but whether its last name is durable was not to be learned, nor could it be removed.
                    Ok(started) if is_sticky => {
                        assert_is_copy(started.bank(), &original);
                        continue;
                    }
                    other => panic!("operation {at}: {:?}", other.err()),
                }
                // Where even the removal failed, a person has to.
                for name in disk.list(target()).unwrap_or_default() {
                    assert!(is_sticky || name == "LOCK", "operation {at}: {name} is left behind");
                    disk.remove(&copied(&name)).unwrap();
                }
                assert_eq!(take(&disk).unwrap().lsn, whole.lsn, "operation {at}");
            }
        }
        assert!(bank(&disk) == original);
    }
    assert!(failed * 10 > 2 * all * 8, "{failed} of {all}");
}

/// The power fails while it is made: what there is of it is no store, or the whole one.
#[test]
fn a_power_cut_leaves_nothing_or_all() {
    let (template, engine, _) = running(5);
    drop(engine);
    let original = bank(&template);
    let counted = template.snapshot();
    let begin = counted.operations();
    take(&counted).unwrap();
    let all = counted.operations() - begin;
    let (mut none, mut unfinished, mut whole) = (0, 0, 0);
    for at in 1..=all + 1 {
        for seed in 0..8 {
            let disk = template.snapshot();
            disk.fail(Fault { at: disk.operations() + at, only: None, is_sticky: true, errno: 5 });
            let made = take(&disk).is_ok();
            disk.heal();
            disk.crash(seed);
            match try_start(&disk, seed) {
                Ok(copy) => {
                    whole += 1;
                    assert_is_copy(copy.bank(), &original);
                }
                Err(StoreError::NoStore { .. }) if !made => none += 1,
                Err(StoreError::Unfinished { .. }) if !made => unfinished += 1,
                Err(error) => panic!("operation {at}, seed {seed}: {error}"),
            }
        }
    }
    assert!(none > 0 && unfinished > 0 && whole > 0, "{none} {unfinished} {whole}");
}

/// The power fails during the first start from it: the next start has a new lineage and the same money.
#[test]
fn a_power_cut_during_the_first_start() {
    let (disk, engine, _) = running(6);
    drop(engine);
    let original = bank(&disk);
    take(&disk).unwrap();
    let template = disk;
    let counted = template.snapshot();
    let begin = counted.operations();
    drop(start(&counted));
    let all = counted.operations() - begin;
    let mut twice = 0;
    for at in 1..=all + 1 {
        for seed in 0..20 {
            let disk = template.snapshot();
            let mut random = Random::new(seed);
            disk.fail(Fault { at: disk.operations() + at, only: None, is_sticky: true, errno: 5 });
            drop(try_start(&disk, seed));
            disk.heal();
            disk.crash(random.next_u64());
            let copy = start(&disk);
            assert_is_copy(copy.bank(), &original);
            twice += u32::from(copy.bank().applied().0 > original.applied().0 + 1);
            assert!(disk.peek(&copied("SNAPSHOT")).is_none());
        }
    }
    assert!(twice > 0, "a lineage was drawn and the marker still there");
}

/// A copy that lost its last batches, cleanly, is no copy: the marker knows where it must end.
#[test]
fn a_shortened_copy_is_refused() {
    let (disk, engine, _) = running(7);
    drop(engine);
    take(&disk).unwrap();
    let name = disk.list(target()).unwrap().into_iter().rfind(|name| name.ends_with(".seg")).unwrap();
    let bytes = disk.peek(&copied(&name)).unwrap();
    let last = (1..bytes.len() / 4096).rfind(|block| bytes[block * 4096] != 0).unwrap();
    disk.poke(&copied(&name), last as u64 * 4096, &[0; 4096]);
    let refused = try_start(&disk, 1).err().unwrap();
    assert!(matches!(&refused, StoreError::Damaged(what) if what.contains("the log went on")), "{refused}");
    // Another store's marker.
    disk.poke(&copied(&name), last as u64 * 4096, &bytes[last * 4096..(last + 1) * 4096]);
    disk.poke(&copied("SNAPSHOT"), 16, &[0xEE]);
    assert!(matches!(try_start(&disk, 1), Err(StoreError::Damaged(_))));
}
