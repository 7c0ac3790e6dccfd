//! Damages small stores in many ways, and demands that every tool judges each as a start does, that a remedy is named for
//! each, and that what is mended has lost nothing.
//!
//! `DAMAGES=20000 cargo test --release --test store judgement` tries more; `DAMAGE_SEED` begins elsewhere.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss
)]

#[allow(dead_code)]
use std::collections::BTreeMap;
use std::path::Path;

use bankd::engine::{self, Remedy, StoreError};
use bankd::env::Disk;
use bankd::env::sim::{Random, SimDisk};
use bankd::model::types::{Chain, RequestId, RequestNumber};

use crate::checkpoint::support::{Load, dir, new_store, open};
use crate::support::sim;

const COPY: &str = "/bank/copy";

/// A sound store, and what it must still say when nothing was lost.
struct Case {
    name: &'static str,
    disk: SimDisk,
    /// An older state of the same files.
    older: SimDisk,
    dir: &'static Path,
    expected: (Chain, u64),
    request: RequestId,
}

fn case(name: &'static str, disk: SimDisk, older: SimDisk, dir: &'static Path, request: RequestId) -> Case {
    let verified = engine::verify(&sim::env(&disk, 1), dir, &[]).unwrap();
    Case { name, disk, older, dir, expected: (verified.history.log.end.chain, verified.outcome_digest), request }
}

/// With checkpoints, packed segments and an untouched spare: closed, killed, copied; and a new one.
fn cases() -> Vec<Case> {
    let disk = new_store(3);
    let mut engine = open(&disk);
    let fresh = disk.snapshot();
    let mut load = Load::begin(&mut engine, 3);
    let request = RequestId { session: engine.bank().epochs().session(load.session), number: RequestNumber(1) };
    let mut older = disk.snapshot();
    for turn in 0..2 {
        load.turns(&mut engine, 25);
        engine.checkpoint_now().unwrap();
        engine.pack_now().unwrap();
        load.turns(&mut engine, 18 + turn);
        older = disk.snapshot();
        load.turns(&mut engine, 3);
    }
    engine.seal().unwrap();
    let killed = disk.snapshot();
    killed.kill();
    engine.close().unwrap();
    drop(engine);
    // A start that logs nothing leaves a spare.
    let mut engine = open(&disk);
    let started = disk.snapshot();
    started.kill();
    engine.close().unwrap();
    drop(engine);
    let copied = disk.snapshot();
    engine::snapshot(&sim::env(&copied, 5), dir(), Path::new(COPY)).unwrap();
    let created = new_store(4);
    fresh.kill();
    older.kill();
    vec![
        case("closed", disk.snapshot(), older.snapshot(), dir(), request),
        case("killed", killed, older.snapshot(), dir(), request),
        case("started and killed", started, disk.snapshot(), dir(), request),
        case("snapshot", copied.snapshot(), copied, Path::new(COPY), request),
        case("new", created.snapshot(), created, dir(), request),
        case("without checkpoints", fresh.snapshot(), fresh, dir(), request),
    ]
}

