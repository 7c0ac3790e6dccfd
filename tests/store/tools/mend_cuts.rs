//! A mending under power cuts and failing calls: after one at any of its disk operations the store is either as damaged as
//! before and can be mended again, or mended. No acknowledged request is lost, and no tool is left without a remedy.

use std::path::{Path, PathBuf};

use bankd::engine::{self, Remedy, StoreError};
use bankd::env::Disk;
use bankd::env::sim::{Fault, SimDisk};
use bankd::model::types::AccountId;
use bankd::wal::MANIFEST;

use super::support::{BLOCK, Bank, OPENING, deposit, dir, env, fresh_disk, open, segment};

/// What a cut leaves of a store, and how far it must come when it is mended.
struct Case {
    name: &'static str,
    disk: SimDisk,
    /// What account 0 holds on top of its opening balance.
    deposits: u64,
    /// Whether the remedy loses a tail.
    drops: bool,
}

/// Two deposits, 5 and 7, that were answered; closed cleanly or killed.
fn served(is_closed: bool) -> SimDisk {
    let disk = fresh_disk();
    let mut bank = Bank::serve(&disk, 1).unwrap();
    bank.request(0, 1, deposit(0, 5));
    bank.request(0, 2, deposit(0, 7));
    drop(bank);
    disk.kill();
    if is_closed {
        open(&disk, 2).unwrap().close().unwrap();
        disk.kill();
    }
    disk
}

/// The segments that are there, oldest first.
fn segments(disk: &SimDisk) -> Vec<PathBuf> {
    (1..).map(segment).take_while(|path| disk.peek(path).is_some()).collect()
}

/// The last segment with a batch in it.
fn in_use(disk: &SimDisk) -> PathBuf {
    segments(disk).into_iter().rfind(|path| disk.peek(path).unwrap()[BLOCK] != 0).unwrap()
}

/// The last block with something in it.
fn last_block(disk: &SimDisk, path: &Path) -> usize {
    let bytes = disk.peek(path).unwrap();
    (1..bytes.len() / BLOCK).rev().map(|block| block * BLOCK).find(|at| bytes[*at] != 0).unwrap()
}

fn set_len(disk: &SimDisk, path: &Path, length: u64) {
    let file = disk.open(path).unwrap();
    file.set_len(length).unwrap();
    file.sync().unwrap();
}

fn length(disk: &SimDisk, path: &Path) -> u64 {
    disk.peek(path).unwrap().len() as u64
}

fn case(name: &'static str, disk: SimDisk, damage: impl FnOnce(&SimDisk)) -> Case {
    damage(&disk);
    disk.kill();
    Case { name, disk, deposits: 12, drops: false }
}

fn remove(disk: &SimDisk, path: &Path) {
    disk.remove(path).unwrap();
    disk.sync_dir(dir()).unwrap();
}

/// Everything that is mended without loss, and then what a tail is dropped for while a file is made anew.
fn cases() -> Vec<Case> {
    let manifest = dir().join(MANIFEST);
    let first_is_cut = |disk: &SimDisk| set_len(disk, segments(disk).last().unwrap(), 100);
    let mut cases = vec![
        case("a slot", served(false), |disk| assert!(disk.poke(&manifest, 100, &[0xAA; 64]))),
        case("a header", served(false), |disk| assert!(disk.poke(&in_use(disk), 0, &[0; 64]))),
        case("two headers", served(false), |disk| assert!(segments(disk).iter().take(2).all(|path| disk.poke(path, 0, &[0; 64])))),
        case("a longer segment", served(false), |disk| {
            let path = in_use(disk);
            set_len(disk, &path, length(disk, &path) + 8192);
        }),
        case("a shorter last segment", served(true), |disk| {
            let path = segments(disk).pop().unwrap();
            set_len(disk, &path, length(disk, &path) - 8192);
        }),
        case("almost nothing of the last segment", served(true), first_is_cut),
        case("bytes behind the end", served(true), |disk| {
            let path = in_use(disk);
            assert!(disk.poke(&path, last_block(disk, &path) as u64 + 4096, &[7; 20_000]));
        }),
        case("a foreign segment", served(true), |disk| {
            let path = segment(99);
            let file = disk.create(&path).unwrap();
            file.write_all_at(&disk.peek(&segment(1)).unwrap(), 0).unwrap();
            file.sync().unwrap();
            disk.sync_dir(dir()).unwrap();
        }),
    ];
    // An untouched last segment is what lets the manifest be written anew. A start that logs nothing leaves one.
    let with_spare = || {
        let disk = served(true);
        drop(open(&disk, 5).unwrap());
        disk.kill();
        let last = segments(&disk).pop().unwrap();
        assert_eq!(disk.peek(&last).unwrap()[BLOCK], 0);
        disk
    };
    cases.push(case("no manifest", with_spare(), |disk| remove(disk, &manifest)));
    cases.push(case("both slots", with_spare(), |disk| assert!(disk.poke(&manifest, 0, &[0xAA; 8192]))));
    let last_is_missing = |disk: &SimDisk| remove(disk, segments(disk).last().unwrap());
    cases.push(case("a missing last segment", served(true), last_is_missing));
    cases.push(Case { drops: true, ..case("a missing spare of a log in use", with_spare(), last_is_missing) });
    cases.push(Case { drops: true, deposits: 5, ..case("a tail and a header", served(false), tail_and_header) });
    cases.push(Case { drops: true, deposits: 5, ..case("a cut segment in use", served(false), cut_in_use) });
    cases
}

