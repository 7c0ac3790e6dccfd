//! Crashes at every point, in every life, nested: what was acknowledged is there, nothing is there twice, and no log
//! that only crashed is ever refused.

use bankd::env::sim::{Fault, Operation, Random, SimDisk, Unsynced};
use bankd::model::types::BankTime;
use bankd::wal::{Full, Log};

use crate::support::{empty_disk, new_store, put, read, start};

/// What one run over a crashing disk knows and has seen.
#[derive(Default)]
struct Run {
    /// Entries that every later recovery must give, in order.
    certain: Vec<Vec<u8>>,
    /// Entries of the batch in flight: all of them or none.
    in_flight: Vec<Vec<u8>>,
    seen: Seen,
}

/// That the interesting things did happen.
#[derive(Default, Debug)]
struct Seen {
    torn: u64,
    torn_starts: u64,
    survived: u64,
    rotated: u64,
    nested: u64,
    seals: u64,
}

impl Run {
    /// Reads the log and holds it against what is known; from now on, what was read is certain.
    fn check(&mut self, disk: &SimDisk, seed: u64) -> bankd::wal::Recovered {
        let (entries, recovered) = match read(disk) {
            Ok(read) => read,
            Err(error) => panic!("seed {seed}: a crash alone is no damage: {error}"),
        };
        let longer = [self.certain.clone(), self.in_flight.clone()].concat();
        assert!(entries == self.certain || entries == longer, "seed {seed}: {} of {} entries", entries.len(), self.certain.len());
        self.seen.survived += u64::from(entries.len() > self.certain.len());
        self.seen.torn += u64::from(recovered.torn.is_some());
        self.seen.torn_starts += u64::from(recovered.torn.as_ref().is_some_and(|torn| torn.more > 0));
        self.certain = entries;
        self.in_flight.clear();
        recovered
    }

    /// Commits random batches until something fails; `false` if nothing did.
    fn work(&mut self, log: &mut Log, random: &mut Random) -> bool {
        for _ in 0..random.below(12) {
            let most = if random.one_in(4) { 100 } else { 3 };
            for _ in 0..random.below(most) {
                let mut bytes = random.next_u64().to_le_bytes().to_vec();
                bytes.resize(1 + random.index(504), 0);
                let before = self.in_flight.len();
                match put(log, &bytes) {
                    Ok(_) => self.in_flight.push(bytes),
                    Err(Full::Batch) if before > 0 => break,
                    Err(_) => return true,
                }
            }
            self.seen.seals += u64::from(log.pending() == 0);
            if log.commit(BankTime(random.below(1 << 40)), 0).is_err() {
                return true;
            }
            self.certain.append(&mut self.in_flight);
        }
        false
    }
}

fn crash(disk: &SimDisk, random: &mut Random) {
    disk.heal();
    if random.one_in(4) { disk.kill() } else { disk.crash(random.next_u64()) }
}

/// From now on everything fails, starting with the `within`th operation at most.
fn doom(disk: &SimDisk, random: &mut Random, within: u64) {
    disk.fail(Fault { at: disk.operations() + 1 + random.below(within), only: None, is_sticky: true, errno: 5 });
}

fn run(seed: u64) -> Seen {
    let mut random = Random::new(seed);
    let (disk, mut log) = new_store();
    let mut run = Run { certain: vec![b"genesis".to_vec()], ..Run::default() };
    for life in 0..1 + random.below(6) {
        if random.one_in(2) {
            doom(&disk, &mut random, 60);
        }
        run.work(&mut log, &mut random);
        drop(log);
        crash(&disk, &mut random);
        // Up to three more crashes while it recovers and starts.
        for _ in 0..random.below(4) {
            doom(&disk, &mut random, 40);
            if let Ok((_, recovered)) = read(&disk)
                && let Ok(mut log) = start(&disk, recovered, random.next_u64())
            {
                run.certain = read_through(&disk, &mut run, seed);
                run.work(&mut log, &mut random);
            }
            crash(&disk, &mut random);
            run.seen.nested += 1;
        }
        let recovered = run.check(&disk, seed);
        run.seen.rotated += u64::from(recovered.end.position.segment > life + 2);
        log = start(&disk, recovered, random.next_u64()).unwrap();
    }
    drop(log);
    crash(&disk, &mut random);
    run.check(&disk, seed);
    run.seen
}

/// What a recovery in the middle of trouble has made certain, read from a healthy copy.
fn read_through(disk: &SimDisk, run: &mut Run, seed: u64) -> Vec<Vec<u8>> {
    let copy = disk.snapshot();
    copy.heal();
    run.check(&copy, seed);
    run.certain.clone()
}