/// Damages one file, and says how.
fn damage(case: &Case, disk: &SimDisk, random: &mut Random) -> String {
    let names: Vec<String> = disk.list(case.dir).unwrap().into_iter().filter(|name| name != "LOCK").collect();
    // What is small is as worth a try as what is large.
    let name = names[random.index(names.len())].clone();
    let path = case.dir.join(&name);
    let bytes = disk.peek(&path).unwrap();
    let length = bytes.len().max(1) as u64;
    // Half of the tries hit the first blocks, where headers are.
    let at = if random.below(2) == 0 { random.below(length.min(8192)) } else { random.below(length) };
    let rewrite = |content: &[u8]| {
        disk.remove(&path).unwrap();
        let made = disk.create(&path).unwrap();
        made.write_all_at(content, 0).unwrap();
        made.sync().unwrap();
        disk.sync_dir(case.dir).unwrap();
    };
    match random.below(12) {
        0..=2 => {
            let bit = 1 << random.below(8);
            disk.poke(&path, at, &[bytes.get(at as usize).unwrap_or(&0) ^ bit]);
            format!("{name}: a bit at {at}")
        }
        3 => {
            let count = (1 + random.below(16)) * 512;
            let from = at - at % 512;
            let count = count.min(length.saturating_sub(from)) as usize;
            disk.poke(&path, from, &vec![0; count]);
            format!("{name}: {count} zeros at {from}")
        }
        4 => {
            let from = at - at % 4096;
            disk.poke(&path, from, &vec![0; (length - from) as usize]);
            format!("{name}: zeros from {from} on")
        }
        5 => {
            let noise: Vec<u8> = (0..512).map(|_| random.below(256) as u8).collect();
            let from = at - at % 512;
            disk.poke(&path, from, &noise[..512.min((length - from) as usize)]);
            format!("{name}: noise at {from}")
        }
        6 => {
            rewrite(&bytes[..at as usize]);
            format!("{name}: cut to {at}")
        }
        7 => {
            rewrite(&[bytes.as_slice(), &vec![random.below(2) as u8; 4096]].concat());
            format!("{name}: longer by a block")
        }
        8 => {
            disk.remove(&path).unwrap();
            disk.sync_dir(case.dir).unwrap();
            format!("{name}: missing")
        }
        9 => {
            let other = names[random.index(names.len())].clone();
            let theirs = disk.peek(&case.dir.join(&other)).unwrap();
            rewrite(&theirs);
            format!("{name}: has the bytes of {other}")
        }
        10 => match case.older.peek(&path) {
            Some(older) => {
                rewrite(&older);
                format!("{name}: an older copy")
            }
            None => {
                rewrite(&[]);
                format!("{name}: empty")
            }
        },
        _ => {
            let foreign = ["0000000099.seg", "00000000000000000007.ckpt", "CREATING", "notes.txt", "0000000099.seg.zst"];
            let other = foreign[random.index(foreign.len())];
            let made = disk.create(&case.dir.join(other)).unwrap();
            let content = if random.below(2) == 0 { bytes } else { vec![7; 9000] };
            made.write_all_at(&content, 0).unwrap();
            made.sync().unwrap();
            disk.sync_dir(case.dir).unwrap();
            format!("{other} with the bytes of {name} or none of ours")
        }
    }
}

/// The exit code of the command line.
fn code<T>(result: &Result<T, StoreError>) -> i32 {
    match result {
        Ok(_) => 0,
        Err(StoreError::Damaged(_)) => 6,
        Err(StoreError::InUse { .. }) => 7,
        Err(StoreError::Records(_)) => 2,
        Err(StoreError::Log(bankd::wal::WalError::Misuse(_) | bankd::wal::WalError::Latched(_))) => 1,
        Err(_) => 8,
    }
}

fn text<T>(result: &Result<T, StoreError>) -> String {
    result.as_ref().err().map_or_else(String::new, ToString::to_string)
}