/// The last batch with a request is corrupt, and so is the header of a segment.
fn tail_and_header(disk: &SimDisk) {
    let path = in_use(disk);
    let at = last_block(disk, &path) as u64 + 300;
    let byte = disk.peek(&path).unwrap()[at as usize];
    assert!(disk.poke(&path, at, &[byte ^ 1]));
    assert!(disk.poke(&path, 0, &[0; 64]));
}

/// The segment in use ends before its last batch.
fn cut_in_use(disk: &SimDisk) {
    let path = in_use(disk);
    set_len(disk, &path, last_block(disk, &path) as u64);
}

/// One run of the tool: whether there was something to do.
fn repair(disk: &SimDisk, seed: u64) -> Result<bool, StoreError> {
    match engine::find_remedy(&env(disk, seed), dir())? {
        Remedy::DropTail(repair) => repair.apply("").map(|_| true),
        Remedy::Mend(mend) => mend.apply().map(|_| true),
        Remedy::Sound(_) => Ok(false),
        Remedy::Restore(why) => panic!("no repair: {why}"),
    }
}

fn check_mended(disk: &SimDisk, case: &Case, what: &str) {
    let copy = disk.snapshot();
    copy.kill();
    let engine = open(&copy, 9).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(engine.bank().account(AccountId(0)).unwrap().balance.get(), OPENING + case.deposits, "{what}");
    assert_eq!(engine.bank().session_count() == 0, case.drops, "{what}: sessions end where a tail is dropped, and only there");
    drop(engine);
    assert!(!repair(disk, 10).unwrap_or_else(|error| panic!("{what}: {error}")), "{what}: there is still something to mend");
}

/// The store after a repair that was interrupted, and has been run once more.
fn check_interrupted(disk: &SimDisk, case: &Case, what: &str, seed: u64) -> bool {
    let copy = disk.snapshot();
    // A start that takes the store shows everything that was answered.
    let is_refused = match open(&copy, seed) {
        Ok(engine) => {
            let balance = engine.bank().account(AccountId(0)).unwrap().balance.get();
            assert_eq!(balance, OPENING + case.deposits, "{what}: a start takes it, and something is lost");
            false
        }
        Err(StoreError::Damaged(_)) => true,
        Err(other) => panic!("{what}: {other}"),
    };
    let was_undone = repair(disk, seed).unwrap_or_else(|error| panic!("{what}, again: {error}"));
    assert!(was_undone || !is_refused, "{what}: refused, and nothing to do");
    disk.kill();
    check_mended(disk, case, what);
    was_undone
}

#[test]
fn a_mending_is_done_or_not_wherever_the_power_or_a_call_fails() {
    for case in cases() {
        let disk = case.disk.snapshot();
        let before = disk.operations();
        assert!(repair(&disk, 3).unwrap(), "{}: nothing to mend", case.name);
        let operations = disk.operations() - before;
        disk.crash_with(&mut |_| false);
        check_mended(&disk, &case, case.name);

        let (mut done, mut undone) = (0, 0);
        for at in 1..=operations {
            for seed in 0..6 {
                let what = format!("{}: cut at operation {at} of {operations}, seed {seed}", case.name);
                let disk = case.disk.snapshot();
                // The first of the seeds is no cut: one call fails, the process ends, and the page cache stays.
                disk.fail(Fault { at: disk.operations() + at, only: None, is_sticky: seed > 0, errno: 5 });
                let outcome = repair(&disk, seed);
                assert!(outcome.is_err() || seed == 0, "{what}: a repair that failed says that it is done");
                disk.heal();
                if seed == 0 {
                    disk.kill()
                } else {
                    disk.crash(seed)
                }
                if check_interrupted(&disk, &case, &what, seed) { undone += 1 } else { done += 1 }
            }
        }
        assert!(undone > 0 && done > 0, "{}: {done} done, {undone} not", case.name);
    }
}