#[test]
fn thousands_of_crashes_lose_nothing_and_refuse_nothing() {
    let mut all = Seen::default();
    for seed in 0..3000 {
        let seen = run(seed);
        all.torn += seen.torn;
        all.torn_starts += seen.torn_starts;
        all.survived += seen.survived;
        all.rotated += seen.rotated;
        all.nested += seen.nested;
        all.seals += seen.seals;
    }
    let Seen { torn, torn_starts, survived, rotated, nested, seals } = all;
    assert!([torn, torn_starts, survived, rotated, nested, seals].into_iter().all(|count| count > 20), "too rarely: {all:?}");
}

/// Every subset of the eight sectors of one batch: right after another one, as the first of a start, and as the first
/// of a start after one that never happened.
#[test]
fn every_subset_of_one_batch_is_all_or_nothing() {
    let (plain, mut log) = new_store();
    write_without_sync(&plain, &mut log);
    let (first, log) = new_store();
    drop(log);
    let mut log = crate::support::reopen(&first);
    write_without_sync(&first, &mut log);
    let second = first.snapshot();
    second.crash_with(&mut skipping(&[0, 5]));
    let mut log = crate::support::reopen(&second);
    write_without_sync(&second, &mut log);
    for (name, disk) in [("plain", plain), ("first of a start", first), ("after a torn start", second)] {
        for subset in 0..256_u32 {
            let disk = disk.snapshot();
            let mut sector = 0;
            disk.crash_with(&mut |what| {
                let is_kept = what != Unsynced::Sector || subset & 1 << sector != 0;
                sector += u32::from(what == Unsynced::Sector);
                is_kept
            });
            assert_eq!(sector, 8, "one batch of one block is all that is not synced");
            let (entries, recovered) = read(&disk).unwrap_or_else(|error| panic!("{name}, subset {subset:08b}: {error}"));
            assert_eq!(entries.len(), if subset == 255 { 2 } else { 1 }, "{name}, subset {subset:08b}");
            let was_torn_before = name == "after a torn start" && subset != 255;
            assert_eq!(recovered.torn.is_some(), (subset != 0 && subset != 255) || was_torn_before, "{name}, subset {subset:08b}");
            // And it goes on from there, for good.
            let mut log = start(&disk, recovered, 9).unwrap();
            put(&mut log, b"next").unwrap();
            log.commit(BankTime(2), 0).unwrap();
            disk.crash(u64::from(subset));
            let (after, recovered) = read(&disk).unwrap();
            assert_eq!((after.len(), after.last().unwrap().as_slice()), (entries.len() + 1, b"next".as_slice()));
            assert_eq!(recovered.torn, None, "what stands before a voucher is void");
        }
    }
}

/// A batch whose write worked and whose sync did not.
fn write_without_sync(disk: &SimDisk, log: &mut Log) {
    disk.fail(Fault { at: 0, only: Some(Operation::Sync), is_sticky: false, errno: 5 });
    put(log, b"in flight").unwrap();
    assert!(log.commit(BankTime(2), 0).is_err());
}

/// Keeps everything but the sectors of these numbers.
fn skipping(skipped: &'static [u64]) -> impl FnMut(Unsynced) -> bool {
    let mut sector = 0;
    move |what| {
        let is_kept = what != Unsynced::Sector || !skipped.contains(&sector);
        sector += u64::from(what == Unsynced::Sector);
        is_kept
    }
}

/// A creation that crashed leaves no store, or the whole of it.
#[test]
fn a_creation_is_there_once_it_is_published() {
    let script = |disk: &SimDisk| {
        let mut log = Log::create(
            crate::support::shared(disk),
            crate::support::dir(),
            crate::support::STORE,
            crate::support::SMALL,
            1,
            bankd::wal::Preparer::Inline,
        )?;
        put(&mut log, b"genesis").unwrap();
        log.commit(BankTime(1), 0)?;
        log.publish()
    };
    let whole = empty_disk();
    script(&whole).unwrap();
    let (mut absent, mut present) = (0, 0);
    for at in 1..=whole.operations() {
        for seed in 0..20 {
            let disk = empty_disk();
            disk.fail(Fault { at, only: None, is_sticky: true, errno: 5 });
            let published = script(&disk).is_ok();
            disk.heal();
            disk.crash(seed);
            if bankd::wal::exists(&disk, crate::support::dir()).unwrap() {
                assert_eq!(read(&disk).unwrap().0, [b"genesis"]);
                present += 1;
            } else {
                assert!(!published);
                bankd::wal::discard_unpublished(&disk, crate::support::dir()).unwrap();
                script(&disk).unwrap();
                absent += 1;
            }
        }
    }
    assert!(absent > 100 && present > 0, "{absent} {present}");
}
