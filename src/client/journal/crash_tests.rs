//! Tests the journal on a simulated disk that loses unsynced writes, and its delivery marks.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::client::journal::index::End;
use crate::client::journal::record::samples::{id, intent, settled};
use crate::client::journal::record::{ClosedReason, Intent, Record};
use crate::client::journal::{Journal, JournalError};
use crate::client::retry::Deadline;
use crate::env::Disk;
use crate::env::Env;
use crate::env::sim::{Fault, Operation, Random, SimDisk};

const PATH: &str = "/journal";

fn env(disk: &SimDisk) -> Env {
    Env { disk: Arc::new(disk.clone()), ..Env::os() }
}

fn soon() -> Deadline {
    Deadline::after(&Env::os().clock, Duration::from_secs(5))
}

/// The content required after a crash: each number, and how it ended.
#[derive(Clone, Default)]
struct Model {
    ends: BTreeMap<u64, Option<End>>,
    /// Requests that may be marked as delivered: an unsynced mark may be lost, but no mark may appear by itself.
    told: Vec<u64>,
    next: u64,
}

/// One write as a pipeline makes it: answers to some open requests, and new requests.
fn some_write(model: &Model, random: &mut Random) -> (Vec<Record>, Model) {
    let (mut after, mut records) = (model.clone(), Vec::new());
    for (number, end) in &mut after.ends {
        if end.is_none() && random.one_in(2) {
            *end = Some(End::Answered(settled()));
            records.push(Record::Reply(id(*number), settled()));
        }
    }
    for _ in 0..random.below(60) {
        after.next += 1;
        after.ends.insert(after.next, None);
        let address = "x".repeat(usize::try_from(random.below(200)).unwrap());
        records.push(Record::Intent(Intent { address, ..intent(after.next) }));
    }
    (records, after)
}

/// Opens the journal and compares it with the model; `or` is the other content that a failed write may leave.
fn check(journal: &mut Journal, model: &Model, or: &Model, seed: u64) -> Option<Model> {
    let open = match journal.open(&soon()) {
        Ok(open) => open,
        // A frame whose first byte is the last of a missing sector: the journal is refused, never cut.
        Err(JournalError::Damaged { why, .. }) => {
            let at: u64 = why.rsplit(' ').nth(2).unwrap().parse().unwrap();
            assert_eq!(at % 512, 511, "seed {seed}: {why}");
            return None;
        }
        Err(error) => panic!("seed {seed}: {error}"),
    };
    let found: BTreeMap<u64, Option<End>> = open.requests().map(|request| (request.intent.id.number.0, request.end)).collect();
    assert!(found == model.ends || found == or.ends, "seed {seed}: {found:?}");
    for request in open.requests().filter(|request| request.is_told) {
        assert!(model.told.contains(&request.intent.id.number.0), "seed {seed}: told from nowhere");
    }
    Some(if found == model.ends { model.clone() } else { or.clone() })
}

#[test]
fn nothing_that_was_synced_is_lost_in_a_power_cut() {
    let (mut cuts, mut kept, mut refused) = (0, 0, 0);
    for seed in 0..400 {
        let mut random = Random::new(seed);
        let disk = SimDisk::new();
        let (mut model, mut journal) = (Model::default(), Journal::new(&env(&disk), Path::new(PATH)));
        drop(journal.open(&soon()).unwrap());
        for _ in 0..6 {
            let mut open = journal.open(&soon()).unwrap();
            for _ in 0..random.below(4) {
                let (records, after) = some_write(&model, &mut random);
                open.write(&records).unwrap();
                model = after;
                let ended: Vec<u64> = model.ends.iter().filter(|(_, end)| end.is_some()).map(|(number, _)| *number).collect();
                if random.one_in(2) {
                    open.tell(&ended.iter().map(|number| id(*number)).collect::<Vec<_>>()).unwrap();
                    model.told = ended;
                }
            }
            let (records, after) = some_write(&model, &mut random);
            disk.fail(Fault { at: 1, only: Some(Operation::Sync), is_sticky: true, errno: 5 });
            let failed = open.write(&records);
            assert_eq!(failed.is_err(), !records.is_empty(), "seed {seed}");
            drop(open);
            disk.heal();
            disk.crash(random.next_u64());
            cuts += 1;
            journal = Journal::new(&env(&disk), Path::new(PATH));
            let Some(found) = check(&mut journal, &model, &after, seed) else {
                refused += 1;
                break;
            };
            kept += usize::from(found.ends != model.ends);
            model = found;
        }
    }
    assert!(cuts > 2000 && kept > 20 && refused < 20, "{cuts} cuts, {kept} kept what was not synced, {refused} refused");
}