/// Judges one damaged store by everything, and says what came of it; an `Err` is a disagreement.
fn judge(case: &Case, disk: &SimDisk, seed: u64) -> Result<&'static str, String> {
    let env = |disk: &SimDisk| sim::env(disk, seed);
    let alone = || disk.snapshot();
    let started = engine::open(&env(&alone()), case.dir, Path::new(sim::KEY));
    let serve = code(&started);
    let why = text(&started);
    drop(started);
    let verify = engine::verify(&env(&alone()), case.dir, &[]);
    let look = engine::look(&env(&alone()), case.dir, &mut |_, _| Ok(()));
    let explain = engine::explain(&env(&alone()), case.dir, case.request);
    let snapshot = engine::snapshot(&env(&alone()), case.dir, Path::new("/bank/another"));
    let codes = [code(&verify), code(&look), code(&explain), code(&snapshot)];
    let mended = alone();
    let remedy = engine::find_remedy(&env(&mended), case.dir);
    let refuse = |what: &str| Err(format!("serve {serve} ({why}), tools {codes:?} ({}): {what}", text(&verify)));
    if serve == 0 && codes == [6; 4] {
        let is_history =
            text(&verify).contains("that is history") && matches!(&remedy, Ok(Remedy::Restore(why)) if why.contains("that is history"));
        return if is_history { Ok("history, which no start reads") } else { refuse("a start takes it, and the tools do not") };
    }
    if codes != [serve; 4] {
        return refuse("they differ");
    }
    let remedy_code = code(&remedy);
    match (serve, remedy) {
        (0, Ok(Remedy::Sound(_))) => Ok("sound"),
        (0, Ok(Remedy::Mend(mend))) if !mend.is_refused() => {
            let is_slot = mend.why().contains("slots");
            mend.apply().map_err(|error| format!("healing: {error}"))?;
            let after = engine::verify(&env(&mended), case.dir, &[]).map_err(|error| format!("healed: {error}"))?;
            let same = (after.history.log.end.chain, after.outcome_digest) == case.expected;
            mended.kill();
            let is_done = matches!(engine::find_remedy(&env(&mended), case.dir), Ok(Remedy::Sound(_)));
            match (same && is_done, is_slot) {
                (true, true) => Ok("a slot healed"),
                (true, false) => Ok("a checkpoint put aside"),
                (false, _) => refuse("it was not healed"),
            }
        }
        (6, Ok(Remedy::Mend(mend))) => {
            let steps = mend.steps().join("; ");
            mend.apply().map_err(|error| format!("mending by {steps}: {error}"))?;
            let after = engine::verify(&env(&mended), case.dir, &[]).map_err(|error| format!("mended by {steps}: {error}"))?;
            if (after.history.log.end.chain, after.outcome_digest) != case.expected {
                return refuse(&format!("mended by {steps}, and something was lost"));
            }
            open_again(&mended, case.dir, seed)?;
            Ok("mended, without loss")
        }
        (6, Ok(Remedy::DropTail(repair))) => {
            repair.apply("").map_err(|error| format!("dropping: {error}"))?;
            let after = engine::verify(&env(&mended), case.dir, &[]).map_err(|error| format!("dropped: {error}"))?;
            if after.repairs.is_empty() && after.history.from.0 == 0 {
                return refuse("dropped without a new lineage");
            }
            open_again(&mended, case.dir, seed)?;
            Ok("a tail to drop")
        }
        (6, Ok(Remedy::Restore(advice))) if advice.contains("snapshot") || advice.contains("the version of bankd") => Ok("to be restored"),
        (6, Ok(Remedy::Restore(advice))) => refuse(&format!("no advice: {advice}")),
        (8, Err(_)) if remedy_code == 8 => Ok("no store to start here"),
        (_, other) => refuse(&format!("repair says {}", other.map_or_else(|error| error.to_string(), |_| "something else".to_owned()))),
    }
}

fn open_again(disk: &SimDisk, dir: &Path, seed: u64) -> Result<(), String> {
    disk.kill();
    engine::open(&sim::env(disk, seed), dir, Path::new(sim::KEY)).map(drop).map_err(|error| format!("then refused: {error}"))
}

#[test]
fn every_tool_judges_as_a_start_does() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let (tries, first) = (number("DAMAGES").unwrap_or(300), number("DAMAGE_SEED").unwrap_or(1));
    let cases = cases();
    for case in &cases {
        assert_eq!(judge(case, &case.disk, 1), Ok("sound"), "{}", case.name);
    }
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    let mut wrong = Vec::new();
    for seed in first..first + tries {
        let case = &cases[(seed % cases.len() as u64) as usize];
        let mut random = Random::new(seed);
        let disk = case.disk.snapshot();
        let what = damage(case, &disk, &mut random);
        match judge(case, &disk, seed) {
            Ok(kind) => *counts.entry(kind).or_default() += 1,
            Err(why) => wrong.push(format!("DAMAGE_SEED={seed} ({}, {what}): {why}", case.name)),
        }
    }
    println!("{tries} damaged stores from seed {first}: {counts:?}; {} in which tools disagree", wrong.len());
    assert!(wrong.is_empty(), "{} of {tries} disagree:\n{}", wrong.len(), wrong[..wrong.len().min(20)].join("\n"));
}
