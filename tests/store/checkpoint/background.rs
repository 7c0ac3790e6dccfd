//! The thread that makes checkpoints: by itself when one is due, out of everybody's way, gone when the store closes.

use std::path::Path;
use std::time::{Duration, Instant};

use bankd::engine::{self, Engine, Fatal};
use bankd::env::sim::{Fault, Operation, SimDisk};
use bankd::wal::Preparer;

use super::support::{Load, bank, bank_without, checkpoints, dir, env, file, new_store, segment};
use crate::support::sim::KEY;

fn open(disk: &SimDisk) -> Engine {
    engine::open(&env(disk, disk.operations(), Preparer::Background), dir(), Path::new(KEY)).unwrap()
}

/// Waits until `is_so`, with turns of the log going on.
fn work_until(engine: &mut Engine, load: &mut Load, is_so: &dyn Fn() -> bool) {
    let since = Instant::now();
    while !is_so() {
        assert!(since.elapsed() < Duration::from_secs(20), "it does not come to pass");
        load.turns(engine, 1);
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn checkpoints_come_by_themselves() {
    let disk = new_store(1);
    let mut engine = open(&disk);
    let mut load = Load::begin(&mut engine, 1);
    let mut seen = Vec::new();
    for _ in 0..4 {
        work_until(&mut engine, &mut load, &|| checkpoints(&disk).last().is_some_and(|newest| !seen.contains(newest)));
        seen.push(checkpoints(&disk).pop().unwrap());
    }
    engine.seal().unwrap();
    let now = engine.bank().clone();
    drop(engine);
    assert!(checkpoints(&disk).len() <= 3);
    assert!(bank(&disk) == now && bank_without(&disk) == now);
}

#[test]
fn a_failure_is_no_reason_to_end_and_is_made_good() {
    let disk = new_store(2);
    let mut engine = open(&disk);
    let mut load = Load::begin(&mut engine, 2);
    // The log itself never asks for a length.
    disk.fail(Fault { at: 0, only: Some(Operation::Len), is_sticky: false, errno: 5 });
    let failed = disk.count(Operation::Len);
    work_until(&mut engine, &mut load, &|| disk.count(Operation::Len) > failed);
    work_until(&mut engine, &mut load, &|| !checkpoints(&disk).is_empty());
}

#[test]
fn damage_ends_the_daemon() {
    let disk = new_store(3);
    let mut engine = open(&disk);
    let bytes = disk.peek(&segment(1)).unwrap();
    disk.poke(&segment(1), 5_000, &[bytes[5_000] ^ 1]);
    let mut load = Load::begin(&mut engine, 3);
    assert!(engine.checkpoint_now().is_err());
    let since = Instant::now();
    let error = loop {
        if let Err(error) = engine.commit() {
            break error;
        }
        assert!(since.elapsed() < Duration::from_secs(20));
    };
    assert!(matches!(&error, Fatal::Damaged(what) if what.contains("0000000001.seg")), "{error}");
    let _ = load.turn(&mut engine);
}

#[test]
fn closing_does_not_wait_for_a_checkpoint() {
    let disk = new_store(4);
    let mut engine = open(&disk);
    let mut load = Load::begin(&mut engine, 4);
    for _ in 0..20 {
        load.turns(&mut engine, 30);
        let since = Instant::now();
        drop(engine);
        assert!(since.elapsed() < Duration::from_secs(20));
        engine = open(&disk);
        load = Load::begin(&mut engine, 4);
    }
    let names: Vec<String> = checkpoints(&disk);
    assert!(names.len() <= 3 && names.iter().all(|name| disk.peek(&file(name)).is_some()));
}