#[test]
fn a_group_is_one_sync() {
    let disk = SimDisk::new();
    let mut journal = Journal::new(&env(&disk), Path::new(PATH));
    let mut open = journal.open(&soon()).unwrap();
    let before = disk.count(Operation::Sync);
    open.write(&(1..=300).map(|number| Record::Intent(intent(number))).collect::<Vec<_>>()).unwrap();
    assert_eq!(disk.count(Operation::Sync) - before, 1);
    open.write(&(1..=300).map(|number| Record::Reply(id(number), settled())).collect::<Vec<_>>()).unwrap();
    open.tell(&(1..=300).map(id).collect::<Vec<_>>()).unwrap();
    assert_eq!(disk.count(Operation::Sync) - before, 2, "a mark is not synced");
    drop(open);
    let open = journal.open(&soon()).unwrap();
    assert_eq!((open.in_doubt().count(), open.undelivered().count(), open.requests().count()), (0, 0, 300));
}

#[test]
fn delivered_and_undelivered_answers_are_remembered() {
    let disk = SimDisk::new();
    let mut journal = Journal::new(&env(&disk), Path::new(PATH));
    let mut open = journal.open(&soon()).unwrap();
    for number in 1..=3 {
        open.intend(intent(number)).unwrap();
    }
    open.settle(id(1), settled()).unwrap();
    open.close(id(2), ClosedReason::UnknownSession).unwrap();
    open.tell(&[id(1), id(3), id(9)]).unwrap();
    let undelivered =
        |open: &crate::client::journal::OpenJournal<'_>| open.undelivered().map(|request| request.intent.id).collect::<Vec<_>>();
    assert_eq!(undelivered(&open), [id(2)], "what is in doubt has no end that could be told");
    drop(open);
    let mut open = journal.open(&soon()).unwrap();
    assert_eq!(undelivered(&open), [id(2)]);
    // Settled again, it must be delivered again.
    open.settle(id(1), settled()).unwrap();
    assert_eq!(undelivered(&open), [id(1), id(2)]);
}

#[test]
fn a_journal_of_version_1_is_rewritten_and_nobody_is_told_anew() {
    let disk = SimDisk::new();
    let mut journal = Journal::new(&env(&disk), Path::new(PATH));
    let mut open = journal.open(&soon()).unwrap();
    open.intend(intent(1)).unwrap();
    open.settle(id(1), settled()).unwrap();
    open.intend(intent(2)).unwrap();
    drop(open);
    let golden: Vec<u8> =
        [0x62, 0x61, 0x6e, 0x6b, 0x64, 0x6a, 0x6e, 0x6c, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0xbd, 0x92, 0xb9, 0x22].into();
    assert!(disk.poke(Path::new(PATH), 0, &golden));
    let open = journal.open(&soon()).unwrap();
    assert_eq!((open.in_doubt().count(), open.undelivered().count(), open.requests().count()), (1, 0, 2));
    drop(open);
    let mut head = [0; 12];
    disk.open(Path::new(PATH)).unwrap().read_exact_at(&mut head, 0).unwrap();
    assert_eq!(head[8], 2);
}
